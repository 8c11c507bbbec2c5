"""URLs as sources of `put file`: fetched here, as they go out, unless the server is told to."""

import socket
import threading

import pytest
from web import serving

from trunkline.api.changes import PutFile, PutLocal, PutUrl, Split


@pytest.fixture
def broken_off():
    """The URL of what sends less than it says."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
                connection.sendall(head + b"http://localhost/a\nhttp://localhost/b\n")

        answering = threading.Thread(target=answer)
        answering.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/list"
        answering.join()


def test_half_a_list_of_sources_is_none(cli, stub, broken_off):
    result = cli("put", "file", "r@m", "-i", broken_off)

    assert result.status == 1
    assert f"{broken_off} could not be fetched: the answer broke off" in result.err
    assert not stub.all_called("modify_files")


@pytest.fixture
def web():
    answers = {
        "/a/b%20c.csv?x=1": b"one",
        "/a/b.csv": b"two",
        "/list": b"/a/b.csv\n",
        "/evil": b"/etc/passwd\n",
        "/dash": b"-\n",
    }
    with serving(answers) as url:
        answers["/urls"] = f"{url}/a/b.csv\n{url}/none\n".encode()
        yield url


def sent(stub):
    (_, _, changes), _ = stub.called("modify_files")
    return changes


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize(
    ("words", "name", "path", "content"),
    [
        ("put file r@m", "/a/b%20c.csv?x=1", "b c.csv", b"one"),
        ("put-file r m", "/a/b.csv", "a/b.csv", b"two"),
        ("put file r@m:/x", "/a/b.csv", "x", b"two"),
        ("put file r@m:/x/", "/a/b.csv", "x/b.csv", b"two"),
        ("put file r@m --full-path", "/a/b.csv", "a/b.csv", b"two"),
    ],
)
def test_a_url_is_fetched_here_and_stored_by_its_name(
    cli, stub, web, local, words, name, path, content
):
    cli.local = local

    result = cli(*words.split(), "-f", web + name)

    assert (result.status, result.err) == (0, "")
    append = words.startswith("put-file")
    assert sent(stub) == [PutFile(path=path, content=[content], append=append)]


def test_the_server_fetches_when_it_is_told_to(cli, stub, web, tmp_path):
    (tmp_path / "f").write_bytes(b"x")

    cli("put", "file", "r@m", "--server-fetch", "-f", f"{web}/a/b.csv", "-f", str(tmp_path / "f"))

    url, file = sent(stub)
    assert url == PutUrl(path="b.csv", url=f"{web}/a/b.csv")
    assert isinstance(file, PutLocal)


def test_what_is_fetched_may_be_split(cli, stub, web):
    cli("put", "file", "r@m:/d", "--split", "line", "-f", f"{web}/a/b.csv")

    assert sent(stub) == [PutFile(path="d", content=[b"two"], split=Split(by="line"))]


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("put file r@m -f {}/none", 3, "there is nothing at http://127.0.0.1"),
        ("put file r@m -f {}", 2, "it names no file"),
        ("put file r@m -f http://user@127.0.0.1/x", 2, "it has a user name or password"),
        ("put file r@m -f http://127.1/x", 2, "is a number, but not in the usual form"),
        ("put file r@m -f ftp://127.0.0.1/x", 2, "only http, https and object stores"),
        ("put file r@m -f http://127.0.0.1:1/x", 1, "Connection refused"),
        ("put file r@m -f s3://bucket", 2, "names no object; add -r"),
        ("put file r@m -f s3://bucket/dir/", 2, "names no object; add -r"),
        ("put file r@m -f s3://b/x", 2, "its bucket is no name"),
        ("put file r@m -i {}/evil", 2, "names '/etc/passwd', a file of this machine"),
        ("put file r@m -i {}/list", 2, "a list from a URL may name URLs only"),
        ("put file r@m -i {}/dash", 2, "names '-', a file of this machine"),
        ("put file r@m -i {}/none", 1, "could not be fetched"),
        ("put file r@m -i {}/urls", 3, "there is nothing at"),
    ],
)
def test_what_can_not_be_fetched_is_told_and_changes_nothing(
    cli, stub, web, words, status, sentence
):
    result = cli(*words.format(web).split())

    assert (result.status, result.out) == (status, "")
    assert sentence in result.err


def test_a_list_can_not_name_standard_input(cli, stub, tmp_path):
    (tmp_path / "list").write_text("-\n")

    result = cli("put", "file", "r@m:/x", "-i", str(tmp_path / "list"))

    assert (result.status, stub.calls) == (2, [])
    assert "standard input can't be in a list" in result.err
