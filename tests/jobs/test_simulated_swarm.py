"""A job of many workers that die, fall silent and are not heard: each datum counts once.

Larger ones are measured by `bench/simulation.py`.
"""

from collections.abc import Iterator
from contextlib import closing

import pytest
from sim_swarm import IN_DIRECTORY, Mishaps, Swarm, output_of, path_of

from trunkline.db.migrate import migrate
from trunkline.db.sqlite import SqliteDatabase
from trunkline.files.manifest import RootId
from trunkline.model.jobs import JobState
from trunkline.store.chunks import ChunkStore
from trunkline.versions import commits

DATUMS = 300
MISHAPS = Mishaps(
    false_start=0.1, death=0.08, silence=0.04, lost_report=0.04, retry=0.1, failure=0.03
)


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    """One whose job has ended."""
    place = tmp_path_factory.mktemp("swarm")
    with (
        closing(SqliteDatabase(place / "catalog.db", durable=False)) as database,
        closing(ChunkStore(place / "store")) as chunks,
    ):
        migrate(database, "catalog", where=str(place))
        made = Swarm(
            *(database, chunks, place),
            seed=1,
            workers=20,
            datum_s=0.1,
            mishaps=MISHAPS,
            turn_s=0.05,
        )
        with closing(made):
            made.fill(DATUMS)
            made.run()
            yield made


def test_each_datum_of_a_swarm_has_one_outcome_and_the_tree_has_what_it_wrote(
    swarm: Swarm,
) -> None:
    job = swarm.job()

    assert job.state is JobState.SUCCESS
    with swarm.database.read() as tx:
        found = tx.rows("SELECT position, state FROM datum WHERE job = :job", job=job.number)
        output = commits.get_commit(tx, "copy", job.id)
        [(leases,)] = tx.rows("SELECT COUNT(*) FROM lease")
    outcomes = {int(position): state for position, state in found}
    failed = [position for position, state in outcomes.items() if state == "failed"]
    assert sorted(position for position, _ in found) == list(range(DATUMS))
    assert (job.processed, job.failed) == (DATUMS - len(failed), len(failed))
    assert leases == 0
    tree = {
        row.path: b"".join(swarm.trees.read(row)) for row in swarm.trees.walk(RootId(output.root))
    }
    assert tree == {path_of(n): output_of(n) for n in range(DATUMS) if n not in failed}
    for mishap in ("false starts", "deaths at work", "silent workers", "lost reports"):
        assert swarm.seen[mishap], mishap
    assert swarm.seen["datums run"] > DATUMS  # those of the dead once more
    assert DATUMS < IN_DIRECTORY  # so positions are numbers of files


def test_what_many_workers_report_at_once_is_recorded_together(swarm: Swarm) -> None:
    reports = swarm.seen["reports"]

    assert swarm.phases["dispatch"].transactions < reports + swarm.seen["lease messages"]
