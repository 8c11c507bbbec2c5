"""Servers over TLS: who is trusted, what is said of each thing that may be wrong, renewal."""

import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from certificates import Authority, Issued
from memory_operations import MemoryOperations
from memory_server import MemoryServer

from trunkline.api.changes import PutFile
from trunkline.client.address import HttpAddress
from trunkline.client.remote import RemoteClient
from trunkline.client.transport import Transport
from trunkline.connect.opening import check_ca_file
from trunkline.errors import InvalidInput, TokenRefused, TrunklineError, Unavailable
from trunkline.jobs.certificate import Certificate, certificate_of


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[Issued], MemoryServer]]:
    """Starts a server with a certificate; it follows copies of the files in its directory."""
    running: list[MemoryServer] = []

    def start(issued: Issued) -> MemoryServer:
        home = tmp_path / f"s{len(running)}"
        home.mkdir()
        copies = Issued(home / "cert", home / "key")
        put_in_place(issued, copies)
        server = MemoryServer(
            MemoryOperations(), home, certificate=Certificate(copies.cert, copies.key)
        )
        running.append(server.__enter__())
        return server

    yield start
    for server in running:
        server.__exit__(None, None, None)


def put_in_place(issued: Issued, copies: Issued) -> None:
    shutil.copy(issued.cert, copies.cert)
    shutil.copy(issued.key, copies.key)


def client(
    server: MemoryServer, ca_file: Path | None, *, host: str = "127.0.0.1", secure: bool = True
) -> RemoteClient:
    address = HttpAddress(host=host, port=server.port, secure=secure)
    ca = None if ca_file is None else str(ca_file)
    return RemoteClient(Transport(address, token=server.token, ca_file=ca))


def refused(asked: RemoteClient) -> str:
    with closing(asked), pytest.raises(Unavailable) as failure:
        asked.repos.list_repos()
    return str(failure.value).partition(f"{asked.transport.address}")[2]


def test_all_that_goes_over_tcp_goes_over_tls(served, authority) -> None:
    server = served(authority.issue())
    with closing(client(server, authority.file)) as asked:
        asked.repos.create_repo("data")
        content = [bytes([number]) * 300_000 for number in range(20)]
        for size in (1, 20):  # in one request, and in many pieces
            asked.files.modify_files("data", "master", [PutFile(path="/a", content=content[:size])])
            assert b"".join(asked.files.read_file("data", "master", "/a")) == b"".join(
                content[:size]
            )
        with pytest.raises(TrunklineError):  # the connection is good for another request after it
            asked.repos.create_repo("data")
        assert [repo.name for repo in asked.repos.list_repos()] == ["data"]
    stranger = HttpAddress(host="127.0.0.1", port=server.port, secure=True)
    with (
        closing(RemoteClient(Transport(stranger, ca_file=str(authority.file)))) as asked,
        pytest.raises(TokenRefused),
    ):
        asked.repos.list_repos()
    with closing(server.client()) as private:  # as ever
        assert [repo.name for repo in private.repos.list_repos()] == ["data"]


def test_what_is_wrong_is_said_with_what_to_do(served, authority, tmp_path) -> None:
    good = served(authority.issue())
    other_name = served(authority.issue("DNS:data.example.org"))
    expired = served(authority.issue(expired=True))
    another = Authority(tmp_path / "another")

    assert "nobody whom this machine trusts; if its authority" in refused(client(good, None))
    assert "nobody whom this machine trusts" in refused(client(good, another.file))
    assert "is not for '127.0.0.1'" in refused(client(other_name, authority.file))
    assert "is not for 'localhost'" in refused(client(other_name, authority.file, host="localhost"))
    assert "its certificate has expired" in refused(client(expired, authority.file))
    assert (
        refused(client(good, authority.file, secure=False))
        == f" wants TLS; its address is https://127.0.0.1:{good.port}"
    )


def test_tls_with_a_server_that_has_none_is_told(server: MemoryServer, authority) -> None:
    told = refused(client(server, authority.file))

    assert told.startswith(": it does not speak TLS; ")
    assert told.endswith(f"its address is http://127.0.0.1:{server.port}")


def test_a_certificate_that_is_renewed_is_taken_over(served, authority, tmp_path) -> None:
    server = served(authority.issue())
    renewed = authority.issue()
    copies = Issued(tmp_path / "s0" / "cert", tmp_path / "s0" / "key")
    kept = client(server, authority.file)
    kept.repos.create_repo("data")

    shutil.copy(renewed.cert, copies.cert)  # the key is not there yet
    before = shown(server, authority)
    shutil.copy(renewed.key, copies.key)
    deadline = time.monotonic() + 60
    while (now := shown(server, authority)) == before and time.monotonic() < deadline:
        time.sleep(0.05)

    assert now == ssl.PEM_cert_to_DER_cert(renewed.cert.read_text())
    assert [repo.name for repo in kept.repos.list_repos()] == ["data"]
    kept.close()


def shown(server: MemoryServer, authority: Authority) -> bytes:
    """The certificate that a server shows to who connects now."""
    context = ssl.create_default_context(cafile=str(authority.file))
    with (
        socket.create_connection(("127.0.0.1", server.port), 20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return secure.getpeercert(binary_form=True) or b""


def test_files_that_can_not_be_used_are_refused_by_name(authority, tmp_path) -> None:
    one, other = authority.issue(), authority.issue()
    empty = tmp_path / "empty"
    empty.touch()
    for cert, key, told in (
        (one.cert, other.key, "is not that of the certificate"),
        (one.cert, tmp_path / "none", "can't read the TLS key"),
        (empty, one.key, "is no PEM file"),
        (one.key, one.key, "can't be used"),
        (one.cert, "", "both of them"),
    ):
        with pytest.raises(InvalidInput, match=told):
            certificate_of(str(cert), str(key))
    with pytest.raises(InvalidInput, match="is no PEM file with certificates"):
        check_ca_file(str(empty))
    with pytest.raises(InvalidInput, match="can't read .*, which is to say who vouches"):
        check_ca_file(str(tmp_path / "none"))
