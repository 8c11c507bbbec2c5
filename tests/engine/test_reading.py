"""Reading commits: parts of files, archives, names, and whole trees onto the disk."""

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from trunkline.connect.materialise import Origin, write_file, write_tree
from trunkline.errors import AlreadyExists, Corrupt, FileNotFoundInCommit, InvalidInput
from trunkline.store.chunks import ChunkId, ChunkStore

LARGE = os.urandom(9_000_000)
FILES: dict[str, bytes | str] = {
    "a": "1",
    "dir/b": "22",
    "dir/empty": "",
    "dir/large": LARGE,
    "dir/deep/größe": "333",
    **{f"many/{n:04}": str(n) for n in range(1200)},
}


def plain() -> dict[str, bytes]:
    return {p: c.encode() if isinstance(c, str) else c for p, c in FILES.items()}


def on_disk(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def filled(engine):
    engine.engine.repos.create_repo("data")
    engine.put("data", FILES)
    return engine


def test_a_part_of_a_file_reads_the_chunks_that_hold_it(filled, monkeypatch) -> None:
    asked: list[ChunkId] = []
    get_many = ChunkStore.get_many

    def noting(store: ChunkStore, chunks: Sequence[ChunkId]) -> dict[ChunkId, bytes]:
        asked.extend(chunks)
        return get_many(store, chunks)

    files = filled.engine.files
    b"".join(files.read_file("data", "master", "dir/large", size_bytes=1))  # the tree is read
    monkeypatch.setattr(ChunkStore, "get_many", noting)

    for offset, size, most in ((0, 10, 1), (4_000_000, 10, 1), (8_999_990, 100, 1), (9**9, 5, 0)):
        asked.clear()
        part = b"".join(
            files.read_file("data", "master", "dir/large", offset_bytes=offset, size_bytes=size)
        )
        assert part == LARGE[offset : offset + size]
        assert len(asked) <= most


@pytest.mark.parametrize("which", ["engine", "remote"])
def test_a_tree_is_read_as_an_archive_and_by_name(which, request) -> None:
    driver = request.getfixturevalue(which)
    files = driver.engine.files
    driver.engine.repos.create_repo("data")
    commit = driver.put("data", FILES)

    data = b"".join(files.read_tar("data", "master", "dir"))

    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        read = {m.name: tar.extractfile(m).read() for m in tar}
        assert {m.mtime for m in tar} == {int(commit.finished.timestamp())}
    assert read == {p[4:]: c for p, c in plain().items() if p.startswith("dir/")}
    assert b"".join(files.read_tar("data", commit.id, "dir")) == data
    names = b"".join(files.list_paths("data", "master", "/")).decode().splitlines()
    assert names == sorted(FILES)
    assert b"".join(files.list_paths("data", "master", "dir/deep")) == "dir/deep/größe\n".encode()
    for read_what in (files.read_tar, files.list_paths):
        with pytest.raises(FileNotFoundInCommit):
            b"".join(read_what("data", "master", "nothing"))


def origins(driver) -> list[Origin]:
    """With and without a way to the store."""
    return [
        Origin(operations=driver.engine, home=driver.home),
        Origin(operations=driver.engine, home=None),
        Origin(operations=driver.engine, home=driver.home / "elsewhere"),
    ]


def test_a_tree_is_written_directly_as_from_the_server(filled, tmp_path) -> None:
    commit = filled.engine.commits.inspect_commit("data", "master")
    for n, origin in enumerate(origins(filled)):
        whole, part, one = tmp_path / f"whole{n}", tmp_path / f"part{n}", tmp_path / f"one{n}"
        sizes: list[int] = []

        write_tree(origin, commit, "", whole, sizes.append)
        write_tree(origin, commit, "dir", part, sizes.append)
        write_tree(origin, commit, "dir/b", one, sizes.append)
        write_file(origin, commit, "dir/large", tmp_path / f"large{n}", sizes.append)
        write_file(origin, commit, "a", tmp_path / f"a{n}", sizes.append)

        assert on_disk(whole) == plain()
        assert on_disk(part) == {p[4:]: c for p, c in plain().items() if p.startswith("dir/")}
        assert on_disk(one) == {"b": b"22"}
        assert (tmp_path / f"large{n}").read_bytes() == LARGE
        assert (tmp_path / f"a{n}").read_bytes() == b"1"
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
        assert (
            sum(sizes)
            == sum(map(len, plain().values()))
            + sum(len(c) for p, c in plain().items() if p.startswith("dir/"))
            + 2
            + len(LARGE)
            + 1
        )


def test_the_umask_says_who_may_read_what_is_written(filled, tmp_path) -> None:
    commit = filled.engine.commits.inspect_commit("data", "master")
    before = os.umask(0o027)
    try:
        for n, origin in enumerate(origins(filled)):
            write_tree(origin, commit, "dir", tmp_path / f"{n}", lambda _: None)
    finally:
        os.umask(before)

    for n in range(len(origins(filled))):
        assert (tmp_path / f"{n}" / "b").stat().st_mode & 0o777 == 0o640


def test_what_is_damaged_on_the_disk_is_not_written(filled, tmp_path) -> None:
    commit = filled.engine.commits.inspect_commit("data", "master")
    row = filled.engine._services.trees.find(commit.root, "dir/large")
    place = filled.engine._services.chunks.places([bytes.fromhex(row.chunks[1][0])])
    (found,) = place.values()
    with open(filled.home / "store" / "packs" / f"{found.pack}.pack", "r+b") as pack:
        pack.seek(found.offset + 1000)
        pack.write(b"damage")

    for n, origin in enumerate(origins(filled)):
        with pytest.raises(Corrupt, match=row.chunks[1][0]):
            write_tree(origin, commit, "", tmp_path / f"t{n}", lambda _: None)
        with pytest.raises(Corrupt, match=row.chunks[1][0]):
            write_file(origin, commit, "dir/large", tmp_path / f"f{n}", lambda _: None)

    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_missing_path_is_named_and_nothing_is_made(filled, tmp_path) -> None:
    commit = filled.engine.commits.inspect_commit("data", "master")
    for n, origin in enumerate(origins(filled)):
        with pytest.raises(FileNotFoundInCommit, match="nothing"):
            write_tree(origin, commit, "nothing", tmp_path / f"t{n}", lambda _: None)
        with pytest.raises(FileNotFoundInCommit, match="nothing"):
            write_file(origin, commit, "nothing", tmp_path / f"f{n}", lambda _: None)
        with pytest.raises(InvalidInput, match="is a directory"):
            write_file(origin, commit, "dir", tmp_path / f"d{n}", lambda _: None)

    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_directory_that_is_there_keeps_its_other_files(filled, tmp_path) -> None:
    commit = filled.engine.commits.inspect_commit("data", "master")
    for n, origin in enumerate(origins(filled)):
        out = tmp_path / f"out{n}"
        (out / "deep").mkdir(parents=True)
        (out / "other").write_text("mine")
        (out / "b").write_text("old")
        os.link(out / "b", tmp_path / f"twin{n}")

        write_tree(origin, commit, "dir", out, lambda _: None)

        assert (out / "other").read_text() == "mine"
        assert (out / "b").read_text() == "22"
        assert (tmp_path / f"twin{n}").read_text() == "old"


def test_a_link_in_the_way_leads_nowhere(filled, tmp_path) -> None:
    commit = filled.engine.commits.inspect_commit("data", "master")
    outside = tmp_path / "outside"
    outside.mkdir()
    for n, origin in enumerate(origins(filled)):
        (tmp_path / f"out{n}").mkdir()
        (tmp_path / f"out{n}" / "deep").symlink_to(outside)

        with pytest.raises(AlreadyExists, match="'deep'"):
            write_tree(origin, commit, "dir", tmp_path / f"out{n}", lambda _: None)

    assert list(outside.iterdir()) == []
