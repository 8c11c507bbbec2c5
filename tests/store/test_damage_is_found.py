"""A changed bit anywhere in the store is found, and never served as data."""

import errno
import hashlib
import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from trunkline.errors import Corrupt, TrunklineError, Unavailable
from trunkline.store import cache, packs
from trunkline.store.chunks import ChunkId, ChunkStore

CONTENTS = [
    b"",
    b"tiny",
    hashlib.shake_128(b"noise").digest(700),
    b"some,text,that,repeats\n" * 40,
    b"x" * 5000,
]


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[ChunkId, bytes]]:
    """The directory of a closed store, and what is in it; nothing is cached."""
    monkeypatch.setattr(cache, "CACHE_BYTES", 0)
    store = ChunkStore(tmp_path / "store")
    ids = store.put_many(CONTENTS)
    store.close()
    return tmp_path / "store", dict(zip(ids, CONTENTS, strict=True))


def served(store: ChunkStore, contents: dict[ChunkId, bytes]) -> set[ChunkId]:
    """The chunks that are readable; fails if one has other bytes than were put."""
    good: set[ChunkId] = set()
    for chunk, content in contents.items():
        with suppress(Corrupt):
            assert store.get(chunk) == content
            good.add(chunk)
    return good


def test_a_flipped_bit_in_any_byte_of_a_pack_is_found(
    stored: tuple[Path, dict[ChunkId, bytes]],
) -> None:
    directory, contents = stored
    (pack,) = (directory / "packs").iterdir()
    whole = pack.read_bytes()
    store = ChunkStore(directory)
    flips = random.Random(1)

    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << flips.randrange(8)
        pack.write_bytes(damaged)
        good = served(store, contents)
        problems = list(store.verify(read_data=True))

        assert problems, f"byte {at}"
        assert contents.keys() - good <= {chunk for chunk, _ in problems}, f"byte {at}"

    pack.write_bytes(whole)
    assert list(store.verify(read_data=True)) == []
    store.close()


@pytest.mark.parametrize("kept", [0, 10, 47, 48, 60, 200, -1, -30, -100])
def test_a_pack_that_lost_its_end_is_found(
    stored: tuple[Path, dict[ChunkId, bytes]], kept: int
) -> None:
    directory, contents = stored
    (pack,) = (directory / "packs").iterdir()
    pack.write_bytes(pack.read_bytes()[:kept])
    store = ChunkStore(directory)

    good = served(store, contents)
    problems = list(store.verify(read_data=False))

    assert problems
    assert contents.keys() - good <= {chunk for chunk, _ in problems}
    store.close()


def test_a_pack_that_is_gone_takes_its_chunks_with_it_until_they_are_put_again(
    stored: tuple[Path, dict[ChunkId, bytes]],
) -> None:
    directory, contents = stored
    (pack,) = (directory / "packs").iterdir()
    pack.unlink()
    store = ChunkStore(directory)

    assert served(store, contents) == set()
    assert {chunk for chunk, _ in store.verify(read_data=False)} == contents.keys()

    store.recover()
    store.put_many(list(contents.values()))
    store.flush()
    assert served(store, contents) == contents.keys()
    assert list(store.verify(read_data=True)) == []
    store.close()


def test_packs_that_changed_places_are_found(
    stored: tuple[Path, dict[ChunkId, bytes]],
) -> None:
    directory, contents = stored
    store = ChunkStore(directory)
    other = store.put(b"in another pack")
    store.close()
    first, second = sorted((directory / "packs").iterdir())
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)

    store = ChunkStore(directory)
    everything = {**contents, other: b"in another pack"}
    good = served(store, everything)
    problems = list(store.verify(read_data=True))

    assert any("header" in problem for _, problem in problems)
    assert everything.keys() - good <= {chunk for chunk, _ in problems}
    store.close()


def test_flipped_bits_in_the_index_never_make_wrong_bytes(
    stored: tuple[Path, dict[ChunkId, bytes]],
) -> None:
    directory, contents = stored
    index = directory / "index.db"
    whole = index.read_bytes()
    flips = random.Random(2)
    found = 0

    for _ in range(300):
        at = flips.randrange(len(whole))
        damaged = bytearray(whole)
        damaged[at] ^= 1 << flips.randrange(8)
        for path in directory.glob("index.db*"):
            path.unlink()
        index.write_bytes(damaged)
        with suppress(TrunklineError):
            store = ChunkStore(directory)
            good = served(store, contents)
            problems = list(store.verify(read_data=True))
            found += bool(problems)

            assert contents.keys() - good <= {chunk for chunk, _ in problems}, f"byte {at}"
            store.close()
    assert found


def test_an_index_of_rubbish_is_made_anew(
    stored: tuple[Path, dict[ChunkId, bytes]],
) -> None:
    directory, contents = stored
    (directory / "index.db").write_bytes(b"this is no database" * 1000)

    store = ChunkStore(directory)

    assert served(store, contents) == contents.keys()
    store.close()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE chunk SET start_bytes = start_bytes + 1", "wrong place"),
        ("UPDATE chunk SET size_bytes = size_bytes + 1", "wrong place"),
        ("DELETE FROM chunk", "lost"),
        ("UPDATE chunk SET pack = 77", "lost"),
        ("DELETE FROM pack", "lost"),
    ],
)
def test_an_index_that_disagrees_with_the_packs_is_found_and_made_anew(
    stored: tuple[Path, dict[ChunkId, bytes]], change: str, problem: str
) -> None:
    directory, contents = stored
    connection = sqlite3.connect(directory / "index.db")
    connection.execute(change)
    connection.commit()
    connection.close()

    store = ChunkStore(directory)
    assert len(served(store, contents)) < len(contents)
    problems = dict(store.verify(read_data=False))
    assert all(problem in problems[chunk] for chunk in contents)
    store.close()

    (directory / "index.db").unlink()
    store = ChunkStore(directory)
    assert served(store, contents) == contents.keys()
    store.close()


