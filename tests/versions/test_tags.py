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


def delete(catalog, name: str) -> None:
    with catalog.db.write() as tx:
        entry = trash.begin(tx, "tag", f"data@{name}", how="x", now=catalog.now)
        trash.keep_tag(tx, entry, tags.number_of(tx, "data", name))
        tags.delete_tag(tx, "data", name)


def undelete(catalog, name: str) -> None:
    with catalog.db.write() as tx:
        trash.restore(tx, trash.find(tx, "tag", f"data@{name}"), **catalog.moment())


def test_a_deleted_tag_comes_back_as_it_was(catalog, tagged) -> None:
    before = catalog.ask(tags.tag_info, "data", "v1")
    delete(catalog, "v1")
    assert catalog.ask(tags.list_tags, "data") == []

    undelete(catalog, "v1")

    assert catalog.ask(tags.tag_info, "data", "v1") == before
    with pytest.raises(NotFound, match="no deleted tag 'data@v1'"):
        undelete(catalog, "v1")


@pytest.mark.parametrize("kind", ["tag", "branch"])
def test_it_does_not_come_back_over_another_of_its_name(catalog, tagged, kind) -> None:
    delete(catalog, "v1")
    if kind == "tag":
        catalog.change(tags.create_tag, tagged, "v1", force=False, now=catalog.now)
    else:
        catalog.branch("data", "v1")

    with pytest.raises(Conflict, match=f"there is a {kind} data@v1 by now"):
        undelete(catalog, "v1")


def test_it_does_not_come_back_without_its_commit(catalog, tagged) -> None:
    delete(catalog, "v1")
    catalog.change(
        *(removal.squash, [tagged]), recursive=False, name="x", how="x", **catalog.moment()
    )

    with pytest.raises(Conflict, match="the commit of tag data@v1 was deleted too; bring that"):
        undelete(catalog, "v1")


def test_nor_without_its_repo(catalog, tagged) -> None:
    delete(catalog, "v1")
    with catalog.db.write() as tx:
        entry = trash.begin(tx, "repo", "data", how="x", now=catalog.now)
        trash.keep_repo(tx, entry, "data")
        repos.delete_repo(tx, "data", force=False, now=catalog.now)

    with pytest.raises(Conflict, match="with `undelete repo data`"):
        undelete(catalog, "v1")
    with catalog.db.write() as tx:
        trash.restore(tx, trash.find(tx, "repo", "data"), **catalog.moment())
    undelete(catalog, "v1")

    assert catalog.ask(tags.tag_info, "data", "v1").commit == tagged.id
