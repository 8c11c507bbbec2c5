"""Contents are cut where their bytes say, whatever pieces they come in."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.store.chunker import CHUNK_MAX_BYTES, CHUNK_MIN_BYTES, split

NOISE = random.Random(7).randbytes(40 * 1024 * 1024)
GOLDEN = [
    3105987,
    1281527,
    2887038,
    3008582,
    4757813,
    2269373,
    3187405,
    2206318,
    2886946,
    2422770,
    2906704,
    2663870,
    3277175,
    3068741,
    2012791,
]


def pieces(content: bytes, sizes: list[int]) -> Iterator[bytes]:
    start, n = 0, 0
    while start < len(content):
        size = sizes[n % len(sizes)]
        yield content[start : start + size]
        start, n = start + size, n + 1


@pytest.mark.parametrize("size", [1, 1000, CHUNK_MIN_BYTES])
def test_a_small_content_is_one_chunk(size: int) -> None:
    assert list(split([NOISE[:size]])) == [NOISE[:size]]


def test_an_empty_content_has_no_chunk() -> None:
    assert list(split([])) == []
    assert list(split([b"", b""])) == []


def test_the_cut_points_of_this_version_stay_as_they_are() -> None:
    chunks = list(split([NOISE]))

    assert b"".join(chunks) == NOISE
    # A change here gives old contents new chunks, and their trees new roots.
    assert [len(chunk) for chunk in chunks] == GOLDEN


@given(sizes=st.lists(st.integers(100_000, 30_000_000), min_size=1, max_size=5))
@settings(max_examples=15)
def test_cut_points_do_not_depend_on_the_pieces(sizes: list[int]) -> None:
    assert list(split(pieces(NOISE, sizes))) == list(split([NOISE]))


@pytest.mark.parametrize("size", [1_100_001, 3_333_333, 9_000_000, 25_000_000])
def test_a_content_that_grows_keeps_all_chunks_but_the_last(size: int) -> None:
    before, after = list(split([NOISE[:size]])), list(split([NOISE]))

    assert after[: len(before) - 1] == before[:-1]


def test_an_insertion_in_the_middle_changes_few_chunks() -> None:
    middle = len(NOISE) // 2
    changed = NOISE[:middle] + b"x" * (1024 * 1024) + NOISE[middle:]

    fresh = set(split([changed])) - set(split([NOISE]))

    assert sum(map(len, fresh)) <= CHUNK_MAX_BYTES


def test_a_content_without_variety_is_cut_at_the_largest_size() -> None:
    chunks = list(split([bytes(20_000_000)]))

    assert [len(chunk) for chunk in chunks] == [
        CHUNK_MAX_BYTES,
        CHUNK_MAX_BYTES,
        20_000_000 - 2 * CHUNK_MAX_BYTES,
    ]
