"""A directory in columns is what asking about each of its names gives."""

import os
import shutil
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import InvalidInput
from trunkline.files import listing
from trunkline.files.listing import STAMP, list_directory
from trunkline.model.names import CHECKOUT_RECORD

EXAMPLES = settings().max_examples
NAMES = st.sampled_from(
    [*"abcdefgh", "a-b", "a.c", "a0", "B", "\u00e9", "\U0001f600", CHECKOUT_RECORD]
)
TIMES = st.integers(-(2**33), 2**33)
KINDS = st.sampled_from(["file", "file", "file", "directory", "link"])
UNSIGNED = (1 << 64) - 1


@given(found=st.dictionaries(NAMES, st.tuples(KINDS, TIMES)), part=st.integers(1, 5))
@settings(max_examples=EXAMPLES)
def test_names_and_stamps_are_those_of_the_files(
    tmp_path_factory: pytest.TempPathFactory, found: dict[str, tuple[str, int]], part: int
) -> None:
    place = tmp_path_factory.mktemp("listed")
    for name, (kind, seconds) in found.items():
        if kind == "directory":
            (place / name).mkdir()
        elif kind == "link":
            os.symlink("somewhere", place / name)
        else:
            (place / name).write_bytes(b"x" * (seconds % 7))
            os.utime(place / name, (seconds, seconds))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "_PART", part)
        listed = _list(place)

    expected = {name: kind for name, (kind, _) in found.items() if name != CHECKOUT_RECORD}
    assert listed.names == sorted(name for name, kind in expected.items() if kind != "directory")
    assert listed.directories == sorted(
        (name for name, kind in expected.items() if kind == "directory"),
        key=lambda name: name + "/",
    )
    assert listed.links == {name for name, kind in expected.items() if kind == "link"}
    for n, name in enumerate(listed.names):
        stamp = tuple(listed.stamps[n * STAMP : (n + 1) * STAMP])
        assert stamp == _stamp_of(place / name)
    shutil.rmtree(place)


def test_what_is_neither_file_nor_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    os.mkfifo(tmp_path / "b")

    with pytest.raises(InvalidInput, match="top/b can't be stored: it is a named pipe"):
        _list(tmp_path)


def _list(place: Path) -> listing.Listing:
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return list_directory(fd, "", "top")
    finally:
        os.close(fd)


def _stamp_of(path: Path) -> tuple[int, ...]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return (UNSIGNED,) * STAMP
    return (
        status.st_size,
        status.st_mtime_ns & UNSIGNED,
        status.st_ctime_ns & UNSIGNED,
        status.st_ino,
        status.st_dev,
    )
