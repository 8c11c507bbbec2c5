"""Many chunks at once: what single reads give, in few reads of the disk."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, nullcontext, suppress
from errno import ENOSPC
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import Corrupt
from trunkline.store.bulk import runs
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.packs import RECORD_BYTES, Location

PIECES = [
    *(os.urandom(size) for size in (1, 63, 64, 1000, 5000, 300_000, 3_000_000)),
    *(str(n).encode() * n for n in range(1, 400)),
    b"compressible " * 100_000,
]


def digest(data: bytes) -> bytes:
    return blake3(data).digest()


@pytest.fixture(params=["buffered", "flushed", "sealed", "of another process"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ChunkStore]:
    with ExitStack() as opened:

        def another() -> ChunkStore:
            return opened.enter_context(closing(ChunkStore(tmp_path / "store")))

        store = another()
        store.put_many(PIECES)
        if request.param != "buffered":
            store.flush()
        if request.param == "flushed":
            store.put_many([b"more"])  # some of the pack is drained, some is not
        elif request.param == "sealed":
            opened.close()
            store = another()
        elif request.param == "of another process":
            store = another()
        yield store


def test_many_chunks_are_read_at_once(store: ChunkStore) -> None:
    assert store.read_many([digest(piece) for piece in PIECES]) == {
        digest(piece): piece for piece in PIECES
    }
    assert store.read_many([]) == {}


def test_a_chunk_is_copied_into_a_file(store: ChunkStore, tmp_path: Path) -> None:
    places = store.places([digest(piece) for piece in PIECES])
    with open(tmp_path / "out", "wb") as out:
        for piece in PIECES:
            store.copy_chunk(places[digest(piece)], out.fileno(), 10, nullcontext())
            os.ftruncate(out.fileno(), 10 + len(piece))

            assert (tmp_path / "out").read_bytes()[10:] == piece


def test_a_chunk_is_written_whole_where_the_system_takes_it_in_parts(
    store: ChunkStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:70_001], at))
    places = store.places([digest(piece) for piece in PIECES])
    for n, piece in enumerate(PIECES):
        with open(tmp_path / f"out{n}", "wb") as out:
            store.copy_chunk(places[digest(piece)], out.fileno(), 0, nullcontext())
        assert (tmp_path / f"out{n}").read_bytes() == piece


def test_who_writes_a_file_has_the_turn_and_a_full_disk_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ChunkStore(tmp_path / "store")
    plain, small = os.urandom(2_000_000), b"text " * 100_000
    store.put_many([plain, small])
    store.seal()
    places = store.places([digest(plain), digest(small)])
    turn = threading.Lock()

    def full(*_: object) -> int:
        assert turn.locked()
        raise OSError(ENOSPC, os.strerror(ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with open(tmp_path / "out", "wb") as out:
        for place in places.values():
            with pytest.raises(OSError, match="No space"):
                store.copy_chunk(place, out.fileno(), 0, turn)
            assert not turn.locked()
    monkeypatch.undo()
    store.close()


def test_chunks_in_memory_are_read_beside_others(store: ChunkStore) -> None:
    ahead = [*PIECES[:2], b"nowhere"]
    with pytest.raises(Corrupt, match=digest(b"nowhere").hex()):
        store.get_many([ChunkId(digest(piece).hex()) for piece in ahead])

    assert store.read_many([digest(piece) for piece in PIECES]) == {
        digest(piece): piece for piece in PIECES
    }


def test_a_missing_chunk_is_named(store: ChunkStore) -> None:
    with pytest.raises(Corrupt, match=digest(b"nowhere").hex()):
        store.read_many([digest(PIECES[0]), digest(b"nowhere")])


@pytest.mark.parametrize("size", [1000, 3_000_000])
@pytest.mark.parametrize("at", [0, 4, 8, 20, 48, 52, 400])
def test_a_changed_byte_is_never_served(tmp_path: Path, size: int, at: int) -> None:
    store = ChunkStore(tmp_path / "store")
    pieces = [os.urandom(size), os.urandom(size)]
    store.put_many(pieces)
    store.close()
    store = ChunkStore(tmp_path / "store")
    place = store.places([digest(pieces[1])])[digest(pieces[1])]
    (pack,) = (tmp_path / "store" / "packs").iterdir()
    with open(pack, "r+b") as file:
        file.seek(place.offset + at)
        byte = file.read(1)
        file.seek(place.offset + at)
        file.write(bytes([byte[0] ^ 1]))

    with open(tmp_path / "out", "wb") as out:
        for read in (
            lambda: store.read_many([digest(piece) for piece in pieces])[digest(pieces[1])],
            lambda: store.copy_chunk(place, out.fileno(), 0, nullcontext()),
        ):
            if at == 48:  # the checksum of a header stands for nothing that the hash does not
                with suppress(Corrupt):
                    assert read() in (None, pieces[1])
            else:
                with pytest.raises(Corrupt, match=digest(pieces[1]).hex()):
                    read()


def test_a_pack_that_was_cut_is_corrupt(tmp_path: Path) -> None:
    store = ChunkStore(tmp_path / "store")
    pieces = [os.urandom(1000), os.urandom(1000)]
    store.put_many(pieces)
    store.close()
    store = ChunkStore(tmp_path / "store")
    places = store.places([digest(piece) for piece in pieces])
    (pack,) = (tmp_path / "store" / "packs").iterdir()
    os.truncate(pack, places[digest(pieces[1])].offset + RECORD_BYTES + 10)

    with pytest.raises(Corrupt, match="the end of the file"):
        store.read_many([digest(piece) for piece in pieces])
    with open(tmp_path / "out", "wb") as out, pytest.raises(Corrupt):
        store.copy_chunk(places[digest(pieces[1])], out.fileno(), 0, nullcontext())


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 60_000), st.integers(0, 700_000)),
        max_size=30,
    )
)
@settings(max_examples=settings().max_examples)
def test_runs_hold_every_record_once_in_order(gaps: list[tuple[str, int, int]]) -> None:
    ends = {"a": 0, "b": 0}
    places = []
    for n, (pack, gap, stored) in enumerate(gaps):
        offset = ends[pack] + gap
        places.append(Location(n.to_bytes(32, "big"), pack, offset, stored, stored))
        ends[pack] = offset + RECORD_BYTES + stored

    found = list(runs(places))

    assert [place for run in found for place in run] == sorted(
        places, key=lambda place: (place.pack, place.offset)
    )
    for run in found:
        assert len({place.pack for place in run}) == 1
        extent = run[-1].offset + run[-1].stored - run[0].offset
        assert len(run) == 1 or extent <= 1024 * 1024
