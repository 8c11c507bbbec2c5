"""Commits: open, written, finished, listed."""

from datetime import timedelta

import pytest

from trunkline.errors import (
    CommitFinished,
    CommitNotFound,
    CommitOpen,
    Conflict,
    HeadMoved,
    OutputBranch,
    RepoNotFound,
)
from trunkline.files.manifest import EMPTY
from trunkline.model.versions import Origin
from trunkline.versions import commits


def test_a_started_commit_is_open_and_the_head_of_its_new_branch(catalog) -> None:
    catalog.repo("data")

    commit = catalog.start("data", "staging", description="first").commit

    assert catalog.head("data", "staging") == commit
    assert (commit.repo, commit.branch, commit.parent) == ("data", "staging", None)
    assert (commit.origin, commit.description) == (Origin.USER, "first")
    assert (commit.started, commit.finished) == (catalog.now, None)
    assert (commit.root, commit.size_bytes, commit.files, commit.error) == ("", 0, 0, None)


def test_the_id_of_a_commit_is_that_of_its_run(catalog) -> None:
    catalog.repo("data")
    when = catalog.moment()

    assert catalog.start("data", **when).commit.id == when["run_id"]


def test_a_commit_follows_the_head_of_its_branch(catalog) -> None:
    catalog.repo("data")
    first = catalog.put("data").commit

    assert catalog.start("data").commit.parent == first.id


def test_a_parent_can_be_chosen(catalog) -> None:
    catalog.repo("data")
    first = catalog.put("data").commit
    catalog.put("data")

    commit = catalog.start("data", parent="master^").commit

    assert commit.parent == first.id
    assert catalog.head("data") == commit


def test_a_commit_without_a_branch_moves_none(catalog) -> None:
    catalog.repo("data")
    first = catalog.put("data").commit

    commit = catalog.start("data", None, parent="master").commit

    assert (commit.branch, commit.parent) == (None, first.id)
    assert catalog.head("data") == first


def test_a_commit_can_begin_a_history_of_its_own(catalog) -> None:
    catalog.repo("data")

    assert catalog.start("data", None).commit.parent is None


def test_a_commit_on_an_open_one_is_refused(catalog) -> None:
    catalog.repo("data")
    first = catalog.start("data").commit

    with pytest.raises(CommitOpen, match=f"commit {first.id} in repo 'data' has not been finished"):
        catalog.start("data")
    with pytest.raises(CommitOpen):
        catalog.start("data", None, parent=first.id)
    with pytest.raises(CommitOpen):
        catalog.put("data")

    assert catalog.head("data") == first


def test_a_commit_needs_its_repo_and_its_parent(catalog) -> None:
    with pytest.raises(RepoNotFound):
        catalog.start("data")
    catalog.repo("data")
    with pytest.raises(CommitNotFound):
        catalog.start("data", parent="0123456789ab4cdef0123456789abcde")


def test_the_system_repo_is_there_when_it_is_needed(catalog) -> None:
    commit = catalog.put("__spec__", "edges").commit

    assert catalog.head("__spec__", "edges") == commit


def test_one_run_has_one_commit_per_repo(catalog) -> None:
    catalog.repo("data", "more")
    when = catalog.moment()
    catalog.start("data", "one", **when)

    assert catalog.start("more", "one", **when).commit.id == when["run_id"]
    with pytest.raises(Conflict, match="already has a commit in repo 'data'"):
        catalog.start("data", "two", **when)


def test_a_finished_commit_has_its_tree(catalog) -> None:
    catalog.repo("data")
    opened = catalog.start("data", description="why").commit
    catalog.count += 60

    done = catalog.finish("data", opened.id, root="abc", files=2, size=7)

    assert done == catalog.get("data@master")
    assert (done.root, done.files, done.size_bytes) == ("abc", 2, 7)
    assert (done.finished, done.description) == (opened.started + timedelta(seconds=60), "why")


def test_a_description_can_be_given_at_the_end(catalog) -> None:
    catalog.repo("data")
    commit = catalog.start("data", description="before").commit

    assert catalog.finish("data", commit.id, description="after").description == "after"


def test_a_commit_is_finished_once(catalog) -> None:
    catalog.repo("data")
    commit = catalog.put("data", size=3).commit

    with pytest.raises(CommitFinished, match=f"commit {commit.id} in repo 'data' has already"):
        catalog.finish("data", commit.id, size=5)

    assert catalog.get("data@master") == commit


def test_a_missing_commit_can_not_be_finished(catalog) -> None:
    catalog.repo("data")

    with pytest.raises(CommitNotFound):
        catalog.finish("data", "0123456789ab4cdef0123456789abcde")


def test_only_its_job_finishes_and_writes_an_output_commit(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])
    run = catalog.put("data").commit.id

    with pytest.raises(OutputBranch, match="cannot finish a commit of an output branch"):
        catalog.finish("edges", run)
    with pytest.raises(OutputBranch, match="cannot write to a commit of an output branch"):
        catalog.change(commits.add_deltas, "edges", run, ["x"])

    catalog.change(commits.add_deltas, "edges", run, ["x"], output=True)
    assert catalog.finish("edges", run, output=True).finished == catalog.now


def test_a_failed_commit_is_finished_and_empty_and_keeps_its_reason(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])
    run = catalog.put("data").commit.id

    failed = catalog.finish("edges", run, error="exit status 1", output=True)

    assert (failed.root, failed.files, failed.size_bytes) == (EMPTY, 0, 0)
    assert (failed.finished, failed.error) == (catalog.now, "exit status 1")
    assert catalog.info("edges@master").error == "exit status 1"


