"""No URL makes the server reach what its settings do not list, however it is written."""

import ipaddress
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.errors import InvalidInput, NotAllowed, NotFound, OperationFailed
from trunkline.fetch.addresses import kind_of
from trunkline.fetch.policy import allow_list
from trunkline.fetch.urls import parse_url
from trunkline.fetch.web import Internet

INSIDE = {
    "127.0.0.1": "loopback", "127.255.255.254": "loopback", "127.8.8.8": "loopback",
    "0.0.0.0": "unspecified", "0.1.2.3": "unspecified", "10.0.0.1": "private",
    "10.255.255.255": "private", "172.16.0.1": "private", "172.31.255.255": "private",
    "192.168.0.1": "private", "192.168.255.255": "private", "169.254.169.254": "link-local",
    "169.254.0.1": "link-local", "100.64.0.1": "private", "100.127.255.255": "private",
    "100.100.100.200": "private", "192.0.0.192": "reserved", "192.0.2.1": "reserved",
    "198.18.0.1": "private", "198.51.100.7": "reserved", "203.0.113.9": "reserved",
    "224.0.0.1": "multicast", "239.255.255.250": "multicast", "240.0.0.1": "reserved",
    "255.255.255.255": "reserved", "192.88.99.1": "reserved",
    "::": "unspecified", "::1": "loopback", "::2": "reserved", "::7f00:1": "reserved",
    "::ffff:127.0.0.1": "loopback", "::ffff:10.0.0.1": "private",
    "::ffff:169.254.169.254": "link-local", "::ffff:0:127.0.0.1": "loopback",
    "64:ff9b::127.0.0.1": "loopback", "64:ff9b::a9fe:a9fe": "link-local",
    "64:ff9b:1::1": "private", "2002:7f00:1::": "loopback", "2002:a9fe:a9fe::1": "link-local",
    "2002:c0a8:1::": "private", "2001::1": "reserved", "2001:db8::1": "reserved",
    "fc00::1": "private", "fd00::1": "private", "fd00:ec2::254": "private",
    "fdff:ffff::1": "private", "fe80::1": "link-local", "febf::1": "link-local",
    "fec0::1": "private", "ff02::1": "multicast", "ff0e::1": "multicast", "100::1": "reserved",
    "3fff::1": "reserved", "5f00::1": "reserved", "4000::1": "reserved", "1000::1": "reserved",
}  # fmt: skip
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.0.1",
    "172.32.0.1", "169.253.1.1", "11.0.0.1", "126.0.0.1", "128.0.0.1", "223.255.255.255",
    "2606:4700::1", "2a00:1450::1", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_never_connected_to(net, fetch, address):
    net.knows("evil.example", [address])
    bracketed = f"[{address}]" if ":" in address else address

    with pytest.raises(NotAllowed, match=f"{INSIDE[address]}.* address"):
        fetch("http://evil.example/")
    with pytest.raises(NotAllowed, match=f"{INSIDE[address]}.* address"):
        fetch(f"http://{bracketed}/latest/meta-data/")

    assert net.connected == []


@pytest.mark.parametrize("address", INSIDE)
def test_one_address_inside_among_public_ones_is_enough(net, fetch, address):
    net.knows("evil.example", ["8.8.8.8", address])

    with pytest.raises(NotAllowed, match="address"):
        fetch("https://evil.example/")

    assert net.connected == []


@pytest.mark.parametrize("address", INSIDE)
def test_a_redirect_inside_is_not_followed(net, served, fetch, address):
    net.knows("evil.example", ["8.8.8.8"])
    net.knows("inside.example", [address])
    bracketed = f"[{address}]" if ":" in address else address
    served.redirect("/1", "http://inside.example/")
    served.redirect("/2", f"http://{bracketed}/")

    for path in ("/1", "/2"):
        with pytest.raises(NotAllowed, match="address"):
            fetch(f"http://evil.example{path}")
        with pytest.raises(NotAllowed, match=r"'evil\.example' redirects to"):
            fetch(f"http://evil.example{path}", None)

    assert {address for address, _ in net.connected} == {"8.8.8.8"}


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_connected_to(net, served, fetch, address):
    net.knows("data.example", [address])
    served.give("/x", b"content")

    assert fetch("http://data.example/x") == b"content"
    assert net.connected == [(str(ipaddress.ip_address(address)), 80)]


