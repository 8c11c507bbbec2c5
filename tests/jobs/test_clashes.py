"""Two datums that write one path are told, and nobody else, as by a table of all paths."""

import tracemalloc
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import FileRow
from trunkline.files.tree import Trees
from trunkline.jobs import clashes
from trunkline.jobs.clashes import Writers
from trunkline.store.chunks import ChunkStore

Rows = list[tuple[str, str]]  # path, and who wrote it

KEYS = [character * 64 for character in "abcd"]
OUTPUTS = st.lists(
    st.lists(st.tuples(st.sampled_from([f"/{n}" for n in range(40)]), st.sampled_from(KEYS))),
    max_size=12,
)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    place: Path = tmp_path_factory.mktemp("clashes")
    return Trees(ChunkStore(place / "store"))


def stored(trees: Trees, rows: Rows) -> list[str]:
    """An output with these files."""
    writer = DeltaWriter(trees, by_datum=True)
    for path, datum in rows:
        writer.put_row(FileRow(path=path, size_bytes=0, digest=KEYS[0], datum=datum, chunks=()))
    return list(map(str, writer.finish()))


def told(trees: Trees, outputs: list[Rows]) -> tuple[int | None, str]:
    """The number of the first output that is said to clash, and what is said."""
    writers = Writers()
    for number, rows in enumerate(outputs):
        if said := writers.clash(trees, stored(trees, rows)):
            return number, said
    return None, ""


def clash_of(outputs: list[Rows]) -> tuple[int, str, set[str]] | None:
    """The first output in which somebody writes what another has: its number, the first such path,
    and all who have written that by then.
    """
    writers: dict[str, set[str]] = {}
    for number, rows in enumerate(outputs):
        for path, datum in rows:
            writers.setdefault(path, set()).add(datum)
        for path in sorted({path for path, _ in rows}):
            if len(writers[path]) > 1:
                return number, path, writers[path]
    return None


@given(outputs=OUTPUTS)
def test_clashes_are_those_of_a_table_of_all_paths(trees: Trees, outputs: list[Rows]) -> None:
    number, said = told(trees, outputs)

    must = clash_of(outputs)
    if must is None:
        assert number is None
    else:
        assert number == must[0]
        assert f"'{must[1]}'" in said
        assert sum(f"from {key}" in said for key in must[2]) == 2


@given(outputs=OUTPUTS)
def test_equal_digests_of_different_paths_are_no_clash(trees: Trees, outputs: list[Rows]) -> None:
    real = clashes._digest
    with patch.object(clashes, "_digest", lambda path: real(path) % 7):
        number, said = told(trees, outputs)

    if number is not None:  # what is said is true
        rows = {row for some in outputs[: number + 1] for row in some}
        path = said.split("'")[1]
        assert sum(f"from {key}" in said for place, key in rows if place == path) == 2


def test_what_is_told_twice_is_no_clash(trees: Trees) -> None:
    writers, output = Writers(), stored(trees, [("/a", KEYS[0]), ("/b", KEYS[1])])

    assert [writers.clash(trees, output) for _ in range(2)] == ["", ""]


def test_a_path_takes_few_bytes(trees: Trees) -> None:
    paths = 20_000
    outputs = [
        stored(trees, [(f"/some/directory/{n:012}", f"{n:064x}") for n in range(at, at + 1000)])
        for at in range(0, paths, 1000)
    ]
    for output in outputs:
        Writers().clash(trees, output)  # has all of it in the caches
    writers = Writers()
    tracemalloc.start()
    try:
        for output in outputs:
            assert writers.clash(trees, output) == ""
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held < 60 * paths
