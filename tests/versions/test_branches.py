"""Branches: heads that move, provenance that is refused, deletion."""

import pytest

from trunkline.errors import (
    BranchNotFound,
    Conflict,
    InUse,
    InvalidInput,
    InvalidName,
    ProvenanceLoop,
    RepoNotFound,
)
from trunkline.model.versions import BranchName
from trunkline.versions import branches, provenance

MASTER = BranchName(repo="data", branch="master")


def named(catalog, repo: str) -> list[tuple[str, str | None]]:
    return [(b.name, b.head) for b in catalog.ask(branches.list_branches, repo)]


def test_a_new_branch_has_no_head(catalog) -> None:
    catalog.repo("data")

    assert catalog.branch("data", "staging") == []

    info = catalog.ask(branches.branch_info, "data", "staging")
    assert (info.repo, info.name, info.head, info.provenance) == ("data", "staging", None, ())
    assert info.created == catalog.now


def test_a_branch_can_begin_at_a_commit(catalog) -> None:
    catalog.repo("data")
    commit = catalog.put("data").commit

    catalog.branch("data", "staging", head=commit)

    assert catalog.head("data", "staging") == commit


def test_a_branch_can_not_begin_in_another_repo(catalog) -> None:
    catalog.repo("data", "other")
    commit = catalog.put("other").commit

    with pytest.raises(
        InvalidInput, match=f"must be a commit of repo 'data', not other@{commit.id}"
    ):
        catalog.branch("data", head=commit)


@pytest.mark.parametrize("name", ["", "a b", "a^", "0123456789ab4cdef0123456789abcde"])
def test_a_branch_name_must_not_be_read_as_something_else(catalog, name: str) -> None:
    catalog.repo("data")

    with pytest.raises(InvalidName):
        catalog.branch("data", name)


def test_a_missing_branch_names_the_ones_that_exist(catalog) -> None:
    catalog.repo("data")
    catalog.put("data", "master")

    with pytest.raises(BranchNotFound, match="'data' has no branch 'mastr'; it has master"):
        catalog.ask(branches.branch_info, "data", "mastr")


def test_a_branch_needs_its_repo(catalog) -> None:
    with pytest.raises(RepoNotFound):
        catalog.branch("data")


def test_the_last_moved_branch_comes_first(catalog) -> None:
    catalog.repo("data")
    one = catalog.put("data", "one").commit
    two = catalog.put("data", "two").commit
    assert named(catalog, "data") == [("two", two.id), ("one", one.id)]

    catalog.branch("data", "one", head=two)

    assert named(catalog, "data") == [("one", two.id), ("two", two.id)]


def test_provenance_is_kept_in_the_order_it_was_given(catalog) -> None:
    catalog.repo("b", "a", "out")

    catalog.branch("out", of=["b", "a", "b"])

    info = catalog.ask(branches.branch_info, "out", "master")
    assert [str(name) for name in info.provenance] == ["b@master", "a@master"]


def test_provenance_stays_when_none_is_given(catalog) -> None:
    catalog.repo("a", "out")
    catalog.branch("out", of=["a"])

    catalog.branch("out")

    assert catalog.ask(branches.branch_info, "out", "master").provenance != ()


def test_a_missing_branch_can_not_be_a_source(catalog) -> None:
    catalog.repo("data", "out")

    with pytest.raises(BranchNotFound, match="'data' has no branch 'master'"):
        catalog.branch("out", provenance=[MASTER])


def test_a_branch_is_not_derived_from_itself(catalog) -> None:
    catalog.repo("data")

    with pytest.raises(ProvenanceLoop, match="data@master would be derived from itself"):
        catalog.branch("data", of=["data"])


def test_a_loop_over_other_repos_is_refused_and_changes_nothing(catalog) -> None:
    catalog.repo("a", "b", "c")
    catalog.branch("b", of=["a"])
    catalog.branch("c", of=["b"])

    with pytest.raises(ProvenanceLoop, match="a@master"):
        catalog.branch("a", of=["c"])

    assert catalog.ask(branches.branch_info, "a", "master").provenance == ()


def test_two_branches_of_one_repo_in_one_run_are_refused(catalog) -> None:
    catalog.repo("data", "left", "both")
    catalog.branch("left", "one", of=["data"])

    with pytest.raises(
        Conflict,
        match="multiple branches of one repo can't take part in one DAG: "
        "a commit on data@master would reach both left@one and left@two",
    ):
        catalog.branch("left", "two", of=["data"])


def test_a_branch_derived_from_another_of_its_repo_is_refused(catalog) -> None:
    catalog.repo("data")

    with pytest.raises(Conflict, match="reach both data@derived and data@master"):
        catalog.branch("data", "derived", of=["data"])


def test_two_branches_of_one_repo_may_be_sources_of_one_branch(catalog) -> None:
    catalog.repo("data", "out")
    one, two = catalog.put("data", "one").commit, catalog.put("data", "two").commit

    catalog.branch("out", of=["data@one", "data@two"])

    assert sorted(catalog.made_from("out@master")) == [f"data@{one.id}", f"data@{two.id}"]


def test_two_sources_with_one_head_count_once(catalog) -> None:
    catalog.repo("data", "out")
    commit = catalog.put("data", "one").commit
    catalog.branch("data", "two", head=commit)

    (opened,) = catalog.branch("out", of=["data@one", "data@two"])

    assert opened.inputs == (commit.name,)


def test_branches_that_change_places_are_a_change(catalog) -> None:
    catalog.repo("data", "out")
    one, two = catalog.put("data", "one").commit, catalog.put("data", "two").commit
    catalog.branch("out", of=["data@one", "data@two"])
    catalog.branch("out", of=[])
    catalog.branch("data", "one", head=two)
    catalog.branch("data", "two", head=one)

    (opened,) = catalog.branch("out", of=["data@one", "data@two"])

    found = catalog.ask(provenance.input_commits, "out", opened.commit.id)
    assert {str(branch): commit for branch, commit in found.items()} == {
        "data@one": two,
        "data@two": one,
    }


def test_the_head_of_a_missing_branch_is_none(catalog) -> None:
    catalog.repo("data")

    assert catalog.head("data", "master") is None


def test_a_deleted_branch_leaves_its_commits(catalog) -> None:
    catalog.repo("data")
    commit = catalog.put("data").commit

    catalog.change(branches.delete_branch, "data", "master", force=False)

    assert named(catalog, "data") == []
    assert catalog.listed("data") == [commit.id]


def test_a_missing_branch_can_not_be_deleted(catalog) -> None:
    catalog.repo("data")

    with pytest.raises(BranchNotFound):
        catalog.change(branches.delete_branch, "data", "master", force=False)


def test_a_branch_that_others_are_derived_from_stays_and_they_are_named(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])

    with pytest.raises(InUse, match="data@master can't be deleted: edges@master is derived from"):
        catalog.change(branches.delete_branch, "data", "master", force=False)


def test_force_deletes_a_branch_and_what_is_derived_from_it_loses_a_source(catalog) -> None:
    catalog.repo("data", "more", "edges")
    catalog.put("data")
    catalog.branch("edges", of=["data", "more"])

    catalog.change(branches.delete_branch, "data", "master", force=True)

    info = catalog.ask(branches.branch_info, "edges", "master")
    assert [str(name) for name in info.provenance] == ["more@master"]


def test_a_branch_whose_provenance_is_removed_can_be_written_to(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])

    catalog.branch("edges", of=[])

    assert catalog.put("edges").commit.branch == "master"
