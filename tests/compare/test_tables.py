"""Tables: rows that came, went or changed are those that a plain look at both sides finds."""

import csv
import io
import json
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_content import content

from trunkline.api.waiting import wanted_while
from trunkline.compare import jsons, tables
from trunkline.compare import parquet as compare_parquet
from trunkline.compare.compare import compare_contents
from trunkline.errors import InvalidInput, Unavailable
from trunkline.jobs.egress_tables import tables_of
from trunkline.model.differences import ContentDifference, ContentKind, Op


def written(rows: Sequence[Sequence[str]], **options: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", **options).writerows(rows)
    return out.getvalue().encode()


def compare(
    old: bytes,
    new: bytes,
    path: str = "a.csv",
    key: Sequence[str] = (),
    most: int = 1000,
    chunk_bytes: int = 7,
) -> ContentDifference:
    sides = [content(data, chunk_bytes=chunk_bytes) for data in (old, new)]
    return compare_contents(path, *sides, kind=None, key=key, most=most)


def rows_of(found: ContentDifference) -> list[tuple[str, str, dict[str, tuple[str | None, ...]]]]:
    return [
        (row.op.value, row.place, {cell.column: (cell.old, cell.new) for cell in row.cells})
        for row in found.rows
    ]


CELL = st.sampled_from(["1", "2", "x", "", "a,b", 'say "hi"', "two\nlines", "é"])
ROWS = st.lists(st.tuples(CELL, CELL), max_size=12)


@given(ROWS, ROWS, st.integers(1, 3))
def test_rows_without_a_key_are_counted_as_often_as_they_occur(
    old: list[tuple[str, str]], new: list[tuple[str, str]], parts: int
) -> None:
    header = ("name", "value")
    # A first column that repeats can't pair rows, so they are compared as a whole.
    double = ("double", "double")
    sides = [written([header, double, double, *rows]) for rows in (old, new)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "HELD_BYTES", 16_000 // parts)
        found = compare(*sides)
    gone, came = Counter(old) - Counter(new), Counter(new) - Counter(old)

    if found.kind is ContentKind.CSV and not found.key:
        assert (found.added, found.removed) == (came.total(), gone.total())
        listed = Counter(
            tuple(v[1] if op == "+" else v[0] for v in cells.values())
            for op, _, cells in rows_of(found)
        )
        assert listed == came + gone
    else:  # the rows that differ have a first column that pairs them
        assert found.added + found.changed == came.total()
        assert found.removed + found.changed == gone.total()


@given(
    st.dictionaries(st.integers(0, 30), CELL, max_size=15),
    st.dictionaries(st.integers(0, 30), CELL, max_size=15),
    st.randoms(),
)
def test_rows_with_a_key_are_paired_in_any_order(old, new, rng) -> None:
    def table(rows: dict[int, str]) -> bytes:
        mixed = [(str(k), v) for k, v in rows.items()]
        rng.shuffle(mixed)
        return written([("id", "value"), *mixed])

    found = compare(table(old), table(new), key=["id"])

    assert found.added == len(new.keys() - old.keys())
    assert found.removed == len(old.keys() - new.keys())
    assert found.changed == sum(old[k] != new[k] for k in old.keys() & new.keys())
    assert {row.place for row in found.rows if row.op is Op.CHANGED} == {
        f"id={k}" for k in old.keys() & new.keys() if old[k] != new[k]
    }


def test_a_changed_row_shows_the_cells_that_differ() -> None:
    old = written([("id", "name", "price"), ("1", "nut", "5"), ("2", "bolt", "7")])
    new = written([("id", "name", "price"), ("1", "nut", "6"), ("3", "pin", "1")])

    assert rows_of(compare(old, new)) == [
        ("~", "id=1", {"price": ("5", "6")}),
        ("-", "id=2", {"id": ("2", None), "name": ("bolt", None), "price": ("7", None)}),
        ("+", "id=3", {"id": (None, "3"), "name": (None, "pin"), "price": (None, "1")}),
    ]


def test_rows_are_numbered_behind_what_both_begin_with() -> None:
    same = [(f"r{n}", 'a "quoted"\nnewline') for n in range(50)]
    old = written([("k", "v"), *same, ("x", "1"), ("x", "2")])
    new = written([("k", "v"), *same, ("x", "1"), ("x", "3"), ("x", "4")])

    found = compare(old, new)

    assert [(row.op.value, row.place) for row in found.rows] == [
        ("-", "row 52"),
        ("+", "row 52"),
        ("+", "row 53"),
    ]


def test_columns_that_came_and_went_are_no_changes_of_rows() -> None:
    old = written([("id", "old"), ("1", "x"), ("2", "y")])
    new = written([("new", "id"), ("n", "1"), ("n", "2")])

    found = compare(old, new)

    assert [(c.op.value, c.name) for c in found.columns] == [("-", "old"), ("+", "new")]
    assert (found.added, found.removed, found.changed) == (0, 0, 0)


def test_a_table_without_header_has_numbered_columns() -> None:
    found = compare(b"1;2\n3;4\n", b"1;2\n3;5\n")

    assert rows_of(found) == [("~", "column 1=3", {"column 2": ("4", "5")})]


def test_a_key_that_is_missing_or_repeats_is_refused() -> None:
    old = written([("id", "v"), ("1", "x"), ("1", "y")])
    new = written([("id", "v"), ("1", "z"), ("1", "w")])

    with pytest.raises(InvalidInput, match="has no column 'nr' to pair rows by; it has id, v"):
        compare(old, new, key=["nr"])
    with pytest.raises(InvalidInput, match="can't be paired by id: its values repeat"):
        compare(old, new, key=["id"])


def test_the_first_rows_of_many_are_listed() -> None:
    header = [("id", "v")]
    old = written([*header, *((str(n), "a") for n in range(100))])
    new = written([*header, *((str(n), "b") for n in range(100))])

    found = compare(old, new, most=3)

    assert (found.changed, found.truncated) == (100, True)
    assert [row.place for row in found.rows] == ["id=0", "id=1", "id=2"]


def test_too_many_rows_are_compared_by_line_or_not_at_all(monkeypatch) -> None:
    monkeypatch.setattr(tables, "HELD_BYTES", 400)
    rows = [(str(n), "a") for n in range(100)]

    found = compare(written([("id", "v"), *rows]), written([("id", "w"), *rows[::-1]]))

    assert found.kind is ContentKind.TEXT
    assert "are compared row by row" in found.note


def test_a_comparison_leaves_alone_how_others_read_csv() -> None:
    long = b"x" * 2_000_000
    [(_, rows)] = tables_of([("t/f.csv", 0, [b"1,a\n" * 50_000, b"2," + long + b"\n"])], "CSV", ())
    next(rows)

    compare(b"a,b\n1,2\n", b"a,b\n1,3\n")

    assert [row.values for row in rows][-1] == ["2", long.decode()]


@pytest.mark.parametrize("row", [b"1,%s\n", b'1,"%s"\n', b'1,"%s\n"\n', b"%s"])
@pytest.mark.parametrize("cell", [b"x" * 1_100_000, b"x\n" * 550_000])
def test_a_long_row_is_compared_by_line(row: bytes, cell: bytes) -> None:
    if b"\n" in cell and b'"' not in row:
        return  # those are many rows
    found = compare(b"a,b\n1,2\n", b"a,b\n" + row % cell, chunk_bytes=65536)

    assert found.kind is ContentKind.TEXT
    assert "that are read as" in found.note


def test_the_memory_for_rows_is_bounded_however_short_they_are(monkeypatch) -> None:
    monkeypatch.setattr(tables, "HELD_BYTES", 512 * 1024)
    sides = [b"".join(b"%d\n" % n for n in range(first, first + 3000)) for first in (10**6, 0)]
    compare(b"1\n", b"2\n")  # what is loaded is not counted

    tracemalloc.start()
    found = compare(*sides, chunk_bytes=65536, most=10)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (found.added, found.removed) == (3000, 3000)
    assert peak_bytes < 1024 * 1024


def test_rows_that_are_listed_take_no_more_than_there_is_for_them(monkeypatch) -> None:
    monkeypatch.setattr(tables, "LISTED_BYTES", 10_000)
    old = written([("id", "v"), *((str(n), "a" * 1000) for n in range(20))])

    found = compare(old, old.replace(b"a", b"b"))

    assert (found.changed, len(found.rows), found.truncated) == (20, 4, True)


@pytest.mark.parametrize("path", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_comparison_that_nobody_waits_for_any_more_ends(path: str) -> None:
    if path == "a.parquet":
        sides = [parquet({"id": list(range(n))}) for n in (9, 8)]
    else:
        sides = [b"1\n2\n", b"3\n4\n"]

    with wanted_while(lambda: False), pytest.raises(Unavailable):
        compare(*sides, path)


def test_a_lone_quote_in_a_cell_makes_a_file_text() -> None:
    old = b'a,b\n5" pipe,x\n"multi\nline",y\nlast,1\n'

    found = compare(old, old.replace(b"line", b"lineX"))

    assert (found.kind, found.note) == (ContentKind.TEXT, "it has a quote in the middle of a cell")
    assert found.lines[-3:] == ('-line",y', '+lineX",y', " last,1")


def test_a_mark_of_the_byte_order_counts_in_the_first_line_only() -> None:
    first = compare(b"a,b\n1,2\n", b'\xef\xbb\xbf"a",b\n1,3\n')
    later = compare(b"a,b\n1,2\n", b"a,b\n\xef\xbb\xbf1,2\n")

    assert rows_of(first) == [("~", "a=1", {"b": ("2", "3")})]
    assert (later.added, later.removed) == (1, 1)


FIELD = st.sampled_from(["", "x", '"x"', '"\n"', '"a""b"', '""', '"', 'x"', '"x"y', " "])
FILE = st.lists(st.tuples(FIELD, FIELD), max_size=8)


@given(FILE, FILE, FILE, FILE)
def test_rows_of_csv_are_cut_where_csv_readers_cut_them(head, old, new, tail) -> None:
    def file(middle: list[tuple[str, str]]) -> bytes:
        rows = [("name", "value"), ("k", "v"), ("k", "v"), *head, *middle, *tail]
        return "".join(",".join(row) + "\n" for row in rows).encode()

    def read(data: bytes) -> Counter[tuple[str, ...]]:
        return Counter(tuple(row) for row in csv.reader(io.StringIO(data.decode(), newline="")))

    before, after = file(old), file(new)
    found = compare(before, after)

    if found.kind is ContentKind.CSV and not found.key:
        assert found.added == (read(after) - read(before)).total()
        assert found.removed == (read(before) - read(after)).total()


def test_json_lines_are_rows() -> None:
    old = b'{"id": 1, "v": [1, 2]}\n{"id": 2}\n'
    new = b'{"id": 2}\n{"v": [1,2], "id": 1}\n{"id": 3}\n'

    found = compare(old, new, "a.jsonl")

    assert (found.kind, found.added, found.removed) == (ContentKind.JSONL, 1, 0)
    assert rows_of(found) == [("+", "row 3", {"id": (None, "3")})]


# --- JSON -----------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "a/b~"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab/~", max_size=2), inner),
    max_leaves=12,
)


@given(JSON, JSON)
def test_documents_differ_if_and_only_if_something_is_listed(old: object, new: object) -> None:
    sides = [json.dumps(value).encode() for value in (old, new)]

    found = compare(*sides, "a.json")

    same = json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    assert (found.rows == ()) == same
    assert found.kind is ContentKind.JSON


def test_values_are_named_by_pointers() -> None:
    old = json.dumps({"a": {"b/c": 1, "gone": None}, "list": [1, 2, 3, 4]}).encode()
    new = json.dumps({"a": {"b/c": 2}, "list": [1, 3, 4, 5], "n": True}).encode()

    assert rows_of(compare(old, new, "a.json")) == [
        ("~", "/a/b~1c", {"": ("1", "2")}),
        ("-", "/a/gone", {"": ("null", None)}),
        ("-", "/list/1", {"": ("2", None)}),
        ("+", "/list/3", {"": (None, "5")}),
        ("+", "/n", {"": (None, "true")}),
    ]


def test_equal_values_of_other_types_differ() -> None:
    old, new = (
        b'{"x": 1, "y": true, "z": [0, {"a": 1.0, "b": 2}]}',
        b'{"x": 1.0, "y": 1, "z": [0, {"b": 2, "a": 1}]}',
    )

    assert rows_of(compare(old, new, "a.json")) == [
        ("~", "/x", {"": ("1", "1.0")}),
        ("~", "/y", {"": ("true", "1")}),
        ("~", "/z/1/a", {"": ("1.0", "1")}),
    ]


def test_an_array_deep_inside_is_looked_at_once() -> None:
    deep = 150
    old, new = (b"[" * deep + b",".join([value] * 20_000) + b"]" * deep for value in (b"1", b"2"))

    found = compare(old, new, "a.json", chunk_bytes=65536, most=1)

    assert (found.changed, found.rows[0].place) == (20_000, "/0" * deep)


def test_documents_that_take_much_memory_are_compared_by_line(monkeypatch) -> None:
    monkeypatch.setattr(jsons, "MEMORY_BYTES_MAX", 10_000)

    found = compare(b"[" + b"[]," * 40 + b"1]", b"[]", "a.json")

    assert found.kind is ContentKind.TEXT
    assert "take more than the 10,000 bytes of memory" in found.note


def test_a_long_line_is_no_row_of_json() -> None:
    found = compare(b"1\n", b"[" + b"1," * 600_000 + b"1]\n", "a.jsonl", chunk_bytes=65536)

    assert found.kind is ContentKind.TEXT
    assert "that are read as one row" in found.note


def test_broken_and_bottomless_json_is_compared_by_line() -> None:
    broken = compare(b"{", b"{}", "a.json")
    deep = compare(b"[" * 100_000, b"[" * 99_999, "a.json")

    assert (broken.kind, broken.added) == (ContentKind.TEXT, 1)
    assert "no JSON that can be read" in broken.note
    assert deep.kind is ContentKind.TEXT


def test_halves_of_characters_are_shown_as_escapes() -> None:
    document = compare(b'{"a": 1}', b'{"\\ud800": "\\udc80", "a": 1}', "a.json")
    line = compare(b'{"a": 1}\n', b'{"\\ud800": "\\udc80"}\n', "a.jsonl")

    assert rows_of(document) == [("+", "/\\ud800", {"": (None, '"\\udc80"')})]
    assert rows_of(line)[1] == ("+", "row 1", {"\\ud800": (None, '"\\udc80"')})


# --- Parquet --------------------------------------------------------------------------------------


def parquet(columns: dict[str, list[object]]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow (extra `parquet`)")
    return parquet_table(pyarrow.table(columns))


def parquet_table(table: Any, *, rows_in_group: int = 2) -> bytes:
    pyarrow, files = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    out = pyarrow.BufferOutputStream()
    files.write_table(table, out, row_group_size=rows_in_group)
    return out.getvalue().to_pybytes()


def test_parquet_files_are_compared_by_row_and_schema() -> None:
    old = parquet({"id": [1, 2, 3], "v": [1, 2, 3], "gone": ["a", "b", "c"]})
    new = parquet({"id": [3, 2, 4], "v": [3.0, 2.5, 4.0], "new": [[1], [], None]})

    found = compare(old, new, "a.parquet")

    assert [(c.op.value, c.name, c.old_type, c.new_type) for c in found.columns] == [
        ("-", "gone", "string", ""),
        ("+", "new", "", "list<element: int64>"),
        ("~", "v", "int64", "double"),
    ]
    assert rows_of(found) == [
        ("-", "id=1", {"id": ("1", None), "v": ("1", None)}),
        ("~", "id=3", {"v": ("3", "3.0")}),
        ("~", "id=2", {"v": ("2", "2.5")}),
        ("+", "id=4", {"id": (None, "4"), "v": (None, "4.0")}),
    ]


def test_what_is_no_parquet_file_is_said() -> None:
    good = parquet({"id": [1]})

    found = compare(b"PAR1 no", good, "a.parquet")

    assert (found.kind, found.added) == (ContentKind.BINARY, None)
    assert "no Parquet file that can be read" in found.note


def test_columns_of_one_name_are_told_apart_by_their_order() -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow (extra `parquet`)")
    old, new = (
        parquet_table(pyarrow.Table.from_arrays([[1, 2], [3, last]], names=["a", "a"]))
        for last in (4, 5)
    )

    assert rows_of(compare(old, new, "a.parquet")) == [("~", "a=2", {"a (2)": ("4", "5")})]
    with pytest.raises(InvalidInput, match="2 of its columns are called 'a'"):
        [list(rows) for _, rows in tables_of([("t/f", 0, [old])], "PARQUET", ())]


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("date32", "2000000000"),
        ("timestamp[us]", "4611686018427387904"),
        ("duration[s]", "4611686018427387904"),
        ("nested", "[{'t': 4611686018427387904}]"),
    ],
)
def test_times_that_python_has_no_value_for_are_numbers(kind: str, shown: str) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow (extra `parquet`)")
    types = {
        "date32": pyarrow.date32(),
        "timestamp[us]": pyarrow.timestamp("us"),
        "duration[s]": pyarrow.duration("s"),
        "nested": pyarrow.list_(pyarrow.struct([("t", pyarrow.timestamp("us"))])),
    }
    value: Any = 2_000_000_000 if kind == "date32" else 2**62
    if kind == "nested":
        times = pyarrow.array([value], pyarrow.int64()).cast(types["timestamp[us]"])
        array = pyarrow.ListArray.from_arrays(
            [0, 1], pyarrow.StructArray.from_arrays([times], ["t"])
        )
    else:
        size = pyarrow.int32() if kind == "date32" else pyarrow.int64()
        array = pyarrow.array([value], size).cast(types[kind])
    new = parquet_table(pyarrow.table({"id": [1], "d": array}))
    old = parquet_table(pyarrow.table({"id": [1], "d": pyarrow.nulls(1, types[kind])}))

    assert rows_of(compare(old, new, "a.parquet")) == [("~", "id=1", {"d": (None, shown)})]
    [(_, rows)] = tables_of([("t/f", 0, [new])], "PARQUET", ())
    assert str(next(row.values for row in rows)["d"]) == shown


def test_many_rows_of_a_small_file_are_not_compared(monkeypatch) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow (extra `parquet`)")
    monkeypatch.setattr(compare_parquet, "ROWS_MAX", 10_000)
    old, new = (
        parquet_table(pyarrow.table({"a": [n] * 10_001}), rows_in_group=10_001) for n in (1, 2)
    )

    found = compare(old, new, "a.parquet")

    assert (found.kind, found.added) == (ContentKind.BINARY, None)
    assert "it has 10,001 rows; at most 10,000 are compared row by row" in found.note


def test_a_size_below_nothing_is_damage() -> None:
    good = parquet({"id": [1, 2]})
    files = pytest.importorskip("pyarrow.parquet")
    size = files.read_metadata(io.BytesIO(good)).row_group(0).total_byte_size
    as_it_is, below = (bytes([0x16, n % 128 + 128, n // 128]) for n in (2 * size, 2 * size - 1))
    place = good.rindex(as_it_is)  # a number of two bytes, odd for what is below zero
    bad = good[:place] + below + good[place + 3 :]
    assert files.read_metadata(io.BytesIO(bad)).row_group(0).total_byte_size == -size

    found = compare(good, bad, "a.parquet")

    assert "no Parquet file that can be read" in found.note
