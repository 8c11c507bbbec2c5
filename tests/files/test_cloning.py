"""A content that a directory holds already is cloned where the file system can, and only then.

The tests' own file system may know nothing of clones: but for one test, the request to the kernel
is answered here, as a file system that shares blocks answers it.
"""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trunkline.files.cloning import CLONE_BYTES_MIN, Clones
from trunkline.files.export import export_slices
from trunkline.files.manifest import RootId
from trunkline.files.tree import Trees

Build = Callable[..., RootId]

SMALL, LARGE = os.urandom(CLONE_BYTES_MIN), os.urandom(3_000_000)
FILES = {
    "a/small": SMALL,
    "b/large": LARGE,
    "b/large again": LARGE,
    "c/small": SMALL,
    "c/tiny": b"tiny",
    "d/large": LARGE,
    "d/tiny": b"tiny",
    "d/x/small": SMALL,
}


def on_disk(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


class Sharing:
    """Answers requests to clone by copying, or with an error; `before` runs ahead of each."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.error = 0
        self.before: Callable[[str], None] = lambda _: None

    def __call__(self, target: int, request: int, source: int) -> int:
        assert request == 0x40049409
        original = os.readlink(f"/proc/self/fd/{source}")
        self.asked.append((original, os.readlink(f"/proc/self/fd/{target}")))
        self.before(original)
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        os.ftruncate(target, 0)
        content = os.pread(source, os.fstat(source).st_size, 0)
        assert os.pwrite(target, content, 0) == len(content)
        return 0


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> Sharing:
    answers = Sharing()
    monkeypatch.setattr(fcntl, "ioctl", answers)
    return answers


def export(trees: Trees, root: RootId, directory: Path, **options: Any) -> None:
    export_slices(trees.chunks, trees.slices(root), directory, **options)


def test_whatever_the_file_system_can_the_files_are_right(
    trees: Trees, build: Build, empty_directory: Path
) -> None:
    export(trees, build(FILES), empty_directory)

    assert on_disk(empty_directory) == FILES


def test_what_has_just_been_written_is_cloned(
    trees: Trees, build: Build, empty_directory: Path, sharing: Sharing
) -> None:
    noted: dict[str, os.stat_result] = {}
    told: list[int] = []

    export(*(trees, build(FILES), empty_directory), noted=noted.__setitem__, advance=told.append)

    assert on_disk(empty_directory) == FILES
    assert sorted(Path(target).name for _, target in sharing.asked) == [
        "large",
        "large again",
        "small",
        "small",
    ]
    assert sum(told) == sum(map(len, FILES.values()))
    for path, found in noted.items():
        now = (empty_directory / path).stat()
        assert (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns) == (
            *(now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns),
        )
    assert noted.keys() == FILES.keys()


def test_files_that_are_there_are_replaced_by_clones_when_these_are_whole(
    trees: Trees, build: Build, empty_directory: Path, sharing: Sharing
) -> None:
    root = build(FILES)
    export(trees, build(dict.fromkeys(FILES, b"old")), empty_directory)

    export(trees, root, empty_directory)

    assert on_disk(empty_directory) == FILES
    assert len(sharing.asked) == 4
    assert all(Path(target).name.startswith(".trunkline-part-") for _, target in sharing.asked)


@pytest.mark.parametrize(
    "error", [errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM]
)
def test_the_first_refusal_is_the_last_question(
    trees: Trees, build: Build, empty_directory: Path, sharing: Sharing, error: int
) -> None:
    sharing.error = error

    export(trees, build(FILES), empty_directory)

    assert on_disk(empty_directory) == FILES
    assert len(sharing.asked) == 1


def test_an_error_of_one_clone_is_no_refusal(
    trees: Trees, build: Build, empty_directory: Path, sharing: Sharing
) -> None:
    sharing.error = errno.EIO

    export(trees, build(FILES), empty_directory)

    assert on_disk(empty_directory) == FILES
    assert len(sharing.asked) == 4


def rewrite(place: Path) -> None:
    place.write_bytes(bytes(place.stat().st_size))


def exchange(place: Path) -> None:
    place.unlink()
    place.write_bytes(b"another")


def into_a_link(place: Path) -> None:
    place.unlink()
    place.symlink_to("/etc/passwd")


def into_a_pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def directory_into_a_link(place: Path) -> None:
    aside = place.parent.with_name("aside")
    place.parent.rename(aside)
    rewrite(aside / place.name)
    place.parent.symlink_to("aside")


@pytest.mark.parametrize(
    "change", [rewrite, exchange, into_a_link, into_a_pipe, directory_into_a_link, os.unlink]
)
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_an_original_that_somebody_has_changed_is_not_cloned(
    trees: Trees,
    build: Build,
    empty_directory: Path,
    sharing: Sharing,
    change: Callable[[Path], object],
    content: bytes,
) -> None:
    (empty_directory / "d").mkdir()
    place = empty_directory / "d" / "original"
    place.write_bytes(content)
    os.utime(place, ns=(0, 0))  # as if the change were later than a tick of the clock
    found = place.stat()
    root = build({"e/copy": content})
    row = next(iter(trees.walk(root)))
    clones = Clones()
    clones.remember(bytes.fromhex(row.digest), "d", "original", found)
    change(place)

    export(trees, root, empty_directory, clones=clones)

    assert sharing.asked == []
    assert (empty_directory / "e" / "copy").read_bytes() == content


def test_an_original_that_changes_under_the_clone_is_noticed(
    trees: Trees, build: Build, empty_directory: Path, sharing: Sharing
) -> None:
    place = empty_directory / "original"
    place.write_bytes(LARGE)
    os.utime(place, ns=(0, 0))
    root = build({"copy": LARGE})
    clones = Clones()
    clones.remember(
        bytes.fromhex(next(iter(trees.walk(root))).digest), "", "original", place.stat()
    )
    sharing.before = lambda original: rewrite(Path(original))

    export(trees, root, empty_directory, clones=clones)

    assert len(sharing.asked) == 1
    assert (empty_directory / "copy").read_bytes() == LARGE


def test_only_so_many_contents_are_remembered(sharing: Sharing, empty_directory: Path) -> None:
    place = empty_directory / "x"
    place.write_bytes(SMALL)
    found = place.stat()
    clones = Clones()
    digests = [n.to_bytes(32, "big") for n in range(5000)]
    for digest in digests:
        clones.remember(digest, "", "x", found)

    known = [digest for digest in digests if clones.original(digest, len(SMALL))]

    assert known == digests[-4096:]
