"""Git inputs whose remotes can't be had: one sentence on the pipeline, and nothing is changed."""

import base64
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from git_remote import Repository, served
from git_world import GitWorld

from trunkline.errors import (
    InUse,
    NotAllowed,
    NotFound,
    NotSupported,
    OperationFailed,
    TrunklineError,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GitWorld]:
    with served(tmp_path / "there") as server:
        made = GitWorld(tmp_path, server)
        yield made
        server.held.set()
        made.engine.close()


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_server_follows_only_what_its_settings_list(world: GitWorld) -> None:
    world.restart(TRUNKLINE_FETCH_ALLOW="git.example.com")

    with pytest.raises(NotAllowed, match="may not fetch from the host '127.0.0.1'.*can add it"):
        world.create()
    assert world.engine.repos.list_repos() == []


def test_what_is_listed_by_name_alone_must_be_at_a_public_address(world: GitWorld) -> None:
    url = world.server.url.replace("127.0.0.1", "localhost")
    world.restart(TRUNKLINE_FETCH_ALLOW="localhost")
    world.create(input={"git": {"URL": f"{url}/models.git"}})

    with pytest.raises(NotAllowed, match="'localhost' is at .*, which is a loopback address"):
        world.look()
    assert world.server.asked == []


def test_a_private_repository_lets_in_who_has_the_token(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.server.password = "x-access-token:geheim"
    secrets = {"bare": encoded("geheim\n"), "user": encoded("me:geheim"), "none": encoded("a\nb")}
    world.engine.secrets.create_secret("forge", data=secrets)
    with pytest.raises(NotFound, match="secret 'forge' has no key 'other'"):
        world.create("lost", secret={"name": "forge", "key": "other"})
    world.create("nobody")
    for key in secrets:
        world.create(key, secret={"name": "forge", "key": key})

    assert world.look("bare") != ""
    with pytest.raises(NotAllowed, match="asks who it is; give the input a `secret`"):
        world.look("nobody")
    with pytest.raises(NotAllowed, match="does not let in who has the token of its secret"):
        world.look("user")
    with pytest.raises(OperationFailed, match="is no token"):
        world.look("none")
    world.server.password = "me:geheim"
    assert world.look("user") != ""
    with pytest.raises(InUse, match="it is needed by bare, none, user"):
        world.engine.secrets.delete_secret("forge")
    told = repr(world.engine.pipelines.list_pipelines())
    assert "geheim" not in told
    assert encoded("geheim") not in told


def test_a_redirect_is_not_followed(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create()
    world.server.redirect = "http://127.0.0.1:9/elsewhere"

    with pytest.raises(OperationFailed, match="redirects elsewhere, which is not followed"):
        world.look()


@pytest.mark.parametrize(
    ("path", "error", "sentence"),
    [
        ("/none.git", NotFound, "there is no git repository at http://127.0.0.1:.*/none.git"),
        ("/models.git", NotFound, "has no branch 'master'$"),
    ],
)
def test_what_is_not_there_is_one_sentence(
    world: GitWorld, path: str, error: type[TrunklineError], sentence: str
) -> None:
    world.create(input={"git": {"URL": world.server.url + path, "name": "models"}})

    with pytest.raises(error, match=sentence):
        world.look()
    assert world.git().problem != ""
    reason = world.engine.lineage.explain_pipeline("build")
    assert any(world.git().problem in text for text in reason.sentences)


def test_an_unknown_branch_is_told_with_the_one_that_there_is(world: GitWorld) -> None:
    other = Repository(world.server.base, "other", branch="main")
    other.push({"a": "1"})
    world.create(input={"git": {"URL": f"{world.server.url}/other.git"}})

    with pytest.raises(NotFound, match="other.git has no branch 'master'; its own is 'main'"):
        world.look()


def test_what_can_not_be_reached_is_one_sentence(world: GitWorld) -> None:
    with socket.socket() as taken:  # and does not listen
        taken.bind(("127.0.0.1", 0))
        world.create(input={"git": {"URL": f"http://127.0.0.1:{taken.getsockname()[1]}/a.git"}})

        with pytest.raises(OperationFailed, match="can't be fetched: unable to access"):
            world.look()


def test_what_is_too_large_is_not_taken(world: GitWorld) -> None:
    world.code.push({"noise": os.urandom(300_000)})
    world.restart(TRUNKLINE_FETCH_BYTES_MAX="200000")
    world.create()
    with pytest.raises(OperationFailed, match="more than 200,000 bytes; TRUNKLINE_FETCH_BYTES_MAX"):
        world.look()
    world.restart(TRUNKLINE_ARCHIVE_BYTES_MAX="200000")
    with pytest.raises(OperationFailed, match="can't be stored: .*TRUNKLINE_ARCHIVE_BYTES_MAX"):
        world.look()
    world.restart(TRUNKLINE_ARCHIVE_ENTRIES_MAX="1")
    world.code.push({"a": "", "b": ""})
    with pytest.raises(OperationFailed, match="more than 1 entries"):
        world.look()

    assert world.told() == []


def test_a_server_without_git_says_so(world: GitWorld, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    world.restart(PATH=str(tmp_path / "bin"))
    world.create()
    with pytest.raises(NotSupported, match="need the program `git` on the server, which has none"):
        world.look()
    old = tmp_path / "bin" / "git"
    old.write_text("#!/bin/sh\necho git version 2.30.2\n")
    old.chmod(0o755)

    with pytest.raises(NotSupported, match="git 2.37 or newer, and this is 'git version 2.30.2"):
        world.look()


def test_a_mirror_that_is_torn_is_made_anew(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create()
    world.look()
    [mirror] = (world.tmp / "home" / "cache" / "git").glob("*")
    for pack in mirror.glob("objects/pack/*"):
        pack.unlink()
    (mirror / "shallow.lock").touch()
    world.code.push({"train.py": "2"})
    world.look()

    assert world.files() == {"train.py": "2"}


def test_a_mirror_does_not_grow_with_every_push(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create(script="true")
    for number in range(25):
        world.code.push({"train.py": str(number)})
        world.look()

    [mirror] = (world.tmp / "home" / "cache" / "git").glob("*")
    assert len(list(mirror.glob("objects/pack/*.pack"))) < 23
    assert world.files() == {"train.py": "24"}


def test_the_machine_s_own_settings_of_git_change_nothing(
    world: GitWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = '[url "http://127.0.0.1:9/"]\n\tinsteadOf = "http://127.0.0.1"\n'
    (world.tmp / ".gitconfig").write_text(nowhere)
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, str(world.tmp / ".gitconfig"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    # The data directory may be inside of a checkout, whose settings are somebody's own.
    world.code.git("init", "-q", cwd=world.tmp)
    (world.tmp / ".git" / "config").write_text(nowhere)
    world.code.push({"train.py": "1"})
    world.create()

    assert world.look() != ""
