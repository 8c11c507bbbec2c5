"""The zip reader: equal to Python's own on good archives, and a reason for every bad one."""

import contextlib
import io
import struct
import zipfile
import zlib

import pytest
from archives import meter, raw_zip, zip_of
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidArchive
from trunkline.files.archived import Kind
from trunkline.files.zips import read_zip

PARTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cn"), exclude_characters="/\\"),
    min_size=1,
    max_size=30,
).filter(lambda part: part not in (".", "..") and len(part.encode()) <= 255)
PATHS = st.lists(PARTS, min_size=1, max_size=6).map("/".join)
TREES = st.dictionaries(PATHS, st.binary(max_size=3000), max_size=10)
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def contents(data, **limits):
    return [
        (found.path, b"".join(found.content))
        for found in read_zip(io.BytesIO(data), meter(**limits))
        if found.kind is Kind.FILE
    ]


@given(TREES, st.sampled_from(METHODS))
def test_archives_of_the_standard_writer_are_read_as_they_were_written(tree, method):
    assert contents(zip_of(tree, method=method)) == list(tree.items())


@pytest.mark.parametrize("method", METHODS)
def test_large_contents_of_every_method_are_read(method):
    noise = bytes((i * i >> 3) & 255 for i in range(3_000_000))

    assert contents(zip_of({"noise": noise, "zeros": bytes(5_000_000)}, method=method)) == [
        ("noise", noise),
        ("zeros", bytes(5_000_000)),
    ]


def test_streamed_archives_with_sizes_behind_the_content_are_read():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise io.UnsupportedOperation

        def tell(self):
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"x" * 5000)
        archive.writestr("b/", b"")
        with archive.open("c", "w", force_zip64=True) as file:
            file.write(b"y")

    assert contents(pipe.getvalue()) == [("a", b"x" * 5000), ("c", b"y")]


def test_large_form_of_the_directory_is_read(monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)

    tree = {f"f{n}": b"z" * 150 for n in range(5)}

    assert contents(zip_of(tree, method=zipfile.ZIP_STORED)) == list(tree.items())


def test_links_and_directories_are_told():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, mode, content in [
            ("d/", 0o40755, b""),
            ("d/l", 0o120777, b"f"),
            ("p", 0o10644, b""),
        ]:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)

    found = [(e.path, e.kind, e.target) for e in read_zip(io.BytesIO(buffer.getvalue()), meter())]

    assert found == [
        ("d", Kind.DIRECTORY, ""),
        ("d/l", Kind.SYMLINK, "f"),
        ("p", Kind.SPECIAL, "a special file"),
    ]  # fmt: skip


@given(TREES, st.sampled_from(METHODS), st.data())
def test_a_changed_archive_is_read_as_the_standard_reader_reads_it_or_refused(tree, method, data):
    damaged = bytearray(zip_of(tree, method=method))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))

    try:
        ours = contents(bytes(damaged))
    except InvalidArchive:
        return

    with zipfile.ZipFile(io.BytesIO(damaged)) as archive:
        theirs = [
            (info.filename.removeprefix("./"), archive.read(info))
            for info in archive.infolist()
            if not info.is_dir()
        ]
    assert ours == theirs


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_with_a_sentence(data):
    for garbage in (data, b"PK\x03\x04" + data, data + zip_of({})):
        with contextlib.suppress(InvalidArchive):
            contents(garbage)


def changed(data, at, *form_and_values):
    form, *values = form_and_values
    whole = bytearray(data)
    struct.pack_into("<" + form, whole, at if at >= 0 else len(whole) + at, *values)
    return bytes(whole)


GOOD = raw_zip((b"a", b"xyz"), (b"b", b"123"))
DIRECTORY = GOOD.index(b"PK\x01\x02")
SECOND = GOOD.rindex(b"PK\x01\x02")
BOMB = zip_of({"zeros": bytes(100_000_000)})

