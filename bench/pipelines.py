"""Copies of single files as datums, beside the engines that one would take instead.

usage: pipelines.py [--datums 1000,10000] [--repetitions 3,1] [--peers usual|slow|NAME,…]
                    [--limit 180] [--keep NAME]

P1: nothing is there, and each of so many files is copied by a `cp`, two at a time. P2: the same
again, nothing changed. P3: one input has changed. Each is one command from its start to its end;
Trunkline's are a put and the wait for the finished commit, with its server running. All engines
take turns in every repetition, each in a new workspace, and what they made is compared with what
they were given; `--repetitions` are those for each number of datums. The floor is `xargs -P2`.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from engines import FLOOR, OURS, PEERS, SLOW, Engine, TooLong
from measure import private_home, seconds
from results import Results, Workload

P1_OF_FLOOR = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, usage=argparse.SUPPRESS)
    parser.add_argument("--datums", default="1000,10000")
    parser.add_argument("--repetitions", default="3,1")
    parser.add_argument("--peers", default="usual")
    parser.add_argument("--limit", type=float, default=180.0, help="seconds for a step")
    parser.add_argument("--keep", metavar="NAME")
    options = parser.parse_args()
    sizes = [int(word) for word in options.datums.split(",")]
    repetitions = [int(word) for word in options.repetitions.split(",")]
    repetitions += repetitions[-1:] * (len(sizes) - len(repetitions))
    engines, missing = installed(chosen(options.peers), options.limit)
    results = Results(scale=1.0, missing=missing)
    results.remarks = {engine.name: engine.lacks for engine in engines if engine.lacks}
    with private_home() as place:
        for size, count in zip(sizes, repetitions, strict=False):
            for number in range(count):
                for engine in engines:
                    workspace = place / f"{size}-{number}-{engine.name.replace(' ', '-')}"
                    measure(results, engine, workspace, size)
                    print(f"{size:,} datums, {number + 1} of {count}: {engine.name}", flush=True)
        results.print()
        print(*table(results, engines, sizes), sep="\n")
        if options.keep:
            print(f"\nwritten: {results.save(options.keep)}")


def chosen(words: str) -> list[type[Engine]]:
    if words in ("usual", "slow"):
        return [*OURS, FLOOR, *PEERS, *(SLOW if words == "slow" else ())]
    names = words.split(",")
    return [*OURS, FLOOR, *(kind for kind in (*PEERS, *SLOW) if kind.name in names)]


def installed(kinds: Sequence[type[Engine]], limit_s: float) -> tuple[list[Engine], list[str]]:
    """The engines that can be had, and a line for each that can't. Environments are kept."""
    # Before there is a private home: pip is to find its configuration, and we the last run's.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trunkline-bench"
    cache.mkdir(parents=True, exist_ok=True)
    engines, missing = [], []
    for kind in kinds:
        engine = kind(limit_s)
        reason = engine.install(cache)
        if reason:
            missing.append(f"{engine.name}: {reason}")
        else:
            engines.append(engine)
    return engines, missing


def measure(results: Results, engine: Engine, workspace: Path, size: int) -> None:
    """One repetition of one engine."""
    source = workspace / "in"
    source.mkdir(parents=True)
    for number in range(size):
        (source / f"{number:06}.txt").write_text(f"{number}\n" * 100)
    peers = {kind.name: 1.0 for kind in (*PEERS, *SLOW) if kind.name != "make"}
    first = results.declare(
        f"p1-{size}",
        f"P1: {size:,} files copied",
        floor=FLOOR.name,
        targets={FLOOR.name: P1_OF_FLOOR, **peers},
    )
    again = results.declare(f"p2-{size}", f"P2: the same of {size:,} again, nothing changed")
    changed = results.declare(f"p3-{size}", f"P3: one of {size:,} changed")
    engine.fresh(workspace)
    try:
        done = step(first, engine, source)
        if done and engine.remembers:
            step(again, engine, source)
            (source / "000000.txt").write_text("changed\n")
            step(changed, engine, source)
    finally:
        engine.stop()


def step(workload: Workload, engine: Engine, source: Path) -> bool:
    """Time one run, and look at what it made; a figure counts only if that is right."""
    further: dict[str, float] = {}
    work: Callable[[], object] = lambda: further.update(engine.run())  # noqa: E731
    try:
        took = seconds(work)
    except TooLong as error:
        workload.remarks[engine.name] = str(error)
        return False
    if contents(engine.outputs()) != contents(source):
        workload.remarks[engine.name] = "wrong result"
        return False
    for name, figure in {engine.name: took, **further}.items():
        workload.add(name, figure)
    return True


def table(results: Results, engines: Sequence[Engine], sizes: Sequence[int]) -> Iterator[str]:
    """The figures in seconds, as README.md has them: medians, and P1 as a multiple of the floor."""
    heads = [f"{head} {size:,}" for size in sizes for head in ("P1", "of `xargs`", "P2", "P3")]
    yield "\n| engine | " + " | ".join(heads) + " | remarks |"
    yield "|---" * (len(heads) + 2) + "|"
    for engine in engines:
        cells = []
        for size in sizes:
            first, again, changed = (results.find(f"p{n}-{size}") for n in (1, 2, 3))
            cells += [
                cell(first, engine.name),
                cell(first, engine.name, FLOOR.name),
                cell(again, engine.name),
                cell(changed, engine.name),
            ]
        yield f"| {engine.name} | " + " | ".join(cells) + f" | {engine.lacks} |"


def cell(workload: Workload | None, name: str, floor: str = "") -> str:
    """The median of an engine, or that as a multiple of the floor; or why there is none."""
    if workload is None or name not in workload.figures:
        remark = workload.remarks.get(name, "–") if workload is not None else "–"
        return remark if not floor else "–"
    median = workload.median(name)
    if not floor:
        return f"{median:.2f}"
    return f"{median / workload.median(floor):.1f}" if floor in workload.figures else "–"


def contents(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


if __name__ == "__main__":
    main()
