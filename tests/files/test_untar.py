"""The tar reader: equal to Python's own on good archives, and a reason for every bad one."""

import contextlib
import io
import tarfile

import pytest
from archives import END, entry, header, in_pieces, meter, padded, pax, tar_of
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.errors import InvalidArchive
from trunkline.files.archived import Kind
from trunkline.files.untar import read_tar

PARTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cn"), exclude_characters="/\x85\u2028\u2029"),
    min_size=1,
    max_size=40,
).filter(lambda part: part not in (".", "..") and len(part.encode()) <= 255)
PATHS = st.lists(PARTS, min_size=1, max_size=8).map("/".join)
TREES = st.dictionaries(PATHS, st.binary(max_size=1500), max_size=12)


def contents(data, *, size=1 << 20, **limits):
    """The files of an archive: path, content."""
    counter = meter(**limits)
    return [
        (found.path, b"".join(found.content))
        for found in read_tar(counter.receiving(in_pieces(data, size)), counter)
        if found.kind is Kind.FILE
    ]


def kinds(data):
    counter = meter()
    return [
        (found.path, found.kind, found.target) for found in read_tar(in_pieces(data, 999), counter)
    ]


@given(TREES, st.sampled_from([0, 1, 2]), st.integers(1, 3000))
def test_archives_of_the_standard_writer_are_read_as_they_were_written(tree, form, size):
    if form == tarfile.USTAR_FORMAT:
        tree = {path: data for path, data in tree.items() if len(path.encode()) < 100}

    assert contents(tar_of(tree, form=form), size=size) == list(tree.items())


@given(TREES, st.sampled_from([0, 1, 2]), st.data())
def test_whatever_is_changed_in_an_archive_the_reader_agrees_with_the_standard_one_or_refuses(
    tree, form, data
):
    if form == tarfile.USTAR_FORMAT:
        tree = {path: content for path, content in tree.items() if len(path.encode()) < 100}
    damaged = bytearray(tar_of(tree, form=form))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, max(len(damaged) - 9217, 0)))
        damaged[place] = data.draw(st.integers(0, 255))

    try:
        ours = contents(bytes(damaged))
    except InvalidArchive:
        return

    with tarfile.open(fileobj=io.BytesIO(damaged)) as archive:
        theirs = [
            (member.name.removeprefix("./"), archive.extractfile(member).read())
            for member in archive
            if member.isreg()
        ]
    assert ours == theirs


@given(st.binary(max_size=3000), st.integers(1, 700))
@example(header(b"a") + b"\1" * 512, 512)
@example(bytes(512), 3)
def test_any_bytes_are_read_or_refused_with_a_sentence(data, size):
    with contextlib.suppress(InvalidArchive):
        contents(data, size=size)


@given(st.lists(st.sampled_from([
    header(b"a"), header(b"b/"), header(b"pax", size=20, kind=b"x"),
    header(b"l", size=9, kind=b"L"), header(b"c", size=3), padded(b"abc"),
    padded(b"12 path=abc\n"), padded(b"20 path=abcdefghijk\n"), header(b"d", kind=b"5"),
    header(b"e", kind=b"2", link=b"a"), bytes(512), header(b"v", kind=b"V"),
    header(b"g", size=0, kind=b"g"), pax({b"size": b"3"}), pax({b"comment": b"x"}, b"g"),
]), max_size=12))  # fmt: skip
def test_any_order_of_blocks_is_read_or_refused(blocks):
    with contextlib.suppress(InvalidArchive):
        contents(b"".join(blocks))


def test_leading_dots_are_taken_off_and_directories_are_told():
    data = (
        header(b"./", kind=b"5")
        + header(b"./a/", kind=b"5")
        + entry(b"./a/f", b"x")
        + header(b"./a/l", kind=b"2", link=b"f")
        + header(b"h", kind=b"1", link=b"a/f")
        + header(b"p", kind=b"6")
        + END
    )

    assert kinds(data) == [
        ("", Kind.DIRECTORY, ""),
        ("a", Kind.DIRECTORY, ""),
        ("a/f", Kind.FILE, ""),
        ("a/l", Kind.SYMLINK, "f"),
        ("h", Kind.HARDLINK, "a/f"),
        ("p", Kind.SPECIAL, "a named pipe"),
    ]


def test_prefixes_belong_to_ustar_only():
    old = header(b"name", prefix=b"dir", magic=b"ustar  \0")
    data = header(b"name", prefix=b"some/dir") + old + END

    assert [path for path, _ in contents(data)] == ["some/dir/name", "name"]


