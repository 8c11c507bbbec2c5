"""How `git` is kept where it may go: which host it connects to, and what it is told."""

import ipaddress
import os
import resource
from collections.abc import Sequence
from pathlib import Path

import pytest
from git_remote import GitServer, Repository, daemon, served

from trunkline.errors import InvalidInput, NotAllowed, OperationFailed
from trunkline.fetch.addresses import Address
from trunkline.fetch.git import Git, Interrupted, Remote
from trunkline.fetch.policy import allow_list
from trunkline.fetch.urls import parse_git
from trunkline.fetch.web import Internet, Limits


class Names(Internet):
    """A host that has these addresses, and says how often it was looked up."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = [ipaddress.ip_address(text) for text in addresses]
        self.asked = 0

    def resolve(self, host: str, port: int) -> Sequence[Address]:
        self.asked += 1
        return self.addresses


def git(tmp: Path, net: Internet, allow: str = "127.0.0.0/8", **more: object) -> Git:
    given = {
        "path": os.environ["PATH"],
        "directory": tmp / "mirrors",
        "policy": allow_list(allow),
        "limits": Limits(bytes_max=1 << 30, seconds_max=60),
        "marker": ("TRUNKLINE_SLOT", "test"),
        "cancelled": lambda: False,
        "net": net,
        **more,
    }
    return Git(**given)


def remote(url: str, **more: str) -> Remote:
    return Remote(url=parse_git(url), branch="master", **more)


def port_of(server: GitServer) -> int:
    return server.server_address[1]


def test_git_connects_to_the_address_that_was_checked(tmp_path: Path) -> None:
    code = Repository(tmp_path / "there")
    commit = code.push({"a": "1"}, "One")
    names = Names("127.0.0.1")
    with served(tmp_path / "there") as server:
        there = remote(f"http://code.example.org:{port_of(server)}/models.git")
        program = git(tmp_path, names)
        found = program.head(there)
        fetched = program.mirror("m").fetch(there, found)

    assert found == fetched == commit
    assert set(server.hosts) == {f"code.example.org:{port_of(server)}"}
    assert names.asked == 2  # once for each time that it connects


def test_the_daemon_is_asked_by_its_address_for_its_name(tmp_path: Path) -> None:
    code = Repository(tmp_path / "there")
    commit = code.push({"a": "1"}, "One")
    with daemon(tmp_path / "there") as url:
        port = url.rpartition(":")[2]
        there = remote(f"git://code.example.org:{port}/models.git")
        assert git(tmp_path, Names("127.0.0.1")).head(there) == commit


@pytest.mark.parametrize(
    ("allow", "addresses"),
    [("*", ["127.0.0.1"]), ("code.example.org", ["93.184.216.34", "10.0.0.1"]), ("10.0.0.0/8", [])],
)
def test_where_it_may_not_go_nothing_is_started(
    tmp_path: Path, allow: str, addresses: list[str]
) -> None:
    there = remote("https://code.example.org/models.git")

    with pytest.raises(NotAllowed if addresses else OperationFailed):
        git(tmp_path, Names(*addresses), allow).head(there)


def test_a_secret_is_sent_by_https_or_to_this_machine_alone(tmp_path: Path) -> None:
    for scheme in ("http", "git"):
        there = remote(f"{scheme}://code.example.org/models.git", credentials="geheim")
        with pytest.raises(NotAllowed, match="is not sent: only https keeps it from being read"):
            git(tmp_path, Names("10.0.0.1"), "10.0.0.0/8").head(there)

    assert "geheim" not in repr(there)


def test_an_alternate_place_of_objects_is_not_followed(tmp_path: Path) -> None:
    """What a server of plain files may name: here a file of the machine."""
    code = Repository(tmp_path / "there")
    code.push({"a": "1"}, "One")
    other = Repository(tmp_path / "elsewhere", "other")
    other.push({"secret": "s"})
    alternates = code.bare / "objects" / "info" / "alternates"
    alternates.write_text(f"{other.bare}/objects\n")
    with served(tmp_path / "there") as server:
        there = remote(f"http://127.0.0.1:{port_of(server)}/models.git")
        program = git(tmp_path, Internet())
        mirror = program.mirror("m")
        mirror.fetch(there, program.head(there))

    assert not (mirror.directory / "objects" / "info" / "alternates").exists()


def test_what_is_given_up_ends_at_once(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        there = remote(f"http://127.0.0.1:{port_of(server)}/models.git")
        with pytest.raises(Interrupted):
            git(tmp_path, Internet(), cancelled=lambda: True).head(there)

    assert server.asked == []


def test_a_process_of_many_open_files_can_read_a_tree(tmp_path: Path) -> None:
    code = Repository(tmp_path / "there")
    commit = code.push({"a": "1"})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("this user may not open more than 4,096 files")
    with served(tmp_path / "there") as server:
        there = remote(f"http://127.0.0.1:{port_of(server)}/models.git")
        mirror = git(tmp_path, Internet()).mirror("m")
        mirror.fetch(there, commit)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        assert len(b"".join(mirror.tree(commit))) > 1024
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_is_given_up_in_the_middle_leaves_no_mirror(tmp_path: Path) -> None:
    code = Repository(tmp_path / "there")
    commit = code.push({"a": "1"})
    with served(tmp_path / "there") as server:
        there = remote(f"http://127.0.0.1:{port_of(server)}/models.git")
        program = git(tmp_path, Internet(), cancelled=lambda: bool(server.fetches()))
        server.held.clear()
        with pytest.raises(Interrupted):
            program.mirror("m").fetch(there, commit)

    assert not (tmp_path / "mirrors" / "m").exists()


def test_what_takes_too_long_is_given_up(tmp_path: Path) -> None:
    code = Repository(tmp_path / "there")
    commit = code.push({"a": "1"})
    with served(tmp_path / "there") as server:
        server.held.clear()
        there = remote(f"http://127.0.0.1:{port_of(server)}/models.git")
        limits = Limits(bytes_max=1 << 30, seconds_max=0.3)
        with pytest.raises(OperationFailed, match=r"models.git took more than 0 s"):
            git(tmp_path, Internet(), limits=limits).mirror("m").fetch(there, commit)


def test_a_url_that_is_no_url_of_git_is_refused() -> None:
    for url in ("ftp://host/a.git", "https://host", "git://", "http://h/a#b"):
        with pytest.raises(InvalidInput):
            parse_git(url)
