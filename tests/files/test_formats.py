"""Manifests and deltas of all versions are read for ever, byte for byte.

The files in tests/golden were written by the first release with each version; see docs/formats.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import Corrupt
from trunkline.files import manifest
from trunkline.files.columns import Columns, FileRow, decode_columns, encode_columns, read_list
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import (
    CUTS,
    EMPTY,
    Cuts,
    Ranges,
    RangeWriter,
    RootId,
    encode_node,
    is_cut,
    is_node_cut,
    next_cut,
    read_node,
)
from trunkline.files.segments import (
    APPEND,
    PUT,
    REMOVE,
    REMOVE_WRITTEN,
    Change,
    Segment,
    empty_row,
    read_segment,
    write_segment,
)
from trunkline.files.tree import Trees
from trunkline.store.chunks import ChunkId

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def file(path: str, size: int, *, chunks: int = 1, datum: str = "") -> FileRow:
    """A row whose digests are made of its path, so that they never change."""
    digest = blake3(path.encode()).hexdigest()
    spans = [(ChunkId(digest), size)]
    if chunks > 1:
        ids = [ChunkId(blake3(f"{path} {n}".encode()).hexdigest()) for n in range(chunks)]
        spans = [(chunk, size // chunks) for chunk in ids]
    return FileRow(
        path=path, size_bytes=size, digest=digest, chunks=tuple(spans if size else ()), datum=datum
    )


ROWS = [
    file("a-b", 0),
    file("a/b", 5, datum="d" * 64),
    file("a/large", 60_000_000, chunks=3),
    file("a/very large", 120_000_000, chunks=40),
    file("é/𝄞", 1),
]


class Saved(dict[str, bytes]):
    """Keeps blobs by name, as a chunk store does."""

    def __call__(self, blob: bytes) -> ChunkId:
        name = ChunkId(blake3(blob).hexdigest())
        self[name] = blob
        return name


def golden_blobs() -> dict[str, bytes]:
    saved = Saved()
    rows = Columns()
    for row in ROWS:
        rows.add(row, saved)
    entries = Ranges()
    for n in range(3):
        entries.add(
            first=f"{n}/a", last=f"{n}/z", blob=saved(str(n).encode()), rows=n + 1, size=1 << 40
        )
    changes = [
        Change(kind=PUT, row=ROWS[1]),
        Change(kind=APPEND, row=ROWS[2]),
        Change(kind=REMOVE, row=empty_row("b")),
        Change(kind=REMOVE_WRITTEN, row=empty_row("c", datum="e" * 64)),
    ]
    segment = saved[write_segment(changes, ["a", "z/é"], saved)]
    (block,) = read_segment(segment).blocks
    return {
        "manifest/v1-range.bin": encode_columns(b"TLRN", rows),
        "manifest/v1-list.bin": saved[rows.refs(3)[0][0]],
        "manifest/v2-node.bin": encode_node(2, entries),
        "manifest/v1-empty.bin": encode_node(1, Ranges()),
        "delta/v1-segment.bin": segment,
        "delta/v1-block.bin": saved[block],
    }


@pytest.mark.parametrize("name", sorted(golden_blobs()))
def test_the_encoding_of_a_version_never_changes(name: str) -> None:
    assert golden_blobs()[name] == (GOLDEN / name).read_bytes()


def test_a_range_of_version_1_is_read() -> None:
    rows = decode_columns(b"TLRN", (GOLDEN / "manifest/v1-range.bin").read_bytes())
    lists = {rows.refs(3)[0][0]: (GOLDEN / "manifest/v1-list.bin").read_bytes()}

    assert [rows.row(i, lists.__getitem__) for i in range(len(rows))] == ROWS


@pytest.mark.parametrize("version", CUTS)
def test_the_roots_of_a_version_stay_the_same(
    trees: Trees, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "VERSION", version)
    writer = DeltaWriter(trees)
    for n in range(3000):
        writer.put(f"{n % 7}/{n}", [str(n).encode()])

    root = trees.apply(EMPTY, writer.finish())

    assert blake3((GOLDEN / "manifest/v1-empty.bin").read_bytes()).hexdigest() == EMPTY
    assert root == (GOLDEN / f"manifest/v{version}-root.txt").read_text().strip()


def test_the_empty_tree_needs_no_store(trees: Trees) -> None:
    assert trees.totals(EMPTY) == (0, 0)
    assert list(trees.walk(EMPTY)) == []
    assert list(trees.list(EMPTY, "")) == []
    assert list(trees.glob(EMPTY, "**")) == []
    assert [entry.path for entry in trees.glob(EMPTY, "/")] == [""]
    assert trees.entry(EMPTY, "x") is None
    assert list(trees.verify(EMPTY)) == []


READERS: dict[str, Callable[[bytes], object]] = {
    "manifest/v1-range.bin": lambda data: decode_columns(b"TLRN", data),
    "manifest/v1-list.bin": read_list,
    "manifest/v1-node.bin": read_node,
    "manifest/v2-node.bin": read_node,
    "delta/v1-segment.bin": read_segment,
    "delta/v1-block.bin": lambda data: decode_columns(b"TLDB", data),
}


@given(name=st.sampled_from(sorted(READERS)), data=st.data())
def test_damaged_objects_are_refused_or_read_and_nothing_else(
    name: str, data: st.DataObject
) -> None:
    blob = bytearray((GOLDEN / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(blob)))

    for damaged in (bytes(blob), bytes(blob[:cut]), bytes(blob) + b"\0"):
        with suppress(Corrupt):
            READERS[name](damaged)


@given(blob=st.binary(max_size=200))
def test_any_bytes_are_refused_or_read_and_nothing_else(blob: bytes) -> None:
    for name, read in READERS.items():
        magic = (GOLDEN / name).read_bytes()[:5]
        for data in (blob, magic + blob):
            with suppress(Corrupt):
                read(data)


def test_a_newer_version_is_refused_by_its_number() -> None:
    newer = bytearray((GOLDEN / "manifest/v2-node.bin").read_bytes())
    newer[4] = 3

    with pytest.raises(Corrupt, match="version 3"):
        read_node(bytes(newer))


def test_a_segment_without_changes_only_deletes() -> None:
    saved = Saved()

    segment = read_segment(saved[write_segment([], ["a"], saved)])

    assert segment == Segment(blocks=(), rows=(), deletes=("a",))


@given(
    texts=st.lists(st.text("abc", min_size=1), unique=True, max_size=3000).map(sorted),
    share=st.one_of(st.floats(0, 1, exclude_max=True), st.floats(0.45, 0.5)),
    cuts=st.sampled_from(list(CUTS.values())),
)
def test_the_quick_search_for_a_cut_follows_the_rule(
    texts: list[str], share: float, cuts: Cuts
) -> None:
    rows = int(share * cuts.most)
    naive = [n + 1 for n, path in enumerate(texts) if is_cut(path, rows + n + 1, cuts)]

    assert next_cut(texts, 0, len(texts), rows, cuts) == (naive[0] if naive else 0)


def node_cuts(lasts: list[str]) -> list[int]:
    cuts: list[int] = []
    for n, last in enumerate(lasts, start=1):
        if is_node_cut(last, n - max(cuts, default=0)):
            cuts.append(n)
    return [*cuts, len(lasts)]


def test_nodes_are_cut_by_paths_alone() -> None:
    lasts = [f"{n:06}" for n in range(5000)]

    cuts = node_cuts(lasts)
    shifted = node_cuts(lasts[1000:])

    sizes = [end - start for start, end in zip([0, *cuts], cuts, strict=False)]
    assert sum(sizes) == 5000
    assert all(16 <= size <= 512 for size in sizes[:-1])
    assert 60 < 5000 / len(sizes) < 260
    assert {cut + 1000 for cut in shifted} - set(cuts) <= {cut + 1000 for cut in shifted[:3]}


def test_a_damaged_tree_is_described_by_path(trees: Trees) -> None:
    rows = Columns()
    for path in ("b", "a", "x", "x/y", "../z"):
        rows.add(file(path, 3), trees.chunks.put)
    writer = RangeWriter(trees.chunks.put)
    writer.copy_rows(rows, 0, len(rows))
    root = RootId(writer.finish())

    problems = list(trees.verify(root))

    assert ("a", "it does not sort behind 'b'") in problems
    assert ("x/y", "it lies below 'x', which is a file") in problems
    assert any(path == "../z" and "'..'" in problem for path, problem in problems)
    assert sum("missing" in problem for _, problem in problems) == 5