def test_sizes_may_be_binary_and_checksums_signed():
    name = b"\xc3\xa9"
    block = bytearray(header(name, size=b"\x80" + bytes(10) + b"\3"))
    signed = sum(b - 256 if b > 127 else b for b in block[:148] + b" " * 8 + block[156:])
    block[148:156] = b"%06o\0 " % signed

    assert contents(bytes(block) + padded(b"abc") + END) == [("é", b"abc")]


def test_pax_fields_win_over_the_header():
    data = pax({b"path": b"long/name", b"size": b"3", b"mtime": b"1.5"}) + entry(b"x", b"abc")

    assert contents(data + END) == [("long/name", b"abc")]


def test_what_a_header_for_all_says_of_other_things_is_left_aside():
    data = pax({b"comment": b"0123"}, b"g") + entry(b"x", b"abc") + pax({b"comment": b"1"}, b"g")

    assert contents(data + END) == [("x", b"abc")]


def test_large_files_come_in_pieces_and_may_be_skipped():
    big = bytes(range(256)) * 4096
    data = tar_of([("big", big), ("small", b"s")])
    counter = meter()

    assert contents(data, size=70_000) == [("big", big), ("small", b"s")]
    assert [found.path for found in read_tar(in_pieces(data, 70_000), counter)] == ["big", "small"]


HOSTILE = {
    "absolute": (header(b"/etc/passwd") + END, "its name is an absolute path"),
    "up": (header(b"a/../../b") + END, "it has an empty, '.' or '..' part"),
    "up-first": (header(b"../b") + END, "it has an empty, '.' or '..' part"),
    "dot-inside": (header(b"a/./b") + END, "it has an empty, '.' or '..' part"),
    "dot-slash-slash": (header(b".//b") + END, "it has an empty, '.' or '..' part"),
    "double-slash": (header(b"a//b") + END, "it has an empty, '.' or '..' part"),
    "only-up": (header(b"..") + END, "it has an empty, '.' or '..' part"),
    "up-in-directory": (header(b"../", kind=b"5") + END, "it has an empty, '.' or '..' part"),
    "up-in-link": (header(b"../l", kind=b"2", link=b"x") + END, "it has an empty, '.' or"),
    "file-with-slash": (header(b"a/", kind=b"0") + END, "a file with the name of a directory"),
    "no-name": (header(b"") + END, "its name is empty"),
    "dot": (header(b".") + END, "its name is empty"),
    "control": (header(b"a\nb") + END, "it has a control character"),
    "not-utf8": (header(b"a\xff") + END, "its name is not valid UTF-8"),
    "overlong-utf8": (header(b"a\xc0\xaf..") + END, "its name is not valid UTF-8"),
    "surrogate": (header(b"a\xed\xa0\x80") + END, "its name is not valid UTF-8"),
    "nul-in-pax": (pax({b"path": b"a\0b"}) + header() + END, "its path is no text"),
    "empty-in-pax": (pax({b"path": b""}) + header() + END, "its path is no text"),
    "up-in-pax": (pax({b"path": b"../x"}) + header() + END, "it has an empty, '.' or '..' part"),
    "absolute-in-pax": (pax({b"path": b"/x"}) + header() + END, "its name is an absolute path"),
    "long-part": (pax({b"path": b"x" * 256}) + header() + END, "longer than 255 bytes"),
    "long-path": (pax({b"path": b"x/" * 2100 + b"x"}) + header() + END, "longer than 4096"),
    "long-gnu": (entry(b"L", b"../x\0", kind=b"L") + header() + END, "it has an empty, '.'"),
    "path-for-all": (pax({b"path": b"x"}, b"g") + header() + END, "for all entries makes no sense"),
    "size-for-all": (pax({b"size": b"1"}, b"g") + header() + END, "for all entries makes no sense"),
    "pax-length": (pax(b"99 path=x\n") + header() + END, "has a bad pax header"),
    "pax-length-0": (pax(b"0 path=x\n") + header() + END, "has a bad pax header"),
    "pax-length-sign": (pax(b"-9 path=x\n") + header() + END, "has a bad pax header"),
    "pax-no-line-feed": (pax(b"9 path=xx") + header() + END, "has a bad pax header"),
    "pax-no-equals": (pax(b"7 path\n") + header() + END, "has a bad pax header"),
    "pax-garbage": (pax(b"\xff" * 30) + header() + END, "has a bad pax header"),
    "pax-size-word": (pax({b"size": b"x"}) + header() + END, "its size can't be read"),
    "pax-size-negative": (pax({b"size": b"-1"}) + header() + END, "its size can't be read"),
    "pax-size-huge": (pax({b"size": b"9" * 19}) + header() + END, "its size can't be read"),
    "pax-huge": (header(size=1 << 30, kind=b"x"), "it has a header of 1,073,741,824 bytes"),
    "long-name-huge": (header(size=65537, kind=b"L"), "it has a header of 65,537 bytes"),
    "pax-at-end": (pax({b"path": b"x"}) + END, "ends between a header and its file"),
    "size-negative": (header(size=b"\xff" * 12) + END, "its size is negative"),
    "size-octal-overflow": (header(size=b"777777777777") + END, "broke off"),
    "size-binary-huge": (header(size=b"\x80" + b"\xff" * 11) + END, "its size can't be read"),
    "size-binary-large": (header(size=b"\x80\0\0\0\x7f" + b"\xff" * 7) + END, "broke off"),
    "size-word": (header(size=b"abc        \0") + END, "its size can't be read"),
    "size-sign": (header(size=b"-0000000001\0") + END, "its size can't be read"),
    "size-underscore": (header(size=b"0_000000001\0") + END, "its size can't be read"),
    "size-decimal": (header(size=b"00000000009\0") + END, "its size can't be read"),
    "directory-with-size": (header(b"d", size=9, kind=b"5") + END, "no file, but it has a size"),
    "link-with-size": (header(b"l", size=512, kind=b"1", link=b"x") + END, "but it has a size"),
    "device-with-size": (header(b"d", size=1, kind=b"4") + END, "no file, but it has a size"),
    "sparse-gnu": (header(b"s", kind=b"S") + END, "it is a sparse file"),
    "sparse-pax": (pax({b"GNU.sparse.major": b"1"}) + header() + END, "it is a sparse file"),
    "multi-volume": (header(b"m", kind=b"M") + END, "it continues a file of another volume"),
    "dump": (header(b"d", kind=b"D") + END, "a directory of an incremental dump"),
    "old-long-name": (header(b"n", kind=b"N") + END, "a form that is no longer in use"),
    "unknown-type": (header(b"?", kind=b"Z") + END, "it has the unknown type b'Z'"),
    "checksum": (header(b"a", checksum=1) + END, "it is not a tar archive"),
    "checksum-later": (header(b"a") + header(b"b", checksum=1) + END, "what follows entry 1"),
    "checksum-word": (header(b"a")[:148] + b"abcdefgh" + header(b"a")[156:] + END, "not a tar"),
    "empty": (b"", "broke off before its first entry"),
    "no-end": (entry(b"a", b"x"), "broke off in or behind entry 1; it has no end mark"),
    "cut-content": (entry(b"a", b"x" * 600)[:-200], "broke off in or behind entry 1"),
    "cut-header": (header(b"a")[:300], "broke off before its first entry"),
    "cut-large": (header(b"a", size=1 << 20) + bytes(5000), "broke off in or behind entry 1"),
    "trailing-garbage": (header(b"a") + END + b"x", "more behind the end of the archive"),
    "second-archive": (header(b"a") + END + header(b"b") + END, "more behind the end"),
    "late-garbage": (header(b"a") + bytes(10240) + b"\1", "more behind the end of the archive"),
    "no-tar": (b"hello world\n" * 100, "it is not a tar archive"),
}  # fmt: skip


