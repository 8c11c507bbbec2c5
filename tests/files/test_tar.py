"""A tree as a tar archive: any unpacker gives back the files, and the bytes are always the same."""

import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.files.manifest import RootId
from trunkline.files.tree import Trees

Build = Callable[[dict[str, bytes]], RootId]

FILES = {
    "a": b"1",
    "empty": b"",
    "exact": b"x" * 512,
    "größe/ñ/日本語.txt": b"unicode",
    "long/" + "n" * 255: b"a name of 255 bytes",
    "/".join(["deep" * 20] * 20) + "/f": b"a path of 1,600 bytes",
    "large": b"0123456789" * 300_000,
    "quote'and space": b"2",
    **{f"many/{n:04}": str(n).encode() for n in range(1500)},
}


def archive(trees: Trees, root: RootId, prefix: str = "", above: str = "") -> bytes:
    return b"".join(trees.tar(root, prefix, above=above, mtime_s=1_700_000_000))


def unpacked(data: bytes) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            assert member.isreg()
            content = tar.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
            assert (member.mode, member.uid, member.uname) == (0o644, 0, "")
            assert member.mtime == 1_700_000_000
    return found


def test_an_archive_holds_every_file_with_its_bytes(trees: Trees, build: Build) -> None:
    assert unpacked(archive(trees, build(FILES))) == FILES


def test_the_tar_of_the_system_reads_it(trees: Trees, build: Build, tmp_path: Path) -> None:
    data = archive(trees, build(FILES))

    subprocess.run(["tar", "-x", "-C", tmp_path], input=data, check=True)

    assert {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    } == FILES


def test_names_are_relative_to_the_directory(trees: Trees, build: Build) -> None:
    root = build(FILES)

    assert set(unpacked(archive(trees, root, "many", above="many"))) == {
        f"{n:04}" for n in range(1500)
    }
    assert unpacked(archive(trees, root, "a")) == {"a": b"1"}


def test_the_same_files_give_the_same_bytes(trees: Trees, build: Build) -> None:
    first = archive(trees, build(FILES))

    assert archive(trees, build(dict(reversed(FILES.items())))) == first
    assert len(first) % 10240 == 0


@pytest.mark.parametrize("size", [8 * 1024**3 - 1, 8 * 1024**3, 1 << 40])
def test_a_size_of_many_digits_is_told_right(size: int) -> None:
    # As `files.tar` makes it; the content itself would be too large for a test.
    member = tarfile.TarInfo("large")
    member.size = size

    head = member.tobuf(tarfile.PAX_FORMAT)

    read = tarfile.TarFile(fileobj=io.BytesIO(head), mode="r").next()
    assert read is not None
    assert read.size == size


@given(
    files=st.dictionaries(
        st.lists(st.text("ab é-\u0301", min_size=1, max_size=60), min_size=1, max_size=4).map(
            lambda parts: "/".join(f"d{len(parts)}{part}x" for part in parts)
        ),
        st.binary(max_size=1200),
        max_size=6,
    )
)
@settings(max_examples=settings().max_examples)
def test_any_tree_survives_being_an_archive(
    trees: Trees, build: Build, files: dict[str, bytes]
) -> None:
    assert unpacked(archive(trees, build(files))) == files


def test_an_archive_is_made_while_it_is_read(trees: Trees, build: Build) -> None:
    pieces = trees.tar(
        build({f"{n}": bytes([n]) * 3_000_000 for n in range(6)}), "", above="", mtime_s=0
    )

    assert max(map(len, pieces)) < 9 * 1024 * 1024
