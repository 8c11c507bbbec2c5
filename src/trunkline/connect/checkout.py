"""Checkouts: a commit in a directory, kept so that another commit replaces only what differs.

First it is compared what the directory is recorded to hold, what it does hold, and the commit;
nothing is touched before it is known that no change of the user would be lost. Then the record says
which files are about to change, they change, and the record says what they look like now. Who is
interrupted repeats the command: files that were about to change are looked at and the rest is done.
"""

import fcntl
import os
import re
import secrets
import stat
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

from trunkline.connect.checkout_record import (
    UNKNOWN,
    Record,
    Seen,
    read_record,
    seen,
    write_record,
)
from trunkline.connect.materialise import Advance, Origin, commit_files, write_files
from trunkline.errors import (
    CheckoutNotFound,
    CommitOpen,
    Conflict,
    InUse,
    InvalidPath,
    LocalChanges,
    OperationFailed,
)
from trunkline.files.cloning import Clones
from trunkline.files.export import ASIDE, Guard, Target, unwritable
from trunkline.model.names import CHECKOUT_RECORD
from trunkline.model.versions import CommitInfo
from trunkline.store.digests import DIGEST_BYTES, Digest
from trunkline.values import dataclass, field

_READ_BYTES = 1024 * 1024
_UNFINISHED = re.compile(re.escape(ASIDE) + "(É)?[0-9a-f]{16}")
_NOTHING = bytes(DIGEST_BYTES)


class LocalState(StrEnum):
    """How a file differs from the commit that its directory holds."""

    MODIFIED = "modified"
    ADDED = "added"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalChange:
    """A file that is not as in the commit; `path` is relative to the directory."""

    path: str
    state: LocalState


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedOut:
    """What a checkout did, in files."""

    written: int
    deleted: int
    unchanged: int
    kept: int  # changed by the user, and the same in both commits


@dataclass(slots=True, kw_only=True)
class _Plan:
    """What is to be done, and what speaks against it."""

    record: Record  # as it is to be in the end, but for the looks of what is written
    before: Record  # what the directory was recorded to hold
    local: dict[str, os.stat_result]  # and what it did hold when the plan was made
    writes: dict[str, int] = field(default_factory=dict)  # path: where it is in the record
    deletes: list[str] = field(default_factory=list)
    empty: set[str] = field(default_factory=set)  # directories that may be empty then, and go
    changed: list[str] = field(default_factory=list)  # what the user would lose
    stuck: list[str] = field(default_factory=list)  # what not even force gives up
    kept: int = 0


def check_out(
    origin: Origin,
    commit: CommitInfo,
    path: str,
    directory: Path,
    *,
    force: bool = False,
    advance: Advance = lambda _: None,
) -> CheckedOut:
    """Make a directory hold the files at or below a path of a finished commit.

    Files that the user changed stay where the commit has what the one before had; raises
    LocalChanges, naming them, where they stand in the way, unless `force` gives them up. Other
    files are left alone. One that is changed meanwhile is not replaced or deleted, but told with
    Conflict (it is looked at once more right before). Raises CommitOpen, FileNotFoundInCommit,
    StorageFull, OperationFailed.
    """
    if commit.finished is None:
        raise CommitOpen(commit.repo, commit.id, "be checked out")
    try:
        with _locked(directory, lambda: next(commit_files(origin, commit, path), None)):
            plan = _plan(origin, commit, path, directory, force=force)
            if plan.writes or plan.deletes or plan.empty:
                write_record(directory, _in_flux(plan))
                try:
                    _delete(directory, plan)
                    _write(origin, commit, path, directory, plan, advance)
                except _Changed as changed:
                    # The next checkout must not take it for something that this one wrote.
                    write_record(directory, _in_flux(plan, but=changed.path))
                    raise Conflict(
                        f"'{changed.path}' in {directory} was changed while it was checked out, "
                        "and is left as it is; save your change and repeat the checkout"
                    ) from changed
            write_record(directory, plan.record)
    except OSError as error:
        raise unwritable(directory, error) from error
    return CheckedOut(
        written=len(plan.writes),
        deleted=sum(not _UNFINISHED.fullmatch(_name(gone)) for gone in plan.deletes),
        unchanged=len(plan.record) - len(plan.writes) - plan.kept,
        kept=plan.kept,
    )


