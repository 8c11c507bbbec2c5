"""Whoever reads on while commits and branches are deleted gets what is left, or is told so."""

from itertools import islice
from typing import Any

import pytest

from trunkline.engine import commits, file_history
from trunkline.errors import BranchNotFound, CommitNotFound


@pytest.fixture
def line(engine: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of a line of commits in data, newest first; pages are short."""
    monkeypatch.setattr(commits, "_PAGE", 3)
    monkeypatch.setattr(file_history, "_PAGE", 3)
    engine.engine.repos.create_repo("data")
    return [engine.put("data", {"a": f"{n}", f"f{n}": ""}).id for n in range(10)][::-1]


def listed(engine: Any, to: str, **more: Any) -> Any:
    return (info.id for info in engine.engine.commits.list_commits("data", to=to, **more))


def versions(engine: Any, to: str) -> Any:
    return (one.commit for one in engine.engine.files.list_file_versions("data", to, "/a"))


@pytest.mark.parametrize("read", [listed, versions])
@pytest.mark.parametrize("gone", [[3], [2], [2, 3, 4], [0, 1], [4, 9]])
def test_a_list_goes_on_behind_commits_that_are_gone(
    engine: Any, line: list[str], read: Any, gone: list[int]
) -> None:
    top = engine.put("data", {"a": "top"}).id
    every = [top, *line]
    reader = read(engine, top)
    first = list(islice(reader, 3))
    for place in gone:
        engine.engine.commits.squash_commit("data", line[place])

    rest = list(reader)

    known = 3 if read is listed else 6  # the third version is told by the next page, too
    left = [c for n, c in enumerate(every) if n < known or c not in [line[g] for g in gone]]
    assert [*first, *rest] == left


def test_a_list_ends_before_a_commit_that_is_gone(engine: Any, line: list[str]) -> None:
    reader = listed(engine, line[0], after=line[6])
    first = list(islice(reader, 1))
    engine.engine.commits.squash_commit("data", line[6])

    assert [*first, *reader] == line[:6]


def test_a_list_whose_beginning_and_last_page_are_gone_says_so(
    engine: Any, line: list[str]
) -> None:
    reader = listed(engine, line[0])
    list(islice(reader, 3))
    for commit in line[:3]:
        engine.engine.commits.drop_commit("data", commit)

    with pytest.raises(CommitNotFound):
        next(reader)


def test_a_subscriber_gets_what_is_left(engine: Any, line: list[str]) -> None:
    oldest = line[::-1]
    following = engine.engine.commits.subscribe_commits("data", "master", timeout_s=60)
    first = next(following).id
    engine.engine.commits.squash_commit("data", oldest[2])

    assert [first, *(info.id for info in islice(following, 8))] == [*oldest[:2], *oldest[3:]]


def test_a_subscriber_is_told_that_the_branch_is_gone(engine: Any, line: list[str]) -> None:
    following = engine.engine.commits.subscribe_commits("data", "master", new=True, timeout_s=60)
    engine.engine.branches.delete_branch("data", "master")

    with pytest.raises(BranchNotFound):
        next(following)
    assert line


def test_nobody_waits_for_derived_commits_that_are_gone(engine: Any, line: list[str]) -> None:
    for repo in ("one", "two"):
        engine.engine.repos.create_repo(repo)
        engine.engine.branches.create_branch(repo, "master", provenance=["data@master"])
    put = engine.put("data", {"a": "more"}).id
    for repo in ("one", "two"):
        engine.engine.commits.finish_commit(repo, put)
    waiting = engine.engine.commits.flush_commits([f"data@{put}"], timeout_s=60)
    engine.put("data", {"a": "last"})
    for repo in ("one", "two"):
        engine.engine.commits.finish_commit(repo, "master")
    engine.engine.commits.squash_commit("one", put)

    assert [(info.repo, info.id) for info in waiting] == [("two", put)]
    engine.engine.repos.delete_repo("two")
    assert line


def test_what_is_derived_from_all_of_many_commits_is_in_order(engine: Any, line: list[str]) -> None:
    engine.engine.repos.create_repo("other")
    engine.put("other", {"a": "1"})
    engine.engine.repos.create_repo("both")
    sources = ["data@master", "other@master"]
    engine.engine.branches.create_branch("both", "master", provenance=sources)
    engine.engine.commits.finish_commit("both", "master")
    for number in range(2):
        engine.put("data", {"a": f"{number} more"})
        engine.engine.commits.finish_commit("both", "master")
    by_hand = [info.id for info in engine.engine.commits.list_commits("both")][::-1]

    everything = engine.engine.commits.flush_commits(["other@master"], timeout_s=60)
    of_both = engine.engine.commits.flush_commits(["other@master", "data@master"], timeout_s=60)

    assert [info.id for info in everything] == by_hand
    assert [info.id for info in of_both] == by_hand[-1:]
    assert line
