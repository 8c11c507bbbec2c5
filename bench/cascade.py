"""The tutorial's cascade on warm workers: from a put to the last result, in containers and without.

usage: cascade.py SOCKET IMAGE [REPETITIONS]

SOCKET is that of a container engine, IMAGE one with bash and Python 3 (a stage image of
examples/iris). Three pipelines pre-process, train and infer; each put changes the training data, so
all three run. The two runtimes take turns, each with a server of its own.
"""

import json
import os
import shutil
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

from measure import private_home, run, seconds

import trunkline
from trunkline.connect.connection import Connection

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "iris"
STAGES = ("pre_process", "train", "inference")
SPECS = ("pre-process.json", "train.json", "infer.json")
WANTED_S = 3.0
VERSIONS = ("iris.csv", "iris-changed.csv")


def prepared(place: Path, image: str) -> Connection:
    """The three pipelines and their data, with workers that have run once."""
    folder = place / "iris"
    shutil.copytree(EXAMPLE, folder)
    for name in SPECS:
        document = json.loads((folder / name).read_text("utf-8"))
        document["transform"]["image"] = image
        (folder / name).write_text(json.dumps(document), "utf-8")
    run("trunkline", "create", "repo", "training", cwd=folder)
    run("trunkline", "create", "repo", "attributes", cwd=folder)
    for name in ("test1.csv", "test2.csv"):
        to = f"attributes@master:/{name}"
        run("trunkline", "put", "file", to, "-f", f"data/{name}", cwd=folder)
    for name in SPECS:
        run("trunkline", "create", "pipeline", "-f", name, cwd=folder)
    return trunkline.connect(home=os.environ["TRUNKLINE_HOME"])


def cascade(connection: Connection, number: int) -> None:
    """One put of training data that differs, and all that comes of it."""
    data = (EXAMPLE / "data" / VERSIONS[number % 2]).read_text("utf-8")
    with connection.repo("training").commit("master") as commit:
        commit["iris.csv"] = data + "\n" * (number // 2)  # never the same twice
    for name in STAGES:
        info = next(connection.pipeline(name).jobs(number=1)).wait()
        assert info.state == "success", info


def main(socket: str, image: str, repetitions: int) -> None:
    with ExitStack() as homes:
        times: dict[str, list[float]] = {}
        open_ones: dict[str, Connection] = {}
        for runtime in ("process", "docker"):
            os.environ["TRUNKLINE_RUNTIME"] = runtime
            os.environ["TRUNKLINE_CONTAINER_HOST"] = socket
            place = homes.enter_context(private_home())
            # The way out of `private_home` asks for the server of the home that is named then.
            homes.callback(os.environ.__setitem__, "TRUNKLINE_HOME", os.environ["TRUNKLINE_HOME"])
            open_ones[runtime] = homes.enter_context(prepared(place, image))
            there = {open_ones[runtime].pipeline(name).info.runtime for name in STAGES}
            assert there == {runtime}, there
            times[runtime] = []
        for number in range(repetitions + 2):  # the first two start and warm the workers
            for runtime, connection in open_ones.items():
                took = seconds(lambda: cascade(connection, number))  # noqa: B023 - called at once
                if number > 1:
                    times[runtime].append(took)
    for runtime, took in times.items():
        median, of_process = statistics.median(took), statistics.median(times["process"])
        verdict = "ok" if median <= WANTED_S else "MISSED"
        print(
            f"{runtime:8} {median:6.2f} s ({min(took):.2f} to {max(took):.2f}), "
            f"{median / of_process:.2f} of process; wanted {WANTED_S:.0f} s {verdict}"
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 7)
