"""What is read and written depends on what changed, not on how much else there is.

Objects and bytes are counted, not seconds. Ranges are small here, so a tree of some thousand files
has as many of them, on as many levels, as one of some ten million files has with the real sizes.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY, RootId
from trunkline.files.tree import Trees
from trunkline.model.versions import Side
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.packs import Piece

SIZES = (100, 1_000, 10_000)
EXAMPLES = settings().max_examples

pytestmark = pytest.mark.usefixtures("small_ranges")


class CountingStore(ChunkStore):
    """A chunk store that knows how much it was asked for."""

    got: set[ChunkId]
    written: int
    written_bytes: int

    def begin(self) -> None:
        self.got, self.written, self.written_bytes = set(), 0, 0

    def get_many(self, chunks: Sequence[ChunkId]) -> dict[ChunkId, bytes]:
        self.got |= set(chunks)
        return super().get_many(chunks)

    def put_hashed(self, digests: Sequence[bytes], pieces: Sequence[Piece]) -> None:
        self.written += len(pieces)
        self.written_bytes += sum(map(len, pieces))
        super().put_hashed(digests, pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """A tree of so many files, which nobody has read yet."""

    files: int
    root: RootId
    store: CountingStore

    @property
    def cold(self) -> Trees:
        """The tree again, nothing decoded; counting begins."""
        self.store.begin()
        return Trees(self.store)

    @property
    def levels(self) -> int:
        """More than there are above the rows: every level has at most half as many entries."""
        return int(math.log2(self.files))


def name(n: int) -> str:
    return f"{n % 97:02}/{n:06}"


def changed(trees: Trees, root: RootId, names: Sequence[str], content: bytes = b"new") -> RootId:
    writer = DeltaWriter(trees)
    for path in names:
        writer.put(path, [content])
    return trees.apply(root, writer.finish())


@pytest.fixture(scope="module")
def grown(
    small_ranges: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Grown, ...]]:
    store = CountingStore(tmp_path_factory.mktemp("growth") / "store")
    store.begin()
    trees = Trees(store)
    yield tuple(
        Grown(
            files=files,
            root=changed(trees, EMPTY, [name(n) for n in range(files)], b"x"),
            store=store,
        )
        for files in SIZES
    )
    store.close()


def test_a_changed_file_rewrites_its_range_and_the_nodes_above_it(grown: tuple[Grown, ...]) -> None:
    for tree in grown:
        for n in random.Random(1).sample(range(tree.files), 20):
            trees = tree.cold

            changed(trees, tree.root, [name(n)])

            # The changed range, a second one where its end moved, and on each level at most the
            # nodes above these, the one at the right edge, and one whose end moved.
            assert tree.store.written <= 10 + 3 * tree.levels
            assert tree.store.written_bytes <= 1000 * (10 + 3 * tree.levels)
            assert len(tree.store.got) <= 10 + 3 * tree.levels


def test_finding_a_file_reads_one_object_of_each_level(grown: tuple[Grown, ...]) -> None:
    for tree in grown:
        for n in random.Random(2).sample(range(tree.files), 20):
            trees = tree.cold

            row = trees.find(tree.root, name(n))

            assert row is not None
            assert len(tree.store.got) <= tree.levels


def test_totals_read_one_object(grown: tuple[Grown, ...]) -> None:
    for tree in grown:
        trees = tree.cold

        assert trees.totals(tree.root) == (tree.files, tree.files)

        assert len(tree.store.got) == 1


def test_a_listing_reads_what_lies_in_the_directory(grown: tuple[Grown, ...]) -> None:
    for tree in grown:
        trees = tree.cold

        entries = list(trees.list(tree.root, "07"))

        assert len(entries) == len(range(7, tree.files, 97))
        assert len(tree.store.got) <= 2 * tree.levels + 2 * len(entries)


def test_the_end_of_a_listing_is_found_without_reading_its_beginning(
    grown: tuple[Grown, ...],
) -> None:
    for tree in grown:
        last = max(entry.path for entry in tree.cold.list(tree.root, "07"))
        trees = tree.cold

        entries = list(trees.list(tree.root, "07", after=last[:-1]))

        assert entries[-1].path == last
        assert len(tree.store.got) <= 4 * tree.levels


def test_the_size_of_a_directory_is_known_without_reading_it(grown: tuple[Grown, ...]) -> None:
    for tree in grown:
        trees = tree.cold

        entry = trees.entry(tree.root, "07")

        assert entry is not None
        assert entry.size_bytes == len(range(7, tree.files, 97))
        assert len(tree.store.got) <= 3 * tree.levels


def test_digests_of_directories_are_made_anew_where_something_changed(
    grown: tuple[Grown, ...],
) -> None:
    for tree in grown:
        trees = tree.cold
        before = {e.path: e.digest for e in trees.glob(tree.root, "*", digest=True)}
        root = changed(trees, tree.root, [name(7)])
        tree.store.begin()

        after = {e.path: e.digest for e in trees.glob(root, "*", digest=True)}

        assert {path for path in after if after[path] != before[path]} == {"07"}
        assert after == {e.path: e.digest for e in tree.cold.glob(root, "*", digest=True)}


def test_a_difference_reads_what_differs(grown: tuple[Grown, ...]) -> None:
    for tree in grown:
        names = [name(n) for n in random.Random(3).sample(range(tree.files), 10)]
        new = changed(tree.cold, tree.root, names)
        trees = tree.cold

        found = list(trees.diff(new, "", tree.root, ""))
        read = len(tree.store.got)
        last = max(names)
        assert list(trees.diff(new, "", tree.root, "", after=last)) == []
        assert len(tree.store.got) - read <= 5 * tree.levels

        assert sorted(row.path for side, row in found if side is Side.NEW) == sorted(names)
        assert read <= 10 * 5 * tree.levels


def test_equal_trees_differ_in_nothing_and_nothing_is_read(grown: tuple[Grown, ...]) -> None:
    for tree in grown:
        trees = tree.cold

        assert list(trees.diff(tree.root, "", tree.root, "")) == []

        assert len(tree.store.got) == 1


NAMES = st.integers(0, SIZES[1] + 50).map(name)
DELETED = st.one_of(NAMES, st.integers(0, 96).map(lambda n: f"{n:02}"))


@given(puts=st.sets(NAMES, max_size=5), deletes=st.sets(DELETED, max_size=5))
@settings(max_examples=2 * EXAMPLES)
def test_few_changes_of_a_large_tree_give_what_building_it_anew_gives(
    grown: tuple[Grown, ...], puts: set[str], deletes: set[str]
) -> None:
    tree = grown[1]
    trees = tree.cold
    before = {name(n) for n in range(tree.files)}
    left = {p for p in before if p not in deletes and p[:2] not in deletes}
    writer = DeltaWriter(trees)
    for path in deletes:
        writer.delete(path)
    for path in sorted(puts):
        writer.put(path, [b"new"])
    root = trees.apply(tree.root, writer.finish())

    anew = DeltaWriter(trees)
    for path in left | puts:
        anew.put(path, [b"new" if path in puts else b"x"])

    assert root == trees.apply(EMPTY, anew.finish())
    assert list(trees.verify(root)) == []
    expected = [(path, Side.NEW) for path in puts] + [(p, Side.OLD) for p in before - (left - puts)]
    found = [(row.path, side) for side, row in trees.diff(root, "", tree.root, "")]
    assert found == sorted(expected)


@given(seed=st.integers(0, 1 << 32), share=st.sampled_from([0.003, 0.03, 0.3]), data=st.data())
@settings(max_examples=EXAMPLES)
def test_any_mix_of_changes_of_a_large_tree_is_told_in_order(
    grown: tuple[Grown, ...], seed: int, share: float, data: st.DataObject
) -> None:
    tree = grown[1]
    trees = tree.cold
    randomness = random.Random(seed)
    kinds = data.draw(st.sampled_from(["put", "delete", "add", "put delete add"])).split()
    writer = DeltaWriter(trees)
    expected: list[tuple[str, Side]] = []
    for path in sorted(name(n) for n in range(tree.files)):
        if randomness.random() < share:
            kind = randomness.choice(kinds)
            new = path + "-2" if kind == "add" else path
            if kind == "delete":
                writer.delete(path)
            else:
                writer.put(new, [b"new"])
                expected.append((new, Side.NEW))
            if kind != "add":
                expected.append((path, Side.OLD))
    root = trees.apply(tree.root, writer.finish())

    there = [(row.path, side) for side, row in tree.cold.diff(root, "", tree.root, "")]
    back = [(row.path, side) for side, row in tree.cold.diff(tree.root, "", root, "")]

    assert there == expected
    assert sorted(back) == sorted((p, {Side.NEW: Side.OLD}.get(s, Side.NEW)) for p, s in expected)
    for prefix in ("07", "07/000007", "50"):
        inside = [(p, s) for p, s in expected if p == prefix or p.startswith(prefix + "/")]
        found = [(r.path, s) for s, r in tree.cold.diff(root, prefix, tree.root, prefix)]
        assert found == inside


def test_a_large_tree_is_whole(grown: tuple[Grown, ...], tmp_path: Path) -> None:
    for tree in grown[:2]:
        assert list(tree.cold.verify(tree.root)) == []


def test_a_second_listing_with_digests_reads_no_more_than_what_changed(
    grown: tuple[Grown, ...],
) -> None:
    tree = grown[-1]
    list(tree.cold.glob(tree.root, "*", digest=True))
    all_of_it = len(tree.store.got)
    trees = tree.cold
    list(trees.glob(tree.root, "*", digest=True))
    root = changed(trees, tree.root, [name(7)])
    tree.store.begin()

    list(trees.glob(root, "*", digest=True))

    # 97 directories are looked for, and one of them is read.
    assert len(tree.store.got) <= all_of_it / 4
