"""A chunked body is read as the HTTP library reads it, or refused: never in a third way."""

from collections.abc import Callable

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidInput
from trunkline.server.rest.chunked import BUFFER_BYTES, LARGE_BYTES, ChunkedReader

HEAD = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
BEHIND = b"GET /next HTTP/1.1\r\n"  # what comes after the body
CHUNKS = st.lists(st.one_of(st.binary(min_size=1, max_size=40), st.integers(1, 200_000).map(bytes)))


def framed(chunks: list[bytes], *, upper: bool = False) -> bytes:
    sizes = "%X" if upper else "%x"
    return (
        b"".join(sizes.encode() % len(chunk) + b"\r\n" + chunk + b"\r\n" for chunk in chunks)
        + b"0\r\n\r\n"
    )


def receiving(data: bytes, sizes: list[int]) -> Callable[[list[memoryview]], int]:
    """Gives the data in parts of such sizes, over and over, as a connection might."""
    at = turn = 0

    def receive(views: list[memoryview]) -> int:
        nonlocal at, turn
        part = data[at : at + sizes[turn % len(sizes)]]
        turn += 1
        came = 0
        for view in views:
            size = min(len(view), len(part) - came)
            view[:size] = part[came : came + size]
            came += size
        at += came
        return came

    return receive


def read_some(reader: ChunkedReader, wanted: int) -> bytes:
    """At most so many bytes to where they are wanted, or for 0 a piece."""
    if not wanted:
        return next(reader.pieces(), b"")
    view = memoryview(bytearray(wanted))
    return bytes(view[: reader.readinto(view)])


def read_by_library(data: bytes) -> tuple[bytes, bytes] | None:
    """The body and what is behind it; None if it is malformed or not whole."""
    library = h11.Connection(h11.SERVER)
    library.receive_data(HEAD + data)
    body = b""
    try:
        while True:
            event = library.next_event()
            if isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return body, library.trailing_data[0]
            elif event is h11.NEED_DATA:
                return None
    except h11.RemoteProtocolError:
        return None


@given(
    chunks=CHUNKS,
    upper=st.booleans(),
    begin=st.integers(0, 300),
    parts=st.lists(st.integers(1, 2 * BUFFER_BYTES), min_size=1),
    wants=st.lists(st.sampled_from([0, 1, 7, LARGE_BYTES, 300_000]), min_size=1),
)
def test_a_body_is_what_was_sent_however_it_comes_and_is_asked_for(
    chunks: list[bytes], upper: bool, begin: int, parts: list[int], wants: list[int]
) -> None:
    data = framed(chunks, upper=upper) + BEHIND
    if min(parts) < 100:
        parts = [max(100, part) for part in parts] if len(data) > 10_000 else parts
    reader = ChunkedReader(receiving(data[begin:], parts), data[:begin])

    body = bytearray()
    turn = 0
    while piece := read_some(reader, max(wants[turn % len(wants)], len(data) // 500)):
        body += piece
        turn += 1

    assert body == b"".join(chunks)
    assert reader.complete
    assert not reader.broken
    assert reader.readinto(memoryview(bytearray(5))) == 0
    assert reader.unread().startswith(b"0\r\n\r\n")
    assert (b"0\r\n\r\n" + BEHIND).startswith(reader.unread())  # no byte of it is lost or new


@given(
    chunks=CHUNKS,
    parts=st.lists(st.integers(1, 1000), min_size=1),
    wants=st.lists(st.sampled_from([0, 1, 7, LARGE_BYTES])),
)
def test_another_reader_can_go_on_anywhere(
    chunks: list[bytes], parts: list[int], wants: list[int]
) -> None:
    data = framed([chunk[:2000] for chunk in chunks]) + BEHIND
    body = b"".join(chunk[:2000] for chunk in chunks)
    receive = receiving(data, parts)
    reader = ChunkedReader(receive, b"")

    read = b"".join(read_some(reader, wanted) for wanted in wants)
    coming = memoryview(bytearray(len(data)))
    came = 0
    while size := receive([coming[came:]]):
        came += size
    onward = read_by_library(reader.unread() + bytes(coming[:came]))

    assert onward is not None
    rest, behind = onward
    assert behind == BEHIND
    assert read + rest in (body, body[: len(read)] + b"-" + body[len(read) :])


@given(st.data())
def test_what_is_read_is_what_the_library_reads(data: st.DataObject) -> None:
    blob = bytearray(framed(data.draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(blob)))
        odd = data.draw(
            st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"0", b"a", b" ", b";", b"-", b"+", b"\0"])
            | st.binary(max_size=4)
        )
        blob[at : at + data.draw(st.integers(0, 3))] = odd
    reader = ChunkedReader(receiving(bytes(blob), [data.draw(st.integers(1, 30))]), b"")

    try:
        body = b"".join(reader.pieces())
    except InvalidInput:
        assert reader.broken
        return

    if not reader.complete:
        assert reader.broken  # it was not whole
        return
    assert not reader.broken
    expected = read_by_library(bytes(blob))
    assert expected is not None
    assert body == expected[0]
    assert (b"0\r\n\r\n" + expected[1]).startswith(reader.unread())


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"zz\r\n",
        b"-1\r\nx\r\n",
        b"+1\r\nx\r\n",
        b"0x1\r\nx\r\n",
        b" 1\r\nx\r\n",
        b"1 \r\nx\r\n",
        b"1;a=b\r\nx\r\n0\r\n\r\n",
        b"1_0\r\n" + b"x" * 16 + b"\r\n",
        "١\r\nx\r\n".encode(),
        b"1\nx\n0\n\n",
        b"1\rx\r0\r\r",
        b"1\r\nxy\r\n",
        b"2\r\nx\r\n0\r\n\r\n",
        b"1\r\nx0\r\n\r\n",
        b"f" * 17 + b"\r\n",
        b"0" * 1000,
        b"0\r\ntrailer: x\r\n\r\n",
        b"0\r\n\n",
        b"0\r\nxx",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(data: bytes) -> None:
    reader = ChunkedReader(receiving(data, [3]), b"")

    with pytest.raises(InvalidInput, match="is not in chunks as this server reads them"):
        list(reader.pieces())

    assert reader.broken
    assert list(reader.pieces()) == []


@pytest.mark.parametrize("length", range(len(framed([b"hello", b"world"]))))
def test_a_body_that_broke_off_is_not_complete(length: int) -> None:
    data = framed([b"hello", b"world"])[:length]
    reader = ChunkedReader(receiving(data, [4]), b"")

    assert b"helloworld".startswith(b"".join(reader.pieces()))
    assert reader.broken
    assert not reader.complete
