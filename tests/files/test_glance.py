"""Stored rows, looked at as they are stored, are the rows that decoding gives."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import Corrupt
from trunkline.files import glance as glance_module
from trunkline.files.columns import Columns, FileRow, decode_columns, encode_columns
from trunkline.files.glance import Glance
from trunkline.files.manifest import RANGE_MAGIC
from trunkline.store.chunks import ChunkId

EXAMPLES = settings().max_examples
PATH = st.text(st.sampled_from("ab/\u00e9\U0001f600"), min_size=1, max_size=40)
PATHS = st.lists(
    PATH,
    min_size=1,
    max_size=200,
    unique=True,
).map(sorted)


def encoded(paths: list[str], contents: list[int], *, rich: bool = False) -> bytes:
    rows = Columns()
    for path, content in zip(paths, contents, strict=True):
        digest = f"{content:064x}"
        parts = ((ChunkId("a" * 64), 1), (ChunkId("b" * 64), content + 1))
        rows.add(
            FileRow(
                path=path,
                size_bytes=content + 2 if rich else content,
                digest=digest,
                chunks=parts if rich else ((ChunkId(digest), content),) * bool(content),
                datum="d" * 64 if rich else "",
            ),
            lambda _: ChunkId(""),
        )
    return encode_columns(RANGE_MAGIC, rows)


@given(paths=PATHS, rich=st.booleans(), data=st.data())
@settings(max_examples=EXAMPLES)
def test_rows_and_differences_are_those_of_the_decoded_rows(
    paths: list[str], rich: bool, data: st.DataObject
) -> None:
    numbers = st.lists(st.integers(0, 3), min_size=len(paths), max_size=len(paths))
    one, other = data.draw(numbers), data.draw(numbers)
    stored = encoded(paths, one, rich=rich)
    rows = decode_columns(RANGE_MAGIC, stored)
    walk = data.draw(st.integers(0, 5))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glance_module, "_WALK_MAX", walk)
        found = Glance(stored)
        for i in data.draw(st.permutations(range(len(paths)))):
            assert found.path(i) == paths[i]
            assert found.row(i, paths[i], lambda _: b"") == rows.row(i, lambda _: b"")

    for path in [
        *paths,
        *data.draw(st.lists(PATH)),
        *(part for p in paths for part in p.split("/")),
    ]:
        number = found.number(path)
        if path in paths:
            assert number == paths.index(path)
            row = rows.row(number, lambda _: b"")
            assert found.row(number, path, lambda _: b"") == row
            assert not found.plain or found.only(number, path).row(0, lambda _: b"") == row
        else:
            assert number is None

    expected = [i for i in range(len(paths)) if one[i] != other[i]]
    assert list(found.differing(Glance(encoded(paths, other)))) == expected


@given(paths=PATHS, place=st.integers(0, 1 << 20), value=st.integers(1, 255))
@settings(max_examples=2 * EXAMPLES)
def test_a_changed_byte_is_refused_or_told_as_decoding_tells_it(
    paths: list[str], place: int, value: int
) -> None:
    good = encoded(paths, list(range(len(paths))))
    bad = bytearray(good)
    bad[place % len(bad)] ^= value
    try:
        rows = decode_columns(RANGE_MAGIC, bytes(bad))
    except Corrupt:
        try:
            found = Glance(bytes(bad))
        except Corrupt:
            return
        if found.has_paths_of(Glance(good)):  # columns are said to follow that don't
            with pytest.raises(Corrupt):
                found.row(0, paths[0], lambda _: b"")
        return

    found, before = Glance(bytes(bad)), Glance(good)

    assert found.has_paths_of(before) == (rows.paths == paths)
    if rows.paths == paths:
        whole = decode_columns(RANGE_MAGIC, good)
        expected = [i for i in range(len(paths)) if rows.digest(i) != whole.digest(i)]
        assert list(found.differing(before)) == expected
        for i, path in enumerate(paths):
            assert found.row(i, path, lambda _: b"") == rows.row(i, lambda _: b"")


@pytest.mark.parametrize("cut", [3, 10, 40])
def test_what_is_cut_off_is_damage(cut: int) -> None:
    with pytest.raises(Corrupt):
        Glance(encoded(["a", "b"], [1, 2])[:cut])
