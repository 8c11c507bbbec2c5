"""What `branch`, `id`, `^`, `~n` and `.n` mean."""

import re

import pytest

from trunkline.errors import BranchNotFound, CommitNotFound, InvalidReference, RepoNotFound
from trunkline.versions import commits


def chain(catalog, length: int, branch: str = "master") -> list[str]:
    """Ids of that many commits on a branch, oldest first."""
    return [catalog.put("data", branch).commit.id for _ in range(length)]


def test_a_branch_means_its_head_and_an_id_means_itself(catalog) -> None:
    catalog.repo("data")
    first, second = chain(catalog, 2)

    assert catalog.get("data@master").id == second
    assert catalog.get(f"data@{first}").id == first


@pytest.mark.parametrize("ref", ["master^", "master~", "master^1", "master~1", "master.2"])
def test_all_spellings_of_the_parent(catalog, ref: str) -> None:
    catalog.repo("data")
    ids = chain(catalog, 3)

    assert catalog.get(f"data@{ref}").id == ids[1]


@pytest.mark.parametrize("ref", ["master^^", "master~~", "master^2", "master~1^", "master.1"])
def test_all_spellings_of_the_first_of_three(catalog, ref: str) -> None:
    catalog.repo("data")
    ids = chain(catalog, 3)

    assert catalog.get(f"data@{ref}").id == ids[0]


def test_no_step_is_no_step(catalog) -> None:
    catalog.repo("data")
    ids = chain(catalog, 2)

    assert catalog.get("data@master~0").id == ids[1]


def test_steps_work_behind_an_id(catalog) -> None:
    catalog.repo("data")
    ids = chain(catalog, 3)

    assert catalog.get(f"data@{ids[1]}^").id == ids[0]


@pytest.mark.parametrize("ref", ["master^2", "master~999999999", "master.3", "master.0"])
def test_an_ancestor_beyond_the_first_commit_is_not_found(catalog, ref: str) -> None:
    catalog.repo("data")
    _, head = chain(catalog, 2)

    sentence = f"'{ref}'; {head} has 1 ancestor"
    with pytest.raises(CommitNotFound, match=re.escape(sentence)):
        catalog.get(f"data@{ref}")


def test_a_branch_without_commits_says_so(catalog) -> None:
    catalog.repo("data")
    catalog.branch("data")

    with pytest.raises(CommitNotFound, match="branch data@master has no commits yet"):
        catalog.get("data@master")


def test_what_is_missing_is_named(catalog) -> None:
    with pytest.raises(RepoNotFound):
        catalog.get("data@master")
    catalog.repo("data")
    with pytest.raises(BranchNotFound):
        catalog.get("data@master")
    with pytest.raises(CommitNotFound):
        catalog.get("data@0123456789ab4cdef0123456789abcde")


@pytest.mark.parametrize("ref", ["", "^", "master^x", "master..1", "a b", "master~~~1x"])
def test_a_malformed_reference_is_refused(catalog, ref: str) -> None:
    catalog.repo("data")

    with pytest.raises(InvalidReference):
        catalog.get(f"data@{ref}")


def ancestry(catalog, branch: str, length: int) -> list[str]:
    """Every ancestor of a branch, each found by its own reference."""
    return [catalog.get(f"data@{branch}~{up}").id for up in range(length)]


def test_every_ancestor_of_a_long_history_is_found(catalog) -> None:
    catalog.repo("data")
    ids = chain(catalog, 200)

    assert ancestry(catalog, "master", 200) == ids[::-1]
    assert [catalog.get(f"data@master.{nth}").id for nth in range(1, 201)] == ids


def test_every_ancestor_is_found_where_histories_part(catalog) -> None:
    catalog.repo("data")
    trunk = chain(catalog, 50)
    catalog.branch("data", "side", head=catalog.get("data@master~20"))
    side = chain(catalog, 30, "side")
    main = chain(catalog, 30)

    assert ancestry(catalog, "side", 60) == (trunk[:30] + side)[::-1]
    assert ancestry(catalog, "master", 80) == (trunk + main)[::-1]


def test_every_ancestor_is_found_after_deletions(catalog) -> None:
    catalog.repo("data")
    ids = chain(catalog, 60)
    for gone in (ids[0], ids[7], ids[8], ids[31], ids[59]):
        catalog.delete("data", gone)
        ids.remove(gone)
    ids += chain(catalog, 20)

    assert ancestry(catalog, "master", len(ids)) == ids[::-1]
    with pytest.raises(CommitNotFound):
        catalog.get(f"data@master~{len(ids)}")


def test_resolve_takes_a_transaction_of_any_kind(catalog) -> None:
    catalog.repo("data")
    (only,) = chain(catalog, 1)

    with catalog.db.write() as tx:
        assert commits.resolve(tx, "data", "master").id == only
