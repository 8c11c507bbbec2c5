"""Changes to a job of N datums, N = 1,000 to 1,000,000: time, and memory of server and workers.

usage: large.py [--datums 1000,10000,100000,1000000] [--keep DIRECTORY] [--real]

The first job of each N is answered by stand-ins (`stand_in.py`): they store what `cp` would have
written, and run nothing. All that is measured is done by a server of its own with real workers,
which starts afterwards. With --keep, what was made stays in DIRECTORY/N and is used again; a call
that is interrupted is gone on with by the next. With --real the first job is done by two real
workers (some ms a datum), and the memory of the server and of theirs is told on the way.
"""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from measure import private_home, seconds
from reactions import finished, put, spec, told
from stand_in import stood_in

import trunkline
from trunkline.connect.connection import Connection

REPETITIONS = 5
FIRST = "cp $data /pfs/out/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datums", default="1000,10000,100000,1000000")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--real", action="store_true")
    wanted = parser.parse_args()
    for number in map(int, wanted.datums.split(",")):
        with private_home() as place:
            home = wanted.keep / str(number) if wanted.keep else place / "home"
            if not home.exists() and wanted.real:
                _fill_really(home, number)
            elif not home.exists():
                made = seconds(lambda home=home, number=number: _fill(home, number))
                print(f"{number:,} datums, answered by stand-ins that run nothing: {made:.1f} s")
            os.environ["TRUNKLINE_HOME"] = str(home)
            _measure(home, number)


def _fill(home: Path, datums: int) -> None:
    """A home in which a pipeline has processed so many files; goes on with one that was begun."""
    from trunkline.api.changes import PutFile
    from trunkline.config import load
    from trunkline.engine.engine import Engine

    aside = home.with_name(f"{home.name}.part")
    aside.parent.mkdir(parents=True, exist_ok=True)
    with stood_in():
        engine = Engine(load({**os.environ, "TRUNKLINE_HOME": str(aside)}))
        try:
            there = {repo.name for repo in engine.repos.list_repos()}
            if "data" not in there:
                engine.repos.create_repo("data")
            if not list(engine.commits.list_commits("data")):
                files = (
                    PutFile(path=f"seen/{n:07}.txt", content=[b"%d\n" % n]) for n in range(datums)
                )
                took = seconds(lambda: engine.files.modify_files("data", "master", files))
                print(f"  put: {took:.1f} s", flush=True)
            if "copy" not in there:
                document = spec("copy", "data", "/seen/*", "sh", "-c", FIRST)
                engine.pipelines.create_pipeline(document)
            else:
                print("  (its first job had been begun by an earlier call)")
            [done] = engine.jobs.flush_jobs(["data@master"])
            assert done.state == "success", done
            print(f"  peak of the process that made it: {_peak_mb(os.getpid()):.0f} MB")
        finally:
            engine.close()
    aside.rename(home)


def _fill_really(home: Path, datums: int) -> None:
    """The same by a server of its own and two real workers; tells their memory on the way."""
    with trunkline.connect(home=str(home)) as connection:
        connection.repo("data").create()
        put(connection, "data", {f"seen/{n:07}.txt": f"{n}\n" for n in range(datums)})
        server = int(json.loads((home / "server.json").read_text())["pid"])
        _tell_memory(connection, "after the put", server)
        began = time.perf_counter()
        connection.create_pipeline(spec("copy", "data", "/seen/*", "sh", "-c", FIRST))
        for tenth in range(1, 11):
            while next(connection.pipeline("copy").jobs(number=1)).info.processed < (
                datums * tenth // 10
            ):
                time.sleep(1.0)
            _tell_memory(connection, f"at {10 * tenth} % of the datums", server)
        finished(connection, "copy")
        _tell_memory(connection, f"after all of it, {time.perf_counter() - began:.0f} s", server)
        subprocess.run(["trunkline", "down"], capture_output=True)


def _tell_memory(connection: Connection, when: str, server: int) -> None:
    """What a server and its workers have now, and had at most."""
    workers = sorted(worker.pid for worker in connection.jobs.list_workers())
    sizes = [f"{_memory_mb(p, 'VmRSS'):.0f}/{_peak_mb(p):.0f}" for p in (server, *workers)]
    print(f"  MB now/at most of server and workers {when}: {', '.join(sizes)}", flush=True)


def _measure(home: Path, datums: int) -> None:
    with trunkline.connect(home=str(home)) as connection:
        try:
            put(connection, "data", {"unseen/begin": str(time.time_ns())})
            finished(connection, "copy")

            def change(path: str) -> None:
                put(connection, "data", {path: str(time.time_ns())})
                finished(connection, "copy")

            server = int(json.loads((home / "server.json").read_text())["pid"])
            spent: list[float] = []

            def repeated(work: Callable[[int], None]) -> list[float]:
                before = _processor_s(server)
                took = [seconds(lambda n=n: work(n)) for n in range(REPETITIONS)]
                spent.append(1000 * (_processor_s(server) - before) / REPETITIONS)
                return took

            fresh = time.time_ns()
            unseen = repeated(lambda _: change("unseen/x"))
            one = repeated(lambda _: change("seen/0000000.txt"))
            new = repeated(lambda n: change(f"seen/n{fresh}{n}.txt"))
            told(
                f"nothing that is seen changed, of {datums:,} datums",
                unseen,
                0.3 if datums <= 10_000 else 2.0,
            )
            told(f"one of {datums:,} changed, put to success", one, 0.5)
            told(f"one more than {datums:,}, put to success", new, 0.5)
            plan = repeated(lambda _: _plan(connection))
            why = repeated(lambda _: _explain(connection))
            told(f"plan of a put of one file, {datums:,} datums", plan, 1.0)
            told(f"explain job with one datum run, {datums:,} datums", why, 1.0)
            each = " / ".join(f"{spent_ms:.0f}" for spent_ms in spent)
            print(f"{'processor time of the server for each of these':58} {each} ms")
            workers = [_peak_mb(pid) for pid in _below(server)]
            print(
                f"peak memory at {datums:,} datums: server {_peak_mb(server):.0f} MB, "
                f"worker host and workers {', '.join(f'{size:.0f}' for size in workers)} MB"
            )
        finally:
            subprocess.run(["trunkline", "down"], capture_output=True)


def _plan(connection: Connection) -> None:
    from trunkline.api.changes import PutFile

    change = PutFile(path="seen/0000001.txt", content=[b"planned\n"])
    [job] = connection.plans.plan_files("data", "master", [change]).jobs
    assert job.changed == 1, job


def _explain(connection: Connection) -> None:
    next(connection.pipeline("copy").jobs()).explain()


def _peak_mb(pid: int) -> float:
    return _memory_mb(pid, "VmHWM")


def _memory_mb(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _below(pid: int) -> Iterator[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for child in map(int, children):
        yield child
        yield from _below(child)


if __name__ == "__main__":
    main()
