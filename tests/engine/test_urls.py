"""What the server fetches for its callers: nothing that its settings do not list."""

import functools
import http.server
import threading

import pytest

from trunkline.api.changes import PutUrl, Split
from trunkline.config import load
from trunkline.connect.local import stop_server
from trunkline.connect.opening import local_client
from trunkline.errors import InvalidInput, NotAllowed, NotFound


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path):
    """The URL of a server with one file of two lines."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a.txt").write_bytes(b"one\ntwo\n")
    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def put(driver, url, **more):
    change = PutUrl(path="x", url=url, **more)
    return driver.engine.files.modify_files("data", "master", [change])


def test_without_a_list_nothing_is_fetched_not_even_over_the_private_socket(engine, remote, web):
    for driver in (engine, remote):
        driver.engine.repos.create_repo("data")

        with pytest.raises(NotAllowed, match="its setting TRUNKLINE_FETCH_ALLOW does not list it"):
            put(driver, f"{web}/a.txt")
        with pytest.raises(NotAllowed, match="does not list it"):
            put(driver, "s3://bucket/key")
        with pytest.raises(InvalidInput, match="can't be fetched"):
            put(driver, "file:///etc/passwd")

        assert list(driver.engine.branches.list_branches("data")) == []


def test_what_is_listed_is_fetched_and_treated_like_any_content(open_engine, web):
    driver = open_engine(TRUNKLINE_FETCH_ALLOW="127.0.0.0/8")
    driver.engine.repos.create_repo("data")

    put(driver, f"{web}/a.txt", split=Split(by="line"))
    with pytest.raises(NotFound, match="there is nothing at"):
        put(driver, f"{web}/none")

    assert list(driver.tree("data").values()) == ["one\n", "two\n"]


def test_a_list_that_can_not_be_read_is_told_before_anything_is_opened(open_engine):
    with pytest.raises(InvalidInput, match="TRUNKLINE_FETCH_ALLOW has the entry 'http://x'"):
        open_engine(TRUNKLINE_FETCH_ALLOW="http://x")


def test_a_server_has_its_list_from_its_own_environment(tmp_path, monkeypatch, web):
    monkeypatch.setenv("TRUNKLINE_FETCH_ALLOW", "127.0.0.1")
    config = load(home=tmp_path / "listed")
    client = local_client(config)
    try:
        client.repos.create_repo("data")
        client.files.modify_files("data", "master", [PutUrl(path="x", url=f"{web}/a.txt")])

        assert b"".join(client.files.read_file("data", "master", "x")) == b"one\ntwo\n"
    finally:
        client.close()
        stop_server(config)
