"""A private mount namespace for one worker, in which /pfs and /code are its own.

The worker's process moves into it once; afterwards a datum costs no system call of this module,
except when its inputs change between memory and disk. Works as root, and without any privilege
through a user namespace in which the worker keeps its own user and group numbers; commands that
it then executes hold no capability in it. Not a sandbox: it only gives names to directories.

Linux only; the C library is called directly because Python has no mount(2) or pivot_root(2).
"""

import ctypes
import os
import select
import sys
from collections.abc import Iterable
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_RDONLY = 1
_MS_NOSUID = 2
_MS_NODEV = 4
_MS_REMOUNT = 32
_MS_BIND = 4096
_MS_REC = 16384
_MS_UNBINDABLE = 1 << 17
_MS_PRIVATE = 1 << 18
_MS_SLAVE = 1 << 19
_MNT_DETACH = 2
# What statvfs(2) reports (left) as mount(2) wants it (right). A user namespace may not drop these
# from a mount that it got from outside, so a remount has to name them again.
_KEPT_FLAGS = ((2, 2), (4, 4), (8, 8), (1024, 1024), (2048, 2048), (4096, 1 << 21))

_libc = ctypes.CDLL(None, use_errno=True)


def enter(mount_point: Path, *, private: Iterable[str]) -> None:
    """Move this process into a namespace of its own, whose root is the host's plus `private`.

    Every top-level entry of the host stays visible at the same path, except those named in
    `private`, which are empty directories to mount on. The new root itself is read-only: what
    was written there would be lost with the worker. The current directory becomes `/`.

    `mount_point` is any empty directory; the host sees nothing of what is mounted on it. The
    process must have a single thread. Raises OSError, after which the process is of no more use.
    """
    _unshare()
    # Slave: what the host unmounts later goes away here too, and nothing of ours gets out.
    mount(None, "/", flags=_MS_REC | _MS_SLAVE)
    root = str(mount_point)
    mount_memory(root, size_bytes=1024 * 1024)
    # Unbindable while it is built: the directory that holds it is bound into it too.
    mount(None, root, flags=_MS_UNBINDABLE)
    names = frozenset(name.strip("/") for name in private)
    for name in sorted(set(os.listdir("/")) - names):
        _bind_entry("/" + name, f"{root}/{name}")
    for name in (*sorted(names), ".host"):
        os.mkdir(f"{root}/{name}")
    _call("pivot_root", os.fsencode(root), os.fsencode(f"{root}/.host"), what=root)
    os.chdir("/")
    unmount("/.host")
    os.rmdir("/.host")
    mount(None, "/", flags=_MS_PRIVATE)
    make_read_only("/")


def why_not(mount_point: Path, *, private: Iterable[str]) -> str:
    """Why `enter` would fail here, or "" if it works; tried in a forked child, so without effect.

    Call it in a process with a single thread.
    """
    if sys.platform != "linux":
        return f"{sys.platform} has no mount namespaces"
    if len(os.listdir("/proc/self/task")) > 1:
        return "a process with several threads can't enter a namespace"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "it ended early"
        try:
            enter(mount_point, private=private)
            answer = ""
        except OSError as error:
            answer = f"{error.filename}: {error.strerror}"
        finally:
            os.write(writing, b"!" + os.fsencode(answer))
            os._exit(0)  # nothing of the parent may run a second time
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = os.fsdecode(pipe.read())
    os.waitpid(child, 0)
    return text[1:] if text else "the attempt crashed"


def mount(
    source: str | None, target: str, *, flags: int, kind: str | None = None, options: str = ""
) -> None:
    """mount(2); raises OSError with the target as its file name."""
    _call(
        "mount",
        None if source is None else os.fsencode(source),
        os.fsencode(target),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        options.encode() or None,
        what=f"mount on {target}",
    )


def mount_memory(target: str, *, size_bytes: int) -> None:
    """A file system in memory that grows up to the size."""
    options = f"mode=0755,size={size_bytes}"
    mount("tmpfs", target, flags=_MS_NOSUID | _MS_NODEV, kind="tmpfs", options=options)


