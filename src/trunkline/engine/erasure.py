"""The bytes of a purge: out of workers, packs, index and caches; and where else they are kept."""

import shutil
import time
from collections.abc import Callable, Collection

from trunkline.db.database import Transaction
from trunkline.engine import home, kept_catalog
from trunkline.engine.archive import writing
from trunkline.engine.collector import Erased
from trunkline.engine.services import Services
from trunkline.errors import Conflict, Unavailable
from trunkline.files.impact import Impact
from trunkline.files.statcache import forget_all
from trunkline.model.purges import KeptContent
from trunkline.store.chunks import ChunkId
from trunkline.store.packs import sync_directory
from trunkline.versions import purges
from trunkline.versions.purges import HeldCommit

_ELSEWHERE = (
    "backups made before now, checkouts, and what was copied out still have it: erase it there, "
    "and after restoring an older backup purge again",
    "names may also be in descriptions of commits, in specs and in log/server.log, which were not "
    "looked through",
)
_LEAVE_S = 5.0  # for workers, before they are ended
_SCRATCH_TRIES = 50
_TICK_S = 0.05
_KEPT_MAX = 1000
_NOTICE_S = 10.0


def elsewhere(services: Services) -> tuple[str, ...]:
    """What only the user can erase."""
    return tuple(filter(None, (*_ELSEWHERE, services.database.scrub_leaves)))


def let_workers_go(services: Services, pipelines: Collection[str]) -> list[str]:
    """End the workers that may have read what is erased, and remove what they leave."""
    names = services.scheduler.end_workers(pipelines, _LEAVE_S) if pipelines else []
    left: list[str] = []
    for name in names:
        scratch = services.config.home / "scratch" / name
        for _ in range(_SCRATCH_TRIES):  # what a killed worker started may live a moment longer
            shutil.rmtree(scratch, ignore_errors=True)
            if not scratch.exists():
                break
            time.sleep(_TICK_S)
        else:
            left.append(f"{scratch} can't be removed; the next start of the server does")
    return left


def erase(services: Services, doomed: Collection[bytes]) -> Erased:
    """Remove the chunks that nothing needs any more; waits for a collection that is under way."""
    while True:
        try:
            return services.collector.erase(doomed)
        except Conflict:
            if services.closing.wait(_TICK_S):
                raise Unavailable("the server is shutting down") from None


def stored(services: Services, digests: list[bytes]) -> set[str]:
    """Which chunks are stored."""
    return set(services.chunks.has_many([ChunkId(digest.hex()) for digest in digests]))


def forget_traces(services: Services) -> list[str]:
    """Remove what the index and the caches still tell; returns what could not be.

    Raises StorageFull, Unavailable, OperationFailed.
    """
    collection = services.chunks.collection()
    remarks: list[str] = []
    if not collection.scrub():
        remarks.append(
            "the log of the chunk index is still read: the next purge or start clears it"
        )
    with writing(services.config.home):
        in_use = forget_all(services.config.home / "cache" / "sync")
    if in_use:
        remarks.append(
            f"the caches of {in_use} directories that are being put now were not cleared"
        )
    servers = services.servers
    if servers is not None and not servers.have_noticed(_NOTICE_S):
        remarks.append("other servers of this store may have it in their caches for a while longer")
    for name in collection.set_aside():
        remarks.append(f"{name}, which `fsck --repair` has set aside, was not changed")
    depot = services.chunks.depot
    if depot.whole:
        remarks.append(
            f"where the bucket keeps old versions of objects, {depot.where} has what was erased in "
            "versions of packs that are deleted: remove those there"
        )
    kept = services.config.home / kept_catalog.DIRECTORY
    if kept.exists():  # going back to it is over anyway, as something was written since
        gone = kept_catalog.forget(services.config.home)
        copy = f"the copy of the catalog from before the last upgrade ({kept})"
        remarks.append(f"{copy} {'is gone' if gone else 'could not be removed whole: remove it'}")
    moved = services.config.home / home.MOVED
    with writing(services.config.home):
        moved.unlink(missing_ok=True)  # the catalog as it was before it moved into a database
    for directory in (services.config.home, services.config.home / "cache" / "sync"):
        if directory.exists():
            with writing(directory):
                sync_directory(directory)  # what was removed does not come back
    services.chunks.let_go(cached=True)
    return remarks


def kept_content(
    services: Services,
    tx: Transaction,
    left: Collection[str],
    *,
    but: Callable[[HeldCommit], set[str]] = lambda _: set(),
) -> tuple[tuple[KeptContent, ...], int, list[str]]:
    """Where chunks are needed: at most 1,000 files, how many there are, and what is to be said.

    `but` names the files of a commit that don't count.
    """
    if not left:
        return (), 0, []
    impact = Impact(services.chunks, left)
    found: dict[tuple[str, str, str], list[str]] = {}
    missing = set(left)
    for commit in purges.held_commits(tx, purges.held_repos(tx)):
        if not commit.root:
            continue
        without: set[str] | None = None
        for hit in impact.of(commit.root):
            if without is None:
                without = but(commit)
            if hit.where in without:
                continue
            missing.discard(hit.chunk)
            what = "deleted commit" if commit.deleted else "commit"
            ids = found.setdefault((commit.repo, hit.where, what), [])
            if not ids or ids[-1] != commit.id:
                ids.append(commit.id)
    kept = [
        KeptContent(repo=repo, path=path, commits=len(ids), newest=ids[-1], what=what)
        for (repo, path, what), ids in found.items()
    ]
    others = (
        [
            f"{len(missing):,} pieces of the content are also in open commits, transactions, logs, "
            "remembered results or code of pipelines, and stay there"
        ]
        if missing
        else []
    )
    return tuple(kept[:_KEPT_MAX]), len(kept), others
