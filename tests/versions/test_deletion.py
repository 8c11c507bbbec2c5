"""Deleting a commit: what was made from it goes too, and the rest fits together again."""

import pytest

from trunkline.errors import CommitNotFound, Conflict, NotFound, OutputBranch
from trunkline.versions import commits


def test_a_deleted_head_moves_its_branch_back(catalog) -> None:
    catalog.repo("data")
    first = catalog.put("data").commit
    second = catalog.put("data").commit

    done = catalog.delete("data", second.id)

    assert (done.removed, done.opened) == ((second.name,), ())
    assert catalog.head("data") == first
    with pytest.raises(CommitNotFound):
        catalog.get(f"data@{second.id}")


def test_the_only_commit_leaves_a_branch_without_head(catalog) -> None:
    catalog.repo("data")
    commit = catalog.put("data").commit

    catalog.delete("data", commit.id)

    assert catalog.head("data") is None
    assert catalog.listed("data") == []


def test_children_move_to_the_parent(catalog) -> None:
    catalog.repo("data")
    first, second, third = (catalog.put("data").commit for _ in range(3))

    catalog.delete("data", second.id)

    assert catalog.get(f"data@{third.id}").parent == first.id
    assert catalog.listed("data", to="master") == [third.id, first.id]


def test_every_branch_at_the_commit_moves_back(catalog) -> None:
    catalog.repo("data")
    first = catalog.put("data").commit
    second = catalog.put("data").commit
    catalog.branch("data", "dev", head=second)

    catalog.delete("data", second.id)

    assert catalog.head("data", "dev") == catalog.head("data") == first


def test_an_open_commit_can_be_given_up_with_its_deltas(catalog) -> None:
    catalog.repo("data")
    first = catalog.put("data").commit
    opened = catalog.start("data").commit
    catalog.change(commits.add_deltas, "data", opened.id, ["a"])

    catalog.delete("data", opened.id)

    assert catalog.head("data") == first
    assert catalog.start("data").commit.parent == first.id


def test_all_that_was_made_from_it_goes_too(catalog) -> None:
    catalog.repo("data", "edges", "montage")
    catalog.branch("edges", of=["data"])
    catalog.branch("montage", of=["edges"])
    first = catalog.put("data").commit
    second = catalog.put("data").commit

    done = catalog.delete("data", second.id)

    assert [str(name) for name in done.removed] == [
        f"{repo}@{second.id}" for repo in ("data", "edges", "montage")
    ]
    assert done.opened == ()
    assert catalog.head("montage").id == first.id
    assert catalog.made_from("montage@master") == [f"edges@{first.id}", f"data@{first.id}"]


def test_a_run_without_commits_is_gone(catalog) -> None:
    catalog.repo("data")
    commit = catalog.put("data").commit

    catalog.delete("data", commit.id)

    assert catalog.ask(commits.list_runs) == []
    with pytest.raises(NotFound):
        catalog.ask(commits.get_run, commit.id)


def test_an_old_commit_goes_from_the_middle_of_all_histories(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])
    first, second, third = (catalog.put("data").commit.id for _ in range(3))

    done = catalog.delete("data", second)

    assert done.opened == ()
    assert catalog.listed("edges", to="master") == [third, first]
    assert catalog.made_from("edges@master") == [f"data@{third}"]


def test_what_becomes_due_by_a_deletion_is_opened(catalog) -> None:
    catalog.repo("data", "edges", "montage")
    catalog.put("__spec__", "edges")
    catalog.branch("edges", of=["data", "__spec__@edges"])
    catalog.branch("montage", of=["edges"])
    first = catalog.put("data").commit
    second = catalog.put("data").commit
    spec = catalog.put("__spec__", "edges").commit

    done = catalog.delete("data", second.id)

    assert [one.commit.repo for one in done.opened] == ["edges", "montage"]
    assert done.opened[0].inputs == (first.name, spec.name)
    assert done.opened[0].commit.parent == first.id


def test_a_branch_that_was_stopped_loses_what_was_made_from_it(catalog) -> None:
    catalog.repo("data", "edges")
    commit = catalog.put("data").commit
    catalog.branch("edges", of=["data"])
    catalog.branch("edges", of=[])

    done = catalog.delete("data", commit.id)

    assert len(done.removed) == 2
    assert catalog.head("edges") is None


def test_an_output_commit_is_not_deleted_by_hand(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])
    run = catalog.put("data").commit.id

    with pytest.raises(OutputBranch, match="cannot delete a commit of an output branch"):
        catalog.delete("edges", run)


def test_a_version_of_a_pipeline_is_not_deleted_by_hand(catalog) -> None:
    commit = catalog.put("__spec__", "edges").commit

    with pytest.raises(Conflict, match="is a version of pipeline 'edges'"):
        catalog.delete("__spec__", commit.id)


def test_a_missing_commit_can_not_be_deleted(catalog) -> None:
    catalog.repo("data")

    with pytest.raises(CommitNotFound):
        catalog.delete("data", "0123456789ab4cdef0123456789abcde")


def test_numbers_are_never_used_again(catalog) -> None:
    catalog.repo("data")
    gone = catalog.put("data").commit
    catalog.delete("data", gone.id)

    assert catalog.put("data").commit.number > gone.number
