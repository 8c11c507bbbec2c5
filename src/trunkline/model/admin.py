"""Versions, status and check reports of an installation as values."""

from datetime import datetime

from trunkline.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerVersion:
    version: str
    format: int  # of the data directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """What was last done to keep the data well, since the server started; None: nothing."""

    collected: datetime | None = None  # garbage
    freed_bytes: int = 0  # by that
    checked: datetime | None = None  # by fsck
    damages: int = 0  # that it found
    backed_up: datetime | None = None
    backup: str = ""  # the directory of that backup


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting of the server in force; never a secret."""

    variable: str  # of the environment, which sets it
    value: str  # as it would be written there; "" where there is none
    meaning: str
    by_default: bool  # nobody has set it, or to the same


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
    limits: str  # what keeps user code within its memory and CPU time
    catalog: str  # the database with all names, in words
    packs: str  # the directory or bucket with all content
    upkeep: Upkeep


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
    remarks: tuple[str, ...] = ()  # what could not be noticed


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
    stays: str  # when the earlier backup was made that was left as it is, RFC 3339; else ""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeStep:
    """One step from an older data directory to the present format."""

    part: str  # "directory" or "catalog"
    number: int  # of the format that it leads to
    title: str
    rewrites: int  # rows that are written anew


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeCheck:
    """What an upgrade of a data directory would do, and whether it can."""

    home: str
    format: int  # of the directory; 0: it does not say
    catalog: int  # number of the newest migration that it has had
    newest: int  # that this version knows
    steps: tuple[UpgradeStep, ...]
    duration_s: float  # an estimate
    held_by: str  # which process has it open, or ""
    needed_bytes: int
    free_bytes: int
    hindrances: tuple[str, ...]  # what has to be settled before
    damages: tuple[str, ...]  # that a quick look found
    remarks: tuple[str, ...]  # what is under way, and goes on afterwards
    by_itself: bool  # the next command that opens it does it
    kept: str  # where the catalog is kept as it was before the last upgrade, or ""
    interrupted: bool  # that upgrade has not come to its end


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeReport:
    """What an upgrade, or going back from one, has done; no steps: nothing was to do."""

    home: str
    catalog_before: int
    catalog: int
    steps: tuple[UpgradeStep, ...]
    kept: str  # where the catalog is kept as it was before, or ""
    problems: tuple[str, ...]  # rules of the catalog that don't hold; only where that was accepted
    duration_s: float
