"""The wire format of changes, held against a file that must be readable for ever."""

import contextlib
import json
from collections.abc import Iterable, Iterator
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
    Split,
    StreamedContent,
    Unpack,
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


@pytest.mark.parametrize("size", [1, 50, 10_000])
def test_content_that_was_read_in_part_is_skipped_from_there(size: int) -> None:
    content = bytes(range(256)) * 300
    changes = [PutFile(path=f"{n}", content=[content, b"tail"]) for n in range(3)]
    stream = b"".join(write_changes(changes))
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]

    seen = []
    for change in read_changes(pieces):
        assert isinstance(change, PutFile)
        seen.append((change.path, next(iter(change.content))[:1]))

    assert seen == [(f"{n}", b"\0") for n in range(3)]


class Filling:
    """A body that gives pieces, or fills memory that it is given."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data = data
        self._most = most
        self._at = 0

    def _next(self, size: int) -> bytes:
        part = self._data[self._at : self._at + min(size, self._most)]
        self._at += len(part)
        return part

    def __iter__(self) -> Iterator[bytes]:
        while part := self._next(self._most):
            yield part

    def readinto(self, view: memoryview) -> int:
        part = self._next(len(view))
        view[: len(part)] = part
        return len(part)


@given(
    contents=st.lists(st.lists(st.binary(max_size=50), max_size=5), max_size=5),
    most=st.integers(1, 60),
    wants=st.lists(st.integers(0, 40), min_size=1),
    fills=st.booleans(),
)
def test_contents_are_the_same_in_pieces_and_where_they_are_wanted(
    contents: list[list[bytes]], most: int, wants: list[int], fills: bool
) -> None:
    changes = [PutFile(path=f"{n}", content=content) for n, content in enumerate(contents)]
    stream = b"".join(write_changes(changes))
    parts = [stream[at : at + most] for at in range(0, len(stream), most)]
    body = Filling(stream, most) if fills else [b"", *parts, b""]

    read = []
    turn = 0
    for change in read_changes(body):
        assert isinstance(change, PutFile)
        assert isinstance(change.content, StreamedContent)
        seen = b""
        while True:
            wanted = wants[turn % len(wants)]
            turn += 1
            view = memoryview(bytearray(wanted))
            piece = (
                bytes(view[: change.content.readinto(view)])
                if wanted
                else next(iter(change.content), b"")
            )
            if not piece:
                break
            seen += piece
        read.append(seen)

    assert read == [b"".join(content) for content in contents]


@pytest.mark.parametrize("length", range(0, len(GOLDEN.read_bytes()), 7))
def test_a_stream_that_broke_off_fills_nothing_up(length: int) -> None:
    changes = read_changes(Filling(GOLDEN.read_bytes()[:length], 30))

    def fill_all() -> None:
        for change in changes:
            while isinstance(change, PutFile) and change.content.readinto(memory):
                pass

    memory = memoryview(bytearray(20))
    with pytest.raises(InvalidInput, match="nothing was changed"):
        fill_all()


@given(st.binary(max_size=200))
def test_garbage_is_refused_with_a_sentence(garbage: bytes) -> None:
    with pytest.raises(InvalidInput):
        plain(read_changes([b"h\0\0\0\x03" + garbage]))


@pytest.mark.parametrize(
    "change",
    [
        PutFile(path="a", content=[b"x"], unpack=Unpack(format="tar", links="skip")),
        PutFile(path="a", content=[], append=True, split=Split(by="csv", header_records=1)),
        PutUrl(path="u", url="https://example.com/", split=Split(by="line", file_bytes=9)),
        PutLocal(path="d", source="/d", device=1, inode=2, unpack=Unpack()),
    ],
)
def test_what_a_content_is_travels_with_it(change: FileChange) -> None:
    [read] = read_changes(write_changes([change]))

    assert type(read) is type(change)
    assert getattr(read, "unpack", None) == getattr(change, "unpack", None)
    assert getattr(read, "split", None) == getattr(change, "split", None)


HEADER = {"kind": "put", "path": "a", "append": False}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"path": 1}, "malformed header"),
        ({"path": None}, "malformed header"),
        ({"append": 1}, "malformed header"),
        ({"append": "yes"}, "malformed header"),
        ({"content": []}, "malformed header"),
        ({"more": 1}, "malformed header"),
        ({"kind": ["put"]}, "malformed header"),
        ({"kind": "put-local", "source": "/x", "device": True, "inode": 1}, "malformed header"),
        ({"kind": "put-url"}, "malformed header"),
        ({"unpack": "tar"}, "malformed header"),
        ({"unpack": {"format": 1}}, "malformed header"),
        ({"unpack": {"form": "tar"}}, "malformed header"),
        ({"unpack": {"format": "rar"}}, "'rar' is not an archive format; use auto, tar, zip"),
        ({"unpack": {"links": "all"}}, "'all' is not what to do about links"),
        ({"split": {}}, "malformed header"),
        ({"split": {"by": "sql"}}, "'sql' is not a way to split"),
        ({"split": {"by": "csv", "file_records": -1}}, "can't be negative"),
        ({"split": {"by": "json", "header_records": 1}}, "json has no header records"),
        ({"split": {"by": "csv"}, "unpack": {}}, "unpacked or split, not both"),
    ],
)
def test_headers_that_no_writer_makes_are_refused(fields: object, sentence: str) -> None:
    text = json.dumps({**HEADER, **fields}).encode()  # type: ignore[dict-item]
    data = b"h" + len(text).to_bytes(4, "big") + text + b"e\0\0\0\0"

    with pytest.raises(InvalidInput, match=sentence):
        list(read_changes([data]))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=4)
    | st.sampled_from(["tar", "csv"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["by", "format", "links", "file_records", "file_bytes", "x"]), inner
        )
    ),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["kind", "path", "append", "url", "source", "device", "inode", "unpack", "split"]
        ),
        JSON | st.sampled_from(["put", "put-url", "put-local", "delete", "copy"]),
    )
)
def test_any_header_is_a_change_or_refused(fields: dict[str, object]) -> None:
    text = json.dumps(fields).encode()
    data = b"h" + len(text).to_bytes(4, "big") + text + b"e\0\0\0\0"

    with contextlib.suppress(InvalidInput):
        for change in read_changes([data]):
            assert isinstance(change.path, str)


@pytest.mark.parametrize("links", ["inside", "refuse", "skip", "follow"])
def test_what_is_done_about_links_travels_if_it_must(links: str) -> None:
    change = PutLocal(path="d", source="/d", device=1, inode=2, links=links)
    body = b"".join(write_changes([change]))

    assert list(read_changes([body])) == [change]
    assert (b"links" in body) == (links != "inside")


@pytest.mark.parametrize("links", ["", "all", "Follow"])
def test_another_word_about_links_is_refused(links: str) -> None:
    body = write_changes([PutLocal(path="d", source="/d", device=1, inode=2, links=links)])

    with pytest.raises(InvalidInput, match="what to do about links"):
        list(read_changes(body))
