"""What happens after a commit: nothing to do, one datum, a first job, a cascade, a graph, growth.

usage: reactions.py [--datums 10000] [--commits 500] [--only quiet,first,cascade,graph,growth]

Each figure stands beside what is wanted. Commands go through the local server; what is measured in
milliseconds goes through one Python client, whose own start is no part of it.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from measure import private_home, run, seconds

import trunkline
from trunkline.connect.connection import Connection

REPETITIONS = 5
LAYERS, WIDTH = 10, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datums", type=int, default=10_000)
    parser.add_argument("--commits", type=int, default=500)
    parser.add_argument("--only", default=",".join(SCENARIOS))
    wanted = parser.parse_args()
    for name in wanted.only.split(","):
        with private_home() as place:
            SCENARIOS[name](place, wanted.datums, wanted.commits)


def told(what: str, took: list[float], limit: float) -> None:
    """One line: the median, the least and the most, in ms."""
    middle = statistics.median(took)
    verdict = "ok" if middle <= limit else "MISSED"
    print(
        f"{what:58} {1000 * middle:9.1f} ms  ({1000 * min(took):.1f} to {1000 * max(took):.1f})"
        f"  wanted {1000 * limit:.0f} {verdict}",
        flush=True,
    )


def spec(name: str, source: str, glob: str, *cmd: str, workers: int = 2) -> dict[str, object]:
    return {
        "pipeline": {"name": name},
        "transform": {"cmd": list(cmd) or ["cp", "-r", f"/pfs/{source}/.", "/pfs/out/"]},
        "parallelism_spec": {"constant": workers},
        "input": {"pfs": {"repo": source, "glob": glob}},
    }


def put(connection: Connection, repo: str, files: dict[str, str]) -> None:
    with connection.repo(repo).commit("master") as commit:
        for path, text in files.items():
            commit[path] = text


def finished(connection: Connection, *pipelines: str) -> None:
    """Wait for the newest job of each pipeline."""
    for name in pipelines:
        info = next(connection.pipeline(name).jobs(number=1)).wait()
        assert info.state == "success", info


def quiet(place: Path, datums: int, _: int) -> None:
    """P2 and P3: commits that change nothing that the pipeline sees, and one file of many."""
    source = place / "in"
    source.mkdir()
    for number in range(datums):
        (source / f"{number:07}.txt").write_text(f"{number}\n")
    with trunkline.connect(home=os.environ["TRUNKLINE_HOME"]) as connection:
        connection.repo("data").create()
        run("trunkline", "put", "file", "data@master:/seen", "-r", "-f", str(source))
        connection.create_pipeline(spec("copy", "data", "/seen/*"))
        first = seconds(lambda: finished(connection, "copy"))
        print(f"{datums:,} datums processed in {first:.1f} s ({1000 * first / datums:.2f} ms each)")

        def change(path: str) -> Callable[[], None]:
            def do() -> None:
                put(connection, "data", {path: str(time.time_ns())})
                finished(connection, "copy")

            return do

        unseen = [seconds(change("unseen/x")) for _ in range(REPETITIONS)]
        one = [seconds(change("seen/0000000.txt")) for _ in range(REPETITIONS)]
        new = [seconds(change(f"seen/1{n:06}.txt")) for n in range(REPETITIONS)]
    limit = 0.3 if datums <= 10_000 else 2.0
    told(f"nothing that is seen changed, of {datums:,} datums", unseen, limit)
    told(f"one of {datums:,} changed, put to success", one, 0.5)
    told(f"one more than {datums:,}, put to success", new, 0.5)


def first(place: Path, *_: int) -> None:
    """P4: from nothing running to the first job finished, and from a put to the first code."""
    file = place / "spec.json"
    stamp = ["sh", "-c", "date +%s.%N > /pfs/out/$(basename $data)"]
    file.write_text(json.dumps(spec("stamp", "data", "/*", *stamp, workers=1)))
    text = place / "x"
    text.write_text("x\n")
    cold = []
    for number in range(REPETITIONS):
        run("trunkline", "down")

        def begin(name: str = f"f{number}") -> None:
            if name == "f0":
                run("trunkline", "create", "repo", "data")
                run("trunkline", "create", "pipeline", "-f", str(file))
            run("trunkline", "put", "file", f"data@master:/{name}", "-f", str(text))
            run("trunkline", "flush", "commit", "data@master")

        cold.append(seconds(begin))
    told("nothing running: put and wait, by two commands", cold[1:], 1.5)
    told("nothing there: repo, pipeline, put and wait, by four", cold[:1], 1.5)
    waits = []
    with trunkline.connect(home=os.environ["TRUNKLINE_HOME"]) as connection:
        for number in range(2 * REPETITIONS):
            path = f"w{number}"
            put(connection, "data", {path: "x"})
            put_at = time.time()
            finished(connection, "stamp")
            waits.append(float(connection[f"stamp@master:/{path}"].read_text()) - put_at)
    told("answer to a put to first user code, warm worker", waits, 0.1)


def cascade(place: Path, *_: int) -> None:
    """Three stages over warm workers, whose code takes nothing."""
    with trunkline.connect(home=os.environ["TRUNKLINE_HOME"]) as connection:
        connection.repo("data").create()
        before = "data"
        for name in ("one", "two", "three"):
            connection.create_pipeline(spec(name, before, "/*", workers=1))
            before = name
        took = []
        for number in range(2 * REPETITIONS):

            def flow(number: int = number) -> None:
                put(connection, "data", {"x": str(number)})
                finished(connection, "one", "two", "three")

            took.append(seconds(flow))
    told("three stages of cp, put to the last success", took[1:], 0.5)


def graph(place: Path, *_: int) -> None:
    """200 pipelines: each reads one of the layer before."""
    with trunkline.connect(home=os.environ["TRUNKLINE_HOME"]) as connection:
        connection.repo("data").create()
        for layer in range(LAYERS):
            for column in range(WIDTH):
                source = f"p{layer - 1}x{column}" if layer else "data"
                document = spec(f"p{layer}x{column}", source, "/*", workers=1)
                document["autoscaling"] = True
                connection.create_pipeline(document)
        names = [f"p{LAYERS - 1}x{column}" for column in range(WIDTH)]
        took = []
        for number in range(3):

            def flow(number: int = number) -> None:
                put(connection, "data", {"x": str(number)})
                finished(connection, *names)

            took.append(seconds(flow) / (LAYERS * WIDTH))
    told(f"one commit through {LAYERS * WIDTH} pipelines, each job", took, 0.05)


def growth(place: Path, _: int, commits: int) -> None:
    """One-file commits in a row, each one more datum: the cost of the last beside the first."""
    with trunkline.connect(home=os.environ["TRUNKLINE_HOME"]) as connection:
        connection.repo("data").create()
        connection.create_pipeline(spec("copy", "data", "/*", workers=1))
        took = []
        for number in range(commits):

            def step(number: int = number) -> None:
                put(connection, "data", {f"{number:06}": str(number)})
                finished(connection, "copy")

            took.append(seconds(step))
    part = max(10, commits // 20)
    begin = statistics.median(took[part : 2 * part])
    told(f"one-file commits, the last {part} of {commits:,}", took[-part:], 1.5 * begin)
    print(f"{'':58} {1000 * begin:9.1f} ms  the first")


SCENARIOS: dict[str, Callable[[Path, int, int], None]] = {
    "quiet": quiet,
    "first": first,
    "cascade": cascade,
    "graph": graph,
    "growth": growth,
}


if __name__ == "__main__":
    main()
