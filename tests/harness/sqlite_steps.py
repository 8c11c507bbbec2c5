"""Puts a hook under SQLite: every write, sync, truncation and deletion of its files passes here.

A virtual file system of SQLite that hands everything on to the normal one, made with ctypes from
the very library that Python's `sqlite3` uses. Files are opened through it while somebody listens.
"""

import ctypes
import ctypes.util
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

OK, IOERR, FULL = 0, 10, 13
IOERR_OF = {"read": 266, "write": 778, "sync": 1034, "truncate": 1546, "delete": 2570}

_int, _int64, _pointer, _text = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p
# Names travel as pointers: SQLite keeps the very ones that it gave.
_OPEN = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _pointer, _int, _pointer)
_DELETE = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _int)
_CLOSE = ctypes.CFUNCTYPE(_int, _pointer)
_READ = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _int, _int64)
_WRITE = ctypes.CFUNCTYPE(_int, _pointer, _pointer, _int, _int64)
_TRUNCATE = ctypes.CFUNCTYPE(_int, _pointer, _int64)
_SYNC = ctypes.CFUNCTYPE(_int, _pointer, _int)


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("version", _int),
        ("file_bytes", _int),
        ("path_bytes", _int),
        ("next", _pointer),
        ("name", _text),
        ("data", _pointer),
        ("open", _pointer),
        ("delete", _pointer),
        ("rest", _pointer * 14),  # up to xNextSystemCall of version 3
    ]


class _Methods(ctypes.Structure):
    _fields_ = [
        ("version", _int),
        ("close", _pointer),
        ("read", _pointer),
        ("write", _pointer),
        ("truncate", _pointer),
        ("sync", _pointer),
        ("rest", _pointer * 13),  # up to xUnfetch of version 3
    ]


class Listener:
    """What a hook has to have. Each returns a result code; OK lets the step happen."""

    def opened(self, path: str, created: bool) -> None: ...
    def step(self, kind: str, path: str) -> int: ...
    def written(self, path: str, offset: int, data: bytes) -> None: ...
    def truncated(self, path: str, size: int) -> None: ...
    def synced(self, path: str) -> None: ...
    def deleted(self, path: str, sync: bool) -> None: ...


class _Hook:
    """The callbacks, and what is known of open files. Lives as long as the process."""

    def __init__(self, library: Any) -> None:
        self.listener: Listener | None = None
        self._paths: dict[int, str] = {}  # by the address of the sqlite3_file
        self._real: dict[int, _Methods] = {}
        self._ours: dict[int, tuple[_Methods, list[Any]]] = {}  # by the address of the real ones
        find = library.sqlite3_vfs_find
        find.restype, find.argtypes = ctypes.POINTER(_Vfs), [_text]
        self._below = find(None)
        self._vfs = _Vfs()
        ctypes.memmove(ctypes.byref(self._vfs), self._below, ctypes.sizeof(_Vfs))
        self._vfs.name = b"recorded"
        self._real_open = _OPEN(self._vfs.open)
        self._real_delete = _DELETE(self._vfs.delete)
        self._open, self._delete = _OPEN(self._on_open), _DELETE(self._on_delete)
        self._vfs.open = ctypes.cast(self._open, _pointer)
        self._vfs.delete = ctypes.cast(self._delete, _pointer)
        self._register = library.sqlite3_vfs_register
        self._register.argtypes = [_pointer, _int]

    def listen(self, listener: Listener | None) -> None:
        """Be what SQLite opens files through as long as there is a listener, and only then."""
        self.listener = listener
        vfs = ctypes.addressof(self._vfs if listener else self._below.contents)
        if self._register(vfs, 1) != OK:
            raise RuntimeError("SQLite takes no file system from here")

    def _on_open(self, _vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        path = ctypes.string_at(name).decode() if name else ""
        there = bool(path) and Path(path).exists()
        result = self._real_open(ctypes.addressof(self._below.contents), name, file, flags, out)
        methods = ctypes.cast(file, ctypes.POINTER(_pointer))
        if result != OK or not path or not methods[0]:
            return result
        self._paths[file] = path
        self._real[file] = ctypes.cast(methods[0], ctypes.POINTER(_Methods)).contents
        methods[0] = ctypes.addressof(self._methods(methods[0]))
        if self.listener:
            self.listener.opened(path, not there)
        return result

    def _methods(self, real: int) -> _Methods:
        if real not in self._ours:
            ours = _Methods()
            ctypes.memmove(ctypes.byref(ours), real, ctypes.sizeof(_Methods))
            calls = self._calls(ctypes.cast(real, ctypes.POINTER(_Methods)).contents)
            for name, call in calls.items():
                setattr(ours, name, ctypes.cast(call, _pointer))
            self._ours[real] = (ours, list(calls.values()))
        return self._ours[real][0]

    def _calls(self, real: _Methods) -> dict[str, Any]:
        close, read, write = _CLOSE(real.close), _READ(real.read), _WRITE(real.write)
        truncate, sync = _TRUNCATE(real.truncate), _SYNC(real.sync)

        def on_close(file: int) -> int:
            self._paths.pop(file, None)
            self._real.pop(file, None)
            return close(file)

        def on_read(file: int, buffer: int, size: int, offset: int) -> int:
            return self._ask("read", file) or read(file, buffer, size, offset)

        def on_write(file: int, buffer: int, size: int, offset: int) -> int:
            result = self._ask("write", file) or write(file, buffer, size, offset)
            if result == OK and self.listener:
                data = ctypes.string_at(buffer, size)
                self.listener.written(self._paths[file], offset, data)
            return result

        def on_truncate(file: int, size: int) -> int:
            result = self._ask("truncate", file) or truncate(file, size)
            if result == OK and self.listener:
                self.listener.truncated(self._paths[file], size)
            return result

        def on_sync(file: int, flags: int) -> int:
            result = self._ask("sync", file) or sync(file, flags)
            if result == OK and self.listener:
                self.listener.synced(self._paths[file])
            return result

        return {
            "close": _CLOSE(on_close),
            "read": _READ(on_read),
            "write": _WRITE(on_write),
            "truncate": _TRUNCATE(on_truncate),
            "sync": _SYNC(on_sync),
        }

    def _ask(self, kind: str, file: int) -> int:
        return self.listener.step(kind, self._paths[file]) if self.listener else OK

    def _on_delete(self, vfs: int, name: int, sync: int) -> int:
        path = ctypes.string_at(name).decode()
        result = (self.listener.step("delete", path) if self.listener else OK) or (
            self._real_delete(vfs, name, sync)
        )
        if result == OK and self.listener:
            self.listener.deleted(path, bool(sync))
        return result


_hook: list[_Hook] = []


def listen(listener: Listener | None) -> Callable[[], None]:
    """Send the steps of SQLite's files to a listener; returns what ends that."""
    if not _hook:
        _hook.append(_Hook(_library()))
    _hook[0].listen(listener)
    return lambda: _hook[0].listen(None)


def _library() -> Any:
    """The SQLite that Python uses: linked into the interpreter, or a library of the system."""
    import _sqlite3

    for name in (None, getattr(_sqlite3, "__file__", None), ctypes.util.find_library("sqlite3")):
        try:
            library = ctypes.CDLL(name)
            library.sqlite3_libversion.restype = _text
            if library.sqlite3_libversion().decode() == sqlite3.sqlite_version:
                return library
        except (OSError, AttributeError):
            continue
    raise RuntimeError("the SQLite library that Python uses can't be found")
