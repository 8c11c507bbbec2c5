"""Scenarios of `versioning.py`: data out, differences, names, growth, and the way by HTTP."""

import math
import os
import random
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import data
from measure import run, seconds
from results import OURS, Results

Places = Iterator[Path]  # new, empty directories

GROWTH = (1_000, 10_000, 100_000, 1_000_000)
GROWTH_COMMITS = 15
GROWTH_ASKED = 25
GROWTH_STARTS = 9
STEEPER_MAX = 1.25  # the step of the largest trees to that of the smaller ones, and noise


def out(results: Results, tools: list[Any], data_place: Path, places: Places) -> None:
    """One repetition of W5, W6 and W7, on W1 and W4."""
    tree = data_place / "w1" / "tree"
    if not tree.exists():
        data.many_small(tree, results.scale)
    files = sum(len(names) for _, _, names in os.walk(tree))
    restore = results.declare(
        "w5",
        f"W5: {files:,} files of 1 KiB written out",
        floor="cp -r",
        targets={"cp -r": 1.2},
    )
    differ = results.declare(
        "w6", "W6: which files differ between W1 and W4", targets={"restic": 0.1}
    )
    names = results.declare("w7", f"W7: the names of {files:,} files", targets={"git": 0.5})
    with data.fresh_start(tools, places):
        for tool in tools:
            tool.store(tree)
        restore.add("cp -r", seconds(partial(_copy, tree, next(places))))
        for tool in tools:
            restore.add(tool.name, seconds(partial(tool.restore, next(places))))
        for tool in tools:
            names.add(tool.name, seconds(tool.names))
        with data.edited(tree, files):
            for tool in tools:
                tool.sync(tree)
        for tool in tools:
            differ.add(tool.name, seconds(tool.differences))
        _without_start(results)


def _copy(source: Path, place: Path) -> None:
    subprocess.run(["cp", "-r", "--reflink=never", str(source), str(place / "copy")], check=True)


def _without_start(results: Results) -> None:
    """The same questions to the server that is running, from a client that is."""
    import trunkline

    with trunkline.connect() as connection:
        for key, title, most, ask in (
            ("w6-ms", "W6, without the start of a process", 50.0, _differences),
            ("w7-ms", "W7, without the start of a process", None, _names),
        ):
            workload = results.declare(
                key, title, unit="ms", targets={} if most is None else {OURS: most}
            )
            ask(connection)
            workload.add(OURS, 1000 * seconds(partial(ask, connection)))


def _differences(connection: Any) -> int:
    return sum(1 for _ in connection.files.diff_files("bench", "master", "/"))


def _names(connection: Any) -> int:
    return sum(map(len, connection.files.list_paths("bench", "master", "/")))


def large_out(results: Results, tools: list[Any], data_place: Path, places: Places) -> None:
    """One repetition of W5 with one large file, and of 20."""
    able = [tool for tool in tools if tool.name != "git"]
    one, several = data_place / "w2/large.bin", data_place / "w2b" / "tree"
    if not several.exists():
        data.one_large(one, results.scale)
        data.several_large(several, results.scale)
    for key, source in (("w5-large", one), ("w5-several", several)):
        size = f"{data.tree_bytes(source) / 1024**2:,.0f} MiB"
        what = "one file" if source is one else "20 files"
        restore = results.declare(
            key, f"W5: {what} of {size} written out", floor="cp", targets={"cp": 1.2}
        )
        with data.fresh_start(able, places):
            for tool in able:
                tool.store(source)
            works = [("cp", partial(_copy, source)), *((tool.name, tool.restore) for tool in able)]
            for name, work in works:
                place = next(places)
                data.pages_at_hand(2 * data.tree_bytes(source))
                restore.add(name, seconds(partial(work, place)))
                shutil.rmtree(place)


def http(results: Results, tools: list[Any], data_place: Path, places: Places) -> None:
    """One repetition of 1 GiB through the server, as a client elsewhere would have it."""
    source = data_place / "http.bin"
    if not source.exists():
        data.one_large(source, results.scale, size_bytes=1024 * data.MIB)
    size = f"{source.stat().st_size / 1024**2:,.0f} MiB"
    ours = [tool for tool in tools if tool.name == OURS]
    with data.fresh_start(ours, places):
        place = next(places)
        run("trunkline", "put", "file", "bench@master:/warm", "-f", str(source))
        # By another name the commands don't know that they could take the direct path.
        (place / "s").symlink_to(Path(os.environ["TRUNKLINE_HOME"]) / "server.sock")
        address = {**os.environ, "TRUNKLINE_ADDRESS": f"unix://{place / 's'}"}
        for verb in ("get", "put"):
            workload = results.declare(
                f"http-{verb}",
                f"{verb} file of {size} over HTTP on a Unix socket",
                floor="direct path",
                targets={"direct path": 1 / 0.6},
            )
            for name, environment in (("direct path", dict(os.environ)), (OURS, address)):
                work = partial(_transfer, verb, source, place / name.split()[0], environment)
                workload.add(name, seconds(work))