SPELLINGS = [
    "http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0x7f.1/",
    "http://017700000001/", "http://0177.0.0.1/", "http://127.1/", "http://127.0.1/",
    "http://127.0.0.01/", "http://0/", "http://0x/", "http://00000000/", "http://1.2.3.4.5/",
    "http://256.0.0.1/", "http://127.0.0.1.1/", "http://4294967297/",
    "http://127.0.0.0x1/", "http://localhost.127/", "http://[::1%25lo]/", "http://[::1]x/",
    "http://[127.0.0.1]/", "http://[::1/", "http://[]/", "http://::1/", "http:///etc/passwd",
    "http://", "http://.", "http://../", "http://a..b/", "http://.a/", "http://a../",
    "http://127.0.0.1../", "http://-a/", "http://a b/", "http://a\tb/", "http://a\n/",
    "http://a\r\nHost: b/", "http://a/ HTTP/1.1\r\nX: y", "http://a\\@b/", "http://a\\b/",
    "http://%31%32%37.0.0.1/", "http://127.0.0.1%00.example/", "http://127.0.0.1%23@x/",
    "http://user@example.com/", "http://user:secret@example.com/", "http://a@127.0.0.1/",
    "http://example.com:80@127.0.0.1/",
    "http://example.com:0/", "http://example.com:65536/", "http://example.com:/",
    "http://example.com:-1/", "http://example.com:8o/", "http://example.com:80:80/",
    "http://" + "a" * 64 + "/", "http://" + "a." * 130 + "/", "http://x/" + "y" * 9000,
    "file:///etc/passwd", "gopher://127.0.0.1:6379/_FLUSHALL", "ftp://example.com/x",
    "dict://127.0.0.1:11211/", "unix:///run/docker.sock", "jar:http://x!/", "data:text/plain,x",
    "ldap://x/", "http:example.com", "//example.com/", "example.com", "", "http", "HTTPX://a/",
    "s3://", "s3:///key", "s3://../x", "s3://a/x", "s3://buc ket/x", "s3://user@bucket/x",
    "az://container@evil.example/x", "az://c@169.254.169.254/x", "abfs://container@a/x",
    "s3://bucket:80/x", "s3://bucket/x\n",
]  # fmt: skip


@pytest.mark.parametrize("url", SPELLINGS, ids=range(len(SPELLINGS)))
def test_a_url_that_could_be_read_in_two_ways_is_refused_before_anything_is_looked_up(
    net, fetch, url
):
    for allow in ("*, 0.0.0.0/0, s3://*, az://*", None):
        with pytest.raises(InvalidInput, match="can't be fetched") as caught:
            fetch(url, allow)
        assert "secret" not in str(caught.value)

    assert (net.resolved, net.connected) == ([], [])


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1./", "127.0.0.1"),
        ("http://LOCALHOST./", "localhost"),
        ("http://１２７.0.0.1/", "127.0.0.1"),
        ("http://127。0。0。1/", "127.0.0.1"),
        ("http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "localhost"),
        ("http://[::ffff:7f00:1]/", "::ffff:7f00:1"),
        ("http://[0:0:0:0:0:0:0:1]/", "::1"),
        ("HTTP://Example.COM:080/", "example.com"),
        ("http://example.com#@127.0.0.1:x/", "example.com"),
        ("http://example.com?@127.0.0.1:x/", "example.com"),
        ("http://münchen.example/", "xn--mnchen-3ya.example"),
    ],
)
def test_a_host_has_one_spelling_when_it_is_checked(url, host):
    parsed = parse_url(url)

    assert parsed.host == host
    assert parsed == parse_url(str(parsed))


def test_the_address_that_was_checked_is_the_one_connected_to(net, served, fetch):
    net.knows("rebinding.example", ["8.8.8.8"], ["127.0.0.1"])
    served.give("/", b"first")

    assert fetch("http://rebinding.example/") == b"first"
    assert net.connected == [("8.8.8.8", 80)]
    with pytest.raises(NotAllowed, match="loopback"):
        fetch("http://rebinding.example/")
    assert net.resolved == ["rebinding.example"] * 2
    assert net.connected == [("8.8.8.8", 80)]


