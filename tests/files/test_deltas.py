"""Deltas before they are applied: what they say, how they are bounded, and how they show damage."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import Corrupt
from trunkline.files import apply as apply_module
from trunkline.files import delta as delta_module
from trunkline.files.apply import LooseParts
from trunkline.files.delta import DeltaId, DeltaWriter, delta_rows
from trunkline.files.index import Loader
from trunkline.files.manifest import EMPTY, Ranges, RootId, encode_node, read_node
from trunkline.files.segments import Change, Segment, empty_row, read_segment, write_segment
from trunkline.files.tree import Trees
from trunkline.store.chunks import ChunkId, ChunkStore


def segments(trees: Trees, deltas: list[DeltaId]) -> list[Segment]:
    return [read_segment(trees.chunks.get(ChunkId(delta))) for delta in deltas]


def test_a_writer_without_changes_writes_nothing(trees: Trees) -> None:
    assert DeltaWriter(trees).finish() == []


def test_a_writer_counts_what_it_was_given(trees: Trees) -> None:
    writer = DeltaWriter(trees)
    row = writer.put("a", [b"12", b"345"])
    writer.put_row(row)
    writer.delete("b")

    assert (writer.rows, writer.bytes) == (2, 10)


def test_the_files_that_a_delta_puts_can_be_listed(trees: Trees) -> None:
    writer = DeltaWriter(trees)
    put = [writer.put(path, [path.encode()], datum="5" * 64) for path in ("b", "a/x", "c")]
    writer.put("d", [b"more"], append=True)
    writer.delete("c")
    writer.delete_written("e", "6" * 64)
    (delta,) = writer.finish()

    assert list(delta_rows(trees, delta)) == [put[1], put[0]]


def test_what_a_later_change_undoes_is_not_stored(trees: Trees) -> None:
    writer = DeltaWriter(trees)
    for n in range(100):
        writer.put("same", [str(n).encode()])
        writer.put(f"gone/{n}", [b"x"])
    writer.delete("gone")

    (segment,) = segments(trees, writer.finish())

    assert segment.rows == (1,)
    assert segment.deletes == ("gone",)


@pytest.mark.parametrize("limit", ["_SEGMENT_CHANGES_MAX", "_SEGMENT_SPANS_MAX"])
def test_many_changes_are_cut_into_segments(
    trees: Trees, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(delta_module, limit, 10)
    writer = DeltaWriter(trees)
    for n in range(25):
        writer.put(f"{n:02}", [b"x"])
    for n in range(25 if limit == "_SEGMENT_CHANGES_MAX" else 1):
        writer.delete(f"{n:02}")

    deltas = writer.finish()

    assert len(deltas) > 2
    assert trees.totals(trees.apply(EMPTY, deltas))[0] == (0 if len(deltas) > 4 else 24)


def test_a_tree_with_a_missing_range_says_so_and_serves_nothing_wrong(trees: Trees) -> None:
    entries = Ranges()
    entries.add(first="a", last="b", blob=ChunkId("ab" * 32), rows=2, size=7)
    root = RootId(trees.chunks.put(encode_node(1, entries)))

    assert trees.totals(root) == (2, 7)
    with pytest.raises(Corrupt, match="abab"):
        trees.find(root, "aa")
    (problem,) = trees.verify(root)
    assert "abab" in problem[1]


def test_a_tree_whose_index_lies_about_a_range_is_corrupt(trees: Trees) -> None:
    writer = DeltaWriter(trees)
    writer.put("a", [b"1"])
    good = trees.apply(EMPTY, writer.finish())
    (range_id,) = Loader(trees.chunks).root(good).entries.ids
    entries = Ranges()
    entries.add(first="a", last="c", blob=range_id, rows=2, size=1)
    root = RootId(trees.chunks.put(encode_node(1, entries)))

    with pytest.raises(Corrupt, match="2 rows"):
        list(trees.walk(root))


@pytest.mark.parametrize("liar", ["new", "old", "both"])
@pytest.mark.parametrize("lie", [{"last": "c"}, {"first": "0"}, {"rows": 3}])
def test_a_difference_to_a_tree_whose_index_lies_about_a_range_is_corrupt(
    trees: Trees, liar: str, lie: dict[str, Any]
) -> None:
    def tree(content: bytes, lying: bool) -> RootId:
        writer = DeltaWriter(trees)
        writer.put("a", [content])
        writer.put("b", [b"same"])
        good = trees.apply(EMPTY, writer.finish())
        entries = Loader(trees.chunks).root(good).entries
        unit = entries.unit(0, 0)
        says = {"first": unit.first, "last": unit.last, "rows": unit.rows, **(lie if lying else {})}
        again = Ranges()
        again.add(**says, blob=unit.blob, size=unit.size)
        return RootId(trees.chunks.put(encode_node(1, again)))

    new, old = tree(b"1", liar != "old"), tree(b"2", liar != "new")

    with pytest.raises(Corrupt, match="rows"):
        list(trees.diff(new, "", old, ""))


def test_a_difference_to_a_tree_whose_index_is_not_sorted_comes_to_an_end(trees: Trees) -> None:
    roots = []
    for content in (b"1", b"2"):
        entries = Ranges()
        for path in ("z", "b"):
            writer = DeltaWriter(trees)
            writer.put(path, [content])
            unit = Loader(trees.chunks).root(trees.apply(EMPTY, writer.finish())).entries.unit(0, 0)
            entries.add(first=path, last=path, blob=unit.blob, rows=1, size=1)
        roots.append(RootId(trees.chunks.put(encode_node(1, entries))))

    found = [row.path for _, row in trees.diff(roots[0], "", roots[1], "")]

    assert found == ["z", "z", "b", "b"]


@given(place=st.integers(0, 1 << 20), value=st.integers(1, 255))
def test_a_changed_byte_of_a_node_is_refused_or_read_as_it_is(place: int, value: int) -> None:
    entries = Ranges()
    for n in range(5):
        entries.add(first=f"{n}/a", last=f"{n}/z", blob=ChunkId("ab" * 32), rows=n, size=7)
    blob = bytearray(encode_node(1, entries))
    place %= len(blob)
    blob[place] ^= value

    try:
        node = read_node(bytes(blob))
    except Corrupt:
        return

    padding = (6, 7)
    assert place in padding or encode_node(node.level, node.entries)[5:] == blob[5:]
    assert node.entries.ends == (node.entries.firsts[0], node.entries.lasts[-1])


def test_a_tree_of_impossible_levels_is_corrupt(trees: Trees) -> None:
    inner = Ranges()
    inner.add(first="a", last="b", blob=ChunkId("ab" * 32), rows=2, size=7)
    level_one = trees.chunks.put(encode_node(1, inner))
    outer = Ranges()
    outer.add(first="a", last="b", blob=level_one, rows=2, size=7)

    with pytest.raises(Corrupt, match="level 2"):
        trees.find(RootId(trees.chunks.put(encode_node(3, outer))), "aa")
    for level in (0, 33):
        with pytest.raises(Corrupt, match="a level from 1 to 32"):
            trees.totals(RootId(trees.chunks.put(encode_node(level, inner))))
    assert trees.totals(RootId(trees.chunks.put(encode_node(2, outer)))) == (2, 7)


def test_a_root_that_is_no_tree_is_corrupt(trees: Trees) -> None:
    root = RootId(trees.chunks.put(b"just a chunk"))

    with pytest.raises(Corrupt, match="TLMI"):
        trees.totals(root)
    ((path, problem),) = trees.verify(root)
    assert path == ""
    assert "TLMI" in problem


def test_a_change_of_an_unknown_kind_is_refused(trees: Trees) -> None:
    change = Change(kind=4, row=empty_row("a"))
    delta = write_segment([change], [], trees.chunks.put)

    with pytest.raises(Corrupt, match="kinds up to 3"):
        trees.apply(EMPTY, [delta])


def test_a_tree_made_by_one_process_is_read_by_another(
    trees: Trees, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("shared") / "store"
    writing, reading = ChunkStore(directory), ChunkStore(directory)
    writer = DeltaWriter(Trees(writing))
    writer.put("a/b", [b"content"])
    root = Trees(writing).apply(EMPTY, writer.finish())
    writing.flush()

    row = Trees(reading).find(root, "a/b")

    assert row is not None
    assert b"".join(Trees(reading).read(row)) == b"content"
    writing.close()
    reading.close()


@pytest.mark.parametrize("room", [0, 400, 256 * 1024])
def test_parts_that_are_kept_in_memory_make_the_same_tree(
    trees: Trees, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(apply_module, "_LOOSE_BYTES_MAX", room)
    monkeypatch.setattr(delta_module, "_SEGMENT_CHANGES_MAX", 10)
    loose = LooseParts(trees.chunks)
    made: list[list[DeltaId]] = []
    for writer in (DeltaWriter(trees), DeltaWriter(trees, loose=loose)):
        for n in range(45):
            writer.put(f"{n:02}", [b"x%d" % n])
            writer.put("large", [b"%d" % n], append=True)
        writer.delete("07")
        made.append(writer.finish())

    assert made[0] == made[1]
    root = trees.apply(EMPTY, made[0])
    assert trees.apply(EMPTY, made[1], loose=loose) == root


def test_small_parts_are_stored_only_once_they_are_to_be_named(trees: Trees) -> None:
    loose = LooseParts(trees.chunks)
    writer = DeltaWriter(trees, loose=loose)
    writer.put("a", [b"content"])
    (delta,) = writer.finish()
    stored = trees.chunks.appended

    assert not trees.chunks.has(ChunkId(delta))
    loose.store()

    assert trees.chunks.appended == stored + 3  # the content too
    assert [row.path for row in delta_rows(trees, delta)] == ["a"]
