"""What a purge leaves behind in the history: its record, and a tombstone at each commit.

The history itself stays: ids, parents, provenance, runs and times of commits. Only trees change.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from trunkline.db.database import Transaction
from trunkline.errors import FilePurged, NotFound
from trunkline.files.manifest import RootId
from trunkline.files.tree import Trees
from trunkline.model.purges import PurgedFile
from trunkline.model.versions import PurgeMark
from trunkline.store.digests import Digest
from trunkline.versions import tables
from trunkline.versions.records import CommitRecord
from trunkline.versions.tables import HeldCommit, HeldDelta, PurgeRow

__all__ = ["HeldCommit", "HeldDelta", "PurgeRow"]

_DIRECTORIES = "d/"  # before the digests of names of directories

insert = tables.insert_purge
save = tables.save_purge
finish = tables.finish_purge
delete = tables.delete_purge
all_purges = tables.purges
numbered = tables.purge_numbered
add_chunks = tables.add_purged_chunks
chunks_of = tables.purged_chunks
forget_chunks = tables.forget_purged_chunks
forget_everything = tables.forget_purges
held_repos = tables.held_repos
held_commits = tables.held_commits
direct_derivations = tables.direct_derivations
replace_root = tables.replace_root
replace_error = tables.replace_error
held_deltas = tables.held_deltas
replace_delta = tables.replace_delta
waiting_steps = tables.waiting_steps
replace_step = tables.replace_step
file_sets = tables.file_sets
drop_file_set = tables.drop_file_set
put_tombstone = tables.put_tombstone
all_tombstones = tables.all_tombstones
forget_tombstones = tables.forget_tombstones


def require(tx: Transaction, purge_id: str) -> PurgeRow:
    """One purge; raises NotFound."""
    found = tables.purge_named(tx, purge_id)
    if found is None:
        raise NotFound(f"there is no purge '{purge_id}'; `list purge` shows those there are")
    return found


def unfinished(tx: Transaction) -> PurgeRow | None:
    """The purge that is under way, or that a crash has interrupted."""
    return next((purge for purge in tables.purges(tx) if purge.phase != "done"), None)


def hashed(name: str, salt: str) -> str:
    """What stands for a name that must not be kept: enough to know it again when it is asked for.

    Salted, so that no table of digests made for another purge or installation helps to guess.
    """
    return Digest(f"{salt}\0{name}".encode()).hexdigest()


def kept_names(paths: Iterable[str], salt: str) -> list[str]:
    """The names under which a tombstone keeps paths, sorted; with a salt, digests."""
    if not salt:
        return sorted(paths)
    names: set[str] = set()
    for path in paths:
        names.add(hashed(path, salt))
        above = path.rpartition("/")[0]
        while above and (name := _DIRECTORIES + hashed(above, salt)) not in names:
            names.add(name)
            above = above.rpartition("/")[0]
    return sorted(names)


def marks_of(tx: Transaction, commit: int) -> tuple[PurgeMark, ...]:
    """What purges took from a commit, the latest first."""
    marks: list[PurgeMark] = []
    for stone in tables.tombstones_of(tx, commit):
        purge = tables.purge_numbered(tx, stone.purge)
        if purge is not None:
            mark = PurgeMark(
                purge=purge.id,
                purged=purge.started,
                reason=purge.reason,
                files=stone.files,
                size_bytes=stone.size_bytes,
            )
            marks.append(mark)
    return tuple(marks)


def missing(tx: Transaction, trees: Trees, record: CommitRecord, path: str) -> FilePurged | None:
    """The error for a path of a commit that a purge took; None for one that never was there."""
    for purge, names in tombstones(tx, record):
        if _has(trees, names, path, purge.salt):
            when = purge.started.isoformat(timespec="seconds")
            return FilePurged(record.repo, record.id, path, when, purge.reason, purge.id)
    return None


def _has(trees: Trees, names: RootId, path: str, salt: str) -> bool:
    if not salt:
        return trees.entry(names, path) is not None
    digest = hashed(path, salt)
    return any(trees.find(names, name) is not None for name in (digest, _DIRECTORIES + digest))


class Tombstone(NamedTuple):
    """What one purge took from one commit."""

    purge: PurgeRow
    names: RootId


def tombstones(tx: Transaction, record: CommitRecord) -> list[Tombstone]:
    """What purges took from a commit, the latest first."""
    found = [
        (tables.purge_numbered(tx, stone.purge), RootId(stone.names))
        for stone in tables.tombstones_of(tx, record.number)
    ]
    return [Tombstone(purge, names) for purge, names in found if purge is not None]


def purged_files(trees: Trees, stones: list[Tombstone], path: str) -> Iterator[PurgedFile]:
    """The files at or below a path that are gone; of forgotten names, digests for the root only."""
    for purge, names in stones:
        rows = trees.walk(names, "" if purge.salt else path)
        for row in rows if not (purge.salt and path) else ():
            if purge.salt and row.path.startswith(_DIRECTORIES):
                continue
            yield PurgedFile(
                path=row.path,
                named=not purge.salt,
                purge=purge.id,
                purged=purge.started,
                reason=purge.reason,
            )
