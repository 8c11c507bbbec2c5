"""What the results of datums hold, out of deltas that hold several."""

from pathlib import Path

from trunkline.files.delta import DeltaWriter
from trunkline.files.tree import Trees
from trunkline.jobs.assemble import _rows_of
from trunkline.jobs.tables import ResultRecord
from trunkline.store.chunks import ChunkStore


def test_a_datum_that_was_run_again_is_not_read_out_of_its_old_delta_too(tmp_path: Path) -> None:
    """Found in simulated world 747: one report counted for some datums, the next for the others."""
    chunks = ChunkStore(tmp_path)
    trees = Trees(chunks)

    def delta(*datums: str) -> tuple[str, ...]:
        writer = DeltaWriter(trees, by_datum=True)
        for datum in datums:
            writer.put(f"of-{datum[0]}", [datum.encode()], datum=datum)
        return tuple(map(str, writer.finish()))

    a, b = "a" * 64, "b" * 64
    old, new = delta(a, b), delta(a)
    results = [
        ResultRecord(key=key, output=output, files=1, size_bytes=1, log=())
        for key, output in ((a, new), (b, old))
    ]

    rows = [row.path for row in _rows_of(trees, results)]

    chunks.close()
    assert rows == ["of-a", "of-b"]
