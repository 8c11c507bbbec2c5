"""Large contents on their way into the store: in stages side by side, and as if one by one."""

import random
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import StorageFull, Unavailable
from trunkline.files.content import Fill, store_each, store_filled
from trunkline.store import packs
from trunkline.store.chunker import split
from trunkline.store.chunks import ChunkId, ChunkStore

MIB = 1024 * 1024
NOISE = random.Random(5).randbytes(40 * MIB)
SIZES = st.one_of(
    st.integers(0, 40 * MIB),
    st.sampled_from([0, 1, MIB, MIB + 1, 4 * MIB, 16 * MIB, 16 * MIB + 1, 32 * MIB]),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChunkStore]:
    opened = ChunkStore(tmp_path_factory.mktemp("contents") / "store")
    yield opened
    opened.close()


def filler(content: bytes, step: int = 3 * MIB) -> Fill:
    """Reads at most so many bytes at a time."""
    at = 0

    def fill(window: memoryview) -> int:
        nonlocal at
        part = content[at : at + min(step, len(window))]
        window[: len(part)] = part
        at += len(part)
        return len(part)

    return fill


def expected(content: bytes) -> tuple[int, str, tuple[tuple[str, int], ...]]:
    parts = list(split([content]))
    chunks = tuple((blake3(part).hexdigest(), len(part)) for part in parts)
    return len(content), blake3(content).hexdigest(), chunks


@given(
    contents=st.lists(st.tuples(SIZES, st.booleans()), min_size=1, max_size=5),
    step=st.integers(100_000, 20 * MIB),
)
@settings(max_examples=12)
def test_contents_are_stored_in_order_as_if_one_by_one(
    store: ChunkStore, contents: list[tuple[int, bool]], step: int
) -> None:
    plain = [bytes(size) if zeros else NOISE[:size] for size, zeros in contents]

    together = list(store_each(store, [filler(content, step) for content in plain]))
    alone = [store_filled(store, filler(content, step)) for content in plain]

    assert together == alone == [expected(content) for content in plain]
    for (_, _, chunks), content in zip(together, plain, strict=True):
        read = b"".join(store.get(ChunkId(chunk)) for chunk, _ in chunks)
        assert read == content


def test_the_next_content_is_asked_for_when_the_one_before_has_been_read(
    store: ChunkStore,
) -> None:
    noted: list[str] = []

    def fills() -> Iterator[Fill]:
        for n in range(3):
            noted.append(f"open {n}")
            yield filler(NOISE[n * 9 * MIB : (n + 1) * 9 * MIB])
            noted.append(f"close {n}")

    sizes = [size for size, _, _ in store_each(store, fills())]

    assert sizes == [9 * MIB] * 3
    assert noted == [f"{word} {n}" for n in range(3) for word in ("open", "close")]


def test_what_the_reader_raises_ends_it_and_leaves_no_thread(store: ChunkStore) -> None:
    def broken(window: memoryview) -> int:
        if before > 30 * MIB:
            raise Unavailable("nobody wants it")
        return fill(window)

    def noting(window: memoryview) -> int:
        nonlocal before
        count = broken(window)
        before += count
        return count

    before, fill = 0, filler(NOISE)
    threads = threading.active_count()

    with pytest.raises(Unavailable, match="nobody wants it"):
        list(store_each(store, [filler(NOISE[: 2 * MIB]), noting, filler(b"never read")]))

    assert threading.active_count() == threads
    assert store_filled(store, filler(NOISE)) == expected(NOISE)


@pytest.mark.parametrize("full_after", [0, 3, 9])
def test_a_disk_that_fills_up_meanwhile_is_told_and_a_later_put_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_after: int
) -> None:
    write = packs.PackWriter._write_through
    written = 0

    def failing(self: packs.PackWriter, head: bytes, payload: bytes) -> None:
        nonlocal written
        written += 1
        if written > full_after:
            raise OSError(28, "No space left on device")
        write(self, head, payload)

    opened = ChunkStore(tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr(packs.PackWriter, "_write_through", failing)
        with pytest.raises(StorageFull):
            list(store_each(opened, [filler(NOISE), filler(NOISE[::-1])]))

    stored = list(store_each(opened, [filler(NOISE), filler(NOISE[::-1])]))
    opened.flush()
    assert stored == [expected(NOISE), expected(NOISE[::-1])]
    assert list(opened.verify(read_data=True)) == []
    opened.close()


def test_little_memory_is_used_however_large_they_are(store: ChunkStore) -> None:
    """What was handed on is written before its window is filled again."""
    held: list[int] = []
    put = store.put_hashed
    under_way = threading.Semaphore(0)

    def slow(digests: Iterable[bytes], pieces: list[memoryview]) -> None:
        under_way.acquire()  # until the reader has gone as far as it gets
        put(list(digests), pieces)

    read = 0

    def fill(window: memoryview) -> int:
        nonlocal read
        count = min(len(window), 200 * MIB - read)
        window[:count] = bytes(count)
        read += count
        held.append(read)
        return count

    class Watched:
        put_hashed = staticmethod(slow)

    done: list[int] = []

    def work() -> None:
        done.extend(size for size, _, _ in store_each(Watched(), [fill]))  # type: ignore[arg-type]

    thread = threading.Thread(target=work)
    thread.start()
    stuck = _settled(held)
    assert stuck <= 3 * 16 * MIB
    for _ in range(200):
        under_way.release()
    thread.join()
    assert done == [200 * MIB]


def _settled(values: list[int]) -> int:
    """The last value, once no more come."""
    pause = threading.Event()
    before = -1
    while not values or values[-1] != before:
        before = values[-1] if values else -1
        pause.wait(0.2)
    return values[-1]
