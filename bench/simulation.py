"""The scheduler with workers, network and time that are simulated: where it ends, and at what cost.

usage: simulation.py [--runs 100x100000,1000x1000000] [--datum-s 0.05] [--database URL] [--keep DIR]
                     [--profile tottime] [--sound]

Runs are WORKERSxDATUMS. Everything of the server is real (planning, leases, outcomes, the output
tree, the catalog with full durability, the store); see `tests/jobs/simulator/sim_swarm.py` for what
is not. Workers offer more than the server can take if datums are short, and then the rate is all
that it can do. The database of --database must be empty, and one run fills it.
"""

import argparse
import cProfile
import os
import pstats
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "jobs" / "simulator"))

from sim_swarm import Mishaps, Swarm

from trunkline.db.database import Database
from trunkline.db.migrate import migrate
from trunkline.db.opening import open_database
from trunkline.db.sqlite import SqliteDatabase
from trunkline.model.jobs import JobState
from trunkline.store.chunks import ChunkStore
from trunkline.versions import invariants

MISHAPS = Mishaps(
    false_start=0.01,
    death=0.001,
    silence=0.0002,
    lost_report=0.0001,
    retry=0.01,
    failure=0.0001,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", default="100x100000,1000x1000000")
    parser.add_argument("--datum-s", type=float, default=0.05)
    parser.add_argument("--database", default="")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--profile", choices=("tottime", "cumtime"))
    parser.add_argument("--sound", action="store_true", help="nothing goes wrong")
    wanted = parser.parse_args()
    mishaps = Mishaps() if wanted.sound else MISHAPS
    for run in wanted.runs.split(","):
        workers, datums = map(int, run.split("x"))
        with ExitStack() as ending:
            place = wanted.keep or Path(
                ending.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-bench-"))
            )
            _run(place / run, workers, datums, wanted, mishaps)


def _run(
    place: Path, workers: int, datums: int, wanted: argparse.Namespace, mishaps: Mishaps
) -> None:
    place.mkdir(parents=True)
    with ExitStack() as ending:
        url = wanted.database
        database: Database = ending.enter_context(
            closing(open_database(url) if url else SqliteDatabase(place / "catalog.db"))
        )
        migrate(database, "catalog", where=str(place))
        invariants.guard(database)
        chunks = ending.enter_context(closing(ChunkStore(place / "store")))
        swarm = ending.enter_context(
            closing(
                Swarm(
                    *(database, chunks, place),
                    seed=1,
                    workers=workers,
                    datum_s=wanted.datum_s,
                    mishaps=mishaps,
                )
            )
        )
        began = time.perf_counter()
        swarm.fill(datums)
        print(
            f"{workers:,} workers, {datums:,} datums of {wanted.datum_s:g} s "
            f"(input made in {time.perf_counter() - began:.0f} s)",
            flush=True,
        )
        before = _bytes(place, database)
        profile = cProfile.Profile(time.thread_time) if wanted.profile else None
        if profile is not None:
            for name in ("turn", "receive"):
                did = getattr(swarm.conductor, name)
                setattr(swarm.conductor, name, partial(profile.runcall, did))
        began = time.perf_counter()
        job = swarm.run()
        took = time.perf_counter() - began
        if profile is not None:
            pstats.Stats(profile).sort_stats(wanted.profile).print_stats(45)
        assert job.state is JobState.SUCCESS, job.reason
        assert job.processed + job.failed == job.total == datums, job
        _tell(swarm, datums, took, before, _bytes(place, database))


def _tell(
    swarm: Swarm, datums: int, took: float, before: tuple[int, int], after: tuple[int, int]
) -> None:
    phases = swarm.phases
    dispatch = phases["dispatch"]
    went_wrong = {
        name: number for name, number in sorted(swarm.seen.items()) if not name.endswith("messages")
    }
    catalog, store = ((new - old) / datums for new, old in zip(after, before, strict=True))
    print(f"  what happened: {', '.join(f'{n:,} {name}' for name, n in went_wrong.items())}")
    for name, spent in phases.items():
        print(
            f"  {name}: {spent.wall_s:.1f} s, of a processor {spent.processor_s:.1f} s, "
            f"{1e6 * spent.wall_s / datums:.0f} us a datum, peak memory {spent.peak_mb:.0f} MB"
        )
    print(
        f"  dispatch: {dispatch.transactions * 1000 / datums:.2f} transactions that write and "
        f"{dispatch.snapshots * 1000 / datums:.2f} that read per 1,000 datums, "
        f"{swarm.turns:,} turns, {swarm.seen['lease messages']:,} leases"
    )
    print(
        f"  datums a second of the scheduler: {datums / dispatch.wall_s:,.0f}, "
        f"of its processor {datums / dispatch.processor_s:,.0f}"
    )
    print(
        f"  virtual time {swarm.time:.0f} s, of which the scheduler is busy "
        f"{swarm.busy_s / swarm.time:.0%}; workers are at work "
        f"{swarm.worked_s / swarm.time / swarm.workers:.0%}"
    )
    print(f"  bytes a datum: catalog {catalog:.0f}, store {store:.0f}; all of it took {took:.0f} s")


def _bytes(place: Path, database: Database) -> tuple[int, int]:
    """Of the catalog, and of the store."""
    if isinstance(database, SqliteDatabase):
        database.empty_log()
        catalog = (place / "catalog.db").stat().st_size
    else:
        with database.read() as tx:
            [(catalog,)] = tx.rows("SELECT pg_database_size(current_database())")
    store = sum(
        os.stat(os.path.join(above, name)).st_size
        for above, _, names in os.walk(place / "store")
        for name in names
    )
    return int(catalog), store


if __name__ == "__main__":
    main()