def _transfer(verb: str, source: Path, target: Path, environment: dict[str, str]) -> None:
    words = ["trunkline", verb, "file", f"bench@master:/{'warm' if verb == 'get' else 'new'}"]
    if verb == "get":
        words += ["-o", str(target)]
    else:
        # Its bytes are known by now: what is measured is the way, not the disk.
        words += ["-f", "-" if "TRUNKLINE_ADDRESS" in environment else str(source)]
    with source.open("rb") as content:
        subprocess.run(words, stdin=content, env=environment, check=True, stderr=subprocess.DEVNULL)


def growth(results: Results, _: list[Any], data_place: Path, places: Places) -> None:
    """One changed file committed to trees of all sizes; the differences of two; one directory."""
    sizes = [max(100, round(size * results.scale)) for size in results.growth or GROWTH]
    figures = {size: _figures_of(size, next(places)) for size in sizes}
    for key, title, unit in (
        ("commit", "one changed file committed", "ms"),
        ("bytes", "one changed file committed: written", "KiB"),
        ("near", "the differences of two trees, 100 neighbouring files", "ms"),
        ("scattered", "the differences of two trees, 100 scattered files", "ms"),
        ("list", "one directory of 1,000 files listed", "ms"),
        ("find", "one file looked up", "ms"),
        ("find-cold", "one file looked up, nothing of the tree at hand", "ms"),
    ):
        # In a tree of 1,000 files 100 are a tenth of it: no measure for differences.
        least = sizes[1] if key in ("near", "scattered") and len(sizes) > 2 else sizes[0]
        targets = {f"{least:,} files": 2.0}
        if key == "list":
            targets = {f"{least:,} files": math.log(sizes[-1]) / math.log(least)}
        elif key.startswith("find"):  # see `_steepness`
            targets = {}
        workload = results.declare(
            f"growth-{key}", f"Growth to {sizes[-1]:,} files: {title}", unit=unit, targets=targets
        )
        for size in sizes:
            for figure in figures[size][key]:
                workload.add(OURS if size == sizes[-1] else f"{size:,} files", figure)
    if len(sizes) > 2:
        cold = {size: statistics.median(figures[size]["find-cold"]) for size in sizes}
        _steepness(results, cold)


def _steepness(results: Results, cold: Mapping[int, float]) -> None:
    """How much a look-up grows with each factor of ten, in ms: the last step to those before.

    One that grows with the logarithm has the same step everywhere. Of look-ups with nothing at
    hand: among few files all is at hand otherwise, and among many nothing.
    """
    first, *_, before, last = sorted(cold)
    compared = f"from {first:,} to {before:,} files"
    workload = results.declare(
        "growth-find-steps",
        f"A look-up with nothing at hand, for each factor of ten up to {last:,} files",
        unit="ms",
        targets={compared: STEEPER_MAX},
    )
    for tool, low, high in ((compared, first, before), (OURS, before, last)):
        workload.add(tool, (cold[high] - cold[low]) / math.log10(high / low))


def _figures_of(size: int, place: Path) -> dict[str, list[float]]:
    """What is measured at one tree, in an engine of this process."""
    from trunkline.api.changes import PutFile
    from trunkline.config import load
    from trunkline.engine.engine import Engine

    engine = Engine(load(home=place / "home"))
    files = engine.files
    randomness = random.Random(5)

    def commit(count: int, *, near: bool = False) -> None:
        numbers = [randomness.randrange(max(1, size - count)) for _ in range(count)]
        if near:
            numbers = list(range(numbers[0], numbers[0] + count))
        changes = [PutFile(path=_name(n), content=[randomness.randbytes(20)]) for n in numbers]
        files.modify_files("bench", "master", changes)

    def differ() -> None:
        assert list(files.diff_files("bench", "master", "/"))

    asked: dict[str, Callable[[], object]] = {
        "near": differ,
        "scattered": differ,
        "list": lambda: list(files.list_files("bench", "master", "dir-00000")),
        "find": lambda: files.inspect_file("bench", "master", _name(randomness.randrange(size))),
    }
    found: dict[str, list[float]] = {key: [] for key in ("commit", "bytes", *asked, "find-cold")}
    try:
        engine.repos.create_repo("other")
        files.modify_files("other", "master", [PutFile(path="file", content=[b"1"])])
        engine.repos.create_repo("bench")
        everything = (PutFile(path=_name(n), content=[b"%d" % n]) for n in range(size))
        files.modify_files("bench", "master", everything)
        for _ in range(GROWTH_COMMITS):
            before = _written_bytes()
            found["commit"].append(1000 * seconds(lambda: commit(1)))
            found["bytes"].append((_written_bytes() - before) / 1024)
        for _ in range(GROWTH_ASKED):
            for key, ask in asked.items():
                if ask is differ:
                    commit(100, near=key == "near")
                found[key].append(1000 * seconds(ask))
    finally:
        engine.close()
    for _ in range(GROWTH_STARTS):
        with closing(Engine(load(home=place / "home"))) as started:
            started.files.inspect_file("other", "master", "file")
            path = _name(randomness.randrange(size))
            ask = partial(started.files.inspect_file, "bench", "master", path)
            found["find-cold"].append(1000 * seconds(ask))
    return found


def _name(number: int) -> str:
    return f"dir-{number // 1000:05}/file-{number:08}.csv"


def _written_bytes() -> int:
    """What this process has written so far, by all its system calls."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("wchar:"):
            return int(line.split()[1])
    return 0


SCENARIOS = {"out": out, "large-out": large_out, "http": http, "growth": growth}
