"""Which datums an input makes, in which order, and how many, compared with the obvious way."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.model.pipelines import CrossInput, Input, PfsInput, UnionInput
from trunkline.model.versions import BranchName, FileType
from trunkline.pipelines import datums
from trunkline.pipelines.datums import Head, Reading, count, enumerate_datums

COMMIT = "0" * 12 + "4" + "0" * 19


def leaf(repo: str, glob: str = "/*", name: str = "") -> PfsInput:
    return PfsInput(name=name or repo, repo=repo, branch="master", glob=glob)


def cross(*members: Input) -> CrossInput:
    return CrossInput(members=members)


def union(*members: Input) -> UnionInput:
    return UnionInput(members=members)


class Repos:
    """Heads of repos, each with some files."""

    def __init__(self, forest, **repos: list[str] | None) -> None:
        self.trees = forest.trees
        self.heads: dict[BranchName, Head | None] = {}
        for repo, paths in repos.items():
            head = None
            if paths is not None:
                root = forest.plant({path: f"{repo} {path}" for path in paths})
                head = Head(commit=COMMIT, root=root)
            self.heads[BranchName(repo=repo, branch="master")] = head

    def datums(self, root: Input) -> list[tuple[str, ...]]:
        return [
            tuple(f"{file.name}:{file.path}" for file in datum.files)
            for datum in enumerate_datums(root, self.heads, self.trees)
        ]

    def count(self, root: Input) -> int:
        return count(root, self.heads, self.trees)


def test_a_pfs_input_makes_a_datum_of_each_match_by_path(forest) -> None:
    repos = Repos(forest, a=["b", "a", "d/x", "d/y"])

    assert repos.datums(leaf("a")) == [("a:a",), ("a:b",), ("a:d",)]
    assert repos.count(leaf("a")) == 3


def test_the_glob_of_a_slash_makes_one_datum_of_everything(forest) -> None:
    repos = Repos(forest, a=["b", "a"])

    [datum] = enumerate_datums(leaf("a", "/"), repos.heads, repos.trees)

    assert (datum.files[0].path, datum.files[0].type) == ("", FileType.DIR)
    assert (datum.files[0].commit, datum.files[0].size_bytes) == (COMMIT, 6)
    assert len(datum.files[0].digest) == 64


@pytest.mark.parametrize("glob", ["/", "/*"])
def test_a_branch_without_head_or_files_makes_no_datum(glob: str, forest) -> None:
    repos = Repos(forest, none=None, empty=[])

    for repo in ("none", "empty", "unknown"):
        assert repos.datums(leaf(repo, glob)) == []
        assert repos.count(leaf(repo, glob)) == 0


def test_the_first_member_of_a_cross_varies_fastest(forest) -> None:
    repos = Repos(forest, a=["1", "2"], b=["x", "y"])

    assert repos.datums(cross(leaf("a"), leaf("b"))) == [
        ("a:1", "b:x"),
        ("a:2", "b:x"),
        ("a:1", "b:y"),
        ("a:2", "b:y"),
    ]


def test_a_union_puts_one_member_after_the_other(forest) -> None:
    repos = Repos(forest, a=["1"], b=["x", "y"])

    assert repos.datums(union(leaf("b", name="i"), leaf("a", name="i"))) == [
        ("i:x",),
        ("i:y",),
        ("i:1",),
    ]


def test_a_thousand_million_datums_are_counted_and_not_formed(forest) -> None:
    repos = Repos(forest, a=[str(n) for n in range(1000)])
    thousands = [leaf("a", name=f"i{n}") for n in range(3)]

    assert repos.count(cross(*thousands)) == 1_000_000_000


def test_the_first_datums_of_an_endless_cross_come_at_once(forest) -> None:
    repos = Repos(forest, a=[str(n) for n in range(1000)])
    endless = cross(*(leaf("a", name=f"i{n}") for n in range(20)))

    first = next(iter(enumerate_datums(endless, repos.heads, repos.trees)))

    assert {file.path for file in first.files} == {"0"}


def test_one_empty_member_makes_a_cross_empty_without_walking_the_rest(forest) -> None:
    repos = Repos(forest, a=[str(n) for n in range(1000)], empty=[])
    members = [leaf("empty"), *(leaf("a", name=f"i{n}") for n in range(5))]

    assert repos.datums(cross(*members)) == []
    assert repos.count(cross(*members)) == 0


def test_a_member_too_large_to_keep_is_walked_anew(forest, monkeypatch: pytest.MonkeyPatch) -> None:
    repos = Repos(forest, a=["1", "2", "3"], b=["x", "y"])
    kept = repos.datums(cross(leaf("a"), leaf("b")))
    monkeypatch.setattr(datums, "REPLAY_MAX", 2)

    walked = repos.datums(cross(leaf("a"), leaf("b")))

    assert walked == kept


REPOS = {"a": ["1", "2", "3"], "b": ["x"], "c": [], "d": ["p/q", "p/r", "s"], "e": None}
LEAVES = st.builds(
    leaf, st.sampled_from(sorted(REPOS)), st.sampled_from(["/", "/*", "/*/*", "/**"])
)
INPUTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, min_size=1, max_size=3).flatmap(
        lambda members: st.sampled_from([cross(*members), union(*members)])
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def all_repos(forest) -> Repos:
    return Repos(forest, **REPOS)


def naive(root: Input, repos: Repos) -> list[tuple[str, ...]]:
    """The documented order, with all lists held."""
    match root:
        case PfsInput():
            return repos.datums(root)
        case UnionInput():
            return [datum for member in root.members for datum in naive(member, repos)]
        case CrossInput():
            product: list[tuple[str, ...]] = [()]
            for member in root.members:
                # Earlier members vary faster, so a later one becomes the outer loop.
                product = [done + datum for datum in naive(member, repos) for done in product]
            return product


@given(root=INPUTS, replay_max=st.sampled_from([0, 1, 2, 10_000]))
def test_enumeration_is_the_naive_product_and_count_its_length(
    root: Input, replay_max: int, all_repos: Repos
) -> None:
    repos = all_repos
    kept, datums.REPLAY_MAX = datums.REPLAY_MAX, replay_max
    try:
        found = repos.datums(root)
    finally:
        datums.REPLAY_MAX = kept

    assert found == naive(root, repos)
    assert repos.count(root) == len(found)
    assert datums.at_most(root, repos.heads, repos.trees) >= len(found)


def test_enumeration_holds_no_more_than_what_is_asked_for(forest) -> None:
    repos = Repos(forest, a=[str(n) for n in range(100)])
    stream: Iterator[object] = enumerate_datums(leaf("a"), repos.heads, repos.trees)

    next(stream)

    assert sum(1 for _ in stream) == 99


CONTENTS = st.dictionaries(
    st.sampled_from(["a", "b", "a-b", "d/x", "d/y", "d/e/z", "d-x", "b/x"]),
    st.sampled_from(["1", "2"]),
    min_size=1,
)


def without_clashes(files: dict[str, str]) -> dict[str, str]:
    return {path: text for path, text in files.items() if not (path == "b" and "b/x" in files)}


@given(
    before=CONTENTS.map(without_clashes),
    after=CONTENTS.map(without_clashes),
    glob=st.sampled_from(["/*", "/*/*", "/**", "/d/*", "/d*", "/d/**", "/a", "/(a|d)*", "/?"]),
)
def test_datums_differ_only_where_a_change_touches_them(
    forest, before: dict[str, str], after: dict[str, str], glob: str
) -> None:
    old, new = (Head(commit=COMMIT, root=forest.plant(files)) for files in (before, after))
    input_ = leaf("a", glob)
    branch = BranchName(repo="a", branch="master")

    def of(head: Head) -> dict[str, datums.Datum]:
        found = enumerate_datums(input_, {branch: head}, forest.trees)
        return {datum.files[0].path: datum for datum in found}

    touched = datums.touched(input_, new, old, forest.trees, most=100)

    assert touched is not None
    was, will = of(old), of(new)
    for path in was.keys() | will.keys() | touched:
        if path in touched:
            found = Reading(heads={branch: new}, trees=forest.trees).match_at(input_, path)
            assert found == (will[path].files[0] if path in will else None)
        else:
            assert was[path].files[0].digest == will[path].files[0].digest
            assert was[path].files[0].type == will[path].files[0].type
