"""A disk that writes down every step, and fails at the one it is told to.

All that this process does to files below one directory passes here: the functions of `os`, files
that `open` opens for writing, and the files of SQLite (`sqlite_steps`). What other processes do is
not seen. The recording is complete: `Recording.check` compares what it adds up to with the real
directory, so a way to write that is not seen here makes the tests fail.
"""

import builtins
import errno
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlite_steps

# What belongs to no state that has to survive: locks, and the shared memory of SQLite.
PASSING = ("-shm", ".lock", ".sock")

_WRITING = os.O_WRONLY | os.O_RDWR
_real: dict[str, Any] = {name: getattr(os, name) for name in dir(os) if callable(getattr(os, name))}
_real_open = io.open


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the file system; `file` is a number that names and renames keep."""

    kind: str  # create write truncate sync name-sync mkdir rmdir rename exchange unlink link
    path: str = ""
    file: int = -1
    offset: int = 0
    data: bytes = b""
    target: str = ""


def exchanged(path: str, one: str, other: str) -> str:
    """What a path is called after two directories have changed places."""
    for before, after in ((one, other), (other, one)):
        if path == before or path.startswith(before + "/"):
            return after + path[len(before) :]
    return path


@dataclass
class Recording:
    """The steps since a directory was in a known state, all of which was durable."""

    root: Path
    steps: list[Step] = field(default_factory=list)
    base_files: dict[str, bytes] = field(default_factory=dict)
    base_directories: set[str] = field(default_factory=set)

    def check(self) -> None:
        """Raise unless the steps lead to what is in the directory now."""
        from crash_images import Disk

        disk = Disk(self)
        for step in self.steps:
            disk.apply(step)
        seen, _ = read_directory(self.root)
        made = disk.files()
        if seen != made:
            odd = {p for p in seen.keys() | made.keys() if seen.get(p) != made.get(p)}
            raise AssertionError(f"written past the recording: {sorted(odd)}")


def read_directory(root: Path) -> tuple[dict[str, bytes], set[str]]:
    """Files with their bytes, and directories, by relative path; without what passes."""
    files, directories = {}, set()
    for place, names, found in os.walk(root):
        relative = os.path.relpath(place, root)
        prefix = "" if relative == "." else relative + "/"
        directories |= {prefix + name for name in names}
        for name in found:
            if not name.endswith(PASSING):
                files[prefix + name] = Path(place, name).read_bytes()
    return files, directories


class RecordedDisk(sqlite_steps.Listener):
    """See the module. One at a time in a process; thread-safe."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self._lock = threading.RLock()
        self._files: dict[str, int] = {}  # number of the file with a path
        self._fds: dict[int, int] = {}  # number of the file with a descriptor
        self._new_logs: set[str] = set()  # of SQLite, not synced since they were opened
        self._count = 0
        self.recording = Recording(root)
        files, directories = read_directory(root)
        for path, data in files.items():
            self._files[path] = self._number()
            self.recording.base_files[path] = data
        self.recording.base_directories = directories
        self.calls = 0  # that could have failed since the last `fail_at`
        self.failed = 0
        self._fail_at = 0
        self._error = 0
        self._lasting = False
        self._kinds: frozenset[str] = frozenset()

    # --- failing ----------------------------------------------------------------------------------

    def fail_at(
        self, number: int, error: int, *, lasting: bool = False, reads: bool = False
    ) -> None:
        """From now on, fail the n-th call (1 is the next one); with `lasting`, all later ones too.

        Reads are counted (and fail) only if that is said; what frees space never is full.
        """
        with self._lock:
            self.calls = self.failed = 0
            self._fail_at, self._error, self._lasting = number, error, lasting
            self._kinds = frozenset({"read"} if reads else WRITES)
            if error == errno.ENOSPC:
                self._kinds -= {"unlink", "rmdir", "delete"}

    def heal(self) -> None:
        with self._lock:
            self._fail_at = 0

    def _fails(self, kind: str) -> bool:
        if not self._fail_at or kind not in self._kinds:
            return False
        self.calls += 1
        hit = self.calls == self._fail_at or (self._lasting and self.calls > self._fail_at)
        self.failed += hit
        return hit

    # --- SQLite -----------------------------------------------------------------------------------

    def step(self, kind: str, path: str) -> int:
        with self._lock:
            if self._relative(path) is None or path.endswith(PASSING) or not self._fails(kind):
                return sqlite_steps.OK
            if self._error == errno.ENOSPC and kind == "write":
                return sqlite_steps.FULL
            return sqlite_steps.IOERR_OF[kind]

    def opened(self, path: str, created: bool) -> None:
        if created:
            self._note_create(path)
        if path.endswith("-wal"):
            self._new_logs.add(path)

    def written(self, path: str, offset: int, data: bytes) -> None:
        self._note("write", path, offset=offset, data=data)

    def truncated(self, path: str, size: int) -> None:
        self._note("truncate", path, offset=size)

    def synced(self, path: str) -> None:
        self._note("sync", path)
        if path in self._new_logs:  # SQLite then syncs its directory too, below of us
            self._new_logs.discard(path)
            self._add(Step("name-sync", path=os.path.dirname(self._relative(path) or "")))

    def deleted(self, path: str, sync: bool) -> None:
        self._note_unlink(path)
        if sync:
            self._add(Step("name-sync", path=os.path.dirname(self._relative(path) or "")))

    # --- what was done ----------------------------------------------------------------------------

    def _number(self) -> int:
        self._count += 1
        return self._count

    def _relative(self, path: Any, dir_fd: int | None = None) -> str | None:
        """The path below the root, or None for one elsewhere."""
        if isinstance(path, int):
            return None
        text = os.fsdecode(path)
        if dir_fd is not None:
            text = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), text)
        text = os.path.abspath(text)
        if text == self.root:
            return ""
        return text[len(self.root) + 1 :] if text.startswith(self.root + "/") else None

    def _add(self, step: Step) -> None:
        if not (step.path.endswith(PASSING) and step.kind != "name-sync"):
            self.recording.steps.append(step)

    def _note(self, kind: str, path: str, **more: Any) -> None:
        relative = self._relative(path)
        if relative is None or relative.endswith(PASSING):
            return
        with self._lock:
            self._add(Step(kind, path=relative, file=self._files[relative], **more))

    def _note_create(self, path: str, dir_fd: int | None = None) -> int | None:
        relative = self._relative(path, dir_fd)
        if relative is None:
            return None
        with self._lock:
            self._files[relative] = self._number()
            self._add(Step("create", path=relative, file=self._files[relative]))
            return self._files[relative]

    def _note_unlink(self, path: str, dir_fd: int | None = None) -> None:
        relative = self._relative(path, dir_fd)
        if relative is not None:
            with self._lock:
                file = self._files.pop(relative, -1)
                self._add(Step("unlink", path=relative, file=file))

    # --- `os` -------------------------------------------------------------------------------------

    def _strike(self, kind: str, path: Any) -> None:
        with self._lock:
            if self._fails(kind):
                raise OSError(self._error, os.strerror(self._error), path)

    def os_open(
        self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        relative = self._relative(path, dir_fd)
        if relative is None or relative.endswith(PASSING) or not flags & (_WRITING | os.O_CREAT):
            return _real["open"](path, flags, mode, dir_fd=dir_fd)
        with self._lock:
            there = os.path.lexists(os.path.join(self.root, relative))
            if not there and flags & os.O_CREAT:
                self._strike("open", path)
            fd = _real["open"](path, flags, mode, dir_fd=dir_fd)
            if not there:
                self._note_create(path, dir_fd)
            file = self._fds[fd] = self._files[relative]
            if there and flags & os.O_TRUNC:
                self._add(Step("truncate", path=relative, file=file))
        return fd

    def os_close(self, fd: int) -> None:
        with self._lock:
            self._fds.pop(fd, None)
            _real["close"](fd)

    def os_write(self, fd: int, data: Any) -> int:
        return self._write(fd, data, lambda: _real["write"](fd, data), None)

    def os_pwrite(self, fd: int, data: Any, offset: int) -> int:
        return self._write(fd, data, lambda: _real["pwrite"](fd, data, offset), offset)

    def os_pwritev(self, fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
        data = b"".join(buffers)
        return self._write(fd, data, lambda: _real["pwritev"](fd, buffers, offset, flags), offset)

    def _write(self, fd: int, data: Any, call: Callable[[], int], offset: int | None) -> int:
        if fd not in self._fds:
            return call()
        with self._lock:
            self._strike("write", fd)
            at = offset
            if at is None:
                append = fcntl_flags(fd) & os.O_APPEND
                at = os.fstat(fd).st_size if append else os.lseek(fd, 0, os.SEEK_CUR)
            count = call()
            self._add(
                Step("write", file=self._fds[fd], offset=at, data=bytes(memoryview(data)[:count]))
            )
            return count

    def os_sendfile(
        self, out: int, source: int, offset: int | None, count: int, **more: Any
    ) -> int:
        if out not in self._fds:
            return _real["sendfile"](out, source, offset, count, **more)
        if offset is None:
            data = _real["read"](source, count)
        else:
            data = _real["pread"](source, count, offset)
        return self.os_write(out, data) if data else 0

    def os_copy_file_range(
        self, source: int, out: int, count: int, offset_src: Any = None, offset_dst: Any = None
    ) -> int:
        if out not in self._fds:
            return _real["copy_file_range"](source, out, count, offset_src, offset_dst)
        if offset_src is None:
            data = _real["read"](source, count)
        else:
            data = _real["pread"](source, count, offset_src)
        if not data:
            return 0
        return (
            self.os_write(out, data)
            if offset_dst is None
            else self.os_pwrite(out, data, offset_dst)
        )

    def os_ftruncate(self, fd: int, size: int) -> None:
        if fd not in self._fds:
            _real["ftruncate"](fd, size)
            return
        with self._lock:
            self._strike("truncate", fd)
            _real["ftruncate"](fd, size)
            self._add(Step("truncate", file=self._fds[fd], offset=size))

    def os_fsync(self, fd: int) -> None:
        self._sync(fd, "fsync")

    def os_fdatasync(self, fd: int) -> None:
        self._sync(fd, "fdatasync")

    def _sync(self, fd: int, name: str) -> None:
        with self._lock:
            file = self._fds.get(fd)
            place = os.readlink(f"/proc/self/fd/{fd}")
            relative = self._relative(place)
            if relative is not None:
                self._strike("sync", place)
            _real[name](fd)
            if file is not None:
                self._add(Step("sync", file=file))
            elif relative is not None and os.path.isdir(place):
                self._add(Step("name-sync", path=relative))
            elif relative is not None:  # a file that was opened for reading only
                self._add(Step("sync", file=self._files[relative]))

    def _renaming(self, name: str, source: Any, target: Any, **more: Any) -> None:
        before = self._relative(source, more.get("src_dir_fd"))
        after = self._relative(target, more.get("dst_dir_fd"))
        if before is None and after is None:
            _real[name](source, target, **more)
            return
        assert before is not None, "a rename into the recording"
        assert after is not None, "a rename out of the recording"
        with self._lock:
            self._strike("rename", source)
            _real[name](source, target, **more)
            for path in [p for p in self._files if p == before or p.startswith(before + "/")]:
                self._files[after + path[len(before) :]] = self._files.pop(path)
            self._add(Step("rename", path=before, target=after))

    def note_exchange(self, one: Path, other: Path) -> None:
        """Two directories have changed places, by a call that is not of `os`."""
        first, second = self._relative(one), self._relative(other)
        if first is None or second is None:
            return
        with self._lock:
            self._files = {
                exchanged(path, first, second): number for path, number in self._files.items()
            }
            self._add(Step("exchange", path=first, target=second))

    def os_rename(self, source: Any, target: Any, **more: Any) -> None:
        self._renaming("rename", source, target, **more)

    def os_replace(self, source: Any, target: Any, **more: Any) -> None:
        self._renaming("replace", source, target, **more)

    def os_link(self, source: Any, target: Any, **more: Any) -> None:
        before = self._relative(source, more.get("src_dir_fd"))
        after = self._relative(target, more.get("dst_dir_fd"))
        if after is None:
            _real["link"](source, target, **more)
            return
        assert before is not None, "a link out of the recording"
        with self._lock:
            self._strike("link", source)
            _real["link"](source, target, **more)
            self._files[after] = self._files[before]
            self._add(Step("link", path=after, file=self._files[after]))

    def os_unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        with self._lock:
            if self._relative(path, dir_fd) is not None:
                self._strike("unlink", path)
            _real["unlink"](path, dir_fd=dir_fd)
            self._note_unlink(path, dir_fd)

    def _directory(
        self, kind: str, path: Any, dir_fd: int | None, call: Callable[[], None]
    ) -> None:
        relative = self._relative(path, dir_fd)
        with self._lock:
            if relative is not None and not (kind == "mkdir" and os.path.isdir(path)):
                self._strike(kind, path)
            call()
            if relative is not None:
                self._add(Step(kind, path=relative))

    def os_mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._directory("mkdir", path, dir_fd, lambda: _real["mkdir"](path, mode, dir_fd=dir_fd))

    def os_rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._directory("rmdir", path, dir_fd, lambda: _real["rmdir"](path, dir_fd=dir_fd))

    def os_pread(self, fd: int, size: int, offset: int) -> bytes:
        if self._fail_at and self._relative(os.readlink(f"/proc/self/fd/{fd}")) is not None:
            self._strike("read", fd)
        return _real["pread"](fd, size, offset)

    # --- `open` -----------------------------------------------------------------------------------

    def open(self, file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
        writes = any(letter in mode for letter in "wax+")
        ours = file in self._fds if isinstance(file, int) else self._relative(file) is not None
        passing = not isinstance(file, int) and os.fsdecode(file).endswith(PASSING)
        if not writes or not ours or passing:
            return _real_open(file, mode, buffering, *rest, **more)
        raw_mode = mode.replace("b", "").replace("t", "")
        opener = None if isinstance(file, int) else more.get("opener") or self._opener
        raw = _RecordedFile(file, raw_mode, closefd=more.get("closefd", True), opener=opener)
        raw.disk = self
        if buffering == 0:
            return raw
        made = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return made
        text = {k: v for k, v in more.items() if k in ("encoding", "errors", "newline")}
        names = ("encoding", "errors", "newline")
        text.update(dict(zip(names, rest, strict=False)))
        return io.TextIOWrapper(made, **text)

    def _opener(self, path: Any, flags: int) -> int:
        return self.os_open(path, flags, 0o666)

    @contextmanager
    def installed(self) -> Iterator["RecordedDisk"]:
        """Stand under everything that this process does."""
        ours = {name.removeprefix("os_"): name for name in dir(self) if name.startswith("os_")}
        stop = sqlite_steps.listen(self)
        try:
            for name, method in ours.items():
                setattr(os, name, getattr(self, method))
            os.remove = self.os_unlink  # type: ignore[assignment]
            io.open = builtins.open = self.open  # type: ignore[assignment]
            yield self
        finally:
            stop()
            for name in ours:
                setattr(os, name, _real[name])
            os.remove = _real["remove"]
            io.open = builtins.open = _real_open  # type: ignore[assignment]


WRITES = frozenset(
    {"open", "write", "truncate", "sync", "rename", "link", "unlink", "rmdir", "mkdir", "delete"}
)


class _RecordedFile(io.FileIO):
    disk: RecordedDisk

    def write(self, data: Any) -> int:
        return self.disk.os_write(self.fileno(), data)

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        self.disk.os_ftruncate(self.fileno(), size)
        return size

    def close(self) -> None:
        if not self.closed and self.closefd:
            self.disk._fds.pop(self.fileno(), None)
        super().close()


def fcntl_flags(fd: int) -> int:
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_GETFL)
