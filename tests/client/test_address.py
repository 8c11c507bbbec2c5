"""Server addresses: what is understood, and what is said about the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.client.address import HttpAddress, SocketAddress, parse_server_address
from trunkline.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:///run/t.sock", SocketAddress(path="/run/t.sock")),
        ("http://h:1", HttpAddress(host="h", port=1)),
        ("http://h:1/", HttpAddress(host="h", port=1)),
        ("h:1", HttpAddress(host="h", port=1)),
        ("h", HttpAddress(host="h", port=30650)),
        ("https://h", HttpAddress(host="h", port=443, secure=True)),
        ("https://h:8443", HttpAddress(host="h", port=8443, secure=True)),
        ("[::1]:5", HttpAddress(host="::1", port=5)),
    ],
)
def test_an_address_is_read(text: str, address: object) -> None:
    assert parse_server_address(text) == address


@pytest.mark.parametrize("text", ["unix:///a b", "http://h:1", "https://[::1]:5"])
def test_an_address_is_printed_as_it_can_be_read_again(text: str) -> None:
    assert str(parse_server_address(text)) == text


def test_a_grpc_address_is_refused_with_what_to_write() -> None:
    with pytest.raises(InvalidInput, match=r"speaks HTTP; write http://h:30650"):
        parse_server_address("grpc://h:30650")
    with pytest.raises(InvalidInput, match=r"speaks HTTP; write https://h:30650"):
        parse_server_address("grpcs://h:30650")


@pytest.mark.parametrize(
    "text",
    ["", ":", ":80", "http://", "http://h:x", "http://h:99999", "http://h/path", "http://h?q",
     "unix://rel", "ftp://h", "h:1:2", "http://[::1", "a b", "http://u:secret@h"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_server_address(text)

    assert "secret" not in str(raised.value)


@given(st.text())
def test_no_text_is_more_than_refused(text: str) -> None:
    try:
        address = parse_server_address(text)
    except InvalidInput:
        return

    assert parse_server_address(str(address)) == address
