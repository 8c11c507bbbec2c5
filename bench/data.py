"""The data of the benchmarks: made once, always the same, at full size or scaled down.

W1   100,000 files of 1 KiB of random bytes in 100 directories
W2   one file of 2 GiB of random bytes; W2b: 20 of 100 MiB
W3   the file of W2 with 1 MiB inserted in its middle
W4   W1 with 100 files changed, 10 deleted, 10 added
text the sources of Python's standard library; csv: 60 MB of made-up measurements
"""

import mmap
import os
import random
import shutil
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
FILES, DIRECTORIES, FILE_BYTES = 100_000, 100, 1024
LARGE_BYTES = 2048 * MIB
PARTS, PART_BYTES = 20, 100 * MIB
INSERTED_BYTES = MIB
CHANGED, DELETED, ADDED = 100, 10, 10
_POPULATED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)


def many_small(directory: Path, scale: float) -> int:
    """W1; returns the number of files."""
    randomness = random.Random(1)
    count = max(DIRECTORIES, round(FILES * scale))
    for number in range(DIRECTORIES):
        (directory / f"d{number:03}").mkdir(parents=True)
    for number in range(count):
        name = _small_name(number)
        (directory / name).write_bytes(randomness.randbytes(FILE_BYTES))
    return count


def _small_name(number: int) -> str:
    return f"d{number % DIRECTORIES:03}/f{number:06}.bin"


@contextmanager
def edited(directory: Path, count: int) -> Iterator[None]:
    """While inside, W1 is W4; afterwards it is as it was (with younger files)."""
    randomness = random.Random(4)
    numbers = randomness.sample(range(count), min(count, CHANGED + DELETED))
    before = {number: (directory / _small_name(number)).read_bytes() for number in numbers}
    for number in numbers[:CHANGED]:
        (directory / _small_name(number)).write_bytes(randomness.randbytes(FILE_BYTES))
    for number in numbers[CHANGED:]:
        (directory / _small_name(number)).unlink()
    added = [directory / f"d{number:03}/new.bin" for number in range(ADDED)]
    for path in added:
        path.write_bytes(randomness.randbytes(FILE_BYTES))
    try:
        yield
    finally:
        for number, content in before.items():
            (directory / _small_name(number)).write_bytes(content)
        for path in added:
            path.unlink()


@contextmanager
def as_it_is() -> Iterator[None]:
    """The counterpart of `edited` that changes nothing."""
    yield


@contextmanager
def fresh_start(tools: Sequence[Any], places: Iterator[Path]) -> Iterator[None]:
    """While inside, each tool has a new store; whatever it keeps running ends afterwards."""
    for tool in tools:
        tool.fresh(next(places))
    try:
        yield
    finally:
        for tool in tools:
            tool.stop()


def pages_at_hand(size_bytes: int) -> None:
    """Have the memory that a page cache is about to take be there.

    On a virtual machine memory that nobody used for a while comes from the host, page by page, and
    costs several times the copy itself: whoever is timed first would pay for the others.
    """
    with mmap.mmap(-1, size_bytes, flags=_POPULATED):
        pass


def one_large(file: Path, scale: float, *, seed: int = 2, size_bytes: int = LARGE_BYTES) -> None:
    """W2."""
    file.parent.mkdir(parents=True, exist_ok=True)
    randomness = random.Random(seed)
    with file.open("wb") as out:
        for _ in range(max(16, round(size_bytes * scale / MIB))):
            out.write(randomness.randbytes(MIB))


def several_large(directory: Path, scale: float) -> None:
    """W2b."""
    for number in range(PARTS):
        one_large(directory / f"{number:02}.bin", scale, seed=100 + number, size_bytes=PART_BYTES)


def with_insertion(source: Path, target: Path) -> None:
    """W3: a copy of a file with random bytes inserted in its middle."""
    middle = source.stat().st_size // 2 + 12345
    with source.open("rb") as old, target.open("wb") as new:
        left = middle
        while left:
            piece = old.read(min(MIB, left))
            new.write(piece)
            left -= len(piece)
        new.write(random.Random(3).randbytes(INSERTED_BYTES))
        shutil.copyfileobj(old, new, MIB)


def source_text(directory: Path) -> None:
    """Real text: every module of Python's own library."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        below = path.relative_to(library)
        if not {"site-packages", "dist-packages"} & set(below.parts):
            target = directory / below
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def table(file: Path, scale: float) -> None:
    """A csv of measurements, as an instrument writes it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    randomness = random.Random(5)
    level = 20.0
    with file.open("w") as out:
        out.write("time,sensor,temperature,humidity,state\n")
        for number in range(max(10_000, round(1_500_000 * scale))):
            level += randomness.gauss(0, 0.05)
            out.write(
                f"2024-01-{number // 86400 % 28 + 1:02}T{number // 3600 % 24:02}:"
                f"{number // 60 % 60:02}:{number % 60:02}Z,s{number % 17:02},{level:.3f},"
                f"{randomness.uniform(30, 60):.1f},{'ok' if number % 97 else 'late'}\n"
            )


def tree_bytes(place: Path) -> int:
    """Bytes of all files at or below a path."""
    if place.is_file():
        return place.stat().st_size
    total = 0
    for directory, _, names in os.walk(place):
        total += sum(os.lstat(os.path.join(directory, name)).st_size for name in names)
    return total
