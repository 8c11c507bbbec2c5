"""Named pipes that are filled when somebody opens them, by one thread however many there are."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trunkline.runtimes.pipes import Pipes


def content(source: str, path: str, offset: int) -> Iterator[bytes]:
    """A megabyte for each path, in uneven pieces."""
    text = f"{source}:{path}\n".encode()
    whole = text * (1024 * 1024 // len(text))
    left = whole[offset:]
    while left:
        yield left[:70_001]
        left = left[70_001:]


def made(target: Path, count: int) -> Pipes:
    pipes = Pipes(content)
    pipes.add(target, "s", (f"{n // 1000}/{n}" for n in range(count)))
    return pipes


def whole(number: int) -> bytes:
    return b"".join(content("s", f"{number // 1000}/{number}", 0))


def test_among_very_many_pipes_each_is_found_with_one_thread_and_few_files(tmp_path: Path) -> None:
    pipes = made(tmp_path, 10_000)
    threads = threading.active_count()

    with pipes.served():
        files = len(os.listdir("/proc/self/fd"))
        for number in (0, 1, 2, 9_999, 5_000, 5_001, 3, 5_000):
            assert (tmp_path / f"{number // 1000}" / f"{number}").read_bytes() == whole(number)
            assert threading.active_count() == threads + 1
            assert len(os.listdir("/proc/self/fd")) <= files + 1

    assert threading.active_count() == threads
    assert pipes.bytes_read == sum(len(whole(n)) for n in (0, 1, 2, 9_999, 5_000, 5_001, 3, 5_000))


def test_files_that_are_read_in_order_do_not_wait_for_a_round_each(tmp_path: Path) -> None:
    pipes = Pipes(lambda source, path, offset: iter([path.encode()]))
    pipes.add(tmp_path, "s", (f"{n:06}" for n in range(20_000)))

    with pipes.served():
        read = [(tmp_path / f"{n:06}").read_text() for n in range(3_000)]

    assert read == [f"{n:06}" for n in range(3_000)]


def test_more_pipes_than_are_held_in_memory_can_be_open_at_once(tmp_path: Path) -> None:
    pipes = made(tmp_path, 100)

    with pipes.served():
        opened = [(tmp_path / "0" / f"{n}").open("rb") for n in range(100)]
        began = [file.read(100_000) for file in opened]
        rest = [file.read() for file in reversed(opened)]
        for file in opened:
            file.close()

    for n, (first, second) in enumerate(zip(began, reversed(rest), strict=True)):
        assert first + second == whole(n)


def test_a_pipe_that_is_opened_while_it_is_read_begins_anew(tmp_path: Path) -> None:
    pipes = made(tmp_path, 1)
    place = tmp_path / "0" / "0"

    with pipes.served(), place.open("rb") as first:
        assert first.read(10) == whole(0)[:10]
        with place.open("rb") as second:
            assert second.read() == whole(0)
        assert first.read() == whole(0)[10:]


def test_who_is_still_reading_at_the_end_is_cut_off(tmp_path: Path) -> None:
    pipes = made(tmp_path, 3)
    place = tmp_path / "0" / "1"

    with pipes.served():
        reader = place.open("rb")
        reader.read(10)
    cut = reader.read()
    reader.close()

    assert len(cut) < len(whole(1))
    assert pipes.bytes_read < len(whole(1))


def test_content_that_can_not_be_read_is_told_at_the_end(tmp_path: Path) -> None:
    def broken(source: str, path: str, offset: int) -> Iterator[bytes]:
        yield b"first"
        raise OSError(5, "no luck", path)

    pipes = Pipes(broken)
    pipes.add(tmp_path, "s", iter(["a"]))

    with pytest.raises(OSError, match="no luck"), pipes.served():
        assert (tmp_path / "a").read_bytes() == b"first"


def test_pipes_in_directories_that_are_closed_to_writing_are_renewed_too(tmp_path: Path) -> None:
    pipes = made(tmp_path, 1)
    (tmp_path / "0").chmod(0o555)

    with pipes.served():
        twice = ["cat", f"{tmp_path}/0/0", f"{tmp_path}/0/0"]
        read = subprocess.run(twice, check=True, capture_output=True).stdout

    assert read == whole(0) * 2
    assert (tmp_path / "0").stat().st_mode & 0o777 == 0o555
    assert os.listdir(tmp_path / "0") == ["0"]
