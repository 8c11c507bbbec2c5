"""Stores in temporary directories, and an operating system that fails when it is told to."""

import inspect
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from bucket_world import Bucket, bucket_world
from postgres_schemas import empty_schema, needs_postgres
from s3_objects import new_bucket
from shared_stores import join

from trunkline.store import claims, packs, recovery
from trunkline.store.chunks import ChunkStore

OpenStore = Callable[..., ChunkStore]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What does not look at files holds wherever the packs are."""
    if "open_store" in metafunc.fixturenames:
        asked = set(inspect.signature(metafunc.function).parameters)
        files = asked & {"tmp_path", "pack_files", "faulty_disk"}
        kinds = ["files", "bucket", pytest.param("shared", marks=needs_postgres)]
        metafunc.parametrize("open_store", kinds[: 1 if files else 3], indirect=True)


@pytest.fixture
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenStore]:
    """Opens the store of the test, any number of times; all are closed at the end."""
    opened: list[ChunkStore] = []
    if request.param != "files":
        bucket = new_bucket()
        for name, value in bucket.environment().items():
            monkeypatch.setenv(name, value)
        place = claims.place_at(bucket.url, plain_http=True, cache_bytes=1 << 30)
        claims.settle(tmp_path / "store", place, installation=lambda: "i" * 32, fresh=True)

    def open_it(*, writer: str = "test") -> ChunkStore:
        joined = join(url) if url else None
        opened.append(ChunkStore(tmp_path / "store", writer=writer, joined=joined))
        return opened[-1]

    with empty_schema() if request.param == "shared" else nullcontext("") as url:
        yield open_it
        for store in opened:
            store.close()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    """A store in a bucket, behind a proxy that fails when it is told to."""
    with bucket_world(monkeypatch, tmp_path / "store") as made:
        yield made


@pytest.fixture
def pack_files(tmp_path: Path) -> Callable[[], list[Path]]:
    """The pack files of the test's store."""
    return lambda: sorted((tmp_path / "store" / "packs").iterdir())


class Died(BaseException):
    """The process is gone: nothing of it runs any more."""


class FaultyDisk:
    """The `os` module as packs see it; the n-th call that touches the disk fails.

    `how` is an errno (the call fails once), "die" (the process ends before the call) or "tear" (it
    ends when half of a write is done). It knows what would survive a power cut.
    """

    STEPS = frozenset({"open", "pwrite", "pwritev", "fdatasync", "fsync", "ftruncate", "unlink"})

    def __init__(self, *, fail_at: int, how: str | int) -> None:
        self.calls = 0
        self._lock = threading.Lock()
        self._fail_at = fail_at
        self._how = how
        self._dead = False
        self._paths: dict[int, Path] = {}  # of files open for writing
        self._synced: dict[Path, int] = {}
        self._named: set[Path] = set()  # whose name is durable

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        if name not in self.STEPS:
            return real

        def call(*args: object, **kwargs: object) -> object:
            return self._call(name, real, *args, **kwargs)

        return call

    @property
    def failed(self) -> bool:
        return self.calls >= self._fail_at

    def _call(self, name: str, real: Callable[..., object], *args: object, **kw: object) -> object:
        with self._lock:  # flushes run beside the puts
            if self._dead:
                raise Died
            self.calls += 1
            fails = self.calls == self._fail_at
        if fails:
            if isinstance(self._how, int):
                raise OSError(self._how, os.strerror(self._how))
            self._dead = True
            if self._how == "tear" and name == "pwrite":
                fd, data, offset = args
                os.pwrite(fd, data[: len(data) // 2], offset)  # type: ignore[index,arg-type]
            if self._how == "tear" and name == "pwritev":
                fd, parts, offset = args
                data = b"".join(parts)  # type: ignore[arg-type]
                os.pwrite(fd, data[: len(data) // 2], offset)  # type: ignore[arg-type]
            raise Died
        done = real(*args, **kw)
        self._note(name, done, *args)
        return done

    def _note(self, name: str, done: object, *args: object) -> None:
        first = args[0]
        if name == "open" and isinstance(args[1], int) and args[1] & os.O_CREAT:
            assert isinstance(done, int)
            self._paths[done] = Path(str(first))
            self._synced.setdefault(self._paths[done], 0)
        elif name == "open":
            self._paths.pop(done, None)  # type: ignore[call-overload]  # the number is used again
        elif name in ("fdatasync", "fsync") and first in self._paths:
            assert isinstance(first, int)
            self._synced[self._paths[first]] = os.fstat(first).st_size
        elif name == "fsync":
            self._named |= self._synced.keys()

    def close(self, fd: int) -> None:
        """Whose number may be another's from then on."""
        self._paths.pop(fd, None)
        os.close(fd)

    def end_process(self, store: ChunkStore) -> None:
        """Let go of the files, as the end of a process does, and of its threads."""
        with self._lock:
            self._dead = True
        store._flusher.shutdown()  # one may be in the middle of a call
        for fd in self._paths:
            os.close(fd)
        self._paths.clear()
        store._index.close()

    def cut_power(self, *, garbage: bool) -> None:
        """Lose what was never synced: all of it, or all but the length of the files."""
        for path, size in self._synced.items():
            if not path.exists():
                continue
            if path not in self._named:
                path.unlink()
            elif garbage:
                data = path.read_bytes()
                path.write_bytes(data[:size] + bytes(len(data) - size))
            else:
                os.truncate(path, min(size, path.stat().st_size))


@pytest.fixture
def faulty_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FaultyDisk]:
    """Puts a failing disk under all packs."""

    def install(*, fail_at: int, how: str | int) -> FaultyDisk:
        disk = FaultyDisk(fail_at=fail_at, how=how)
        monkeypatch.setattr(packs, "os", disk)
        monkeypatch.setattr(recovery, "os", disk)
        return disk

    return install


@pytest.fixture
def sound_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Takes the failing disk away again."""

    def restore() -> None:
        monkeypatch.setattr(packs, "os", os)
        monkeypatch.setattr(recovery, "os", os)

    return restore


@pytest.fixture
def died() -> type[BaseException]:
    """What a failing disk raises in a process that has ended."""
    return Died