def test_each_redirect_is_looked_up_and_checked_once(net, served, fetch):
    net.knows("a.example", ["8.8.8.8"], ["127.0.0.1"])
    served.redirect("/", "/again")

    with pytest.raises(NotAllowed, match="loopback"):
        fetch("http://a.example/")

    assert net.connected == [("8.8.8.8", 80)]


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd", "gopher://8.8.8.8/", "ftp://a.example/", "http://user@b.example/",
        "http://2130706433/", "http://0x7f.1/", "s3://bucket/key", "javascript:alert(1)",
        "http://a.example:99999/", "http://[::1%25lo]/", "http:// /",
    ],
)  # fmt: skip
def test_a_redirect_to_what_is_no_plain_http_url_is_refused(net, served, fetch, location):
    net.knows("a.example", ["8.8.8.8"])
    served.redirect("/", location)

    for allow in ("*, s3://*", None):
        with pytest.raises(NotAllowed, match="redirects to"):
            fetch("http://a.example/", allow)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_a_few_times(net, served, fetch, status):
    net.knows("a.example", ["8.8.8.8"])
    net.knows("b.example", ["9.9.9.9"])
    served.redirect("a.example/", "//b.example/x", status)
    served.redirect("b.example/x", "y?q=1", status)
    served.give("b.example/y?q=1", b"there")

    assert fetch("http://a.example/", "a.example b.example") == b"there"
    with pytest.raises(NotAllowed, match=r"may not fetch from the host 'b\.example' \(where 'a\."):
        fetch("http://a.example/", "a.example")
    served.redirect("/loop", "/loop")
    with pytest.raises(OperationFailed, match="redirects more than 5 times"):
        fetch("http://a.example/loop")


def test_without_a_list_the_server_fetches_nothing(net, fetch):
    for url in ("http://8.8.8.8/", "https://example.com/x", "http://127.0.0.1/"):
        with pytest.raises(NotAllowed, match="its setting TRUNKLINE_FETCH_ALLOW does not list it"):
            fetch(url, "")
    for url in ("s3://bucket/key", "gs://bucket/key", "az://container/key"):
        with pytest.raises(NotAllowed, match="does not list it"):
            fetch(url, "*, 0.0.0.0/0, ::/0")

    assert (net.resolved, net.connected) == ([], [])


@pytest.mark.parametrize(
    ("allow", "host", "addresses", "fine"),
    [
        ("data.example", "data.example", ["8.8.8.8"], True),
        ("Data.Example.", "data.example", ["8.8.8.8"], True),
        ("data.example", "xdata.example", ["8.8.8.8"], False),
        ("data.example", "a.data.example", ["8.8.8.8"], False),
        ("*.example", "a.data.example", ["8.8.8.8"], True),
        ("*.data.example", "data.example", ["8.8.8.8"], False),
        ("*.data.example", "evildata.example", ["8.8.8.8"], False),
        ("*.data.example", "data.example.evil", ["8.8.8.8"], False),
        ("data.example", "data.example", ["10.0.0.1"], False),
        ("data.example, 10.0.0.0/8", "data.example", ["10.0.0.1"], True),
        ("10.0.0.0/8", "any.example", ["10.0.0.1"], True),
        ("10.0.0.0/8", "any.example", ["10.0.0.1", "8.8.8.8"], False),
        ("10.0.0.0/8", "any.example", ["::ffff:10.0.0.1"], True),
        ("10.0.0.0/8", "any.example", ["2002:a00:1::"], True),
        ("127.0.0.1", "any.example", ["127.0.0.1"], True),
        ("127.0.0.1", "any.example", ["127.0.0.2"], False),
        ("::1", "any.example", ["::1"], True),
        ("fd00::/8 *", "any.example", ["fd12::1", "2606:4700::1"], True),
        ("*", "any.example", ["192.168.1.1"], False),
    ],
)
def test_the_list_says_from_where(net, served, fetch, allow, host, addresses, fine):
    net.knows(host, addresses)
    served.give("/", b"yes")

    if fine:
        assert fetch(f"http://{host}/", allow) == b"yes"
    else:
        with pytest.raises(NotAllowed):
            fetch(f"http://{host}/", allow)