HOSTILE = {
    "absolute": (raw_zip((b"/a", b"")), "its name is an absolute path"),
    "up": (raw_zip((b"a/../../b", b"")), "it has an empty, '.' or '..' part"),
    "up-first": (raw_zip((b"../b", b"")), "it has an empty, '.' or '..' part"),
    "backslash": (raw_zip((b"a\\..\\b", b"")), "its name has a backslash"),
    "drive": (raw_zip((b"C:\\b", b"")), "its name has a backslash"),
    "nul": (raw_zip((b"a\0.txt", b"")), "it has a control character"),
    "not-utf8": (raw_zip((b"\xff", b""), flags=0x800), "its name is not valid UTF-8"),
    "no-name": (raw_zip((b"", b"x")), "its name is empty"),
    "encrypted": (raw_zip((b"a", b"x"), flags=1), "it is encrypted"),
    "masked": (raw_zip((b"a", b"x"), flags=0x2000), "it is encrypted"),
    "twice": (raw_zip((b"a", b"x"), (b"a", b"y")), "2 of the zip archive have the same name"),
    "twice-by-dots": (raw_zip((b"a", b"x"), (b"./a", b"y")), "have the same name"),
    "method": (changed(GOOD, DIRECTORY + 10, "H", 9), "its compression (method 9) can't be read"),
    "directory-content": (raw_zip((b"d/", b"x")), "it is a directory, but it has a content"),
    "overlap": (changed(GOOD, SECOND + 42, "I", 0), "own header says something else"),
    "overlap-same": (changed(raw_zip((b"a", b"x"), (b"a", b"x")), -22 - 5, "I", 0), "overlap"),
    "offset": (changed(GOOD, SECOND + 42, "I", 1 << 30), "own header says something else"),
    "size": (changed(changed(GOOD, 22, "I", 2), DIRECTORY + 24, "I", 2), "the size that it"),
    "larger": (changed(changed(GOOD, 22, "I", 9), DIRECTORY + 24, "I", 9), "have the size that it"),
    "size-differs": (changed(GOOD, 22, "I", 2), "own header says something else"),
    "crc": (changed(changed(GOOD, 14, "I", 9), DIRECTORY + 16, "I", 9), "its checksum is wrong"),
    "volumes": (changed(GOOD, -22 + 4, "H", 1), "several volumes"),
    "other-volume": (changed(GOOD, DIRECTORY + 34, "H", 3), "it lies in another volume"),
    "too-many": (changed(GOOD, -22 + 8, "2H", 9, 9), "too short for its entries"),
    "too-few": (changed(GOOD, -22 + 8, "2H", 1, 1), "has more than its entries"),
    "no-header": (changed(GOOD, SECOND, "I", 0), "entry 2 of the zip archive has no proper header"),
    "name-differs": (changed(GOOD, 30, "B", 0x7A), "own header says something else"),
    "trailing": (GOOD + b"x", "more behind the end of the zip archive"),
    "leading": (b"#!/bin/sh\n" + GOOD, "is not where it should be"),
    "truncated": (GOOD[:-30], "broke off before its end"),
    "truncated-end": (GOOD[:-1], "broke off before its end"),
    "no-64": (changed(GOOD, -22 + 8, "2H", 65535, 65535), "the end of the zip archive can't"),
    "no-64-size": (changed(GOOD, DIRECTORY + 20, "I", 0xFFFFFFFF), "its size can't be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_with_its_reason(name):
    data, reason = HOSTILE[name]

    with pytest.raises(InvalidArchive) as caught:
        contents(data)

    assert reason in str(caught.value)


def test_a_bomb_is_stopped_while_it_goes_off():
    assert len(BOMB) < 100_000

    with pytest.raises(InvalidArchive, match="more than 200 times its size"):
        contents(BOMB)
    with pytest.raises(InvalidArchive, match="more than 50,000,000 bytes"):
        contents(BOMB, ratio_max=100_000, bytes_max=50_000_000)


def test_an_entry_that_unpacks_to_more_than_it_says_is_stopped_at_what_it_says():
    packed = zlib.compressobj(wbits=-15)
    bomb = packed.compress(bytes(10_000_000)) + packed.flush()
    data = raw_zip((b"a", bomb))
    data = changed(changed(data, 8, "H", 8), data.index(b"PK\x01\x02") + 10, "H", 8)

    with pytest.raises(InvalidArchive, match="does not have the size that it promises"):
        contents(data)


def test_too_many_entries_are_refused_before_any_is_read():
    data = zip_of({f"{n}": b"" for n in range(30)})

    with pytest.raises(InvalidArchive, match="more than 20 entries"):
        contents(data, entries_max=20)
