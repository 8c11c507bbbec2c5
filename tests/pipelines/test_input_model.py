"""Globs with captures, inputs of every kind in each other, and keys of datums, against the obvious
way to do each of them."""

from itertools import pairwise
from typing import Any

import input_model as model
import pytest
from composed import named
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.files.glob import compile_glob
from trunkline.model.versions import BranchName
from trunkline.pipelines import datums
from trunkline.pipelines.datums import Datum, Head, count, enumerate_datums
from trunkline.pipelines.identity import datum_key
from trunkline.pipelines.spec import spec_from_document

# --- patterns -------------------------------------------------------------------------------------

PLAIN = st.sampled_from([*(("text", t) for t in ("a", "b", "-", "/")), ("?",), ("*",), ("**",)])


def bracketed(inner: st.SearchStrategy) -> st.SearchStrategy:
    branches = st.lists(st.lists(inner, max_size=3).map(tuple), min_size=1, max_size=2).map(tuple)
    return st.tuples(st.sampled_from(["@(", "@(", "*(", "+(", "?(", "!(", "{"]), branches)


ANY_PATTERN = st.lists(
    PLAIN | st.recursive(PLAIN, lambda inner: inner | bracketed(inner), max_leaves=4), max_size=4
).map(tuple)


def reads_back(pattern: model.Parts) -> bool:
    """Whether its text is that of no other pattern: a star may make another of a star behind it."""
    text = model.written(pattern)
    return "//" not in text and text == text.strip("/") and not stars_meet(pattern)


def stars_meet(pattern: model.Parts) -> bool:
    return any(
        one == ("*",) and model.written((other,)).startswith("*")
        for one, other in pairwise(pattern)
    ) or any(stars_meet(branch) for part in pattern if part[0][-1] in "({" for branch in part[1])