@pytest.mark.parametrize("size", [1 << 20, 100])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_with_its_reason(name, size):
    data, reason = HOSTILE[name]

    with pytest.raises(InvalidArchive) as caught:
        contents(data, size=size)

    assert reason in str(caught.value)
    assert str(caught.value).endswith("; nothing was changed")


def test_the_error_names_the_entry_in_the_middle():
    data = entry(b"fine", b"x") + header(b"evil/../../x") + entry(b"fine too", b"y") + END

    with pytest.raises(InvalidArchive, match=r"entry 2 of the archive, 'evil/../../x', is refused"):
        contents(data)


@pytest.mark.parametrize("cut", range(0, 10240, 409))
def test_an_archive_that_broke_off_is_never_taken_for_a_whole_one(cut):
    whole = tar_of({"a": b"x" * 700, "b/c": b"y", "d": b""})
    files = len(whole.rstrip(b"\0"))

    if cut >= files + 1024:
        assert len(contents(whole[:cut])) == 3
    elif cut < files - 512:
        with pytest.raises(InvalidArchive):
            contents(whole[:cut])


def test_a_million_empty_entries_stop_at_the_limit():
    def endless():
        while True:
            yield header(b"a") * 64

    counter = meter(entries_max=5000)
    with pytest.raises(InvalidArchive, match="more than 5,000 entries"):
        list(read_tar(endless(), counter))
