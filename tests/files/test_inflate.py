"""Compression is taken off streams of any cut, and bombs and damage are told."""

import bz2
import contextlib
import gzip
import lzma
import sys
import tracemalloc

import pytest
from archives import in_pieces, meter
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidArchive
from trunkline.files.inflate import inflated

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACK = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd.compress}
FORMATS = pytest.mark.parametrize("form", PACK)


def plain(data, size=1 << 20, **limits):
    return b"".join(inflated(in_pieces(data, size), meter(**limits)))


@given(st.binary(max_size=4000), st.sampled_from(sorted(PACK)), st.integers(1, 600))
def test_a_stream_is_unpacked_however_it_is_cut(data, form, size):
    assert plain(PACK[form](data), size) == data


@FORMATS
def test_several_streams_behind_one_another_are_one(form):
    data = PACK[form](b"one") + PACK[form](b"") + PACK[form](b"two" * 100_000)

    assert plain(data) == plain(data, 7) == b"one" + b"two" * 100_000


@FORMATS
def test_zeros_may_follow_and_nothing_else(form):
    data = PACK[form](b"x" * 100)

    assert plain(data + bytes(3)) == plain(data + bytes(10_000), 11) == b"x" * 100
    for garbage in (b"x", bytes(9) + b"x", b"\x1f\x8c"):
        with pytest.raises(InvalidArchive, match=f"more behind the end of the {form} stream"):
            plain(data + garbage)


@FORMATS
def test_a_stream_that_broke_off_is_told(form):
    data = PACK[form](bytes(range(256)) * 50)

    for cut in range(8, len(data), max(1, len(data) // 40)):
        with pytest.raises(InvalidArchive, match="broke off|damaged"):
            plain(data[:cut])


@pytest.mark.parametrize("form", ["gzip", "bzip2", "xz"])  # zstd has no checksum unless asked
def test_damage_is_told(form):
    data = bytearray(PACK[form](b"some text " * 1000))
    data[len(data) // 2 : len(data) // 2 + 4] = b"\0\0\0\0"

    with pytest.raises(InvalidArchive, match="damaged|broke off|more behind"):
        plain(bytes(data))


@given(
    st.sampled_from([b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"]),
    st.binary(max_size=300),
)
def test_any_bytes_are_unpacked_or_refused(magic, data):
    with contextlib.suppress(InvalidArchive):
        plain(magic + data)


@FORMATS
def test_a_bomb_is_stopped_by_its_ratio_in_little_memory(form):
    bomb = PACK[form](bytes(80_000_000 if form in ("bzip2", "xz") else 300_000_000))
    got = 0
    tracemalloc.start()

    def unpack():
        nonlocal got
        for piece in inflated(in_pieces(bomb, 1 << 20), meter()):
            got += len(piece)

    with pytest.raises(InvalidArchive, match="more than 200 times its size"):
        unpack()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert got <= 33 * 1024 * 1024 + 201 * len(bomb)
    assert peak < 16 * 1024 * 1024


def test_the_total_is_limited_and_the_setting_named():
    with pytest.raises(InvalidArchive, match="more than 1,000 bytes; TRUNKLINE_ARCHIVE_BYTES_MAX"):
        plain(gzip.compress(bytes(1001)), bytes_max=1000)
    with pytest.raises(InvalidArchive, match="more than 1,000 bytes"):
        plain(bytes(1001), bytes_max=1000)


def test_what_is_not_compressed_stays_as_it_is():
    assert plain(b"hello", 2) == b"hello"
    assert plain(b"") == b""
