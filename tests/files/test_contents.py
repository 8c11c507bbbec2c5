"""Contents of files: small and large, read in part, appended to; equal contents, equal rows."""

import random
from collections.abc import Iterator

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.api.changes import PutFile, read_changes, write_changes
from trunkline.files import columns
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY, FileRow, RootId
from trunkline.files.tree import Trees
from trunkline.store.chunker import CHUNK_MIN_BYTES

NOISE = random.Random(11).randbytes(12 * 1024 * 1024)


def put(trees: Trees, root: RootId, *contents: bytes, append: bool = False) -> RootId:
    writer = DeltaWriter(trees)
    for content in contents:
        writer.put("f", [content], append=append)
    return trees.apply(root, writer.finish())


def row_of(trees: Trees, root: RootId) -> FileRow:
    row = trees.find(root, "f")
    assert row is not None
    return row


@pytest.mark.parametrize("size", [0, 1, CHUNK_MIN_BYTES, CHUNK_MIN_BYTES + 1, 12 * 1024 * 1024])
def test_a_file_has_the_digest_and_the_bytes_that_were_put(trees: Trees, size: int) -> None:
    content = NOISE[:size]

    row = row_of(trees, put(trees, EMPTY, content))

    assert row.size_bytes == size
    assert row.digest == blake3(content).hexdigest()
    assert b"".join(trees.read(row)) == content
    assert len(row.chunks) == (0 if not size else 1 if size <= CHUNK_MIN_BYTES else len(row.chunks))


@given(
    offset=st.one_of(st.integers(0, 13 * 1024 * 1024), st.sampled_from([0, 1])),
    size=st.one_of(st.none(), st.integers(0, 13 * 1024 * 1024), st.sampled_from([0, 1])),
)
@settings(max_examples=50)
def test_a_part_of_a_file_is_that_part_of_its_bytes(
    trees: Trees, offset: int, size: int | None
) -> None:
    row = row_of(trees, put(trees, EMPTY, NOISE))

    read = b"".join(trees.read(row, offset, size))

    assert read == (NOISE[offset:] if size is None else NOISE[offset : offset + size])


@pytest.mark.parametrize("size", [0, CHUNK_MIN_BYTES, CHUNK_MIN_BYTES + 1, 12 * 1024 * 1024])
def test_a_content_that_arrives_in_a_stream_makes_the_same_file(trees: Trees, size: int) -> None:
    pieces = [NOISE[at : min(at + 700_000, size)] for at in range(0, size, 700_000)]
    stream = write_changes([PutFile(path="f", content=pieces)])

    [row] = [
        DeltaWriter(trees).put("f", change.content)
        for change in read_changes(stream)
        if isinstance(change, PutFile)
    ]

    assert row == row_of(trees, put(trees, EMPTY, NOISE[:size]))
    assert b"".join(trees.read(row)) == NOISE[:size]


def test_pieces_of_any_size_make_the_same_file(trees: Trees) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(NOISE), 777_777):
            yield NOISE[start : start + 777_777]

    writer = DeltaWriter(trees)
    writer.put("f", pieces())

    assert trees.apply(EMPTY, writer.finish()) == put(trees, EMPTY, NOISE)


CUTS = st.lists(st.integers(0, 6 * 1024 * 1024), min_size=1, max_size=4).map(sorted)


@given(cuts=CUTS, in_one_delta=st.booleans())
@settings(max_examples=25)
def test_a_file_that_was_appended_to_is_the_same_as_one_written_at_once(
    trees: Trees, cuts: list[int], in_one_delta: bool
) -> None:
    whole = NOISE[: cuts[-1]]
    parts = [NOISE[start:end] for start, end in zip([0, *cuts[:-1]], cuts, strict=True)]

    if in_one_delta:
        root = put(trees, EMPTY, *parts, append=True)
    else:
        root = put(trees, EMPTY, parts[0])
        for part in parts[1:]:
            root = put(trees, root, part, append=True)

    assert root == put(trees, EMPTY, whole)


def test_appending_to_a_copied_row_reads_nothing_but_its_content(trees: Trees) -> None:
    row = row_of(trees, put(trees, EMPTY, b"head "))
    writer = DeltaWriter(trees)
    writer.put_row(row)
    writer.put_row(row, append=True)
    writer.put("f", [b"tail"], append=True)

    root = trees.apply(EMPTY, writer.finish())

    assert root == put(trees, EMPTY, b"head head tail")
    assert writer.rows == 3
    assert writer.bytes == 14


def test_a_file_of_very_many_chunks_is_kept_in_lists(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "SPANS_INLINE", 2)
    monkeypatch.setattr(columns, "SPANS_PER_LIST", 2)
    writer = DeltaWriter(trees)
    writer.put("a", [b"before"])
    writer.put("f", [NOISE])
    writer.put("z", [NOISE[: 3 * 1024 * 1024]])

    root = trees.apply(EMPTY, writer.finish())

    row = row_of(trees, root)
    assert len(row.chunks) > 4
    assert b"".join(trees.read(row)) == NOISE
    assert list(trees.verify(root)) == []
    grown = put(trees, root, b"more", append=True)
    assert b"".join(trees.read(row_of(trees, grown))) == NOISE + b"more"
    assert [r.path for r in trees.walk(grown)] == ["a", "f", "z"]
