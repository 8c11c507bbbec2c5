"""Forms with files, cut anywhere on their way."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidInput
from trunkline.server.console.multipart import boundary_of, parts_of

BOUNDARY = b"----WebKitFormBoundaryab12"
CONTENT = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from([b"\r\n", b"--", BOUNDARY, b"\r\n--" + BOUNDARY[:-1], b"-", b"x"]),
        max_size=6,
    ).map(b"".join),
).filter(lambda content: b"\r\n--" + BOUNDARY not in b"\r\n" + content)


def form(parts: list[tuple[str, str | None, bytes]]) -> bytes:
    """A form as browsers write it."""
    body = b""
    for name, file_name, content in parts:
        head = f'Content-Disposition: form-data; name="{name}"'
        if file_name is not None:
            escaped = file_name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
            head += f'; filename="{escaped}"\r\nContent-Type: application/octet-stream'
        body += b"--" + BOUNDARY + b"\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"
    return body + b"--" + BOUNDARY + b"--\r\n"


def cut(body: bytes, sizes: list[int]) -> Iterator[bytes]:
    for size in sizes:
        yield body[:size]
        body = body[size:]
    yield body


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "file"]), st.sampled_from([None, "ä b.txt"]), CONTENT)
    ),
    st.lists(st.integers(0, 40), max_size=20),
    st.booleans(),
)
def test_parts_come_as_they_were_sent_however_the_body_is_cut(
    parts: list[tuple[str, str | None, bytes]], sizes: list[int], read: bool
) -> None:
    found = [
        (part.name, part.file_name, b"".join(part.content) if read else b"")
        for part in parts_of(cut(form(parts), sizes), BOUNDARY)
    ]

    assert found == [(name, file, content if read else b"") for name, file, content in parts]


@given(st.integers(0, 300))
def test_a_body_that_breaks_off_is_refused(at: int) -> None:
    whole = form([("a", None, b"x" * 40), ("file", "a.txt", b"y" * 80)])
    body = whole[: min(at, len(whole) - 5)]

    with pytest.raises(InvalidInput, match="broke off|does not begin"):
        list(parts_of([body], BOUNDARY))


@pytest.mark.parametrize(
    "body",
    [
        b"nothing of it",
        b"--%b\r\n\r\n\r\n",
        b"--%bx\r\n",
        b"--%b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--%b--",
        b'--%b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--%b--',
        b"--%b\r\n" + b"a" * 20_000,
    ],
)
def test_what_is_malformed_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        list(parts_of([body.replace(b"%b", BOUNDARY)], BOUNDARY))


@pytest.mark.parametrize("given_type", ["", "text/plain", "multipart/form-data", "a/b; boundary=x"])
def test_what_is_no_form_with_files_is_refused(given_type: str) -> None:
    with pytest.raises(InvalidInput, match="multipart/form-data"):
        boundary_of(given_type)


def test_names_are_those_that_the_user_sees() -> None:
    name = 'a "b" \\ 100% ü\n.txt'

    found = next(parts_of([form([("file", name, b"")])], BOUNDARY))

    assert found.file_name == name
