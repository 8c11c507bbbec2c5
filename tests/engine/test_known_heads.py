"""Puts go on from the head that the last one left, whatever has become of the branch meanwhile."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from trunkline.api.changes import PutFile, Split
from trunkline.errors import CommitFinished, OutputBranch, PathConflict, RepoNotFound
from trunkline.model.versions import CommitInfo


@pytest.fixture
def put(engine: Any) -> Any:
    """An engine that knows the head of data@master: a commit with a and b."""
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "1"})
    engine.put("data", {"b": "1"})
    return engine


def test_a_branch_that_was_moved_back_is_gone_on_with_from_there(put: Any) -> None:
    put.engine.branches.create_branch("data", "master", head="master^")

    put.put("data", {"c": "2"})

    assert put.tree("data") == {"a": "1", "c": "2"}


def test_what_only_the_old_head_forbids_is_done(put: Any) -> None:
    put.engine.branches.create_branch("data", "master", head="master^")

    put.put("data", {"b/x": "2"})

    assert put.tree("data") == {"a": "1", "b/x": "2"}


def test_what_the_head_forbids_is_refused_and_forgotten(put: Any) -> None:
    head = put.head("data")

    with pytest.raises(PathConflict):
        put.put("data", {"b/x": "2"})

    assert put.head("data") == head
    put.put("data", {"c": "3"})
    assert put.tree("data") == {"a": "1", "b": "1", "c": "3"}


def test_a_commit_that_was_started_meanwhile_takes_the_put(put: Any) -> None:
    started = put.engine.commits.start_commit("data", branch="master")

    info = put.put("data", {"c": "2"})

    assert (info.id, info.finished) == (started.id, None)
    assert put.tree("data") == {"a": "1", "b": "1", "c": "2"}
    put.engine.commits.finish_commit("data", "master")
    assert put.put("data", {"d": "3"}).parent == started.id


BRANCHES = ["master", "fresh"]  # whose head a put has left, and which no put has seen
AWAY: dict[str, Callable[[Any, str], object]] = {
    "finished": lambda e, branch: e.commits.finish_commit("data", branch),
    "dropped": lambda e, branch: e.commits.drop_commit("data", branch),
    "deleted": lambda e, branch: e.branches.delete_branch("data", branch),
    "moved": lambda e, branch: e.branches.create_branch("data", branch, head="old"),
    "behind another": lambda e, branch: (
        e.commits.finish_commit("data", branch),
        e.commits.start_commit("data", branch=branch),
    ),
}
LEFT = {"finished": "ab", "dropped": "ab", "deleted": "", "moved": "a", "behind another": "ab"}


def put_while(engine: Any, ref: str, happens: Callable[[], object]) -> CommitInfo:
    """A put into an open commit in the middle of which something else happens."""

    def content() -> Iterator[bytes]:
        yield b"2"
        happens()
        yield b"3"

    rows = PutFile(path="/n", content=[b"x\n"], split=Split(by="line"), append=True)
    changes = [PutFile(path="/c", content=content()), rows]
    return engine.engine.files.modify_files("data", ref, changes)


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("what", AWAY)
def test_a_put_into_a_branch_goes_on_though_the_open_commit_is_gone(
    put: Any, what: str, branch: str
) -> None:
    put.engine.branches.create_branch("data", "old", head="master^")
    put.engine.branches.create_branch("data", branch, head="master")
    put.engine.commits.start_commit("data", branch=branch)

    info = put_while(put, branch, lambda: AWAY[what](put.engine, branch))

    assert put.head("data", branch) == info.id
    assert (info.finished is None) == (what == "behind another")
    assert set(put.tree("data", branch)) == {*LEFT[what], "c", "n/0000000000000000"}
    assert put.read("data", "c", branch) == "23"


def test_a_put_into_one_commit_is_refused_once_that_is_finished(put: Any) -> None:
    started = put.engine.commits.start_commit("data", branch="master")

    with pytest.raises(CommitFinished):
        put_while(put, started.id, lambda: AWAY["finished"](put.engine, "master"))

    assert "c" not in put.tree("data")


def test_a_repo_that_was_deleted_is_told_as_ever(put: Any) -> None:
    put.engine.repos.delete_repo("data")

    with pytest.raises(RepoNotFound):
        put.put("data", {"c": "2"})


def test_a_repo_that_was_made_again_begins_empty(put: Any) -> None:
    put.engine.repos.delete_repo("data")
    put.engine.repos.create_repo("data")

    put.put("data", {"c": "2"})

    assert put.tree("data") == {"c": "2"}


def test_a_branch_that_has_become_derived_is_refused(put: Any) -> None:
    put.engine.repos.create_repo("more")
    put.engine.branches.create_branch("more", "master")
    put.engine.branches.create_branch("data", "master", provenance=["more@master"])

    with pytest.raises(OutputBranch):
        put.put("data", {"c": "2"})


def test_what_is_derived_by_hand_by_now_is_written_to_by_hand(put: Any) -> None:
    put.engine.repos.create_repo("more")
    put.put("more", {"m": "1"})
    put.engine.branches.create_branch("data", "master", provenance=["more@master"])

    info = put.put("data", {"c": "2"})

    assert info.finished is None
    assert put.tree("data") == {"a": "1", "b": "1", "c": "2"}


def test_a_head_that_has_lost_files_to_a_purge_does_not_bring_them_back(put: Any) -> None:
    put.engine.purges.purge(["data:/b"])

    put.put("data", {"c": "2"})

    assert put.tree("data") == {"a": "1", "c": "2"}


def test_a_put_that_changes_nothing_gives_the_head_there_is(put: Any) -> None:
    put.engine.branches.create_branch("data", "master", head="master^")
    changes = [PutFile(path="b", content=[b"1"])]

    info = put.engine.files.modify_files("data", "master", changes, if_changed=True)

    assert put.head("data") == info.id
    assert put.tree("data") == {"a": "1", "b": "1"}
    again = put.engine.files.modify_files("data", "master", changes, if_changed=True)
    assert again == put.engine.commits.inspect_commit("data", "master")


def test_what_a_put_gives_is_what_inspect_gives(put: Any) -> None:
    info = put.put("data", {"c": "2"})

    assert info == put.engine.commits.inspect_commit("data", info.id)


def test_collected_garbage_of_an_old_head_is_no_damage(put: Any) -> None:
    put.engine.branches.create_branch("data", "master", head="master^")
    for _ in range(3):
        put.engine.admin.gc(grace_s=0)

    put.put("data", {"c": "2"})

    assert put.tree("data") == {"a": "1", "c": "2"}