@pytest.mark.parametrize("wrong", [{"root": "abc"}, {"files": 1}, {"size_bytes": 1}])
def test_a_failed_commit_with_content_is_a_mistake(catalog, wrong: dict[str, object]) -> None:
    catalog.repo("data")
    commit = catalog.start("data").commit

    with pytest.raises(AssertionError, match="a failed commit is empty"):
        catalog.finish("data", commit.id, error="no", **wrong)


def test_times_are_kept_to_the_microsecond(catalog) -> None:
    catalog.repo("data")
    odd = catalog.now + timedelta(microseconds=123457)

    assert catalog.start("data", now=odd).commit.started == odd


# --- deltas ---------------------------------------------------------------------------------------


def test_deltas_are_kept_in_order_until_the_commit_is_finished(catalog) -> None:
    catalog.repo("data")
    commit = catalog.start("data").commit.id

    catalog.change(commits.add_deltas, "data", commit, ["b", "a"])
    catalog.change(commits.add_deltas, "data", commit, ["c", "b"])

    assert catalog.ask(commits.deltas_of, "data", commit) == ["b", "a", "c", "b"]
    catalog.finish("data", commit)
    assert catalog.ask(commits.deltas_of, "data", commit) == []


def test_a_finished_commit_takes_no_deltas(catalog) -> None:
    catalog.repo("data")
    commit = catalog.put("data").commit.id

    with pytest.raises(CommitFinished):
        catalog.change(commits.add_deltas, "data", commit, ["a"])


def test_deltas_that_came_in_meanwhile_are_not_lost(catalog) -> None:
    catalog.repo("data")
    commit = catalog.start("data").commit.id
    catalog.change(commits.add_deltas, "data", commit, ["a"])
    catalog.change(commits.add_deltas, "data", commit, ["b"])

    with pytest.raises(HeadMoved, match=f"commit data@{commit} was changed"):
        catalog.finish("data", commit, expected_deltas=["a"])

    assert catalog.finish("data", commit, expected_deltas=("a", "b")).finished is not None


# --- in one step ----------------------------------------------------------------------------------


def test_a_put_is_one_finished_commit(catalog) -> None:
    catalog.repo("data")

    started = catalog.put("data", size=12, root="abc", description="iris")

    commit = started.commit
    assert commit == catalog.head("data")
    assert (commit.root, commit.size_bytes, commit.description) == ("abc", 12, "iris")
    assert commit.started == commit.finished == catalog.now


def test_a_put_based_on_an_old_head_is_refused(catalog) -> None:
    catalog.repo("data")
    first = catalog.put("data").commit
    second = catalog.put("data", expected_head=first.id).commit

    for stale in (first.id, None):
        with pytest.raises(HeadMoved, match="branch data@master was changed"):
            catalog.put("data", expected_head=stale)

    assert catalog.head("data") == second


def test_a_put_to_an_output_branch_is_refused(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])

    with pytest.raises(OutputBranch, match="cannot start a commit on an output branch: edges@m"):
        catalog.put("edges")
    with pytest.raises(OutputBranch):
        catalog.start("edges")


# --- lists ----------------------------------------------------------------------------------------


def test_all_commits_of_a_repo_are_listed_newest_first(catalog) -> None:
    catalog.repo("data", "other")
    ids = [catalog.put("data", branch).commit.id for branch in ("one", "two", "one")]
    catalog.put("other")

    assert catalog.listed("data") == ids[::-1]


def test_the_ancestors_of_a_commit_are_listed_newest_first(catalog) -> None:
    catalog.repo("data")
    one = [catalog.put("data", branch).commit.id for branch in ("one", "two", "one")]

    assert catalog.listed("data", to="one") == [one[2], one[0]]
    assert catalog.listed("data", to="one^") == [one[0]]


def test_a_list_ends_before_the_given_commit(catalog) -> None:
    catalog.repo("data")
    ids = [catalog.put("data").commit.id for _ in range(4)]

    assert catalog.listed("data", after=ids[1]) == [ids[3], ids[2]]
    assert catalog.listed("data", to="master^", after=ids[0]) == [ids[2], ids[1]]


def test_a_list_has_at_most_the_given_number(catalog) -> None:
    catalog.repo("data")
    ids = [catalog.put("data").commit.id for _ in range(4)]

    assert catalog.listed("data", number=2) == [ids[3], ids[2]]
    assert catalog.listed("data", to="master", number=2) == [ids[3], ids[2]]


def test_a_list_of_nothing_is_empty(catalog) -> None:
    catalog.repo("data")

    assert catalog.listed("data") == []


def test_a_wrong_list_is_refused_before_it_begins(catalog) -> None:
    with catalog.db.read() as tx, pytest.raises(RepoNotFound):
        commits.list_commits(tx, "data")


def test_a_long_list_comes_in_pages_and_is_whole(catalog) -> None:
    catalog.repo("data")
    with catalog.db.write() as tx:
        ids = [
            commits.start_commit(
                tx, "data", branch=None, parent=None, description="", **catalog.moment()
            ).commit.id
            for _ in range(1000)  # a whole number of pages
        ]

    assert catalog.listed("data") == ids[::-1]


def test_a_long_line_of_ancestors_comes_in_pages_and_is_whole(catalog) -> None:
    catalog.repo("data")
    ids = []
    for _ in range(1001):
        ids.append(catalog.put("data").commit.id)

    assert catalog.listed("data", to="master") == ids[::-1]
    assert catalog.listed("data", to="master^") == ids[-2::-1]
