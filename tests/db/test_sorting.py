"""Rows that come in any order and are read by key."""

import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.db.sorting import SortedRows
from trunkline.errors import StorageFull

ROWS = st.lists(st.tuples(st.text(max_size=2), st.integers(0, 2), st.text(max_size=2)), max_size=30)


@given(ROWS)
def test_rows_are_read_by_key_in_the_order_of_its_bytes(rows: list[tuple[str, int, str]]) -> None:
    sorting = SortedRows(iter(rows))

    keys = sorted({key for key, _, _ in rows}, key=lambda key: key.encode())
    assert [key for key, _ in sorting.tallies()] == keys
    for key, counts in sorting.tallies():  # while the values are read
        for part, count in counts.items():
            values = [value for other, of, value in rows if (other, of) == (key, part)]
            assert list(sorting.values(key, part)) == values
            assert count == len(values)
        assert sum(counts.values()) == sum(other == key for other, _, _ in rows)
    sorting.close()


def test_what_fails_while_the_rows_come_is_told_as_it_is() -> None:
    def broken():
        yield ("a", 0, "")
        raise KeyError("the source")

    with pytest.raises(KeyError, match="the source"):
        SortedRows(broken())


def test_no_file_of_it_can_be_seen_or_is_left(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    sorting = SortedRows((str(n), 0, "x" * 1000) for n in range(20_000))

    seen = list(tmp_path.iterdir())
    total = sum(count for _, counts in sorting.tallies() for count in counts.values())
    sorting.close()

    assert (seen, total) == ([], 20_000)


def test_a_full_disk_is_told_as_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, hard))
    try:
        with pytest.raises(StorageFull, match="temporary files"):
            SortedRows((str(n), 0, "x" * 1000) for n in range(50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