def test_rows_that_were_not_asked_for_are_damage_of_the_index(
    stored: tuple[Path, dict[ChunkId, bytes]],
) -> None:
    directory, contents = stored
    index = directory / "index.db"
    whole = index.read_bytes()
    calls: list[Callable[[ChunkStore], object]] = [
        lambda store: store.get_many(list(contents)),
        lambda store: store.has_many(list(contents)),
        lambda store: store.claim_many(list(contents)),
        lambda store: store.put_many(list(contents.values())),
        lambda store: list(store.verify(read_data=True)),
    ]
    refused = 0

    for chunk in contents:
        damaged = bytearray(whole)
        damaged[whole.index(bytes.fromhex(chunk))] ^= 0x40
        for path in directory.glob("index.db*"):
            path.unlink()
        index.write_bytes(damaged)
        store = ChunkStore(directory)
        for call in calls:
            try:
                call(store)
            except Corrupt:
                refused += 1
        store.close()
    assert refused


@pytest.mark.parametrize("index", ["marked", "rubbish", "gone"])
def test_only_the_owner_of_a_store_makes_its_index_anew(
    stored: tuple[Path, dict[ChunkId, bytes]], index: str
) -> None:
    directory, contents = stored
    owner = ChunkStore(directory)
    path = directory / "index.db"
    (directory / "rebuild-index").touch()
    if index != "marked":
        path.rename(directory / "aside.db")
    if index == "rubbish":
        path.write_bytes(b"this is no database" * 1000)
    before = path.stat().st_ino if path.exists() else None

    if index == "marked":
        other = ChunkStore(directory, writer="worker", rebuild=False)
        new = other.put(b"of the other process")
        other.close()
        assert owner.get(new) == b"of the other process"
    else:
        with pytest.raises(Unavailable, match="made anew when the server starts"):
            ChunkStore(directory, rebuild=False)

    assert (path.stat().st_ino if path.exists() else None) == before
    owner.close()
    store = ChunkStore(directory)
    assert served(store, contents) == contents.keys()
    assert not (directory / "rebuild-index").exists()
    store.close()


def test_a_chunk_in_a_pack_that_is_in_no_list_can_be_put_again(
    stored: tuple[Path, dict[ChunkId, bytes]],
) -> None:
    directory, contents = stored
    connection = sqlite3.connect(directory / "index.db")
    connection.execute("UPDATE chunk SET pack = 77")
    connection.commit()
    connection.close()
    store = ChunkStore(directory)

    assert store.has_many(list(contents)) == set()
    store.put_many(list(contents.values()))
    store.flush()

    assert served(store, contents) == contents.keys()
    store.close()


def test_a_verification_counts_what_it_has_seen(
    stored: tuple[Path, dict[ChunkId, bytes]],
) -> None:
    directory, contents = stored
    store = ChunkStore(directory)

    assert list(store.verify(read_data=True)) == []

    assert store.stats.packs == 1
    assert store.stats.chunks == len(contents)
    assert store.stats.stored_bytes == store.stored_bytes()
    assert store.stats.problems == 0
    store.close()


def test_sectors_that_cant_be_read_are_damage_of_their_chunks_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ChunkStore(tmp_path / "store")
    contents = [random.Random(n).randbytes(9000) for n in range(5)]
    chunks = store.put_many(contents)
    store.seal()
    place = store.find([bytes.fromhex(chunks[2])])[bytes.fromhex(chunks[2])]
    bad = range((place.offset // 4096 + 1) * 4096, (place.offset // 4096 + 2) * 4096)
    read_bytes, part = Path.read_bytes, packs.PackReader.part

    def failing(path: Path) -> bytes:
        if path.suffix == ".pack":
            raise OSError(errno.EIO, "unreadable")
        return read_bytes(path)

    def failing_part(reader: packs.PackReader, offset: int, size: int) -> bytes:
        if offset in bad or (offset < bad.start < offset + size):
            raise OSError(errno.EIO, "unreadable")
        return part(reader, offset, size)

    monkeypatch.setattr(Path, "read_bytes", failing)
    monkeypatch.setattr(packs.PackReader, "part", failing_part)

    problems = dict(store.verify(read_data=True))

    assert problems.keys() == {"", chunks[2]}
    assert "4096 bytes can't be read" in problems[ChunkId("")]
    collection = store.collection()
    with collection.exclusive(), collection.live_set() as live:
        live.add([bytes.fromhex(chunk) for chunk in chunks])
        compacted = collection.compact(live, thorough=True, pace=lambda: None)
        assert ["can't be read" in skipped for skipped in compacted.skipped] == [True]
        collection.repair(live, damaged=[chunks[2]], damaged_packs=store.damaged_packs)
    monkeypatch.undo()
    store.let_go(cached=True)
    assert served(store, dict(zip(chunks, contents, strict=True))) == {*chunks} - {chunks[2]}
    store.close()


def test_damage_of_a_dead_copy_is_none(tmp_path: Path) -> None:
    store = ChunkStore(tmp_path / "store")
    content = random.Random(1).randbytes(9000)
    chunk = store.put(content)
    store.seal()
    [old] = (tmp_path / "store" / "packs").iterdir()
    with store._index.write() as tx:
        tx.execute("DELETE FROM chunk")
    store.put(content)
    store.seal()
    data = bytearray(old.read_bytes())
    data[5000] ^= 1
    old.write_bytes(data)

    assert list(store.verify(read_data=True)) == []
    assert store.damaged_packs == []
    assert store.get(chunk) == content
    store.close()
