"""Splits: no record is cut, the files joined are the content, whatever the pieces it comes in."""

import csv
import io
import itertools
import json

import pytest
from archives import in_pieces
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.api.changes import Split
from trunkline.errors import InvalidInput
from trunkline.files.splitting import split_content


def files(data, by="line", *, size=1 << 20, **how):
    parts = split_content(in_pieces(data, size), Split(by=by, **how))
    return [b"".join(part) for part in parts]


TARGETS = st.fixed_dictionaries(
    {"file_records": st.integers(0, 5), "file_bytes": st.sampled_from([0, 1, 7, 40])}
)
SIZES = st.integers(1, 50)
FIELDS = st.text(st.sampled_from('ab",\n\r é'), max_size=6)
ROWS = st.lists(st.lists(FIELDS, min_size=1, max_size=4), max_size=9)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def written(rows, ending="\r\n"):
    if ending == "\n":  # the writer would leave a return without quotes, which ends a row
        rows = [[field.replace("\r", "") for field in row] for row in rows]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator=ending).writerows(rows)
    return buffer.getvalue().encode()


def rows_of(data):
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


# --- lines ----------------------------------------------------------------------------------------


@given(st.binary(max_size=200).map(lambda b: b.replace(b"a", b"\n")), TARGETS, SIZES)
def test_lines_joined_are_the_content(data, how, size):
    parts = files(data, size=size, **how)

    assert b"".join(parts) == data
    assert all(part.endswith(b"\n") for part in parts[:-1])
    assert parts == files(data, **how)
    if how["file_records"]:
        assert all(part.count(b"\n") <= how["file_records"] for part in parts)


@pytest.mark.parametrize(
    ("data", "how", "expected"),
    [
        (b"", {}, []),
        (b"a\nb\n", {}, [b"a\n", b"b\n"]),
        (b"a\r\nb", {}, [b"a\r\n", b"b"]),
        (b"\n\n", {}, [b"\n", b"\n"]),
        (b"a\nb\nc\nd\ne\n", {"file_records": 2}, [b"a\nb\n", b"c\nd\n", b"e\n"]),
        (b"aa\nbb\ncc\n", {"file_bytes": 4}, [b"aa\nbb\n", b"cc\n"]),
        (b"a\nb\nc\nd\n", {"file_records": 3, "file_bytes": 4}, [b"a\nb\n", b"c\nd\n"]),
        (b"long line\nb\n", {"file_bytes": 2}, [b"long line\n", b"b\n"]),
        (b"h\na\nb\n", {"header_records": 1}, [b"h\na\n", b"h\nb\n"]),
        (b"h\n", {"header_records": 1}, [b"h\n"]),
        (b"h", {"header_records": 2}, [b"h"]),
    ],
)
def test_lines_go_into_files_by_number_and_bytes(data, how, expected):
    assert files(data, **how) == files(data, size=1, **how) == expected


# --- csv ------------------------------------------------------------------------------------------


@given(ROWS, st.sampled_from(["\n", "\r\n"]), TARGETS, SIZES, st.integers(0, 2), st.booleans())
def test_every_file_of_a_csv_is_a_whole_csv(rows, ending, how, size, header, last):
    data = written(rows, ending)
    if not last:
        data = data.removesuffix(ending.encode())
    whole = rows_of(data)

    parts = files(data, "csv", size=size, header_records=header, **how)

    head = b"".join(files(data, "csv")[:header])
    bare = [part.removeprefix(head) for part in parts]
    assert all(part.startswith(head) for part in parts)
    assert head * bool(parts) + b"".join(bare) == data
    assert [row for part in bare for row in rows_of(part)] == whole[header:]
    if how["file_records"]:
        assert all(len(rows_of(part)) <= how["file_records"] for part in bare)