@pytest.mark.parametrize("entry", ["http://a", "a/b", "10.0.0.0/99", "a*b", "a:80", "*x", "s4://x"])
def test_an_entry_that_can_not_be_read_is_refused(entry):
    with pytest.raises(InvalidInput, match="TRUNKLINE_FETCH_ALLOW has the entry"):
        allow_list(f"example.com, {entry}")


@pytest.mark.parametrize(
    ("allow", "url", "fine"),
    [
        ("s3://bucket", "s3://bucket/key", True),
        ("s3://bucket", "s3a://bucket/a/b", True),
        ("s3://bucket", "s3://bucket2/key", False),
        ("s3://bucket", "gs://bucket/key", False),
        ("s3://bucket/public/*", "s3://bucket/public/x", True),
        ("s3://bucket/public/*", "s3://bucket/secret/x", False),
        ("s3://data-*", "s3://data-1/x", True),
        ("gcs://bucket", "gs://bucket/x", True),
        ("wasb://box", "az://box/x", True),
        ("az://box", "az://box@stranger/x", False),
        ("az://box", "abfss://box@stranger.dfs.core.windows.net/x", False),
        ("az://*", "az://box@stranger/x", False),
        ("az://box@mine", "az://box@mine/x", True),
        ("az://box@mine", "abfss://box@mine.dfs.core.windows.net/x", True),
        ("az://box@mine", "az://box@stranger/x", False),
        ("az://box@mine", "az://box/x", False),
        ("az://box@mine/public/*", "az://box@mine/secret/x", False),
    ],
)
def test_buckets_are_listed_one_by_one(allow, url, fine):
    rules = allow_list(allow)

    if fine:
        rules.check_store(parse_url(url))
    else:
        with pytest.raises(NotAllowed):
            rules.check_store(parse_url(url))


def test_a_user_fetches_from_their_own_network(net, served, fetch):
    net.knows("nas.local", ["192.168.1.5"])
    net.knows("other.local", ["10.0.0.9"])
    served.redirect("/", "http://other.local/x")
    served.give("/x", b"mine")

    assert fetch("http://nas.local/", None) == b"mine"
    assert fetch("http://127.0.0.1/x", None) == b"mine"


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
@example(ipaddress.ip_address("100.64.0.0"))
@example(ipaddress.ip_address("2002:100::"))  # stands for 1.0.0.0; inside to some releases
@example(ipaddress.ip_address("2002:7f00:1::"))
def test_what_python_knows_as_inside_is_never_public(address):
    if address.version == 6:
        address = address.ipv4_mapped or address.sixtofour or address
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_private:
        assert kind_of(address) is not None


@given(st.ip_addresses(v=4))
def test_an_address_in_ipv6_clothes_is_the_same(address):
    for form in ("::ffff:{}", "64:ff9b::{}", "::ffff:0:{}"):
        assert kind_of(ipaddress.ip_address(form.format(address))) == kind_of(address)


@given(st.text(max_size=60) | st.from_regex(r"https?://[ -~]{0,40}", fullmatch=True))
@example("http://[::1")
@example("http://a/\ud800")
def test_any_text_is_a_url_or_refused(text):
    try:
        parsed = parse_url(text)
    except InvalidInput:
        return
    assert str(parse_url(str(parsed))) == str(parsed)


def test_the_real_net_knows_this_machine():
    with socket.create_server(("127.0.0.1", 0)) as server:
        net = Internet()
        addresses = net.resolve("localhost", 80)
        connection = net.connect(ipaddress.ip_address("127.0.0.1"), server.getsockname()[1], 5)
        connection.close()

    assert ipaddress.ip_address("127.0.0.1") in addresses
    assert net.resolve("127.1", 80) == [ipaddress.ip_address("127.0.0.1")]
    with pytest.raises(OSError, match=r"[Nn]ame"):
        net.resolve("no.such.host.invalid", 80)


def test_what_is_not_there_is_not_found(net, served, fetch):
    with pytest.raises(NotFound, match=r"there is nothing at http://8.8.8.8/none \(404\)"):
        fetch("http://8.8.8.8/none?token=secret")
