"""Data in and out, beside the tools that one would take instead, and the limits of the hardware.

usage: versioning.py [--scale 1] [--repetitions 3] [--peers restic,git]
                     [--only w1,w2,text,out,large-out,http,growth,scale]
                     [--growth 1000,100000,10000000] [--keep NAME]

`--scale 0.02` is a quick look. All tools take turns in every repetition, each with a new store;
data directories are made once. `--keep` writes bench/results/NAME.json. Every tool reads from a
warm page cache. The floors: `cp -r` and sync, `cp` and fsync, scandir and stat of every file.
"""

import argparse
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import commits
import data
import reading
import scale
from measure import private_home, seconds
from results import Results, Workload
from tools import PEERS, installed

Places = Iterator[Path]  # new, empty directories


def places_below(directory: Path) -> Places:
    for number in count():
        place = directory / f"store{number:03}"
        place.mkdir()
        yield place


def copy_tree(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    subprocess.run(["sync", "-f", str(target)], check=True)


def copy_file(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--reflink=never", str(source), str(target)], check=True)
    fd = os.open(target, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def scan_and_stat(directory: str) -> int:
    """The least that finding out what has changed takes."""
    found = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                found += scan_and_stat(entry.path)
            else:
                entry.stat(follow_symlinks=False)
                found += 1
    return found


def each(
    workload: Workload,
    tools: list[Any],
    step: Callable[[Any], None],
    *,
    stored: Workload | None = None,
) -> None:
    """Time the step of each tool in turn, and note by how much its store has grown."""
    for tool in tools:
        had = tool.stored_bytes() if stored else 0
        workload.add(tool.name, seconds(partial(step, tool)))
        if stored:
            stored.add(tool.name, (tool.stored_bytes() - had) / 1024**2)


def small_files(results: Results, tools: list[Any], data_place: Path, places: Places) -> None:
    """One repetition of W1, again with nothing changed, and W4."""
    tree = data_place / "w1" / "tree"
    if not tree.exists():
        data.many_small(tree, results.scale)
    files = sum(len(names) for _, _, names in os.walk(tree))
    ingest = results.declare(
        "w1-ingest",
        f"W1: {files:,} files of 1 KiB taken in",
        floor="cp -r + sync",
        targets={"cp -r + sync": 1.0, "restic": 0.5},
    )
    again = results.declare(
        "w1-again",
        "W1 again, nothing changed",
        floor="scandir + stat",
        targets={"scandir + stat": 2.5, "restic": 0.25},
    )
    edit = results.declare(
        "w4",
        "W4: W1 with 100 files changed, 10 deleted, 10 added",
        floor="scandir + stat",
        targets={"restic": 0.25},
    )
    with data.fresh_start(tools, places):
        ingest.add("cp -r + sync", seconds(lambda: copy_tree(tree, next(places) / "copy")))
        each(ingest, tools, lambda tool: tool.store(tree))
        for workload in (again, edit):
            with data.edited(tree, files) if workload is edit else data.as_it_is():
                workload.add("scandir + stat", seconds(lambda: scan_and_stat(str(tree))))
                each(workload, tools, lambda tool: tool.sync(tree))


def large_files(results: Results, tools: list[Any], data_place: Path, places: Places) -> None:
    """One repetition of W2, W3 and the 20 files."""
    able = [tool for tool in tools if tool.name != "git"]  # it holds a file in memory, and zlibs it
    before, after = data_place / "w2/large.bin", data_place / "w3/large.bin"
    several = data_place / "w2b" / "tree"
    if not several.exists():
        data.one_large(before, results.scale)
        after.parent.mkdir()
        data.with_insertion(before, after)
        data.several_large(several, results.scale)
    size = f"{before.stat().st_size / 1024**2:,.0f} MiB"
    ingest = results.declare(
        "w2-ingest",
        f"W2: one file of {size} of random bytes taken in",
        floor="cp + fsync",
        targets={"cp + fsync": 1.3, "restic": 0.25},
    )
    inserted = results.declare("w3", "W3: the same file with 1 MiB inserted", floor="cp + fsync")
    stored = results.declare(
        "w3-stored", "W3: newly stored", unit="MiB", targets={"trunkline": 8.0}
    )
    with data.fresh_start(able, places):
        ingest.add("cp + fsync", seconds(lambda: copy_file(before, next(places) / "copy")))
        each(ingest, able, lambda tool: tool.store(before))
        inserted.add("cp + fsync", seconds(lambda: copy_file(after, next(places) / "copy")))
        each(inserted, able, lambda tool: tool.store(after), stored=stored)
    parts = results.declare(
        "w2b-ingest",
        "W2b: 20 large files of random bytes taken in",
        floor="cp -r + sync",
        targets={"cp -r + sync": 1.3, "restic": 0.25},
    )
    with data.fresh_start(able, places):
        parts.add("cp -r + sync", seconds(lambda: copy_tree(several, next(places) / "copy")))
        each(parts, able, lambda tool: tool.store(several))


def compressible(results: Results, tools: list[Any], data_place: Path, places: Places) -> None:
    """One repetition of what can be made smaller: source text and a csv."""
    makers: dict[str, Callable[[Path], None]] = {
        "text": data.source_text,
        "csv": lambda tree: data.table(tree / "table.csv", results.scale),
    }
    for kind, make in makers.items():
        tree = data_place / kind / "tree"
        if not tree.exists():
            make(tree)
        size = data.tree_bytes(tree) / 1024**2
        ingest = results.declare(f"{kind}-ingest", f"{kind}: {size:,.1f} MiB taken in")
        stored = results.declare(
            f"{kind}-stored", f"{kind}: stored", unit="MiB", targets={"restic": 1.1}
        )
        with data.fresh_start(tools, places):
            each(ingest, tools, partial(_store, tree), stored=stored)


def _store(tree: Path, tool: Any) -> None:
    tool.store(tree)


SCENARIOS = {
    "w1": small_files,
    "w2": large_files,
    "text": compressible,
    **reading.SCENARIOS,
    **scale.SCENARIOS,
    "commits": commits.commits,
}
LARGE = ("w2", "large-out", "http")  # the scenarios of few large files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, usage=argparse.SUPPRESS)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--peers", default="restic,git", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--only", default=",".join(SCENARIOS))
    parser.add_argument("--growth", default="", help="files in the trees of the growth scenario")
    parser.add_argument("--keep", metavar="NAME")
    options = parser.parse_args()
    with private_home() as place:
        peers = [name for name in options.peers.split(",") if name]
        tools, missing = installed(peers, place)
        growth = [int(size) for size in options.growth.split(",") if size]
        results = Results(scale=options.scale, missing=missing, growth=growth)
        places = places_below(place)
        data_place = place / "data"
        data_place.mkdir()
        for name in options.only.split(","):
            for _ in range(options.repetitions):
                SCENARIOS[name](results, tools, data_place, places)
            # Many small files are renamed, not removed: that would slow down the creations of
            # whoever comes next. Few large ones would fill the disk, and are gone at once.
            shutil.move(data_place, place / f"done-{name}")
            data_place.mkdir()
            if name in LARGE:
                for old in (place / f"done-{name}", *place.glob("store*")):
                    shutil.rmtree(old)
                os.sync()
        results.print()
        if options.keep:
            print(f"\nwritten: {results.save(options.keep)}")


if __name__ == "__main__":
    main()