@given(st.text(st.sampled_from('ab",\n\r'), max_size=40), SIZES)
@example('"a\n"b"\nc', 3)
def test_a_csv_of_any_text_is_cut_where_the_standard_reader_cuts_it_or_refused(text, size):
    data = text.replace("\r", "").encode()
    try:
        parts = files(data, "csv", size=size)
    except InvalidInput:
        return

    assert b"".join(parts) == data
    assert [row for part in parts for row in rows_of(part)] == rows_of(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'a,"x\ny"\nb,2\n', [b'a,"x\ny"\n', b"b,2\n"]),
        (b'"a""\n""b"\nc\n', [b'"a""\n""b"\n', b"c\n"]),
        (b'5" pipe,x\ny\n', [b'5" pipe,x\n', b"y\n"]),
        (b'\xef\xbb\xbf"a\nb"\nc', [b'\xef\xbb\xbf"a\nb"\n', b"c"]),
        (b"\xef\xbba\nc", [b"\xef\xbba\n", b"c"]),
        (b'"a"', [b'"a"']),
        (b"", []),
    ],
)
def test_quotes_keep_line_feeds_together(data, expected):
    assert files(data, "csv") == files(data, "csv", size=1) == expected


def test_a_csv_that_ends_inside_of_quotes_is_refused_with_the_row():
    for size in (1, 1000):
        with pytest.raises(InvalidInput, match="inside a quoted field of row 3"):
            files(b'a\nb\nc,"d\ne\n', "csv", size=size)


def test_a_header_without_end_does_not_fill_the_memory():
    def endless():
        yield b'"'
        yield from itertools.repeat(b"x" * 100_000)

    with pytest.raises(InvalidInput, match="header records are longer than"):
        list(split_content(endless(), Split(by="csv", header_records=1)))


# --- json -----------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(VALUES, st.sampled_from(["", " ", "\n", "\r\n\t "]))),
    st.sampled_from([None, 1]),
    TARGETS,
    SIZES,
)
@example(  # in the middle of a string within brackets: Python 3.11.2 took `*+` too far there
    pairs=[(None, ""), (None, ""), ([""], "")],
    indent=None,
    how={"file_records": 0, "file_bytes": 0},
    size=2,
)
def test_values_of_json_are_never_cut(pairs, indent, how, size):
    texts = []
    for value, space in pairs:
        text = json.dumps(value, indent=indent)
        # Words and numbers behind one another need a space between them.
        texts.append(text + (space or ("" if text[-1] in '"]}' else " ")))
    data = "".join(texts).encode()

    parts = files(data, "json", size=size, **how)

    assert b"".join(parts) == data
    assert [value for part in parts for value in decoded(part)] == [value for value, _ in pairs]
    if not any(how.values()):
        assert len(parts) == len(pairs)
    if how["file_records"]:
        assert all(len(decoded(part)) <= how["file_records"] for part in parts)


def decoded(data):
    text, at, found = data.decode().strip(), 0, []
    while at < len(text):
        value, at = json.JSONDecoder().raw_decode(text, at)
        found.append(value)
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
    return found


@given(st.text(st.sampled_from('{}[]",:1a\\ \n'), max_size=30), SIZES)
def test_any_text_is_cut_as_json_or_refused_whatever_the_pieces(text, size):
    def outcome(step):
        try:
            return files(text.encode(), "json", size=step)
        except InvalidInput as error:
            return str(error)

    assert outcome(size) == outcome(1000)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"a":1}{"b"', "breaks off inside of value 2"),
        (b'"abc', "breaks off inside of value 1"),
        (b"[}", "value 1 of the json has brackets that do not match"),
        (b"1 2 nul", "value 3 of the json is no json"),
        (b"1 2,3", "value 2 of the json is no json"),
        (b"]", "value 1 of the json is no json"),
        (b"1" * 5000, "value 1 of the json is no json"),
        (b"[" * 20_000, "is nested more than 10,000 deep"),
        (b"\xef\xbb\xbf{}", "value 1 of the json is no json"),
        (b"01", "is no json"),
    ],
)
def test_what_is_no_json_is_refused_with_the_number_of_the_value(data, sentence):
    for size in (1, 100_000):
        with pytest.raises(InvalidInput, match=sentence):
            files(data, "json", size=size)


def test_only_space_is_one_file_of_json():
    assert files(b" \n ", "json") == [b" \n "]