# What is captured quickly: brackets around one branch without others in it.
SIMPLE = PLAIN.filter(lambda part: part != ("**",))
BRACKETS = st.lists(SIMPLE, max_size=3).map(lambda inner: ("@(", (tuple(inner),)))
SIMPLE_PATTERN = st.lists(SIMPLE | BRACKETS, max_size=5).map(tuple)
PATTERNS = (ANY_PATTERN | SIMPLE_PATTERN).filter(reads_back)
PATHS = st.lists(st.text("ab-", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join)


@given(pattern=PATTERNS, paths=st.lists(PATHS, max_size=8))
@settings(max_examples=5 * settings().max_examples)
def test_a_glob_matches_and_captures_what_trying_every_split_does(
    pattern: model.Parts, paths: list[str]
) -> None:
    glob = compile_glob(model.written(pattern))

    for path in paths:
        expected = tuple(model.captured(pattern, path)) if model.fits(pattern, path) else None
        assert glob.captured(path) == expected
        assert glob.matches(path) == (expected is not None)


# --- inputs ---------------------------------------------------------------------------------------

STAR, SLASH, MINUS = ("*",), ("text", "/"), ("text", "-")
TAKEN = ("@(", ((STAR,),))
GLOBS = {
    model.written(parts): parts
    for parts in (
        (),
        (TAKEN,),
        (TAKEN, MINUS, TAKEN),
        (STAR, MINUS, TAKEN),
        (STAR, SLASH, TAKEN),
        (TAKEN, SLASH, STAR),
        (("@(", ((("text", "a"),), (("text", "b"),))), ("**",)),
        (("?(", ((("text", "a"),),)), TAKEN),
        (("@(", ((("**",),),)),),
    )
}
REPOS = ("one", "two", "three")
FILES = st.dictionaries(
    st.sampled_from(["a", "b", "c", "a-a", "a-b", "b-a", "b-b", "d/a", "d/b", "a-d/b", "e/a/b"]),
    st.sampled_from(["x", "y"]),
    max_size=5,
)


@st.composite
def leaves(draw: st.DrawFn, keyed: bool) -> dict[str, Any]:
    glob = draw(st.sampled_from(sorted(GLOBS)))
    number = model.brackets(GLOBS[glob])
    groups = [form % n for n in range(1, number + 1) for form in ("$%d", "${%d}")]
    keys = st.lists(st.sampled_from([*groups, "a"]), min_size=1, max_size=2).map("".join)
    leaf = {"repo": draw(st.sampled_from(REPOS)), "glob": f"/{glob}"}
    leaf |= {"reference": True} if draw(st.booleans()) else {}
    if keyed or draw(st.booleans()):
        leaf |= {"join_on": draw(keys), "group_by": draw(keys)}
        leaf |= {"outer_join": True} if draw(st.booleans()) else {}
    return {"pfs": leaf}


@st.composite
def inputs(draw: st.DrawFn, depth: int = 2, keyed: bool = True) -> dict[str, Any]:
    kinds = ["pfs", "cross", "union", "join", "group"] if depth else ["pfs"]
    kind = draw(st.sampled_from(kinds))
    if kind == "pfs":
        return draw(leaves(keyed))
    keyed = keyed or kind in ("join", "group")
    members = [draw(inputs(depth - 1, keyed))]
    for _ in range(draw(st.integers(0, 2))):
        # One side of a cross is enough to have a key; elsewhere every side needs it.
        members.append(draw(inputs(depth - 1, keyed and kind != "cross")))
    return {kind: members}


def read(document: dict[str, Any]) -> Any:
    spec = {
        "pipeline": {"name": "p"},
        "transform": {"cmd": ["cp"]},
        "input": document,
    }
    return spec_from_document(spec).input


def heads_of(forest, repos: dict[str, dict[str, str]], commit: str) -> dict[BranchName, Head]:
    return {
        BranchName(repo=repo, branch="master"): Head(commit=commit, root=forest.plant(files))
        for repo, files in repos.items()
    }


def plain(datum: Datum) -> tuple[model.Given, ...]:
    return tuple(
        model.Given(
            name=file.name,
            repo=file.repo,
            path=file.path,
            join_on=file.join_on,
            group_by=file.group_by,
        )
        for file in datum.files
    )


PATTERN_OF = {f"/{text}": parts for text, parts in GLOBS.items()}
REPO_FILES = st.fixed_dictionaries(dict.fromkeys(REPOS, FILES))


@given(
    document=inputs(),
    shared=st.booleans(),
    repos=REPO_FILES,
    replay_max=st.sampled_from([0, 1, 10_000]),
)
@settings(max_examples=3 * settings().max_examples)
def test_inputs_make_the_datums_that_the_obvious_way_makes(
    document: dict[str, Any], shared: bool, repos: Any, replay_max: int, forest
) -> None:
    named(document, shared, [])
    root, heads = read(document), heads_of(forest, repos, "c" * 32)
    kept, datums.REPLAY_MAX = datums.REPLAY_MAX, replay_max
    try:
        found = [plain(datum) for datum in enumerate_datums(root, heads, forest.trees)]
    finally:
        datums.REPLAY_MAX = kept

    assert found == model.datums(document, repos, PATTERN_OF)
    assert count(root, heads, forest.trees) == len(found)


@given(document=inputs(), shared=st.booleans(), before=REPO_FILES, after=REPO_FILES)
def test_datums_have_one_key_exactly_if_the_code_would_see_the_same(
    document: dict[str, Any], shared: bool, before: Any, after: Any, forest
) -> None:
    named(document, shared, [])
    root = read(document)
    seen: set[tuple[str, object]] = set()

    for commit, repos in (("c" * 32, before), ("d" * 32, after)):
        for datum in enumerate_datums(root, heads_of(forest, repos, commit), forest.trees):
            seen.add((datum_key("p", datum, "salt"), what_code_sees(datum, repos)))

    assert len({key for key, _ in seen}) == len({view for _, view in seen}) == len(seen)


def what_code_sees(datum: Datum, repos: dict[str, dict[str, str]]) -> object:
    """The files below /pfs and the variables, but for the commits."""
    described = []
    for file in datum.files:
        texts = repos[file.repo]
        below = {
            path[len(file.path) :]: text
            for path, text in texts.items()
            if path == file.path or not file.path or path.startswith(f"{file.path}/")
        }
        is_file = file.path in texts
        content = () if file.reference else tuple(sorted(below.items()))
        described.append(
            (
                file.name,
                file.path,
                is_file,
                content,
                file.reference,
                repr(file.join_on),
                repr(file.group_by),
            )
        )
    return tuple(sorted(described))


@pytest.mark.parametrize("kind", ["join", "group"])
def test_what_is_in_no_repo_makes_no_datum(kind: str, forest) -> None:
    leaf = {"repo": "one", "name": "n", "glob": "/(*)", "join_on": "$1", "group_by": "$1"}
    root = read({kind: [{"pfs": leaf}]})

    assert list(enumerate_datums(root, {}, forest.trees)) == []
    assert count(root, {}, forest.trees) == 0
