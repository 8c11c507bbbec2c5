"""What a small change has written need not be read for the next one, and is what reading gives."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY, RootId, encode_node
from trunkline.files.tree import Trees
from trunkline.store.chunks import ChunkId, ChunkStore

paths = st.text(alphabet="abc", min_size=1, max_size=4)
contents = st.binary(max_size=8)


def applied(trees: Trees, root: RootId, files: dict[str, bytes]) -> RootId:
    writer = DeltaWriter(trees)
    for path, content in files.items():
        writer.put(path, [content])
    return trees.apply(root, writer.finish())


@given(st.lists(st.dictionaries(paths, contents, max_size=6), min_size=1, max_size=4))
@pytest.mark.usefixtures("small_ranges")
def test_what_is_at_hand_is_what_reading_gives(
    trees: Trees, changes: list[dict[str, bytes]]
) -> None:
    root = EMPTY
    for files in changes:
        root = applied(trees, root, files)

    known, fresh = trees._loader, Trees(trees.chunks)._loader
    for blob, node in known._nodes.items():
        read_node = fresh.node(blob)
        assert (read_node.version, read_node.rows) == (node.version, node.rows)
        assert read_node.size_bytes == node.size_bytes
        assert encode_node(read_node.level, read_node.entries) == encode_node(
            node.level, node.entries
        )
    for blob, rows in known._ranges.items():
        read = fresh._rows(blob)
        rows._ref_starts(), read._ref_starts()  # computed when they are wanted
        assert read == rows


def test_the_next_small_change_reads_nothing(tmp_path: Path) -> None:
    reads: list[int] = []

    class Counting(ChunkStore):
        def get_many(self, chunks):  # type: ignore[no-untyped-def]
            reads.append(len(chunks))
            return super().get_many(chunks)

    store = Counting(tmp_path / "store")
    trees = Trees(store)
    root = applied(trees, EMPTY, {f"{n}": b"1" for n in range(3)})
    deltas = DeltaWriter(trees)
    deltas.put("1", [b"2"])
    [delta] = deltas.finish()
    reads.clear()

    trees.totals(trees.apply(root, [delta]))

    assert len(reads) == 2  # the delta and its one block
    store.close()


@pytest.mark.usefixtures("small_ranges")
def test_what_a_change_has_changed_is_told_without_reading_the_index(tmp_path: Path) -> None:
    read: set[str] = set()

    class Noting(ChunkStore):
        def get_many(self, chunks):  # type: ignore[no-untyped-def]
            read.update(chunks)
            return super().get_many(chunks)

    store = Noting(tmp_path / "store")
    trees = Trees(store)
    before = applied(trees, EMPTY, {f"{n:03}": b"1" for n in range(200)})
    after = applied(trees, before, {f"{n:03}": b"2" for n in range(0, 200, 20)})
    read.clear()

    found = list(trees.diff(after, "", before, ""))

    assert len(found) == 20
    assert not any(store.get(ChunkId(blob)).startswith(b"TLMI") for blob in read.copy())
    store.close()
