"""Files that are clones of others on the disk: the same blocks, until one of the two is changed.

The store is compressed, so nothing can be cloned out of it; but a content that a directory holds
already need neither be unpacked nor written nor kept a second time there, where the file system
can share blocks (XFS, btrfs and others). Elsewhere the first refusal ends all tries.
"""

import errno
import fcntl
import os
from collections import OrderedDict
from typing import NamedTuple

CLONE_BYTES_MIN = 64 * 1024  # for less, writing is as quick, and saves next to nothing

_REMEMBERED_MAX = 4096  # contents; about 1 MB
_FICLONE = 0x40049409  # of Linux; another system refuses it, or its number, as unknown
_REFUSALS = frozenset(
    # What a file system says that can't, or not between these two files, or not for us.
    {
        errno.EOPNOTSUPP,
        errno.ENOTTY,
        errno.EINVAL,
        errno.EXDEV,
        errno.ENOSYS,
        errno.EPERM,
        errno.EACCES,
    }
)


class Original(NamedTuple):
    """A file that holds a content, and what it looked like when it did."""

    parent: str  # the directory that it is in, below the one that is written to
    name: str
    look: tuple[int, ...]


def look_of(found: os.stat_result) -> tuple[int, ...]:
    """What differs once a file has been changed or exchanged for another one."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Clones:
    """The contents that are known to be in a directory, the last few thousand, by digest.

    What was known may be wrong by now: `clone` looks at the original before and after, so a clone
    is of the content, or none. That is as sure as stamps are: a change in the same tick of the
    clock as the end of our own writing does not show.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Original] = OrderedDict()
        self._refused = False

    def original(self, digest: bytes, size: int) -> Original | None:
        """Where a content is that may be worth cloning."""
        if self._refused or size < CLONE_BYTES_MIN:
            return None
        found = self._known.get(digest)
        if found is not None:
            self._known.move_to_end(digest)
        return found

    def wants(self, size: int) -> bool:
        """Whether a file of this size is worth remembering."""
        return size >= CLONE_BYTES_MIN and not self._refused

    def remember(self, digest: bytes, parent: str, name: str, found: os.stat_result) -> None:
        """Note a file that has a content, as it looked when it was known to."""
        if self.wants(found.st_size):
            self._known[digest] = Original(parent, name, look_of(found))
            if len(self._known) > _REMEMBERED_MAX:
                self._known.popitem(last=False)

    def clone(self, digest: bytes, source: int, target: int) -> bool:
        """Make an open, new file a clone of an open original; false if it has to be written.

        Whatever is in it then is to be thrown away.
        """
        original = self._known.get(digest)
        if original is None:
            return False
        if look_of(os.fstat(source)) == original.look:
            try:
                fcntl.ioctl(target, _FICLONE, source)
            except OSError as error:
                self._refused = error.errno in _REFUSALS
                return False
            if look_of(os.fstat(source)) == original.look:
                return True
        self.forget(digest)
        return False

    def forget(self, digest: bytes) -> None:
        """Note that a content is no longer where it was."""
        self._known.pop(digest, None)
