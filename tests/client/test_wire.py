"""Answers are read the same in whatever pieces they come, and never past their end."""

import socket
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.client.wire import CutShort, HungUp, NotHttp, Wire


def wire_with(*pieces: bytes) -> Wire:
    """A connection on which these come, each once the one before may have been read."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        with theirs:
            for piece in pieces:
                theirs.sendall(piece)

    threading.Thread(target=send, daemon=True).start()
    return Wire(ours, host="h")


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    for start, end in pairwise(ends):
        yield data[start:end]


def framed(chunks: list[bytes], *, chunked: bool) -> bytes:
    if not chunked:
        body = b"".join(chunks)
        return b"HTTP/1.1 200 OK\r\nCONTENT-length:  %d \r\nX: y\r\n\r\n%b" % (len(body), body)
    parts = [b"%X;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
    return b"".join([head, *parts, b"0\r\nTrailer: t\r\n\r\n"])


answers = st.lists(
    st.tuples(st.lists(st.binary(max_size=300), max_size=6), st.booleans()), min_size=1, max_size=4
)


@given(answers=answers, places=st.lists(st.integers(0, 5000), max_size=12))
def test_answers_are_read_whole_one_after_the_other(
    answers: list[tuple[list[bytes], bool]], places: list[int]
) -> None:
    ours, theirs = socket.socketpair()
    wire = Wire(ours, host="h")

    for chunks, chunked in answers:
        pieces = list(cut(framed(chunks, chunked=chunked), places))
        sending = threading.Thread(target=lambda pieces=pieces: [*map(theirs.sendall, pieces)])
        sending.start()
        answer = wire.answer()
        assert b"".join(answer.pieces()) == b"".join(chunks)
        assert answer.reusable
        sending.join()

    theirs.close()
    with pytest.raises(HungUp):
        wire.answer()
    wire.close()


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=4),
    chunked=st.booleans(),
    at=st.integers(0, 10_000),
)
def test_an_answer_that_is_cut_anywhere_is_an_error(
    chunks: list[bytes], chunked: bool, at: int
) -> None:
    data = framed(chunks, chunked=chunked)
    wire = wire_with(data[: at % len(data)])

    with pytest.raises((CutShort, HungUp, NotHttp)):
        wire.answer().read()

    wire.close()


@given(data=st.binary(max_size=200), body=st.binary(max_size=100))
def test_what_is_no_answer_ends_in_an_error_of_its_own(data: bytes, body: bytes) -> None:
    for text in (data, b"HTTP/1.1 200 OK\r\n" + data, framed([data], chunked=True) + body):
        wire = wire_with(text)
        try:
            wire.answer().read()
        except (CutShort, HungUp, NotHttp):
            pass
        wire.close()


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 2\r\n\r\nab", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", False),
        (b"HTTP/1.1 200 OK\r\n\r\nab", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab" * 2, False),
    ],
)
def test_a_connection_is_used_again_only_where_its_answer_ends_for_certain(
    head: bytes, reusable: bool
) -> None:
    wire = wire_with(head)
    answer = wire.answer()

    assert answer.read() == b"ab"
    assert answer.reusable is reusable
    wire.close()


@pytest.mark.parametrize("head", [b"x: y\r\n" * 20_000, b"x" * 100_000])
def test_a_head_without_end_is_refused(head: bytes) -> None:
    wire = wire_with(b"HTTP/1.1 200 OK\r\n" + head)

    with pytest.raises((NotHttp, CutShort)):
        wire.answer()

    wire.close()
