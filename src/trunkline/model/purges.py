"""What purges did, as values."""

from datetime import datetime

from trunkline.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgedRepo:
    """What a purge took from one repo. A file counts once for each commit that had it."""

    repo: str
    derived: bool  # these files were made by datums that read others
    commits: int  # deleted ones included
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptContent:
    """Content of purged files that lives on in another place, and was not asked to go there."""

    repo: str  # "" where it is in no repo
    path: str
    commits: int
    newest: str  # id of the newest of them
    what: str  # commit; or what else keeps it: deleted commit, open commit, transaction, …


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeReport:
    """What a purge did; with the state `dry run`, what it would do."""

    id: str
    state: str  # dry run, rewriting, erasing, cleaning, done
    started: datetime
    finished: datetime | None
    reason: str
    targets: tuple[str, ...]  # none, once their names were forgotten
    forget_names: bool
    copies: bool
    repos: tuple[PurgedRepo, ...]
    open_changes: int  # changes that had not been committed yet
    datums: int  # that read what was purged
    results_forgotten: int
    jobs_restarted: int
    runs: tuple[str, ...]  # begun, so that what is downstream is made anew
    contents: int  # chunks that the files had
    contents_erased: int
    kept: tuple[KeptContent, ...]  # at most 1,000
    kept_total: int
    freed_bytes: int
    remarks: tuple[str, ...]  # what to do elsewhere, and what was treated as a whole


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgedFile:
    """A file that a purge took from a commit; of one whose name is forgotten, a digest."""

    path: str
    named: bool  # false: `path` is a digest
    purge: str
    purged: datetime
    reason: str