def local_changes(directory: Path) -> Iterator[LocalChange]:
    """What is not as in the commit that the directory holds, by path.

    Only files that look otherwise than when they were written are read. Raises CheckoutNotFound,
    OperationFailed for one that was interrupted.
    """
    record = read_record(directory)
    if not record.complete:
        raise OperationFailed(
            f"the checkout of {record.repo}@{record.commit} into {directory} was interrupted; "
            "repeat it to complete it"
        )
    local = {p: f for p, f in Scan(directory).files.items() if not _UNFINISHED.fullmatch(_name(p))}
    changes = [
        LocalChange(path=path, state=LocalState.ADDED) for path in local.keys() - set(record.paths)
    ]
    for path, digest, look in record.files():
        found = local.get(path)
        if found is None:
            changes.append(LocalChange(path=path, state=LocalState.DELETED))
        elif record.surely(look, found):
            continue
        elif found.st_size != look.size or not holds(directory / path, found, digest):
            changes.append(LocalChange(path=path, state=LocalState.MODIFIED))
    yield from sorted(changes, key=lambda change: change.path)


def checkout_above(directory: Path) -> Path | None:
    """The directory itself or the nearest one above it that is a checkout."""
    for place in (directory, *directory.parents):
        if os.path.lexists(place / CHECKOUT_RECORD):
            return place
    return None


