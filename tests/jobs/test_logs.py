"""Logs as they are stored."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trunkline.errors import Corrupt
from trunkline.jobs.logs import stored_entries, stored_form
from trunkline.store.chunks import ChunkStore

GOLDEN = Path(__file__).parents[1] / "golden" / "log" / "v1.jsonl"
ENTRIES = [
    (1_700_000_000_000_000, "stdout", "150 flowers"),
    (1_700_000_000_500_000, "stderr", 'a "quoted" line\twith é'),
    (1_700_000_001_000_000, "worker", "try 1 of 3 failed: exit code 1"),
]


@pytest.fixture
def chunks(tmp_path: Path) -> Iterator[ChunkStore]:
    store = ChunkStore(tmp_path / "store")
    yield store
    store.close()


def test_the_log_format_is_the_one_that_is_documented() -> None:
    assert stored_form(ENTRIES) == GOLDEN.read_bytes()


def test_a_stored_log_reads_back_however_it_is_cut(chunks: ChunkStore) -> None:
    data = GOLDEN.read_bytes()
    pieces = chunks.put_many([data[start : start + 7] for start in range(0, len(data), 7)])

    found = list(stored_entries(chunks, pieces))

    assert [(stream, message) for _, stream, message in found] == [e[1:] for e in ENTRIES]
    assert found[0][0] == datetime.fromtimestamp(1_700_000_000, UTC)


def test_no_lines_are_no_bytes() -> None:
    assert stored_form([]) == b""


def test_other_bytes_are_reported_as_damage(chunks: ChunkStore) -> None:
    with pytest.raises(Corrupt, match="log"):
        list(stored_entries(chunks, [chunks.put(b'[1,"stdout","x"]\n')]))
