"""What a change touches is found by places, without an enumeration, and is all that it touches."""

from collections.abc import Callable
from typing import Any

import pytest
from composed import composed, named
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.pipelines.test_input_model import REPO_FILES, REPOS, heads_of, inputs, leaves, read

from trunkline.files.tree import Trees
from trunkline.model.versions import BranchName
from trunkline.pipelines import datums, keyed, places
from trunkline.pipelines.datums import enumerate_datums
from trunkline.pipelines.identity import datum_key
from trunkline.pipelines.places import Affected

GLOBS = ["/", "/*", "/a*", "/*/*", "/**", "/*-b", "/{a,d}"]
LEAVES = st.fixed_dictionaries(
    {"repo": st.sampled_from(REPOS), "glob": st.sampled_from(GLOBS), "reference": st.booleans()}
).map(lambda leaf: {"pfs": leaf})
MATCHED = st.builds(
    lambda kind, members: {kind: members},
    st.sampled_from(["join", "group"]),
    st.lists(composed(leaves(keyed=True), ["union"], max_leaves=2), min_size=1, max_size=3),
)
INPUTS = st.one_of(
    composed(LEAVES, ["cross", "union"], max_leaves=4),
    MATCHED,
    composed(st.one_of(MATCHED, MATCHED, LEAVES), ["cross", "union"], max_leaves=3),
    inputs(),
)


def covers(affected: Affected, place: places.Place) -> bool:
    """Whether a datum that was at a place goes, or is replaced."""
    return any(place[: len(stem)] == stem for stem in affected.stems)


def stated(datum: datums.Datum) -> tuple[str, list[tuple[object, ...]]]:
    files = [(file.name, file.path, file.type, file.digest) for file in datum.files]
    return datum_key("p", datum, "s"), files


def affected_by(
    forest, document: dict[str, Any], before: Any, after: Any, *, most: int = 10_000
) -> Affected | None:
    root = read(document)
    old, new = heads_of(forest, before, "b" * 32), heads_of(forest, after, "a" * 32)
    touched: dict[Any, set[str]] = {}
    for leaf in places.leaves_of(root):
        branch = BranchName(repo=leaf.repo, branch=leaf.branch)
        found = datums.touched(leaf, new[branch], old[branch], forest.trees, most=100)
        assert found is not None
        touched[leaf] = found
    return places.affected(root, new, forest.trees, touched, most=most)


