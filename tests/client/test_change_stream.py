"""The wire format of changes, held against a file that must be readable for ever."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.api.changes import (
    MEDIA_TYPE,
    CopyFile,
    DeleteFile,
    FileChange,
    PutFile,
    PutLocal,
    PutUrl,
    read_changes,
    write_changes,
)
from trunkline.errors import InvalidInput

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "change-stream" / "v1.bin"

ONE_OF_EACH: list[FileChange] = [
    PutFile(path="a/ü", content=[b"hello ", b"world"]),
    PutFile(path="empty", content=[], append=True),
    PutLocal(path="d", source="/data/d", device=2049, inode=131073),
    PutUrl(path="u", url="https://example.com/u?a=b"),
    DeleteFile(path="old"),
    CopyFile(path="c", source_repo="r", source_commit="master^", source_path="x"),
]


def plain(changes: Iterable[FileChange]) -> list[object]:
    """The changes with their content joined, so that they can be compared."""
    return [
        (c.path, c.append, b"".join(c.content)) if isinstance(c, PutFile) else c for c in changes
    ]


def test_the_golden_stream_is_read() -> None:
    assert plain(read_changes([GOLDEN.read_bytes()])) == plain(ONE_OF_EACH)


def test_the_golden_stream_is_written() -> None:
    assert b"".join(write_changes(ONE_OF_EACH)) == GOLDEN.read_bytes()
    assert MEDIA_TYPE.endswith(".v1")


@given(st.integers(1, 400))
def test_it_does_not_matter_where_a_stream_is_cut_into_pieces(size: int) -> None:
    whole = GOLDEN.read_bytes()

    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]

    assert plain(read_changes(pieces)) == plain(ONE_OF_EACH)


@pytest.mark.parametrize("length", range(0, len(GOLDEN.read_bytes()), 7))
def test_a_stream_that_broke_off_is_never_taken_for_a_whole_one(length: int) -> None:
    with pytest.raises(InvalidInput, match="nothing was changed"):
        plain(read_changes([GOLDEN.read_bytes()[:length]]))


def test_content_that_nobody_read_is_skipped() -> None:
    paths = [change.path for change in read_changes([GOLDEN.read_bytes()])]

    assert paths == [change.path for change in ONE_OF_EACH]


@given(st.binary(max_size=200))
def test_garbage_is_refused_with_a_sentence(garbage: bytes) -> None:
    with pytest.raises(InvalidInput):
        plain(read_changes([b"h\0\0\0\x03" + garbage]))
