"""Whoever has a key is found by how its path begins, or by a walk, and nobody else."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.pipelines.test_input_model import heads_of, leaves, read

from trunkline.pipelines import keyed
from trunkline.pipelines.datums import Reading
from trunkline.pipelines.keyed import Keyed


def leaf_with(glob: str, key: str) -> dict[str, Any]:
    return {"pfs": {"repo": "one", "name": "i", "glob": glob, "group_by": key}}


ONE = st.sampled_from(["/(*)", "/(*)*", "/(?)*", "/(a)?(-)*", "/(**)", "/*(?)", "/d(/)*"])
TWO = st.sampled_from(["/(*)-(*)", "/(*)/(*)", "/(?)*(*)"])
LEAVES = st.one_of(
    st.builds(leaf_with, ONE, st.sampled_from(["$1", "$1", "${1}x", "k", "$1$1"])),
    st.builds(leaf_with, TWO, st.sampled_from(["$1", "$2", "$1$2", "$2$1", "$1-$2"])),
    leaves(keyed=True),
)
# What others begin with, and what is matched by one of the globs and is a key of another one.
PATHS = ["a", "a-a", "aa", "a-ab", "a-a-a", "ab", "d/a", "d/aa", "d-a"]
FILES = st.dictionaries(st.sampled_from(PATHS), st.just("x"), min_size=2)
KEYS = st.sets(st.sampled_from([*PATHS, "a-aa", "d", "ax", "k", ""]), max_size=3)
ALL = dict.fromkeys(PATHS, "x")


@given(leaf=LEAVES, files=FILES, keys=KEYS, look_up=st.sampled_from([0, 0, 10_000]))
@example(leaf=leaf_with("/(*)", "$1"), files=ALL, keys={"d/a", "a"}, look_up=0)
@example(leaf=leaf_with("/(*)*", "$1"), files=ALL, keys={"a"}, look_up=0)
@example(leaf=leaf_with("/(*)*", "$1"), files=ALL, keys={"a", "a-a"}, look_up=0)
@example(leaf=leaf_with("/(?)*", "$1"), files=ALL, keys={"a", "d"}, look_up=0)
@example(leaf=leaf_with("/(*)-(*)", "$2$1"), files=ALL, keys={"a-aa"}, look_up=0)
@settings(max_examples=3 * settings().max_examples)
def test_what_has_some_keys_is_what_a_walk_over_all_matches_finds(
    leaf: dict[str, Any], files: dict[str, str], keys: set[str], look_up: int, forest
) -> None:
    leaf = {"pfs": leaf["pfs"] | {"name": "i", "repo": "one"}}
    root = read({"group": [leaf]})
    [member] = root.members
    by_key = Keyed(root, member)
    reading = Reading(heads=heads_of(forest, {"one": files}, "c" * 32), trees=forest.trees)
    kept, keyed._FILES_OF_A_LOOK_UP = keyed._FILES_OF_A_LOOK_UP, look_up
    try:
        found = list(by_key.matches(reading, keys))
    finally:
        keyed._FILES_OF_A_LOOK_UP = kept

    everything = [(file.group_by, file) for file in reading.matches(member)]
    assert found == [(key, file) for key, file in everything if key in keys]
    assert list(by_key.matches(reading, None)) == everything
