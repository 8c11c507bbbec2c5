"""Shortcuts through stored columns and known cuts give what the long way gives."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.files.conftest import Builder

from trunkline.files.columns import Columns
from trunkline.files.manifest import RangeWriter
from trunkline.files.tree import Trees
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import Digest

EXAMPLES = settings().max_examples
PATHS = st.sets(
    st.lists(st.sampled_from(["a", "b", "a-b", "é", "z"]), min_size=1, max_size=5).map("/".join),
    max_size=60,
)


def without_conflicts(paths: set[str]) -> list[str]:
    above = {path[:n] for path in paths for n, char in enumerate(path) if char == "/"}
    return sorted(paths - above)


@pytest.mark.usefixtures("small_ranges")
@given(paths=PATHS, data=st.data())
@settings(max_examples=EXAMPLES)
def test_lines_of_names_are_the_paths_of_the_rows(
    build: Builder, trees: Trees, paths: set[str], data: st.DataObject
) -> None:
    files = without_conflicts(paths)
    root = build(dict.fromkeys(files, b"x"))
    above = [path.rpartition("/")[0] for path in files]
    prefix = data.draw(st.sampled_from(["", "a", "nothing", *files, *above]))

    lines = b"".join(trees.name_lines(root, prefix))

    assert lines.decode("utf-8").splitlines() == [row.path for row in trees.walk(root, prefix)]
    assert not lines or lines.endswith(b"\n")


def rows_of(paths: list[str]) -> Columns:
    rows = Columns()
    for path in paths:
        rows.add_small(path, 1, bytes(32))
    return rows


@pytest.mark.usefixtures("small_ranges")
@given(numbers=st.sets(st.integers(0, 400)), gone=st.sets(st.integers(0, 400), max_size=6))
@settings(max_examples=5 * EXAMPLES)
def test_cuts_that_are_known_are_the_cuts_that_the_rule_makes(
    numbers: set[int], gone: set[int]
) -> None:
    stored: dict[ChunkId, bytes] = {}

    def save(blob: bytes) -> ChunkId:
        chunk = ChunkId(Digest(blob).hexdigest())
        stored[chunk] = blob
        return chunk

    def written(write: Callable[[RangeWriter], None]) -> str:
        writer = RangeWriter(save)
        write(writer)
        return writer.finish()

    before = [f"{n:03}" for n in sorted(numbers)]
    left = [path for path in before if int(path) not in gone]
    ranges: list[Columns] = []
    end_range = RangeWriter._end_range

    def noting(self: Any) -> None:
        ranges.append(self._rows)
        end_range(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RangeWriter, "_end_range", noting)
        written(lambda writer: writer.copy_rows(rows_of(before), 0, len(before)))

    def again(writer: RangeWriter) -> None:
        for rows in list(ranges):
            start = 0
            for end in [n for n, path in enumerate(rows.paths) if int(path) in gone]:
                writer.copy_rows(rows, start, end, of_range=True)
                start = end + 1
            writer.copy_rows(rows, start, len(rows), of_range=True)

    plain = written(lambda writer: writer.copy_rows(rows_of(left), 0, len(left)))
    assert written(again) == plain
