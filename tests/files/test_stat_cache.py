"""The stat cache of version 1: read for ever, told from others, never two at a time."""

import shutil
from array import array
from pathlib import Path

import pytest

from trunkline.files.columns import Columns
from trunkline.files.statcache import Block, StatCache, encode_block

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "stat-cache" / "v1.stat"
SOURCE = bytes(range(32))


def block(directory: str, **sizes: int) -> Block:
    rows, stamps = Columns(), array("Q")
    for name, size in sizes.items():
        rows.add_small(name, size, bytes([size]) * 32)
        stamps.extend([size, 1_700_000_000_000_000_000, 1_700_000_001_000_000_000, 131073, 2049])
    return Block(directory, stamps, rows)


BLOCKS = [block("", a=1, b=2), block("d-e", x=3), block("d", y=4), block("d/é", z=5)]


def write(path: Path, blocks: list[Block]) -> None:
    cache = StatCache(path, SOURCE)
    for one in blocks:
        cache.add(encode_block(one))
    cache.close(complete=True)


def names(cache: StatCache, directory: str) -> list[str]:
    return cache.take(directory).rows.paths


def test_the_golden_file_is_written_and_read(tmp_path: Path) -> None:
    write(tmp_path / "new.stat", BLOCKS)
    assert (tmp_path / "new.stat").read_bytes() == GOLDEN.read_bytes()
    shutil.copy(GOLDEN, tmp_path / "old.stat")

    cache = StatCache(tmp_path / "old.stat", SOURCE)

    for expected in BLOCKS:
        found = cache.take(expected.directory)
        assert found.stamps == expected.stamps
        assert found.rows.paths == expected.rows.paths
        assert found.rows.digests == expected.rows.digests
    cache.close(complete=False)


def test_directories_between_are_stepped_over(tmp_path: Path) -> None:
    write(tmp_path / "c.stat", BLOCKS)
    cache = StatCache(tmp_path / "c.stat", SOURCE)

    assert names(cache, "a") == []
    assert names(cache, "d") == ["y"]
    assert names(cache, "d/a") == []
    assert names(cache, "d/é") == ["z"]
    cache.close(complete=False)


def test_a_cache_of_something_else_is_empty(tmp_path: Path) -> None:
    write(tmp_path / "c.stat", BLOCKS)

    cache = StatCache(tmp_path / "c.stat", bytes(32))

    assert names(cache, "") == []
    cache.close(complete=True)


def test_only_one_has_it_at_a_time(tmp_path: Path) -> None:
    cache = StatCache(tmp_path / "c.stat", SOURCE)

    with pytest.raises(BlockingIOError):
        StatCache(tmp_path / "c.stat", SOURCE)

    cache.close(complete=True)
    StatCache(tmp_path / "c.stat", SOURCE).close(complete=True)


def test_what_an_unfinished_one_says_is_put_on_top_of_the_old_one(tmp_path: Path) -> None:
    write(tmp_path / "c.stat", BLOCKS)
    cache = StatCache(tmp_path / "c.stat", SOURCE)
    cache.add(encode_block(block("", a=9)))
    cache.add(encode_block(block("c", new=1)))
    cache.close(complete=False)

    again = StatCache(tmp_path / "c.stat", SOURCE)

    top = again.take("")
    assert top.rows.sizes[top.position["a"]] == 9
    assert top.rows.sizes[top.position["b"]] == 2
    assert names(again, "c") == ["new"]
    assert names(again, "d/é") == ["z"]
    again.close(complete=True)
