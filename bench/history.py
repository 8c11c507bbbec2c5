"""Long histories: what the same work costs in a repo of few commits and in one of very many.

usage: history.py [--lengths 1000,100000] [--repetitions 3] [--squash 1000]

For each length a data directory is made whose repo `data` has so many commits (written into the
catalog in large transactions, all with the same small tree), and `master` is followed by a trigger.
Prints the median time of each piece of work and its ratio to the shortest history; what walks over
all commits by its nature is divided by how many there are. The histories take turns, after a first
round that is not counted: right after one was made, the disk is still busy with it.
"""

import argparse
import statistics
import tempfile
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from measure import seconds

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.model.versions import BranchTrigger
from trunkline.versions import commits, removal

BATCH = 2000
PUTS = 100  # for one figure
TRIGGER = 1000  # commits that it waits for: a put counts at most so many
NOW = datetime.now(UTC)


def put(engine: Engine) -> None:
    changes = [PutFile(path="x", content=[uuid.uuid4().bytes])]
    engine.files.modify_files("data", "master", changes)


def lengthen(engine: Engine, length: int, repo: str = "data") -> None:
    """Add finished commits to `master` of a repo with one until there are so many."""
    database = engine._services.database
    head = engine.commits.inspect_commit(repo, "master")
    expected, left = head.id, length - 1
    while left > 0:
        with database.write() as tx:
            for _ in range(min(BATCH, left)):
                run = uuid.uuid4().hex
                commits.put_commit(
                    tx,
                    repo,
                    "master",
                    expected_head=expected,
                    root=head.root,
                    files=head.files,
                    size_bytes=head.size_bytes,
                    description="",
                    now=NOW,
                    run_id=run,
                )
                expected = run
        left -= BATCH


def squash_oldest(engine: Engine, count: int) -> None:
    database = engine._services.database
    with database.read() as tx:
        doomed = [commits.resolve(tx, "data", f"master.{n}") for n in range(1, count + 1)]
    with database.write() as tx:
        run = uuid.uuid4().hex
        name = str(doomed[0].name)
        removal.squash(tx, doomed, recursive=False, name=name, how="bench", now=NOW, run_id=run)


def undelete_newest(engine: Engine) -> None:
    newest = engine.trash.list_deleted()[0]
    engine.trash.undelete("commit", newest.name)


def pieces(
    engine: Engine, length: int, squash: int
) -> dict[str, tuple[Callable[[], object], float]]:
    """Work by name, and what its time is divided by."""
    far = length // 2
    return {
        f"put, one file (of {PUTS})": (lambda: [put(engine) for _ in range(PUTS)], PUTS),
        "list commit, newest 10 of the repo": (
            lambda: list(engine.commits.list_commits("data", number=10)),
            1,
        ),
        "list commit, newest 10 of master": (
            lambda: list(engine.commits.list_commits("data", to="master", number=10)),
            1,
        ),
        "inspect commit master^5": (lambda: engine.commits.inspect_commit("data", "master~5"), 1),
        f"inspect commit master^{'5000' if far >= 5000 else far}": (
            lambda: engine.commits.inspect_commit("data", f"master~{min(5000, far)}"),
            1,
        ),
        "inspect branch": (lambda: engine.branches.inspect_branch("data", "master"), 1),
        "list repo": (lambda: list(engine.repos.list_repos()), 1),
        "wait commit (finished)": (
            lambda: engine.commits.inspect_commit("data", "master", wait=True),
            1,
        ),
        f"squash the oldest {squash}, per commit": (lambda: squash_oldest(engine, squash), squash),
        "undelete them, per commit": (lambda: undelete_newest(engine), squash),
        "gc --dry-run, per commit": (lambda: engine.admin.gc(dry_run=True), length),
        "fsck, per commit": (engine.admin.fsck, length),
    }


def opened(home: Path, length: int) -> Engine:
    """A data directory whose repo has so many commits."""
    engine = Engine(load({"HOME": str(home.parent)}, home=home))
    engine.repos.create_repo("data")
    put(engine)
    took = seconds(lambda: lengthen(engine, length))
    trigger = BranchTrigger(source="master", commits=TRIGGER)
    engine.branches.create_branch("data", "follows", trigger=trigger)
    print(f"{length:,} commits made in {took:.0f} s", flush=True)
    return engine


def measured(
    engines: dict[int, Engine], squash: int, repetitions: int
) -> list[list[tuple[str, float]]]:
    """For each history the work and its median time in seconds."""
    work = {length: pieces(engine, length, squash) for length, engine in engines.items()}
    times: dict[int, list[list[float]]] = {length: [] for length in engines}
    for turn in range(repetitions + 1):
        for length in engines:
            found = [seconds(do) / share for do, share in work[length].values()]
            if turn:
                times[length].append(found)
    return [
        list(zip(work[length], map(statistics.median, zip(*found, strict=True)), strict=True))
        for length, found in times.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", default="1000,100000")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--squash", type=int, default=0, help="0: a tenth of the shortest")
    given = parser.parse_args()
    lengths = [int(n) for n in given.lengths.split(",")]
    squash = given.squash or lengths[0] // 10
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as place:
        engines = {length: opened(Path(place) / f"home{length}", length) for length in lengths}
        found = measured(engines, squash, given.repetitions)
        for engine in engines.values():
            engine.close()
    print(f"\n{'':44}" + "".join(f"{length:>14,}" for length in lengths) + "   growth")
    for rows in zip(*found, strict=True):
        figures = "".join(f"{time * 1000:>11.3f} ms" for _, time in rows)
        print(f"{rows[-1][0]:44}{figures}{rows[-1][1] / rows[0][1]:>8.2f}x")


if __name__ == "__main__":
    main()