def bind(source: str, target: str, *, read_only: bool = False) -> None:
    """Make the source directory visible at the target too."""
    mount(source, target, flags=_MS_BIND | _MS_REC)
    if read_only:
        make_read_only(target)


def make_read_only(target: str) -> None:
    """Let nothing be written through the topmost mount of the target."""
    mount(None, target, flags=_MS_REMOUNT | _MS_BIND | _MS_RDONLY | _kept_flags(target))


def make_mount_point(path: str) -> None:
    """Make sure that there is a directory to mount on, which the host does not get to see.

    Where it is missing, the nearest directory above that is there is replaced, for this namespace,
    by one in memory that has the same entries, and the new one; nothing else can be made in it
    then. Raises OSError.
    """
    if os.path.isdir(path):
        return
    above = os.path.dirname(path)
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    if above == "/":  # is ours already
        mount(None, "/", flags=_MS_REMOUNT | _MS_BIND | _kept_flags("/"))
    else:
        _replace_by_twin(os.path.realpath(above))
    os.makedirs(path, exist_ok=True)
    make_read_only(os.path.realpath(above))


def _replace_by_twin(directory: str) -> None:
    hidden = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mount_memory(directory, size_bytes=1024 * 1024)
        for name in os.listdir(hidden):
            _bind_entry(f"/proc/self/fd/{hidden}/{name}", f"{directory}/{name}")
    finally:
        os.close(hidden)


def unmount(target: str) -> None:
    """Take away the topmost mount of the target with everything below; open files stay usable."""
    _call("umount2", os.fsencode(target), _MNT_DETACH, what=f"unmount {target}")


class MountTable:
    """The mounts at or below some places, and whether they changed since they were last settled.

    Code that runs as root shares the worker's namespace and may mount whatever it likes; emptying
    a directory with such a mount below would destroy what was mounted. Mounts elsewhere come and
    go as the host's do.
    """

    def __init__(self, *places: str) -> None:
        self._places = places
        self._fd = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLPRI)
        self._changed = False
        self._settled = _mounts_below(places)

    def changed(self) -> bool:
        """True until they are settled."""
        if not self._changed and self._poll.poll(0):  # once after any change, says the kernel
            self._changed = _mounts_below(self._places) != self._settled
        return self._changed

    def settle(self) -> None:
        """What is mounted now is as it should be."""
        self._poll.poll(0)
        self._settled = _mounts_below(self._places)
        self._changed = False

    def below(self, *directories: str) -> list[str]:
        """The mount points at or below the directories, the last mounted first."""
        return [point for point, _ in reversed(_mounts_below(directories))]

    def close(self) -> None:
        os.close(self._fd)


def _mounts_below(directories: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """The point of each mount at or below the directories, with all that is known of it."""
    found = []
    with open("/proc/self/mountinfo", "rb") as table:
        for line in table:
            point = os.fsdecode(_unescaped(line.split(b" ")[4]))
            if any(point == place or point.startswith(place + "/") for place in directories):
                found.append((point, line))
    return found


def _unescaped(field: bytes) -> bytes:
    """Undo the octal escapes of mountinfo (blank, tab, newline, backslash)."""
    parts = field.split(b"\\")
    return parts[0] + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in parts[1:])


def _unshare() -> None:
    if os.geteuid() == 0:
        _call("unshare", _CLONE_NEWNS, what="new mount namespace")
        return
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWNS | _CLONE_NEWUSER, what="new user namespace")
    # The kernel takes a group map from an unprivileged process only without setgroups(2).
    for file, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{file}", "w") as mapping:
            mapping.write(text)


def _bind_entry(source: str, target: str) -> None:
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    try:
        directory = os.stat(source).st_mode & 0o170000 == 0o040000
    except OSError:
        return  # such as a network mount whose server is gone: nobody can use it anyway
    if directory:
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    bind(source, target)


def _kept_flags(target: str) -> int:
    reported = os.statvfs(target).f_flag
    return sum(flag for mask, flag in _KEPT_FLAGS if reported & mask)


def _call(name: str, *arguments: bytes | int | ctypes.c_ulong | None, what: str) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
