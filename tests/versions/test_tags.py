"""Tags: what they name, what they protect, and how they come back."""

import pytest

from trunkline.errors import AlreadyExists, CommitOpen, Conflict, InUse, NotFound
from trunkline.model.versions import BranchName
from trunkline.versions import branches, commits, removal, repos, tags, trash


@pytest.fixture
def tagged(catalog):
    catalog.repo("data")
    first = catalog.put("data").commit
    catalog.put("data")
    catalog.change(tags.create_tag, first, "v1", force=False, now=catalog.now)
    return first


def test_a_tag_is_a_reference_with_steps(catalog, tagged) -> None:
    assert catalog.ask(commits.resolve, "data", "v1").id == tagged.id
    second = catalog.ask(commits.resolve, "data", "master")
    catalog.change(tags.create_tag, second, "v2", force=False, now=catalog.now)
    assert catalog.ask(commits.resolve, "data", "v2^").id == tagged.id


def test_it_moves_by_force_only(catalog, tagged) -> None:
    second = catalog.ask(commits.resolve, "data", "master")
    with pytest.raises(AlreadyExists, match="--force moves it"):
        catalog.change(tags.create_tag, second, "v1", force=False, now=catalog.now)
    moved = catalog.change(tags.create_tag, second, "v1", force=True, now=catalog.now)
    assert moved.commit == second.id


def test_names_clash_with_branches_both_ways(catalog, tagged) -> None:
    with pytest.raises(AlreadyExists, match="branch 'data@master'"):
        catalog.change(tags.create_tag, tagged, "master", force=True, now=catalog.now)
    with pytest.raises(AlreadyExists, match="tag 'data@v1'"):
        catalog.branch("data", "v1")


def test_an_open_commit_has_no_tag(catalog) -> None:
    catalog.repo("data")
    opened = catalog.start("data").commit
    with pytest.raises(CommitOpen):
        catalog.change(tags.create_tag, opened, "v1", force=False, now=catalog.now)


def test_it_protects_its_commit_until_it_goes(catalog, tagged) -> None:
    def squash() -> None:
        catalog.change(
            *(removal.squash, [tagged]), recursive=False, name="x", how="x", **catalog.moment()
        )

    with pytest.raises(InUse, match="tagged data@v1"):
        squash()
    catalog.change(tags.delete_tag, "data", "v1")
    squash()
    with pytest.raises(NotFound):
        catalog.ask(tags.tag_info, "data", "v1")


def test_it_goes_and_comes_back_with_its_repo(catalog, tagged) -> None:
    with catalog.db.write() as tx:
        entry = trash.begin(tx, "repo", "data", how="x", now=catalog.now)
        trash.keep_repo(tx, entry, "data")
        repos.delete_repo(tx, "data", force=False, now=catalog.now)
    with catalog.db.write() as tx:
        trash.restore(tx, trash.find(tx, "repo", "data"), **catalog.moment())

    assert catalog.ask(tags.tag_info, "data", "v1").commit == tagged.id


def test_a_branch_does_not_come_back_over_a_tag(catalog, tagged) -> None:
    catalog.branch("data", "v2")
    with catalog.db.write() as tx:
        entry = trash.begin(tx, "branch", "data@v2", how="x", now=catalog.now)
        trash.keep_branch(tx, entry, BranchName(repo="data", branch="v2"))
        branches.delete_branch(tx, "data", "v2", force=False)
    catalog.change(tags.create_tag, tagged, "v2", force=False, now=catalog.now)

    with pytest.raises(Conflict, match="there is a tag data@v2 by now"), catalog.db.write() as tx:
        trash.restore(tx, trash.find(tx, "branch", "data@v2"), **catalog.moment())
