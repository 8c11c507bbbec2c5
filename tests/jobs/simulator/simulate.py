"""Runs the scheduler in simulated worlds; `python tests/jobs/simulator/simulate.py SEED` shows one.

All that happened in it, that is. `-n NUMBER` runs so many seeds, from this one on, without.
"""

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from sim_checks import Checks  # noqa: E402
from sim_users import Users  # noqa: E402
from sim_world import Violation, World  # noqa: E402

from trunkline.db.migrate import migrate  # noqa: E402
from trunkline.db.sqlite import SqliteDatabase  # noqa: E402
from trunkline.store.chunks import ChunkStore  # noqa: E402
from trunkline.versions import invariants  # noqa: E402

DEEDS_MAX = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What came of one world."""

    seed: int
    violation: str
    trace: list[str]
    jobs: Counter[str]  # ended, by state
    outputs: int
    restarts: int
    ahead: int  # datums that were handed out before the turn of their job


class Stage:
    """Where worlds live, one after the other: a store for all of them, a catalog for each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._empty = directory / "empty.db"
        empty = SqliteDatabase(self._empty, durable=False)
        migrate(empty, "catalog", where=str(directory))
        invariants.guard(empty)
        empty.close()
        self._chunks = ChunkStore(directory / "store")

    def run(self, seed: int) -> Life:
        """Live through the world of a seed."""
        catalog = self._directory / f"catalog-{seed}.db"
        shutil.copyfile(self._empty, catalog)
        database = SqliteDatabase(catalog, durable=False)
        world = World(seed, database, self._chunks, self._directory)
        checks = Checks(world)
        world.check, world.before_receive = checks.after_step, checks.around_receive
        violation = ""
        try:
            _live(world, checks)
        except Violation as error:
            violation = str(error)
        except Exception:
            violation = traceback.format_exc()
        finally:
            world.close()
            database.close()
            for path in self._directory.glob(f"{catalog.name}*"):
                path.unlink()
        return Life(
            seed=seed,
            violation=violation,
            trace=world.trace,
            jobs=checks.ends,
            outputs=checks.outputs,
            restarts=world.restarts,
            ahead=len(checks.ahead),
        )

    def close(self) -> None:
        self._chunks.close()


def _live(world: World, checks: Checks) -> None:
    deeds = world.rng.randint(2, DEEDS_MAX)
    users = Users(world, deeds=deeds)
    users.begin()
    world.users = users.act
    world.live(world.pace * deeds)
    users.end()
    world.settle(checks.quiet, checks.open_jobs)
    checks.at_end()


@contextmanager
def stage() -> Iterator[Stage]:
    """In memory where the machine has a place for that."""
    memory = Path("/dev/shm")
    place = tempfile.mkdtemp(prefix="trunkline-sim-", dir=memory if memory.is_dir() else None)
    opened = Stage(Path(place))
    try:
        yield opened
    finally:
        opened.close()
        shutil.rmtree(place, ignore_errors=True)


def replay_of(seed: int) -> str:
    """The command that shows what happened."""
    return f"python tests/jobs/simulator/simulate.py {seed}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("-n", "--number", type=int, default=0)
    parser.add_argument("--stop", action="store_true", help="at the first that breaks a rule")
    wanted = parser.parse_args()
    began = time.perf_counter()
    bad: list[Life] = []
    total: Counter[str] = Counter()
    with stage() as place:
        for seed in range(wanted.seed, wanted.seed + max(wanted.number, 1)):
            life = place.run(seed)
            total += life.jobs
            total["outputs compared"] += life.outputs
            total["restarts"] += life.restarts
            total["datums ahead"] += life.ahead
            if life.violation:
                bad.append(life)
                print(f"seed {seed}: {life.violation}")
            if not wanted.number:
                print("\n".join(life.trace))
                print(life.violation or "all held")
            if bad and wanted.stop:
                break
    print(f"{len(bad)} bad; {dict(total)}; {time.perf_counter() - began:.1f} s")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
