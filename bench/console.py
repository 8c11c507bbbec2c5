"""The pages of the console over much data: the server's answer, the first paint, the assets.

usage: console.py [--repetitions 40] [--keep DIRECTORY] [--only WORD] [--datums 50000]
                  [--files 50000] [--commits 10000] [--pipelines 500]

Makes a data directory with a repo of 100,000 files, one of 10,000 commits, two jobs of 50,000
datums, the second by another command (answered by the stand-ins of `stand_in.py`, which run
nothing), and 500 pipelines with a job each; then a server of its own answers a visitor who is
logged in. `--datums 1000000 --pipelines 5 --commits 100` is a job of a million datums and little
else: each of them is a file of one directory; --files are those of the other one. Prints the
median and the 95th percentile of the time to the last byte of each page that there is and the
processor time of the server (which says more on a busy machine), what the looks for live changes
cost, the time of the first contentful paint in Chromium, and the size of the assets. With --keep
the data directory stays and is used again; --only measures the pages with a word in their address.
"""

import argparse
import contextlib
import gzip
import http.client
import json
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from history import lengthen
from measure import private_home, run, seconds
from reactions import spec
from stand_in import stood_in

WANTED_S, WANTED_PAINT_S = 0.3, 1.0
CHROMIUM = "/usr/bin/chromium"
WARM_UP = 3  # visits of a page that are not counted
PAINTS = 5
WATCHED_S = 10.0
_PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
_LARGE = "/ui/projects/default/repos/large"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--datums", type=int, default=50_000)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--pipelines", type=int, default=500)
    wanted = parser.parse_args()
    with private_home() as place:
        home = wanted.keep or place / "home"
        if not home.exists():
            took = seconds(lambda: fill(home, wanted))
            print(f"made the data directory in {took:.0f} s", flush=True)
        os.environ["TRUNKLINE_HOME"] = str(home)
        with visitor() as visit:
            tell_answers(visit, home, wanted)
            tell_looks(visit, home)
            tell_assets(visit)
            tell_paints(visit, wanted)


# --- what there is to be shown --------------------------------------------------------------------


def fill(home: Path, wanted: argparse.Namespace) -> None:
    from trunkline.api.changes import PutFile
    from trunkline.config import load
    from trunkline.engine.engine import Engine

    aside = home.with_name(f"{home.name}.part")
    settings = {**os.environ, "TRUNKLINE_HOME": str(aside), "TRUNKLINE_WORKER_IDLE_S": "0.1"}
    with stood_in():
        engine = Engine(load(settings))
        try:
            for repo in ("large", "long", "small"):
                engine.repos.create_repo(repo)
            names = [f"flat/{n:07}.txt" for n in range(wanted.datums)]
            names += [f"deep/{n % 1000:03}/{n:07}.txt" for n in range(wanted.files)]
            files = (PutFile(path=name, content=[name.encode()]) for name in names)
            engine.files.modify_files("large", "master", files)
            for repo in ("long", "small"):
                engine.files.modify_files(repo, "master", [PutFile(path="x", content=[b"x"])])
            lengthen(engine, wanted.commits, "long")
            for turn, copying in enumerate(("cp $large /pfs/out/", "cp -p $large /pfs/out/")):
                one_each = spec("many-datums", "large", "/flat/*", "sh", "-c", copying)
                engine.pipelines.create_pipeline(one_each, update=turn > 0)
                job = engine.jobs.inspect_job("many-datums", wait=True)
                assert job.state == "success", job
            for number in range(wanted.pipelines):
                document = spec(f"pipeline-{number:03}", "small", "/*", workers=1)
                engine.pipelines.create_pipeline(document)
                # One after the other: so many workers at once are for a larger machine.
                assert engine.jobs.inspect_job(f"pipeline-{number:03}", wait=True).state.ended
        finally:
            engine.close()
    aside.rename(home)


def targets(visit: "Visitor", wanted: argparse.Namespace) -> Iterator[str]:
    """The addresses of pages, of those of each kind that have most to show."""
    yield from ("/ui/", "/ui/repos", "/ui/search?q=pipeline", _LARGE, "/ui/storage")
    yield from (f"{_LARGE}@master", f"{_LARGE}@master/files/flat", f"{_LARGE}@master/files/deep")
    yield f"{_LARGE}@master/files/flat?after=/flat/{wanted.datums // 2:07}.txt"
    yield f"{_LARGE}@master/files/?find=4999"
    first = f"flat/{0:07}.txt"
    yield from (f"{_LARGE}@master/{page}/{first}" for page in ("files", "history", "provenance"))
    yield f"{_LARGE}@master/diff/"
    long = "/ui/projects/default/repos/long"
    yield from (long, f"{long}/commits", f"{long}/commits?to=master.{wanted.commits // 2}")
    yield from ("/ui/pipelines", "/ui/jobs", "/ui/runs", "/ui/dag", "/ui/settings")
    yield "/ui/projects/default/pipelines/many-datums"
    job, *_ = visit.asked("list", "job", "--pipeline", "many-datums")
    at = f"/ui/projects/default/jobs/many-datums@{job['id']}"
    yield from (at, f"{at}/datums", f"{at}/datums?page={wanted.datums // 200}", f"{at}/explain")
    yield from (f"{at}/datums?find={find}" for find in ("0004999", "nothing-has-this"))
    yield from (f"/ui/runs/{job['id']}", f"/ui/dag?run={job['id']}", "/ui/pipelines?from=300")