@contextmanager
def _locked(directory: Path, check: Callable[[], object]) -> Iterator[None]:
    """Have a directory for ourselves; it is made, after a check, and goes again if all fails."""
    made = not directory.exists()
    if made:
        check()
        directory.mkdir(parents=True, exist_ok=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise InUse(f"another checkout into {directory} is at work; wait for it") from error
    finally:
        os.close(fd)
        if made:
            with suppress(OSError):
                directory.rmdir()  # which it does only if nothing is in it


# --- what is to be done ---------------------------------------------------------------------------


def _plan(origin: Origin, commit: CommitInfo, path: str, directory: Path, *, force: bool) -> _Plan:
    """What is to be done; raises LocalChanges, and InvalidPath for names that clash here."""
    try:
        before = read_record(directory)
    except CheckoutNotFound:
        before = Record(repo="", commit="", path="", complete=True)
    after = Record(repo=commit.repo, commit=commit.id, path=path, complete=True)
    planner = _Planner(directory, before, after, force=force)
    plan = planner.run(commit_files(origin, commit, path))
    if plan.stuck or (plan.changed and not force):
        raise LocalChanges(str(directory), plan.stuck or plan.changed, forcible=not plan.stuck)
    if not tells_names_apart(directory):
        check_names_differ(plan.record.paths)
    return plan


class _Planner:
    """Compares the record, the directory and the commit."""

    def __init__(self, directory: Path, before: Record, after: Record, *, force: bool) -> None:
        self._directory = directory
        self._before = before
        self._force = force
        scan = Scan(directory)
        self._local = scan.files
        self._directories = scan.directories
        self._known = {path: (digest, look) for path, digest, look in before.files()}
        self._plan = _Plan(record=after, before=before, local=scan.files)

    def run(self, files: Iterable[tuple[str, int, bytes]]) -> _Plan:
        """The plan for a commit with these files: (path, size, digest)."""
        plan = self._plan
        for path, size, digest in files:
            if path == CHECKOUT_RECORD or path.startswith(CHECKOUT_RECORD + "/"):
                raise InvalidPath(path, "a checkout keeps its record under this name")
            look = self._look_now(path, size, digest)
            if look is None:
                plan.writes[path] = len(plan.record)
            plan.record.add(path, digest, look or UNKNOWN)
            self._known.pop(path, None)
        for path in self._known:  # the commit has them no more
            found = self._local.get(path)
            plan.empty |= _above(path)
            if found is not None:
                plan.deletes.append(path)
                if not self._is_intact(path, found):
                    plan.changed.append(path)
        self._find_what_is_in_the_way()
        return plan

    def _look_now(self, path: str, size: int, digest: bytes) -> Seen | None:
        """How a file of the commit will have looked when it was written; None to write it."""
        found = self._local.get(path)
        old_digest, old_look = self._known.get(path, (_NOTHING, UNKNOWN))
        if old_digest == digest and old_look != UNKNOWN:
            if found is not None and self._before.surely(old_look, found):
                return old_look
            if found is not None and self._holds(path, found, digest, size):
                return seen(found)
            if not self._force:  # the same in both commits: what the user did with it stays
                self._plan.kept += 1
                return old_look
            return None
        if found is not None and self._holds(path, found, digest, size):
            return seen(found)
        if found is not None and not self._is_intact(path, found):
            self._plan.changed.append(path)
        return None

    def _is_intact(self, path: str, found: os.stat_result) -> bool:
        """Whether the user has not changed a file since a checkout wrote it."""
        if path not in self._known:
            return False
        digest, look = self._known[path]
        if look == UNKNOWN:  # an interrupted checkout was about to replace it
            return True
        return self._before.surely(look, found) or self._holds(path, found, digest, look.size)

    def _holds(self, path: str, found: os.stat_result, digest: bytes, size: int) -> bool:
        return found.st_size == size and holds(self._directory / path, found, digest)

    def _find_what_is_in_the_way(self) -> None:
        """Files where directories have to be, and directories where files have to be."""
        plan = self._plan
        # Whoever was interrupted left these.
        plan.deletes += [path for path in self._local if _UNFINISHED.fullmatch(_name(path))]
        staying = self._local.keys() - set(plan.deletes)
        ordered, directories = sorted(staying), sorted(self._directories)
        needed: set[str] = set()
        for path in plan.writes:
            needed |= _above(path, needed)
            plan.stuck += _first_below(path, ordered)
            if path in self._directories:
                plan.empty |= {path, *_all_below(path, directories)}
        for path in sorted(needed & staying):
            plan.changed.append(path)
            plan.deletes.append(path)


def _above(path: str, known: Collection[str] = ()) -> set[str]:
    """The directories above a path, up to the first that is known."""
    found: set[str] = set()
    parent = path.rpartition("/")[0]
    while parent and parent not in known:
        found.add(parent)
        parent = parent.rpartition("/")[0]
    return found


def _all_below(path: str, ordered: list[str]) -> list[str]:
    start = bisect_left(ordered, path + "/")
    return ordered[start : bisect_left(ordered, path + "0", start)]


def _first_below(path: str, ordered: list[str]) -> list[str]:
    return _all_below(path, ordered)[:1]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def holds(file: Path, found: os.stat_result, digest: bytes) -> bool:
    """Whether a file, which is read, has the content with a digest."""
    if not stat.S_ISREG(found.st_mode):
        return False
    content = Digest()
    try:
        with open(file, "rb", buffering=0, opener=_not_through_links) as opened:
            while piece := opened.read(_READ_BYTES):
                content.update(piece)
    except OSError:
        return False
    return content.digest() == digest


class Scan:
    """What is below a directory, but for our own record; links are not followed."""

    def __init__(self, directory: Path) -> None:
        self.files: dict[str, os.stat_result] = {}  # everything that is no directory
        self.directories: set[str] = set()
        waiting = [""]
        while waiting:
            above = waiting.pop()
            with suppress(FileNotFoundError), os.scandir(directory / above) as entries:
                for entry in entries:
                    path = f"{above}/{entry.name}" if above else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(path)
                        self.directories.add(path)
                    elif path != CHECKOUT_RECORD:
                        with suppress(FileNotFoundError):
                            self.files[path] = entry.stat(follow_symlinks=False)


# --- names that a file system takes for one -------------------------------------------------------


def tells_names_apart(directory: Path) -> bool:
    """Whether the file system has different files for names that differ in case alone."""
    probe = directory / f"{ASIDE}É{secrets.token_hex(8)}"
    probe.touch(exist_ok=False)  # through no link that somebody put there
    try:
        others = (probe.name.lower(), unicodedata.normalize("NFD", probe.name))
        return not any(os.path.lexists(directory / other) for other in others)
    finally:
        probe.unlink(missing_ok=True)


def check_names_differ(paths: Iterable[str]) -> None:
    """Raise InvalidPath for two paths that such a file system takes for one."""
    taken: dict[str, str] = {}
    for path in paths:
        end = len(path)
        while end > 0:
            part = path[:end]
            key = unicodedata.normalize("NFC", part).casefold()
            other = taken.setdefault(key, part)
            if other != part:
                raise InvalidPath(
                    part, f"'{other}' is in the commit too, and this file system takes them for one"
                )
            end = path.rfind("/", 0, end)


# --- doing it -------------------------------------------------------------------------------------


class _Changed(Exception):
    """A file that the user changes while it is about to be replaced or deleted."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def _guard(plan: _Plan) -> Guard:
    """Leaves alone what does not look any more as when the plan was made."""

    def ask(path: str, found: os.stat_result) -> None:
        planned = plan.local.get(path)
        if planned is None or seen(planned) != seen(found):
            raise _Changed(path)

    return ask


def _in_flux(plan: _Plan, *, but: str | None = None) -> Record:
    """The record while the plan is carried out, or has been but for one file."""
    after = plan.record
    record = Record(repo=after.repo, commit=after.commit, path=after.path, complete=False)
    files = [*after.files(), *((path, _NOTHING, UNKNOWN) for path in plan.deletes)]
    if but is not None:
        files = [file for file in files if file[0] != but]
        files += [file for file in plan.before.files() if file[0] == but]
    for path, digest, look in sorted(files):
        record.add(path, digest, look)
    return record


def _delete(directory: Path, plan: _Plan) -> None:
    """Delete files, and the directories that are empty then."""
    with Target(directory, 0, _guard(plan)) as target:
        for path in plan.deletes:
            target.remove(path)
            plan.empty |= _above(path)
        for path in sorted(plan.empty, key=lambda path: path.count("/"), reverse=True):
            target.remove_directory(path)


def _clones(plan: _Plan) -> Clones:
    """What is to be written and is in the directory under another name, which keeps it."""
    known = Clones()
    digests = bytes(plan.record.digests)
    wanted = {digests[n * DIGEST_BYTES : (n + 1) * DIGEST_BYTES] for n in plan.writes.values()}
    gone = set(plan.deletes)
    for path, digest, look in plan.before.files():
        if known.wants(look.size) and digest in wanted:
            found = plan.local.get(path)
            stays = path not in plan.writes and path not in gone
            if stays and found is not None and plan.before.surely(look, found):
                parent, _, name = path.rpartition("/")
                known.remember(digest, parent, name, found)
    return known


def _write(
    origin: Origin, commit: CommitInfo, path: str, directory: Path, plan: _Plan, advance: Advance
) -> None:
    record = plan.record
    noted: set[str] = set()

    def note(name: str, found: os.stat_result) -> None:
        n = plan.writes[name]
        record.looks[4 * n : 4 * n + 4] = array("Q", seen(found))
        noted.add(name)

    if plan.writes:
        write_files(
            *(origin, commit, path, directory, plan.writes.keys()),
            noted=note,
            guard=_guard(plan),
            advance=advance,
            clones=_clones(plan),
        )
    if len(noted) != len(plan.writes):
        missing = min(plan.writes.keys() - noted)
        raise OperationFailed(f"the server did not send '{missing}'; repeat the checkout")


def _not_through_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
