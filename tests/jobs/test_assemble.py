"""What the results of datums hold, out of deltas that hold several."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.db.migrate import migrate
from trunkline.db.sqlite import SqliteDatabase
from trunkline.files.delta import DeltaWriter
from trunkline.files.tree import Trees
from trunkline.jobs import assemble, tables
from trunkline.jobs.assemble import _differences, _outputs, _rows_of
from trunkline.jobs.mishaps import is_defect
from trunkline.jobs.tables import ResultRecord
from trunkline.jobs.writers import merged_files
from trunkline.store.chunks import ChunkStore

A, B = "a" * 64, "b" * 64


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[Trees]:
    chunks = ChunkStore(tmp_path / "store")
    yield Trees(chunks)
    chunks.close()


def run_again(trees: Trees) -> list[ResultRecord]:
    """The results of two datums that shared a delta, of which the first was run again since."""

    def delta(*datums: str) -> tuple[str, ...]:
        writer = DeltaWriter(trees, by_datum=True)
        for datum in datums:
            writer.put(f"of-{datum[0]}", [datum.encode()], datum=datum)
        return tuple(map(str, writer.finish()))

    old, new = delta(A, B), delta(A)
    return [
        ResultRecord(key=key, output=output, files=1, size_bytes=1, log=())
        for key, output in ((A, new), (B, old))
    ]


def test_a_datum_that_was_run_again_is_not_read_out_of_its_old_delta_too(trees: Trees) -> None:
    """Found in simulated world 747: one report counted for some datums, the next for the others."""
    rows = [row.path for row in _rows_of(trees, run_again(trees))]

    assert rows == ["of-a", "of-b"]


def test_no_tree_is_made_without_the_files_of_a_datum_whose_result_is_gone(
    trees: Trees, tmp_path: Path
) -> None:
    database = SqliteDatabase(tmp_path / "catalog.db", durable=False)
    migrate(database, "catalog", where="test")
    with database.write() as tx:
        for result in run_again(trees)[:1]:
            tables.insert_results(tx, [result], job=1, now=datetime(2024, 5, 6, tzinfo=UTC))

    with pytest.raises(AssertionError, match=f"the result of datum {B} is gone") as raised:
        list(_outputs(database, trees, [A, B]))

    assert is_defect(raised.value)  # which fails the job


def test_nor_is_it_named_for_what_its_old_delta_holds(trees: Trees, tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "catalog.db", durable=False)
    migrate(database, "catalog", where="test")
    with database.write() as tx:
        for result in run_again(trees):
            tables.insert_results(tx, [result], job=1, now=datetime(2024, 5, 6, tzinfo=UTC))

    places = merged_files(database, trees, [A, B])

    database.close()
    assert places == [("of-a", A), ("of-b", B)]


keys_of_a_job = st.lists(st.sampled_from("abcdefghijklmnop"), unique=True)


@given(old=keys_of_a_job, new=keys_of_a_job)
def test_the_keys_of_two_jobs_are_compared_as_sets_in_whatever_order(
    old: list[str], new: list[str]
) -> None:
    gone, come, few = _differences(old, new)

    assert gone == [key for key in old if key not in new]
    assert come == [key for key in new if key not in old]
    assert few


@given(old=keys_of_a_job, new=keys_of_a_job, most=st.integers(1, 8))
def test_of_jobs_that_differ_in_much_no_more_keys_are_held_than_are_allowed(
    old: list[str], new: list[str], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "_WAITING_MAX", most)
        gone, come, few = _differences(old, new)

    assert len(gone) + len(come) <= most + 2  # a pair more, which says that it is too much
    if few:
        assert (set(gone), set(come)) == (set(old) - set(new), set(new) - set(old))
    else:
        assert len(gone) + len(come) > most
