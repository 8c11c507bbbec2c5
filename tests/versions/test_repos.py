"""Repos: names, order of the list, sizes, deletion."""

import pytest

from trunkline.errors import AlreadyExists, InUse, InvalidName, RepoNotFound
from trunkline.versions import repos


def names(catalog) -> list[str]:
    return [info.name for info in catalog.ask(repos.list_repos)]


def test_a_new_repo_is_empty(catalog) -> None:
    catalog.change(repos.create_repo, "data", description="of iris", now=catalog.now)

    info = catalog.ask(repos.repo_info, "data")
    assert (info.name, info.description, info.created) == ("data", "of iris", catalog.now)
    assert (info.size_bytes, info.branches) == (0, ())


def test_a_repo_is_created_once(catalog) -> None:
    catalog.repo("data")

    with pytest.raises(AlreadyExists, match="repo 'data' already exists"):
        catalog.repo("data")


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b/c", "default/b", "_a/b", "a/", "/b", "ä", "../x", "a" * 129, "a.b"]
)
def test_a_name_with_other_characters_is_refused(catalog, name: str) -> None:
    with pytest.raises(InvalidName):
        catalog.repo(name)


def test_the_system_repo_can_not_be_created_by_hand(catalog) -> None:
    with pytest.raises(InvalidName, match="system repo"):
        catalog.repo("__spec__")


def test_a_missing_repo_names_the_one_that_was_meant(catalog) -> None:
    catalog.repo("training")

    with pytest.raises(RepoNotFound, match="no repo 'trainig'; did you mean 'training'"):
        catalog.ask(repos.repo_info, "trainig")


def test_the_description_can_be_changed(catalog) -> None:
    catalog.repo("data")

    catalog.change(repos.update_repo, "data", description="new", now=catalog.now)

    assert catalog.ask(repos.repo_info, "data").description == "new"


def test_a_missing_repo_can_not_be_updated(catalog) -> None:
    with pytest.raises(RepoNotFound):
        catalog.change(repos.update_repo, "data", description="", now=catalog.now)


def test_the_last_changed_repo_comes_first(catalog) -> None:
    catalog.repo("training", "attributes")
    assert names(catalog) == ["attributes", "training"]

    catalog.put("training")

    assert names(catalog) == ["training", "attributes"]


def test_a_newly_derived_branch_changes_all_repos_upstream_at_once(catalog) -> None:
    catalog.repo("training", "attributes", "pre_process", "train", "inference")
    catalog.put("training")
    catalog.branch("pre_process", of=["training"])
    catalog.branch("train", of=["pre_process"])
    catalog.put("attributes")

    catalog.branch("inference", of=["attributes", "train"])

    assert names(catalog) == ["inference", "attributes", "pre_process", "train", "training"]


def test_the_system_repo_is_not_listed(catalog) -> None:
    catalog.put("__spec__", "edges")

    assert names(catalog) == []
    assert catalog.ask(repos.repo_names) == []
    assert catalog.ask(repos.repo_exists, "__spec__")


def test_the_size_is_that_of_master(catalog) -> None:
    catalog.repo("data")
    catalog.put("data", "master", 10)
    catalog.put("data", "dev", 99)

    assert catalog.ask(repos.repo_info, "data").size_bytes == 10


def test_the_size_is_that_of_the_newest_head_without_a_master(catalog) -> None:
    catalog.repo("data")
    catalog.put("data", "one", 10)
    catalog.put("data", "two", 20)
    catalog.put("data", "one", 30)

    assert catalog.ask(repos.repo_info, "data").size_bytes == 30


def test_the_size_stays_while_the_next_commit_is_open(catalog) -> None:
    catalog.repo("data")
    catalog.put("data", "master", 10)
    catalog.start("data")

    assert catalog.ask(repos.repo_info, "data").size_bytes == 10


def test_branches_are_named_in_alphabetical_order(catalog) -> None:
    catalog.repo("data")
    for branch in ("two", "master", "one"):
        catalog.branch("data", branch)

    assert catalog.ask(repos.repo_info, "data").branches == ("master", "one", "two")


def delete(catalog, name: str, *, force: bool = False) -> None:
    catalog.change(repos.delete_repo, name, force=force, now=catalog.now)


def test_a_deleted_repo_is_gone_with_its_commits(catalog) -> None:
    catalog.repo("data")
    commit = catalog.put("data").commit.id

    delete(catalog, "data")

    catalog.repo("data")
    assert catalog.listed("data") == []
    assert catalog.put("data").commit.id != commit


def test_a_missing_repo_can_not_be_deleted(catalog) -> None:
    with pytest.raises(RepoNotFound):
        delete(catalog, "data")


def test_a_repo_that_others_are_derived_from_stays_and_they_are_named(catalog) -> None:
    catalog.repo("data", "edges", "montage")
    catalog.branch("edges", of=["data"])
    catalog.branch("montage", of=["data", "edges"])

    with pytest.raises(
        InUse, match="'data' can't be deleted: edges@master, montage@master are derived from it"
    ):
        delete(catalog, "data")

    assert "data" in names(catalog)


def test_a_repo_is_not_in_use_by_itself(catalog) -> None:
    catalog.repo("edges")
    catalog.put("__spec__", "edges")
    catalog.branch("edges", of=["__spec__@edges"])

    delete(catalog, "edges")

    assert names(catalog) == []


def test_a_repo_whose_commits_others_were_made_from_stays(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.put("data")
    catalog.branch("edges", of=["data"])
    catalog.branch("edges", of=[])

    with pytest.raises(InUse, match="commits of edges were made from commits of it"):
        delete(catalog, "data")


def test_force_deletes_a_repo_and_its_traces_in_provenance(catalog) -> None:
    catalog.repo("data", "more", "edges")
    catalog.put("data")
    more = catalog.put("more").commit
    catalog.branch("edges", of=["data", "more"])

    delete(catalog, "data", force=True)

    assert catalog.made_from("edges@master") == [f"more@{more.id}"]
    assert names(catalog) == ["edges", "more"]


def test_a_sentence_does_not_name_hundreds_of_branches(catalog) -> None:
    users = [f"user{number:02}" for number in range(13)]
    catalog.repo("data", *users)
    for user in users:
        catalog.branch(user, of=["data"])

    with pytest.raises(InUse, match="user09@master and 3 more are derived"):
        delete(catalog, "data")
