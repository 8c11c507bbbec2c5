"""Versions, status and check reports of an installation as values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerVersion:
    version: str
    format: int  # of the data directory


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    version: str
    pid: int
    home: str
    address: str
    uptime_s: float
    repos: int
    pipelines: int
    jobs_running: int
    workers: int
    stored_bytes: int  # size of all packs
    free_bytes: int  # left on the device of the data directory
    isolation: str  # how the process runtime gives user code its /pfs


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One thing that is wrong, and where a user would meet it."""

    thing: str
    problem: str
    hits: tuple[str, ...]  # repo@commit:/path, at most 20
    hits_total: int = 0  # how many there are, if more than that
    repair: str = ""  # what was done about it; or, where nothing could be, what to do
    repaired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FsckReport:
    commits: int
    files: int
    chunks: int
    bytes_read: int  # of packs whose chunks were hashed
    damages: tuple[Damage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GcReport:
    """What a garbage collection did, or with `dry_run` would come to. Bytes are as stored."""

    dry_run: bool
    needed_objects: int
    needed_bytes: int
    waiting_objects: int  # not needed, and removed by a later collection once their grace is over
    waiting_bytes: int
    grace_s: float
    removed_objects: int
    removed_bytes: int  # in packs, of which those that hold much that is dead are compacted
    packs_removed: int
    packs_written: int
    freed_bytes: int  # given back to the file system
    results_forgotten: int  # remembered results of datums
    file_sets_forgotten: int
    remarks: tuple[str, ...]  # what was left alone, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUsage:
    """What a repo, commit or path takes up.

    Logical bytes and files are those of all its commits added up. Stored ones are compressed, each
    chunk counted once, with what lists the files. Exclusive ones nothing else needs: no other repo,
    and where a commit or path was named, no other commit and no other path.
    """

    name: str  # as it was asked for; "total" is all of them together
    commits: int
    files: int
    logical_bytes: int
    stored_bytes: int
    exclusive_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReport:
    """What a backup holds and cost."""

    target: str
    commits: int
    packs: int
    copied_bytes: int
    reused_bytes: int  # of packs that the directory had already
    verified: bool  # all of it was read again
    problems: tuple[str, ...]  # what the store itself lacks; at most 20
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    source: str
    home: str
    created: str  # when the backup was made, RFC 3339
    commits: int
    restored_bytes: int
    aside: str  # where the data directory is that was there before, or ""
    duration_s: float