@given(
    document=INPUTS,
    shared=st.sampled_from([False, False, True]),
    before=REPO_FILES,
    after=REPO_FILES,
    look_up=st.sampled_from([0, 10_000]),
)
@settings(max_examples=5 * settings().max_examples, suppress_health_check=[HealthCheck.too_slow])
def test_datums_that_are_replaced_at_the_affected_places_are_those_of_an_enumeration(
    document: dict[str, Any], shared: bool, before: Any, after: Any, look_up: int, forest
) -> None:
    named(document, shared, [])
    root, trees = read(document), forest.trees
    kept, keyed._FILES_OF_A_LOOK_UP = keyed._FILES_OF_A_LOOK_UP, look_up
    try:
        affected = affected_by(forest, document, before, after)
        if affected is None:
            event("planned anew")
            assert not places.has_places(root)
            return
        come = [(place, affected.datum(place)) for place in affected.places]
    finally:
        keyed._FILES_OF_A_LOOK_UP = kept

    old, new = heads_of(forest, before, "b" * 32), heads_of(forest, after, "a" * 32)
    there = list(enumerate_datums(root, old, trees))
    if affected.stems:
        by_place = {places.place_of(root, one): one for one in there}
        by_place = {place: one for place, one in by_place.items() if not covers(affected, place)}
        assert all(covers(affected, place) for place, _ in come)
        by_place |= {place: datum for place, datum in come if datum is not None}
        assert all(places.place_of(root, one) == place for place, one in by_place.items())
        there = [by_place[place] for place in sorted(by_place)]

    enumerated = list(enumerate_datums(root, new, trees))
    assert [stated(one) for one in there] == [stated(one) for one in enumerated]


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that globs have found."""
    found: list[str] = []
    real = Trees.glob

    def noted(self: Trees, *args: Any, **more: Any) -> Any:
        for entry in real(self, *args, **more):
            found.append(entry.path)
            yield entry

    monkeypatch.setattr(Trees, "glob", noted)
    return found


def test_a_change_of_one_file_is_found_without_the_other_matches_of_its_side(
    forest, walked: list[str]
) -> None:
    document = {"cross": [{"pfs": {"repo": r, "glob": "/*"}} for r in ("one", "two")]}
    named(document, False, [])
    one, two = {"m": "x"}, {f"{n:03}": "x" for n in range(500)}
    before = {"one": one, "two": two}

    found = affected_by(forest, document, before, {"one": one, "two": two | {"007": "y"}}, most=10)
    assert found is not None
    assert (found.stems, found.places, walked) == ([("007",)], [("007", "m")], ["m"])

    walked.clear()
    after = {"one": {"m": "y"}, "two": two}
    assert affected_by(forest, document, before, after, most=10) is None
    assert len(walked) <= 11


TXT = {"glob": "/(*).txt", "join_on": "$1", "group_by": "$1"}
PAIR = {"glob": "/(*)-(*).txt", "join_on": "$2.$1", "group_by": "$2.$1"}
BELOW = {"glob": "/(*)/*", "join_on": "$1", "group_by": "$1"}
BEHIND = {"glob": "/*-(*).txt", "join_on": "$1", "group_by": "$1"}


@pytest.mark.parametrize(
    ("leaf", "path", "looked_at"),
    [(TXT, "{}.txt", 0), (PAIR, "1-{}.txt", 0), (BELOW, "{}/x", 1), (BEHIND, "x-{}.txt", 1)],
    ids=["one bracket", "two brackets", "a directory", "a bracket behind a star"],
)
@pytest.mark.parametrize("kind", ["join", "group"])
def test_who_else_has_a_key_is_looked_up_where_the_key_says_how_paths_begin(
    forest, walked: list[str], kind: str, leaf: dict[str, str], path: str, looked_at: int
) -> None:
    document = {kind: [{"pfs": {"repo": repo, **leaf}} for repo in ("one", "two")]}
    named(document, False, [])
    files = {path.format(n): "x" for n in range(500)}
    after = {"one": files | {path.format(7): "y"}, "two": files}

    found = affected_by(forest, document, {"one": files, "two": files}, after, most=10)

    assert found is not None
    assert len(found.places) == 1
    assert len(walked) == 2 * looked_at
    datum = found.datum(found.places[0])
    assert datum is not None
    assert [(file.repo, file.path) for file in datum.files] == [
        ("one", path.format(7)),
        ("two", path.format(7)),
    ]


def test_a_partner_that_comes_takes_the_datum_of_an_outer_join_with_it(forest) -> None:
    outer = {"pfs": {"repo": "one", **TXT, "outer_join": True}}
    document = {"join": [outer, {"pfs": {"repo": "two", **TXT}}]}
    named(document, False, [])
    before = {"one": {"a.txt": "x", "b.txt": "x"}, "two": {"b.txt": "x"}}

    found = affected_by(forest, document, before, before | {"two": {"a.txt": "x", "b.txt": "x"}})

    assert found is not None
    assert found.places == [("a", 1, "a.txt", 1, "a.txt")]
    assert covers(found, ("a", 0, 1, "a.txt"))
    assert not covers(found, ("b", 1, "b.txt", 1, "b.txt"))


@pytest.mark.parametrize("kind", ["join", "group"])
def test_a_key_that_more_files_have_than_are_looked_at_is_planned_anew(
    forest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    leaf = {"glob": "/(*)-*", "join_on": "$1", "group_by": "$1"}
    document = {kind: [{"pfs": {"repo": repo, **leaf}} for repo in ("one", "two")]}
    named(document, False, [])
    before = {"one": {"a-1": "x"}, "two": {f"a-{n}": "x" for n in range(10)}}
    after = before | {"one": {"a-1": "y"}}
    monkeypatch.setattr(places, "DATUM_FILES_MAX", 11)

    assert affected_by(forest, document, before, after, most=10) is not None
    monkeypatch.setattr(places, "DATUM_FILES_MAX", 10)
    found = affected_by(forest, document, before, after, most=9)
    assert found is None


@pytest.mark.parametrize(
    "make",
    [
        lambda leaf: {"join": [{"cross": [leaf("one"), leaf("two")]}, leaf("three")]},
        lambda leaf: {"join": [{"join": [leaf("one"), leaf("two")]}, leaf("three")]},
        lambda leaf: {"group": [{"join": [leaf("one"), leaf("two")]}]},
        lambda leaf: {"join": [{"group": [leaf("one"), leaf("two")]}, leaf("three")]},
        lambda leaf: {"union": [{"group": [{"cross": [leaf("one")]}]}, leaf("two")]},
    ],
    ids=["cross in join", "join in join", "join in group", "group in join", "cross in group"],
)
def test_combinations_in_a_join_or_group_have_no_places(
    make: Callable[[Callable[[str], dict[str, Any]]], dict[str, Any]],
) -> None:
    document = make(lambda repo: {"pfs": {"repo": repo, **TXT}})
    named(document, False, [])

    assert not places.has_places(read(document))


def test_inputs_that_share_a_name_have_no_places_but_in_a_group() -> None:
    leaf = {"pfs": {"name": "same", "repo": "one", **TXT}}

    assert not places.has_places(read({"union": [leaf, leaf]}))
    assert not places.has_places(read({"union": [{"group": [leaf]}, leaf]}))
    assert places.has_places(read({"group": [leaf, leaf]}))
