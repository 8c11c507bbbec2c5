"""Trees behave like a dict of path → (content, datum), and equal dicts have equal roots."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trunkline.errors import PathConflict
from trunkline.files.delta import DeltaId, DeltaWriter
from trunkline.files.entries import Entry
from trunkline.files.manifest import EMPTY, RootId
from trunkline.files.tree import Trees
from trunkline.model.versions import FileType, Side

EXAMPLES = settings().max_examples  # as the profile says

pytestmark = pytest.mark.usefixtures("small_ranges")

Model = dict[str, tuple[bytes, str]]

# Characters on both sides of "/" in the order of bytes, and one of several bytes.
PARTS = ["a", "b", "a-b", "a.c", "a!", "a0", "ab", "z", "é", "𝄞"]
PATHS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("/".join)
CONTENTS = st.sampled_from([b"", b"x", b"yy", b"x" * 300])
DATUMS = st.sampled_from(["", "1" * 64, "2" * 64])


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    path: str
    content: bytes
    datum: str = ""
    append: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteWritten:
    path: str
    datum: str


Op = Put | Delete | DeleteWritten

OPS = st.one_of(
    st.builds(Put, path=PATHS, content=CONTENTS, datum=DATUMS),
    st.builds(Put, path=PATHS, content=CONTENTS, datum=DATUMS, append=st.booleans()),
    st.builds(Delete, path=PATHS),
    st.builds(DeleteWritten, path=PATHS, datum=DATUMS),
)


def perform(model: Model, op: Op) -> None:
    match op:
        case Put(append=True) if op.path in model:
            model[op.path] = (model[op.path][0] + op.content, op.datum)
        case Put():
            model[op.path] = (op.content, op.datum)
        case Delete():
            for path in list(model):
                if path == op.path or path.startswith(op.path + "/"):
                    del model[path]
        case DeleteWritten():
            if op.path in model and model[op.path][1] == op.datum:
                del model[op.path]


def clashes(model: Model) -> bool:
    return any(path[: match.start()] in model for path in model for match in re.finditer("/", path))


def delta_of(trees: Trees, ops: Sequence[Op]) -> list[DeltaId]:
    writer = DeltaWriter(trees)
    for op in ops:
        match op:
            case Put():
                writer.put(op.path, [op.content], append=op.append, datum=op.datum)
            case Delete():
                writer.delete(op.path)
            case DeleteWritten():
                writer.delete_written(op.path, op.datum)
    return writer.finish()


def contents_of(trees: Trees, root: RootId) -> Model:
    return {row.path: (b"".join(trees.read(row)), row.datum) for row in trees.walk(root)}


def built(trees: Trees, model: Model) -> RootId:
    ops = [Put(path=path, content=content, datum=datum) for path, (content, datum) in model.items()]
    return trees.apply(EMPTY, delta_of(trees, ops))


@st.composite
def models(draw: st.DrawFn, max_size: int = 40) -> Model:
    """Trees without clashes."""
    model: Model = {}
    for path in draw(st.lists(PATHS, max_size=max_size, unique=True)):
        grown = {**model, path: (draw(CONTENTS), draw(DATUMS))}
        if not clashes(grown):
            model = grown
    return model


@given(before=models(), ops=st.lists(OPS, max_size=30), cuts=st.sets(st.integers(0, 30)))
@settings(max_examples=5 * EXAMPLES)
def test_applying_deltas_equals_changing_a_dict(
    trees: Trees, before: Model, ops: list[Op], cuts: set[int]
) -> None:
    model = dict(before)
    for op in ops:
        perform(model, op)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(ops)), len(ops)]
    deltas = [delta for start, end in pairwise(bounds) for delta in delta_of(trees, ops[start:end])]
    root = built(trees, before)

    if clashes(model):
        with pytest.raises(PathConflict):
            trees.apply(root, deltas)
        return
    changed = trees.apply(root, deltas)

    assert contents_of(trees, changed) == model
    assert changed == built(trees, model)
    assert list(trees.verify(changed)) == []
    assert trees.totals(changed) == (len(model), sum(len(c) for c, _ in model.values()))
    assert (changed == EMPTY) == (not model)


@given(before=models(), ops=st.lists(OPS, max_size=12))
@settings(max_examples=2 * EXAMPLES)
def test_applying_one_by_one_gives_the_same_root_as_all_at_once(
    trees: Trees, before: Model, ops: list[Op]
) -> None:
    model = dict(before)
    for op in ops:
        perform(model, op)
        assume(not clashes(model))
    root = built(trees, before)

    stepwise = root
    for op in ops:
        stepwise = trees.apply(stepwise, delta_of(trees, [op]))

    assert stepwise == trees.apply(root, delta_of(trees, ops))


@given(one=models(max_size=12), other=models(max_size=12))
@settings(max_examples=2 * EXAMPLES)
def test_trees_are_equal_exactly_if_their_roots_are(trees: Trees, one: Model, other: Model) -> None:
    first, second = built(trees, one), built(trees, other)

    assert (first == second) == (one == other)


@given(new=models(), ops=st.lists(OPS, max_size=10), new_prefix=PATHS, old_prefix=PATHS)
@settings(max_examples=4 * EXAMPLES)
def test_diff_equals_the_difference_of_dicts(
    trees: Trees, new: Model, ops: list[Op], new_prefix: str, old_prefix: str
) -> None:
    old = dict(new)
    for op in ops:
        perform(old, op)
    assume(not clashes(old))
    roots = built(trees, new), built(trees, old)

    for a, b in [("", ""), (new_prefix, new_prefix), (new_prefix, old_prefix), (new_prefix, "")]:
        found = [(s, r.path) for s, r in trees.diff(roots[0], a, roots[1], b)]
        assert found == naive_diff(new, a, old, b)


def below(model: Model, prefix: str) -> dict[str, tuple[str, bytes]]:
    """Relative path → (path, content)."""
    if prefix in model:
        return {"": (prefix, model[prefix][0])}
    lead = prefix + "/" if prefix else ""
    return {p[len(lead) :]: (p, c) for p, (c, _) in model.items() if p.startswith(lead)}


def naive_diff(new: Model, a: str, old: Model, b: str) -> list[tuple[Side, str]]:
    ours, theirs = below(new, a), below(old, b)
    found: list[tuple[Side, str]] = []
    for path in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(path), theirs.get(path)
        if one and other and one[1] == other[1]:
            continue
        found += [(Side.NEW, one[0])] if one else []
        found += [(Side.OLD, other[0])] if other else []
    return found


def directories(model: Model) -> set[str]:
    return {path[: match.start()] for path in model for match in re.finditer("/", path)}


def naive_entries(model: Model, keep: Callable[[str], bool]) -> list[tuple[str, FileType, int]]:
    found = [(path, FileType.FILE, len(c)) for path, (c, _) in model.items() if keep(path)]
    for directory in directories(model):
        if keep(directory):
            size = sum(len(content) for _, content in below(model, directory).values())
            found.append((directory, FileType.DIR, size))
    return sorted(found)


def shown(entry: Entry) -> tuple[str, FileType, int]:
    return entry.path, entry.type, entry.size_bytes


@given(model=models(), directory=st.one_of(st.just(""), PATHS))
@settings(max_examples=4 * EXAMPLES)
def test_a_listing_shows_each_child_once_by_name(
    trees: Trees, model: Model, directory: str
) -> None:
    root = built(trees, model)
    lead = directory + "/" if directory else ""

    listed = [shown(entry) for entry in trees.list(root, directory)]

    if directory in model:
        assert listed == [(directory, FileType.FILE, len(model[directory][0]))]
    else:
        assert listed == naive_entries(
            model, lambda path: path.startswith(lead) and "/" not in path[len(lead) :]
        )


GLOBS = {
    "*": r"[^/]*",
    "/*/*": r"[^/]*/[^/]*",
    "/**": r".*",
    "/a*/**": r"a[^/]*/.*",
    "a/**/b": r"a/.*/b",
    "{a,b}*/?": r"[ab][^/]*/[^/]",
    "/a": r"a",
    "/a-b/": r"a-b",
    "**/z": r".*/z",
    "a[!-.]*": r"a[^-./][^/]*",
    "(a|b)/+(a|b)": r"[ab]/[ab]+",
    "!(a|b)/**": r"(?!(a|b)/)[^/]*/.*",
    "{a,b/a,b/b/b}": r"a|b/a|b/b/b",
    "é": r"é",
}


@given(model=models(), pattern=st.sampled_from(sorted(GLOBS)))
@settings(max_examples=5 * EXAMPLES)
def test_a_glob_finds_files_and_directories_by_path(
    trees: Trees, model: Model, pattern: str
) -> None:
    root = built(trees, model)
    matcher = re.compile(GLOBS[pattern])

    found = [shown(entry) for entry in trees.glob(root, pattern)]

    assert found == naive_entries(model, lambda path: matcher.fullmatch(path) is not None)


@given(
    model=models(),
    directory=st.one_of(st.just(""), PATHS),
    pattern=st.sampled_from(sorted(GLOBS)),
    after=st.one_of(PATHS, PATHS.map(lambda path: path.partition("/")[0])),
)
@settings(max_examples=4 * EXAMPLES)
def test_what_goes_on_behind_a_path_is_the_rest(
    trees: Trees, model: Model, directory: str, pattern: str, after: str
) -> None:
    root = built(trees, model)

    listed = list(trees.list(root, directory, after=after))
    found = list(trees.glob(root, pattern, after=after))
    walked = list(trees.walk(root, directory, after=after))

    if directory not in model:  # a file is listed as it is
        assert listed == [e for e in trees.list(root, directory) if e.path > after]
    assert found == [e for e in trees.glob(root, pattern) if e.path > after]
    assert walked == [row for row in trees.walk(root, directory) if row.path > after]


@given(model=models(), path=st.one_of(st.just(""), PATHS))
@settings(max_examples=3 * EXAMPLES)
def test_looking_up_one_path_says_what_it_is(trees: Trees, model: Model, path: str) -> None:
    root = built(trees, model)

    entry = trees.entry(root, path)
    row = trees.find(root, path)

    if path in model:
        assert entry is not None
        assert entry.type == FileType.FILE
        assert row is not None
        assert b"".join(trees.read(row)) == model[path][0]
    else:
        assert row is None
        assert (entry is not None) == (path == "" or path in directories(model))


@given(model=models(max_size=15), move=st.sampled_from(PARTS))
@settings(max_examples=2 * EXAMPLES)
def test_the_digest_of_a_directory_is_that_of_its_relative_content(
    trees: Trees, model: Model, move: str
) -> None:
    moved = {f"{move}/{path}": (content, "3" * 64) for path, (content, _) in model.items()}

    assert trees.digest(built(trees, model), "") == trees.digest(built(trees, moved), move)


@given(model=models(max_size=10), path=PATHS)
@settings(max_examples=2 * EXAMPLES)
def test_walking_from_a_prefix_gives_the_rows_below_it(
    trees: Trees, model: Model, path: str
) -> None:
    root = built(trees, model)

    rows = [row.path for row in trees.walk(root, path)]

    assert rows == sorted(full for full, _ in below(model, path).values())
