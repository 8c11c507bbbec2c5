"""What a change touches is found by places, without an enumeration, and is all that it touches."""

from typing import Any

import pytest
from composed import composed, named
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pipelines.test_input_model import REPO_FILES, REPOS, heads_of, read

from trunkline.files.tree import Trees
from trunkline.model.versions import BranchName
from trunkline.pipelines import datums, places
from trunkline.pipelines.datums import enumerate_datums
from trunkline.pipelines.identity import datum_key

GLOBS = ["/", "/*", "/a*", "/*/*", "/**", "/*-b", "/{a,d}"]
LEAVES = st.fixed_dictionaries(
    {"repo": st.sampled_from(REPOS), "glob": st.sampled_from(GLOBS), "reference": st.booleans()}
).map(lambda leaf: {"pfs": leaf})
INPUTS = composed(LEAVES, ["cross", "union"], max_leaves=4)


def stated(datum: datums.Datum) -> tuple[str, list[tuple[object, ...]]]:
    files = [(file.name, file.path, file.type, file.digest) for file in datum.files]
    return datum_key("p", datum, "s"), files


@given(document=INPUTS, before=REPO_FILES, after=REPO_FILES)
@settings(max_examples=3 * settings().max_examples)
def test_datums_that_are_replaced_at_the_affected_places_are_those_of_an_enumeration(
    document: dict[str, Any], before: Any, after: Any, forest
) -> None:
    named(document, False, [])
    root, trees = read(document), forest.trees
    old, new = heads_of(forest, before, "b" * 32), heads_of(forest, after, "a" * 32)
    assert places.has_places(root)
    touched = {}
    for leaf in places.leaves_of(root):
        branch = BranchName(repo=leaf.repo, branch=leaf.branch)
        found = datums.touched(leaf, new[branch], old[branch], trees, most=100)
        assert found is not None
        touched[leaf.name] = frozenset(found)

    there = {places.place_of(root, one): one for one in enumerate_datums(root, old, trees)}
    at = places.DatumsAt(root, new, trees)
    affected = places.affected(root, new, trees, touched, most=10_000)
    assert affected is not None
    for place in affected:
        datum = at.get(place)
        there.pop(place, None)
        if datum is not None:
            there[place] = datum

    enumerated = list(enumerate_datums(root, new, trees))
    assert [stated(there[place]) for place in sorted(there)] == [stated(one) for one in enumerated]


def test_a_change_of_one_file_is_found_without_the_other_matches_of_its_side(
    forest, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"cross": [{"pfs": {"repo": r, "glob": "/*"}} for r in ("one", "two")]}
    named(document, False, [])
    root = read(document)
    heads = heads_of(forest, {"one": {"m": "x"}, "two": {f"{n:03}": "x" for n in range(500)}}, "")
    walked: list[str] = []
    real = Trees.glob

    def noted(self: Trees, *args: Any, **more: Any) -> Any:
        for entry in real(self, *args, **more):
            walked.append(entry.path)
            yield entry

    monkeypatch.setattr(Trees, "glob", noted)
    one, many = frozenset({"007"}), frozenset({"m"})
    nothing: frozenset[str] = frozenset()

    found = places.affected(root, heads, forest.trees, {"i0": nothing, "i1": one}, most=10)
    assert (found, walked) == ({("007", "m")}, ["m"])

    walked.clear()
    found = places.affected(root, heads, forest.trees, {"i0": many, "i1": nothing}, most=10)
    assert found is None
    assert len(walked) <= 11


@pytest.mark.parametrize("kind", ["join", "group"])
def test_a_join_and_a_group_have_no_places(kind: str) -> None:
    keyed = {"repo": "one", "glob": "/(*)", "join_on": "$1", "group_by": "$1"}
    document: dict[str, Any] = {"union": [{kind: [{"pfs": keyed}]}, {"pfs": {**keyed}}]}
    named(document, False, [])

    assert not places.has_places(read(document))


def test_inputs_that_share_a_name_have_no_places() -> None:
    leaf = {"name": "same", "repo": "one", "glob": "/*"}

    assert not places.has_places(read({"union": [{"pfs": leaf}, {"pfs": leaf}]}))