# --- who looks at it ------------------------------------------------------------------------------


class Visitor:
    """Somebody who is logged in at a server that runs by itself."""

    def __init__(self, origin: str, cookie: str) -> None:
        self.origin = origin
        self.cookie = cookie
        self._connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=60)

    def get(self, target: str) -> tuple[int, bytes]:
        self._connection.request("GET", target, headers={"Cookie": self.cookie})
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def asked(self, *words: str) -> list[dict[str, str]]:
        """What a list command gives."""
        found = json.loads(run("trunkline", *words, "-o", "json"))
        return found if isinstance(found, list) else [found]

    def pages(self, wanted: argparse.Namespace) -> list[str]:
        """The pages that there are."""
        asked = [at for at in targets(self, wanted) if wanted.only in at]
        return [at for at in asked if self.get(at)[0] == 200]


@contextmanager
def visitor() -> Iterator[Visitor]:
    address = urlsplit(run("trunkline", "ui", "--no-browser").strip())
    connection = http.client.HTTPConnection(address.netloc, timeout=60)
    connection.request("GET", address.path)
    answer = connection.getresponse()
    cookie = answer.headers["set-cookie"].partition(";")[0]
    connection.close()
    yield Visitor(f"http://{address.netloc}", cookie)


# --- the figures ----------------------------------------------------------------------------------


def tell_answers(visit: Visitor, home: Path, wanted: argparse.Namespace) -> None:
    pages, pid = visit.pages(wanted), _pid(home)
    times: dict[str, list[float]] = {page: [] for page in pages}
    spent: dict[str, list[float]] = {page: [] for page in pages}
    sizes: dict[str, int] = {}
    for turn in range(WARM_UP + wanted.repetitions):  # pages take turns, so that noise hits all
        for page in pages:
            before, began = _processor_s(pid), time.perf_counter()
            status, body = visit.get(page)
            took, worked = time.perf_counter() - began, _processor_s(pid) - before
            assert status == 200, (page, status)
            sizes[page] = len(body)
            if turn >= WARM_UP:
                times[page].append(took)
                spent[page].append(worked)
    print(f"{'page':72} {'p50 ms':>8} {'p95 ms':>8} {'CPU ms':>8} {'KB':>6}")
    for page, took in times.items():
        middle, most = statistics.median(took), statistics.quantiles(took, n=20)[-1]
        verdict = "" if most <= WANTED_S else f"  wanted {1000 * WANTED_S:.0f} MISSED"
        figures = (1000 * middle, 1000 * most, 1000 * statistics.median(spent[page]))
        columns = " ".join(f"{figure:8.1f}" for figure in figures)
        print(f"{page[:72]:72} {columns} {sizes[page] / 1024:6.0f}{verdict}")


def tell_looks(visit: Visitor, home: Path) -> None:
    """The processor time of the server while pages are open that show everything."""
    pid = _pid(home)
    topics = "/ui/live?topics=commits%20jobs%20pipelines%20repos%20workers"
    connections: list[http.client.HTTPConnection] = []
    idle = 0.0
    for pages in (0, 1, 20):
        while len(connections) < pages:
            connection = http.client.HTTPConnection(urlsplit(visit.origin).netloc, timeout=60)
            connection.request("GET", topics, headers={"Cookie": visit.cookie})
            connection.getresponse().read(1)
            connections.append(connection)
        time.sleep(WATCHED_S)  # the first looks are over
        before, began = _processor_s(pid), time.perf_counter()
        time.sleep(WATCHED_S)
        watched = (_processor_s(pid) - before) / (time.perf_counter() - began)
        if pages:
            spent = 1000 * (watched - idle)
            print(f"pages that are open and nothing happens, {pages}: {spent:.1f} ms of a core/s")
        else:
            idle = watched
    for connection in connections:
        connection.close()


def tell_assets(visit: Visitor) -> None:
    import trunkline.server.console as console

    files = [path for path in Path(console.__path__[0], "static").rglob("*") if path.is_file()]
    plain = sum(path.stat().st_size for path in files)
    packed = sum(len(gzip.compress(path.read_bytes())) for path in files)
    print(f"assets: {len(files)} files, {plain / 1024:.0f} KB, compressed {packed / 1024:.0f} KB")


def tell_paints(visit: Visitor, wanted: argparse.Namespace) -> None:
    from playwright.sync_api import sync_playwright

    name, _, value = visit.cookie.partition("=")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for page in visit.pages(wanted):
            took = []
            for _ in range(PAINTS):
                context = browser.new_context()  # nothing is kept from the visit before
                context.add_cookies([{"name": name, "value": value, "url": f"{visit.origin}/ui"}])
                tab = context.new_page()
                tab.goto(visit.origin + page)
                took.append((tab.evaluate(_PAINTED) or 0.0) / 1000)
                context.close()
            middle = statistics.median(took)
            verdict = "" if middle <= WANTED_PAINT_S else "  MISSED"
            print(f"first paint of {page[:57]:57} {1000 * middle:8.0f} ms{verdict}", flush=True)
        browser.close()


def _pid(home: Path) -> int:
    return int(json.loads((home / "server.json").read_text())["pid"])


def _processor_s(pid: int) -> float:
    """What the threads of a process have used of the processor."""
    used = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            used += int((thread / "schedstat").read_text().split()[0])
    return used / 1e9


if __name__ == "__main__":
    main()
