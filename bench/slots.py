"""What running one command for one datum costs: in a container, on this machine, and bare.

usage: slots.py SOCKET IMAGE [REPETITIONS]

SOCKET is that of a container engine, IMAGE one with a shell and `cp`. Per datum an input is staged,
`cp` copies it to /pfs/out, and both are cleared; nothing is stored. The floor is `cp` as it is
started by `posix_spawn` and waited for. Both slots are warm, in processes of their own, and take
turns.
"""

import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from trunkline.config import load
from trunkline.runtimes import process
from trunkline.runtimes.base import Command, Slot
from trunkline.runtimes.containers import images, slot
from trunkline.runtimes.containers.container import Owner
from trunkline.runtimes.containers.engine import open_engine

COPY = Command(argv=("cp", "/pfs/in/file", "/pfs/out/file"))
ROUND = 50  # datums in a row


def in_container(place: Path, socket: str, name: str) -> Slot:
    engine = open_engine(load({"TRUNKLINE_CONTAINER_HOST": socket}))
    image = images.find(engine, name)
    if image is None:
        sys.exit(f"there is no image {name}")
    return slot.open_slot(
        engine,
        place / "container",
        kind=slot.Kind(image=image.id, image_name=name, network="none", gpus=()),
        owner=Owner(home=str(place), marker="bench", worker="bench"),
    )


def serve(line: Connection, opened: Callable[[], Slot]) -> None:
    """Run a round of datums for each question; the answer is the seconds for one datum."""
    here = opened()
    while line.recv():
        began = time.perf_counter()
        for _ in range(ROUND):
            stage = here.stage(1)
            (stage / "in").mkdir()
            (stage / "in" / "file").write_text("x")
            report = here.run(
                COPY, on_output=lambda *_: None, cancelled=lambda: False, tick=lambda: None
            )
            assert not report.reason, report.reason
            here.clear()
        line.send((time.perf_counter() - began) / ROUND)
    here.close()


def bare(place: Path) -> float:
    program = shutil.which("cp")
    assert program is not None
    source, target = place / "source", place / "target"
    source.write_text("x")
    began = time.perf_counter()
    for _ in range(ROUND):
        pid = os.posix_spawn(program, ["cp", str(source), str(target)], os.environ)
        os.waitpid(pid, 0)
    return (time.perf_counter() - began) / ROUND


def main(socket: str, image: str, repetitions: int) -> None:
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name:
        place = Path(name)
        openers: dict[str, Callable[[], Slot]] = {
            "process": lambda: process.open_slot(place / "process"),
            "container": lambda: in_container(place, socket, image),
        }
        fork = multiprocessing.get_context("fork")
        lines = {}
        for kind, opened in openers.items():
            ours, theirs = fork.Pipe()
            fork.Process(target=serve, args=(theirs, opened), daemon=True).start()
            lines[kind] = ours
        times: dict[str, list[float]] = {"bare": [], **{kind: [] for kind in lines}}
        for turn in range(repetitions + 1):  # the first one warms up
            found = {"bare": bare(place)}
            for kind, line in lines.items():
                line.send(True)
                found[kind] = line.recv()
            for kind, seconds in found.items() if turn else ():
                times[kind].append(seconds)
        for line in lines.values():
            line.send(False)
        medians = {kind: statistics.median(found) for kind, found in times.items()}
        for kind, median in medians.items():
            of_bare, of_process = median / medians["bare"], median / medians["process"]
            print(
                f"{kind:10} {1000 * median:6.2f} ms a datum, {of_bare:.2f} of bare, "
                f"{of_process:.2f} of process"
            )
        time.sleep(1.0)  # for the slots to close


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 15)
