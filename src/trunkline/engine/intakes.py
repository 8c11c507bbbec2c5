"""Takes directories of the server's machine into deltas, with a stat cache for each of them."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trunkline.api.changes import PutLocal
from trunkline.api.waiting import check_wanted
from trunkline.engine.services import Services
from trunkline.files.delta import DeltaWriter
from trunkline.files.intake import Counts, Intake, Source
from trunkline.files.manifest import RootId
from trunkline.files.statcache import StatCache
from trunkline.model.names import check_path
from trunkline.store.digests import Digest

_CACHES_MAX = 256  # source directories that are remembered; the ones used last stay


@contextmanager
def taken_in(
    services: Services,
    writer: DeltaWriter,
    change: PutLocal,
    counts: Counts,
    *,
    base: RootId | None,
) -> Iterator[None]:
    """While inside, the directory of a change has been written into a delta.

    Leave it when the delta is durable, or by an error. With `base`, the delta leaves out what that
    tree has already, and belongs to no other.
    """
    target = check_path(change.path, root_allowed=True)
    if base is None and change.mirror:
        writer.delete(target)
    intake = Intake(
        writer,
        services.chunks,
        Source(directory=change.source, target=target, mirror=change.mirror, links=change.links),
        head=None if base is None else services.trees.head_rows(base, target),
        cache=_cache_of(services.config.home / "cache" / "sync", change.source),
        counts=counts,
        wanted=check_wanted,
    )
    with intake:
        intake.run()
        yield


@contextmanager
def counted(services: Services, token: str, changes: Sequence[object]) -> Iterator[Counts]:
    """While inside, a put can be asked for by its token; what it will take in is counted aside.

    That begins with the first question: it takes about as long as finding out what has changed.
    """
    counts = Counts()
    if not token:
        yield counts
        return
    done = threading.Event()
    sources = [
        (change.source, change.links == "skip")
        for change in changes
        if isinstance(change, PutLocal)
    ]
    counting = threading.Thread(target=_count, args=(sources, counts, done), name="count")
    services.puts[token] = counts
    counting.start()
    try:
        yield counts
    finally:
        done.set()
        counts.asked.set()
        services.puts.pop(token, None)
        counting.join()


def _count(sources: Sequence[tuple[str, bool]], counts: Counts, done: threading.Event) -> None:
    """Find out how much there is, once somebody has asked; stops when the put is over."""
    counts.asked.wait()
    files = size = 0
    waiting = list(sources)
    while waiting and not done.is_set():
        try:
            source, without_links = waiting.pop()
            with os.scandir(source) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, without_links))
                    elif not (without_links and entry.is_symlink()):
                        files += 1
                        size += entry.stat().st_size
        except OSError:
            pass  # whoever reads it will say so
    if not done.is_set():
        counts.total_files, counts.total_bytes = files, size


def is_directory(change: object) -> bool:
    """Whether a change puts the files of a local directory as they are.

    Not with what links mean: only what lies in the directory itself is compared with what is known.
    """
    return (
        isinstance(change, PutLocal)
        and not (change.append or change.unpack or change.split)
        and change.links != "follow"
        and os.path.isdir(change.source)
    )


def _cache_of(directory: Path, source: str) -> StatCache | None:
    """The stat cache of a source directory; None if it can't be had, or is in use."""
    try:
        status = os.stat(source)
        identity = f"{os.path.realpath(source)}\0{status.st_dev}\0{status.st_ino}"
        digest = Digest(os.fsencode(identity)).digest()
        _prune(directory)
        return StatCache(directory / f"{digest.hex()}.stat", digest)
    except OSError:
        return None


def _prune(directory: Path) -> None:
    if not directory.is_dir():
        return
    caches = sorted(directory.glob("*.stat"), key=lambda path: path.stat().st_mtime)
    for path in caches[:-_CACHES_MAX]:
        path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)
