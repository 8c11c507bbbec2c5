"""What repos, commits and paths take up."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from trunkline.errors import CommitOpen, FileNotFoundInCommit, InvalidInput, RepoNotFound
from trunkline.store.packs import ENTRY_BYTES


def noise(name: str, size: int = 20_000) -> bytes:
    """Bytes that don't compress."""
    return hashlib.shake_128(name.encode()).digest(size)


@pytest.fixture
def du(engine: Any) -> Callable[..., list[Any]]:
    return lambda *names: list(engine.engine.admin.disk_usage(list(names)))


@pytest.fixture
def filled(engine: Any) -> Any:
    """Two repos that share a file, and an old version of one of their own."""
    for repo in ("one", "two"):
        engine.engine.repos.create_repo(repo)
    engine.put("one", {"shared": noise("shared"), "own/x": noise("old")})
    engine.put("one", {"own/x": noise("new")})
    engine.put("two", {"copy": noise("shared"), "other": noise("other")})
    return engine


def about(size: int) -> Any:
    return pytest.approx(size, abs=3_000)  # lists of files, and headers


def test_repos_are_told_with_what_they_share(filled: Any, du: Callable[..., list[Any]]) -> None:
    by_name = {use.name: use for use in du()}

    one, two, total = by_name["one"], by_name["two"], by_name["total"]
    assert (one.commits, one.files, one.logical_bytes) == (2, 4, 80_000)
    assert (two.commits, two.files, two.logical_bytes) == (1, 2, 40_000)
    assert (one.stored_bytes, one.exclusive_bytes) == (about(60_000), about(40_000))
    assert (two.stored_bytes, two.exclusive_bytes) == (about(40_000), about(20_000))
    assert (total.stored_bytes, total.exclusive_bytes) == (about(80_000), about(80_000))
    assert total.logical_bytes == 120_000
    # The active pack gets its list of chunks when it is finished; their share of it counts already.
    assert total.stored_bytes <= filled.engine.admin.status().stored_bytes + 16 * ENTRY_BYTES


def test_repos_of_projects_are_told_by_their_full_names(
    filled: Any, du: Callable[..., list[Any]]
) -> None:
    filled.engine.projects.create_project("p")
    filled.engine.repos.create_repo("p/one")
    filled.put("p/one", {"mine": noise("mine")})

    assert {use.name for use in du()} == {"one", "p/one", "two", "total"}
    assert [(use.name, use.logical_bytes) for use in du("p/one")] == [("p/one", 20_000)]
    assert [(use.name, use.logical_bytes) for use in du("one@master")] == [("one@master", 40_000)]


def test_one_repo_is_told_alone(filled: Any, du: Callable[..., list[Any]]) -> None:
    [one] = du("one")

    assert (one.name, one.exclusive_bytes) == ("one", about(40_000))


def test_a_commit_is_told_with_what_no_other_commit_has(
    filled: Any, du: Callable[..., list[Any]]
) -> None:
    new, old = du("one@master", "one@master^")

    assert (new.commits, new.files, new.logical_bytes) == (1, 2, 40_000)
    assert (new.stored_bytes, new.exclusive_bytes) == (about(40_000), about(20_000))
    assert (old.stored_bytes, old.exclusive_bytes) == (about(40_000), about(20_000))


def test_a_path_is_told_with_what_nothing_else_has(
    filled: Any, du: Callable[..., list[Any]]
) -> None:
    own, shared = du("one@master:/own", "one@master:/shared")

    assert (own.files, own.logical_bytes) == (1, 20_000)
    assert (own.stored_bytes, own.exclusive_bytes) == (about(20_000), about(20_000))
    assert (shared.stored_bytes, shared.exclusive_bytes) == (about(20_000), 0)


def test_what_repeats_is_stored_once(engine: Any, du: Callable[..., list[Any]]) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {f"f{n}": noise("same") for n in range(30)})

    [data] = du("data")

    assert (data.logical_bytes, data.stored_bytes) == (600_000, about(20_000))


def test_nothing_takes_up_nothing(engine: Any, du: Callable[..., list[Any]]) -> None:
    assert du() == []
    engine.engine.repos.create_repo("empty")
    [empty] = du()
    assert (empty.name, empty.stored_bytes, empty.commits) == ("empty", 0, 0)


def test_what_is_not_there_is_refused(filled: Any, du: Callable[..., list[Any]]) -> None:
    filled.engine.commits.start_commit("two", branch="master")

    for name, error in {
        "gone": RepoNotFound,
        "one@master:/gone": FileNotFoundInCommit,
        "one:/own": InvalidInput,
        "two@master": CommitOpen,
    }.items():
        with pytest.raises(error):
            du(name)
