"""Joins and groups by example: which datums, in which order, and what is refused."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trunkline.errors import DatumTooLarge, InvalidSpec
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY
from trunkline.files.tree import Trees
from trunkline.model.pipelines import Input
from trunkline.model.versions import BranchName
from trunkline.pipelines import datums
from trunkline.pipelines.datums import Head, count, enumerate_datums
from trunkline.pipelines.inputs import shorthand
from trunkline.pipelines.spec import draft, spec_from_document
from trunkline.store.chunks import ChunkStore

Refusal = Callable[..., str]
COMMIT = "0" * 12 + "4" + "0" * 19
STORES = ["STOREID1.txt", "STOREID2.txt", "STOREID3.txt"]
RETURNS = ["1_STOREID1.txt", "2_STOREID1.txt", "3_STOREID4.txt"]


def pfs(repo: str, glob: str, name: str = "", **more: object) -> dict[str, object]:
    return {"pfs": {"repo": repo, "name": name or repo, "glob": glob, **more}}


def stores(**more: object) -> dict[str, object]:
    return pfs("stores", "/STOREID(*).txt", join_on="$1", group_by="$1", **more)


def returns(**more: object) -> dict[str, object]:
    return pfs("returns", "/*_STOREID(*).txt", join_on="$1", group_by="${1}", **more)


def read(document: dict[str, object]) -> Input:
    spec = {"pipeline": {"name": "p"}, "transform": {"cmd": ["cp"]}, "input": document}
    return spec_from_document(spec).input


@pytest.fixture
def made(forest) -> Callable[..., list[list[str]]]:
    """The datums of an input over repos with some files, as names of files."""

    def make(document: dict[str, object], **repos: list[str]) -> list[list[str]]:
        heads: dict[BranchName, Head | None] = {
            BranchName(repo=repo, branch="master"): Head(
                commit=COMMIT, root=forest.plant({path: f"{repo} {path}" for path in paths})
            )
            for repo, paths in repos.items()
        }
        root = read(document)
        found = [
            [f"{file.name}:{file.path}" for file in datum.files]
            for datum in enumerate_datums(root, heads, forest.trees)
        ]
        assert count(root, heads, forest.trees) == len(found)
        return found

    return make


# --- joins ----------------------------------------------------------------------------------------


def test_a_join_combines_the_files_of_each_key_that_all_members_have(made) -> None:
    found = made({"join": [stores(), returns()]}, stores=STORES, returns=RETURNS)

    assert found == [
        ["stores:STOREID1.txt", "returns:1_STOREID1.txt"],
        ["stores:STOREID1.txt", "returns:2_STOREID1.txt"],
    ]


@pytest.mark.parametrize(
    ("left", "right", "more"),
    [
        (True, False, [["stores:STOREID2.txt"], ["stores:STOREID3.txt"]]),
        (False, True, [["returns:3_STOREID4.txt"]]),
        (
            True,
            True,
            [["stores:STOREID2.txt"], ["stores:STOREID3.txt"], ["returns:3_STOREID4.txt"]],
        ),
    ],
)
def test_an_outer_join_keeps_what_has_no_partner(
    left: bool, right: bool, more: list[list[str]], made
) -> None:
    document = {"join": [stores(outer_join=left), returns(outer_join=right)]}

    found = made(document, stores=STORES, returns=RETURNS)

    assert found[2:] == more
    assert all(len(datum) == 2 for datum in found[:2])


def test_of_an_incomplete_key_the_outer_members_are_combined_and_no_others(made) -> None:
    members = [
        pfs(repo, "/(*)", join_on="$1", outer_join=outer)
        for repo, outer in (("a", True), ("b", True), ("c", False))
    ]

    found = made({"join": members}, a=["1", "2", "3"], b=["1", "2"], c=["1", "3", "4"])

    assert found == [["a:1", "b:1", "c:1"], ["a:2", "b:2"], ["a:3"]]


def test_a_bracket_that_took_no_part_is_an_empty_key(made) -> None:
    document = {"join": [pfs("a", "/?(x)y", join_on="$1"), pfs("b", "/(x|)z", join_on="$1")]}

    assert made(document, a=["y", "xy"], b=["z", "xz"]) == [["a:y", "b:z"], ["a:xy", "b:xz"]]


def test_a_key_may_have_several_parts_and_text_of_its_own(made) -> None:
    document = {
        "join": [
            pfs("a", "/(*)-(*)", join_on="$2${1}$$"),
            pfs("b", "/(*)/(*)", join_on="$1${2}$$"),
        ]
    }

    assert made(document, a=["1-x", "x-1"], b=["x/1", "y/1"]) == [["a:1-x", "b:x/1"]]


def test_a_cross_in_a_join_needs_a_key_on_one_side_only(made) -> None:
    inner = {"cross": [pfs("a", "/(*)", join_on="$1"), pfs("model", "/")]}

    found = made(
        {"join": [inner, pfs("b", "/(*)", join_on="$1")]}, a=["1", "2"], model=["m"], b=["2"]
    )

    assert found == [["a:2", "model:", "b:2"]]


def test_a_group_in_a_join_stays_together(made) -> None:
    patients = {"group": [pfs("visits", "/(*)-*", group_by="$1", join_on="$1")]}
    document = {"join": [patients, pfs("names", "/(*)", join_on="$1")]}

    found = made(document, visits=["ann-1", "ann-2", "bob-1"], names=["ann", "eve"])

    assert found == [["visits:ann-1", "visits:ann-2", "names:ann"]]


# --- groups ---------------------------------------------------------------------------------------


def test_a_group_puts_all_files_of_a_key_into_one_datum(made) -> None:
    found = made({"group": [stores(), returns()]}, stores=STORES, returns=RETURNS)

    assert found == [
        ["stores:STOREID1.txt", "returns:1_STOREID1.txt", "returns:2_STOREID1.txt"],
        ["stores:STOREID2.txt"],
        ["stores:STOREID3.txt"],
        ["returns:3_STOREID4.txt"],
    ]


def test_a_join_in_a_group_gives_each_file_once(made) -> None:
    document = {"group": [{"join": [stores(), returns()]}]}

    assert made(document, stores=STORES, returns=RETURNS) == [
        ["stores:STOREID1.txt", "returns:1_STOREID1.txt", "returns:2_STOREID1.txt"]
    ]


def test_what_has_no_key_in_a_group_goes_where_its_companions_go(made) -> None:
    inner = {"cross": [pfs("a", "/(*)-*", group_by="$1"), pfs("model", "/")]}

    assert made({"group": [inner]}, a=["x-1", "x-2", "y-1"], model=["m"]) == [
        ["a:x-1", "model:", "a:x-2"],
        ["a:y-1", "model:"],
    ]


def test_a_group_of_more_files_than_a_datum_may_have_is_refused(
    made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datums, "DATUM_FILES_MAX", 3)
    document = {"group": [pfs("a", "/(*)-*", group_by="$1")]}

    assert len(made(document, a=["x-1", "x-2", "x-3"])) == 1
    with pytest.raises(DatumTooLarge, match="the group with the key 'x' has more than the 3 files"):
        made(document, a=["x-1", "x-2", "x-3", "x-4"])


# --- memory ---------------------------------------------------------------------------------------

FILES_EACH = 50_000
GROWTH_MAX_BYTES = 32 * 1024 * 1024  # held as a whole, the datums would be several times as much


def matched_by_a_process_of_its_own(place: str) -> None:
    """Prints (datums, files) of some inputs over a hundred thousand files, and how memory grew."""
    chunks = ChunkStore(Path(place))
    trees = Trees(chunks)
    heads: dict[BranchName, Head | None] = {}
    for repo in ("left", "right"):
        writer = DeltaWriter(trees)
        for n in range(FILES_EACH):
            writer.put(f"{n % 100:02}/{n:06}.csv", [b"x"])
        root = trees.apply(EMPTY, writer.finish())
        heads[BranchName(repo=repo, branch="master")] = Head(commit=COMMIT, root=root)
    plain = read({"union": [pfs("left", "/**"), pfs("right", "/**")]})
    for _ in enumerate_datums(plain, heads, trees):
        pass  # so that what is remembered of trees does not count
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = []
    for kind, field, key in (
        ("join", "join_on", "$1/$2"),
        ("group", "group_by", "$2"),
        ("group", "group_by", "$1"),
    ):
        members = [pfs(repo, "/(*)/(*).csv", **{field: key}) for repo in ("left", "right")]
        files = [len(d.files) for d in enumerate_datums(read({kind: members}), heads, trees)]
        found.append((len(files), sum(files)))
    # Each with each: counted, and the first of them there, without one combination being kept.
    members = [pfs(repo, "/*/(*)", join_on="all") for repo in ("left", "right")]
    found.append((count(read({"join": members}), heads, trees), 0))
    first = next(iter(enumerate_datums(read({"join": members}), heads, trees)))
    found.append((1, len(first.files)))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    chunks.close()
    print(json.dumps([found, (after - before) * 1024]))


@pytest.mark.slow
def test_a_hundred_thousand_files_are_matched_in_bounded_memory(tmp_path: Path) -> None:
    """In a process of its own, as the most that a process ever had is all that the system tells."""
    script = "import sys, test_matching as t; t.matched_by_a_process_of_its_own(sys.argv[1])"
    place = str(tmp_path / "store")
    ended = subprocess.run(
        [sys.executable, "-c", script, place],
        cwd=Path(__file__).parent,
        capture_output=True,
        check=True,
    )
    found, grown = json.loads(ended.stdout)

    assert found == [
        [FILES_EACH, 2 * FILES_EACH],
        [FILES_EACH, 2 * FILES_EACH],
        [100, 2 * FILES_EACH],
        [FILES_EACH**2, 0],
        [1, 2],
    ]
    assert grown < GROWTH_MAX_BYTES


def test_a_cross_in_a_join_that_is_too_large_is_counted_and_not_formed(forest) -> None:
    root = forest.plant({str(n): "" for n in range(1000)})
    head = Head(commit=COMMIT, root=root)
    sides = [pfs("a", "/(*)", f"i{n}", join_on="$1") for n in range(3)]
    joined = read({"join": [{"cross": sides}, pfs("a", "/(*)", join_on="$1")]})

    found = count(joined, {BranchName(repo="a", branch="master"): head}, forest.trees, most=10**6)

    assert found == 10**9


# --- specs ----------------------------------------------------------------------------------------

A = pfs("a", "/(*)", join_on="$1", group_by="$1")
B = pfs("b", "/(*)", join_on="$1", group_by="$1")


def keyed(**more: object) -> dict[str, object]:
    return {"join": [A, pfs("c", "/(*)-(*)", **more)]}


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"join": []}, "no input set: 'input.join' is empty"),
        ({"group": []}, "no input set: 'input.group' is empty"),
        (
            {"join": [A, {"cross": [pfs("b", "/"), {"union": [B, pfs("c", "/")]}]}]},
            "input must specify a join_on: 'input.join[1].cross[0]' is in a join and has none; "
            "'$1' stands for what the first pair of round brackets of its glob matched",
        ),
        (
            {"group": [{"union": [A, pfs("c", "/", join_on="x")]}]},
            "input must specify a group_by: 'input.group[0].union[1]' is in a group and has none; "
            "'$1' stands for what the first pair of round brackets of its glob matched",
        ),
        (
            {"join": [A, {"cron": {"name": "t", "spec": "@daily"}}]},
            "input must specify a join_on: 'input.join[1]' is in a join and has none; a clock can "
            "have none: cross it with an input that has one",
        ),
        ({"join": [A, A]}, "name a was used more than once: the members of a join need distinct"),
        (
            {"cross": [{"group": [A, B]}, pfs("b", "/")]},
            "name b was used more than once: the members of a cross need distinct names",
        ),
        (
            keyed(join_on="$3"),
            "'$3' asks for $3, but the glob '(*)-(*)' has 2 pairs of round brackets; '$1' stands "
            "for what the first pair matched, as in '/(*)-*.csv'",
        ),
        (keyed(join_on="x${0}"), "'x${0}' asks for $0, but the glob '(*)-(*)' has 2 pairs"),
        (
            {"join": [A, pfs("c", "/*", join_on="$1")]},
            "'$1' asks for $1, but the glob '*' has no round brackets",
        ),
        (keyed(join_on="$x"), "'$x' is no key: behind a '$' comes the number of a pair of round"),
        (keyed(join_on="$1$"), "'$1$' is no key: behind a '$' comes the number of a pair"),
        (keyed(join_on="$1" * 33), "a key of more than 1,024 characters or 32 parts is too long"),
        (keyed(join_on="$1", s3=True), "an input with s3 can't be in a join"),
        ({"group": [pfs("c", "/", group_by="x", s3=True)]}, "an input with s3 can't be in a group"),
    ],
)
def test_a_join_or_group_that_could_not_work_is_refused(
    document: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        read(document)

    assert str(caught.value).startswith(f"pipeline spec: {sentence}")


def test_a_key_that_asks_for_too_much_is_shown_in_its_line(refusal: Refusal) -> None:
    text = json.dumps(
        {"pipeline": {"name": "p"}, "transform": {"cmd": ["cp"]}, "input": keyed(join_on="$3")},
        indent=1,
    )

    said = refusal(text, "a.json")

    assert said.startswith("a.json, line 26: '$3' asks for $3, but the glob '(*)-(*)' has 2 pairs")
    assert '26 |      "join_on": "$3"\n' in said


def test_members_of_a_group_may_share_a_name() -> None:
    assert shorthand(read({"group": [A, A]})) == "(Group: a:/(*), a:/(*))"
    assert shorthand(read({"join": [A, {"cross": [B]}]})) == "(a:/(*) ⋈ (b:/(*)))"


def test_keys_outside_of_joins_and_groups_do_nothing_and_are_told(
    minimal: dict[str, object],
) -> None:
    idle = pfs("a", "/(*)", join_on="$7", outer_join=True, group_by="$1")

    alone = spec_from_document(minimal | {"input": idle})
    joined = spec_from_document(minimal | {"input": {"group": [{"union": [idle]}]}})

    assert draft(alone).warnings == (
        "join_on of input 'a' does nothing: it is in no join",
        "outer_join of input 'a' does nothing: it is in no join",
        "group_by of input 'a' does nothing: it is in no group",
    )
    assert draft(joined).warnings == draft(alone).warnings[:2]
    assert spec_from_document(minimal | {"input": {"join": [B]}}).input.members[0].join_on == "$1"
