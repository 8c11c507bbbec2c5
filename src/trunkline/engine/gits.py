"""Looks at the remotes of git inputs, and commits what is new there.

A look asks a remote what its branch is at, fetches that into a mirror if an input is elsewhere, and
stores its tree; nothing is held meanwhile that others wait for. Then one short transaction makes
the commits and records what their inputs are at, where nobody else did so before
(`pipelines.gits`). All inputs that follow one branch get what was found in one run.
"""

import hashlib
import logging
import math
import posixpath
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime

from trunkline.api.waiting import check_wanted
from trunkline.db.database import Transaction
from trunkline.engine import home
from trunkline.engine.change import Change, single
from trunkline.engine.services import Services
from trunkline.engine.urls import follower_policy
from trunkline.errors import (
    CommitOpen,
    Conflict,
    NotFound,
    OperationFailed,
    TrunklineError,
    Unavailable,
)
from trunkline.fetch.git import Git as Program
from trunkline.fetch.git import Interrupted, Mirror, Remote
from trunkline.fetch.urls import parse_git
from trunkline.fetch.web import Limits as FetchLimits
from trunkline.files.archived import ArchiveEntry, Kind, Limits
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY, RootId
from trunkline.files.unpack import archive_entries, unpack
from trunkline.jobs.secrets import SecretStore
from trunkline.model.names import RunId
from trunkline.model.pipelines import Git, GitInfo, PipelineSpec, PipelineState
from trunkline.model.versions import DEFAULT_BRANCH
from trunkline.pipelines import gits, lifecycle
from trunkline.pipelines.gits import GitRow
from trunkline.pipelines.inputs import git_leaves
from trunkline.runtimes.base import SLOT_VARIABLE
from trunkline.versions import branches, repos

_BESIDE = 4  # looks that go on at a time by themselves
_PAUSE_MAX_S = 3600.0  # between two looks at a remote that fails, unless they are rarer anyway
_CLOSE_S = 30.0  # for a look to notice the end; one that looks up a host may be left behind
_LINKS_LETTERS_MAX = 16 * 1024 * 1024  # of the symbolic links of one tree, which are remembered
_HOPS_MAX = 40

_log = logging.getLogger("trunkline.gits")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checkout:
    """The stored tree of a commit of a remote."""

    commit: str
    root: RootId
    description: str


class GitLooks:
    """All looks at remotes: those that somebody asks for, and those that come by themselves."""

    def __init__(self, services: Services) -> None:
        config = services.config
        self._services = services
        self._program = Program(
            path=config.path,
            directory=home.mirrors(config.home),
            policy=follower_policy(config),
            limits=FetchLimits(
                bytes_max=config.fetch_bytes_max, seconds_max=config.fetch_seconds_max
            ),
            marker=(SLOT_VARIABLE, home.marker(config.home)),
            cancelled=self._given_up,
        )
        self._secrets = SecretStore(config.home)
        self._seen = -1  # revision of the catalog when inputs were read
        self._known: set[tuple[str, str, Git]] = set()
        self._running: dict[Git, threading.Thread] = {}
        self._told: dict[Git, str] = {}  # the problem of a remote, as the log has it
        self._lock = threading.Lock()
        self._due: dict[Git, float] = {}  # monotonic: when a remote that is followed is looked at

    # --- by themselves ----------------------------------------------------------------------------

    def attend(self, now: datetime) -> datetime | None:
        """A duty of the clockwork: begin the looks that are due, each in a thread of its own."""
        if self._seen != self._services.database.revision:
            self._seen = self._services.database.revision
            self._read()
        self._running = {git: one for git, one in self._running.items() if one.is_alive()}
        with self._lock:
            due = sorted(self._due.items(), key=lambda item: item[1])
        for git, moment in due:
            if moment > time.monotonic() or len(self._running) >= _BESIDE:
                break
            if git not in self._running:
                self._begin(git)
        return None

    def hasten(self, wanted: Iterable[Git]) -> None:
        """Have remotes looked at soon, whenever it would be their turn."""
        with self._lock:
            for git in wanted:
                self._due[git] = time.monotonic()

    def close(self) -> None:
        """Stop: what is being fetched is given up, and begun again after the next start."""
        deadline = time.monotonic() + _CLOSE_S
        for thread in self._running.values():
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _begin(self, git: Git) -> None:
        thread = threading.Thread(
            target=self._look_alone, args=(git,), name="trunkline-git", daemon=True
        )
        self._running[git] = thread
        thread.start()

    def _read(self) -> None:
        """What is followed now: an input that is new, or follows something else, is looked at."""
        with self._services.database.read() as tx:
            known = {(row.pipeline, row.repo, row.git) for row in gits.all_gits(tx)}
        followed = {git for _, _, git in known}
        new = {git for _, _, git in known - self._known}
        gone = {git for _, _, git in self._known} - followed
        self._known = known
        with self._lock:
            for git in new:
                polled = bool(self._services.config.git_poll_s)
                # Somebody may have asked for it already.
                self._due[git] = time.monotonic() if polled else self._due.get(git, math.inf)
            for git in gone:
                self._due.pop(git, None)
        for git in gone:
            self._told.pop(git, None)
            if git not in self._running:
                self._mirror(git).remove()
        self._services.remotes.keep(followed)

    def _look_alone(self, git: Git) -> None:
        """One look; whatever comes of it, the next one has its time."""
        services, failures = self._services, 0
        with self._lock:
            self._due[git] = math.inf  # or sooner, if somebody asks meanwhile
        try:
            self.look([git])
            self._told.pop(git, None)
        except Interrupted:
            return
        except TrunklineError as error:
            sight = services.remotes.get(git)
            failures = 0 if sight is None else sight.failures
            if self._told.get(git) != str(error):
                _log.warning("a git input waits: %s", error)
            self._told[git] = str(error)
        except Exception:  # a full disk, say, or a defect: it is tried again
            _log.exception("a look at %s begins again", git.url)
            problem = f"looking at {git.url} failed; the log of the server says more"
            failures = services.remotes.note(git, services.now(), problem).failures
        with self._lock:
            followed = any(git == one for _, _, one in self._known)
            if followed:
                following = time.monotonic() + self._pause_s(failures)
                self._due[git] = min(self._due.get(git, math.inf), following)
            else:
                self._due.pop(git, None)
        if not followed:
            self._mirror(git).remove()

    def _pause_s(self, failures: int) -> float:
        poll_s = self._services.config.git_poll_s
        if not poll_s:
            return math.inf
        return max(poll_s, min(poll_s * 2.0 ** min(failures, 20), _PAUSE_MAX_S))

    def _given_up(self) -> bool:
        """Whether the caller hung up, if there is one, or the server is stopping."""
        try:
            check_wanted()
        except Unavailable:
            return True
        return self._services.closing.is_set()

    # --- one look ---------------------------------------------------------------------------------

    def look(self, wanted: Collection[Git]) -> RunId | None:
        """Look at some remotes now; the run of what was new there, if anything was.

        Raises what is wrong with the first of them that can't be had, and nothing is changed then;
        and Interrupted.
        """
        services = self._services
        ordered = sorted(set(wanted), key=_name_of)
        with ExitStack() as turns:
            for git in ordered:
                turns.enter_context(services.turn(f"git {_name_of(git)}"))
            with services.database.read() as tx:
                rows = _ready(tx, ordered)
            before = gits.standing(rows)
            found: dict[Git, str] = {}
            for git in ordered:
                if not any(row.git == git for row in rows):
                    continue
                try:
                    found[git] = self._fetched(git, rows, before)
                except TrunklineError as error:
                    services.remotes.note(git, services.now(), str(error))
                    raise
            run = self._committed(before, found)
            for git in found:
                services.remotes.note(git, services.now(), "")
            return run

    def _fetched(self, git: Git, rows: Sequence[GitRow], before: gits.Before) -> str:
        """What a branch is at, which its mirror has if an input is elsewhere."""
        remote = self._remote(git)
        commit = self._program.head(remote)
        if not gits.news(rows, before, {git: commit}):
            return commit
        return self._mirror(git).fetch(remote, commit)

    def _committed(self, before: gits.Before, found: Mapping[Git, str]) -> RunId | None:
        """Commit what was found where an input is elsewhere; the run of that, if there is any."""
        services = self._services
        with services.chunks.hold():
            with services.database.read() as tx:
                behind = {row.git for row in gits.news(_ready(tx, found), before, found)}
            checkouts: dict[Git, _Checkout] = {}
            for git in behind:
                try:
                    checkouts[git] = self._stored(git, found[git])
                except TrunklineError as error:
                    services.remotes.note(git, services.now(), str(error))
                    raise
            if not checkouts:
                return None
            services.chunks.flush()
            with services.database.write() as tx:
                change = replace(single(services, tx), later=[])
                rows = gits.news(_ready(tx, checkouts), before, found)
                for row in {row.repo: row for row in rows}.values():
                    _put(change, row, checkouts[row.git])
                for row in rows:
                    gits.record(tx, row)
                change.settle(apart=True)
        return change.run_id if rows else None

    def _stored(self, git: Git, commit: str) -> _Checkout:
        """Store the tree of a commit that the mirror has; the caller holds an epoch."""
        config, trees = self._services.config, self._services.trees
        mirror = self._mirror(git)
        limits = Limits(
            bytes_max=config.archive_bytes_max,
            ratio_max=config.archive_ratio_max,
            entries_max=config.archive_entries_max,
        )
        writer = DeltaWriter(trees)
        links: dict[str, str] = {}
        try:
            with closing(mirror.tree(commit)) as tar:  # by an error, its program ends at once
                entries = archive_entries(tar, form="tar", limits=limits, spool=config.home)
                unpack(writer, "", _files(entries, links), links="skip", append=False)
        except TrunklineError as error:
            raise OperationFailed(
                f"{git.url} at {commit} can't be stored: {str(error).removesuffix(_UNCHANGED)}"
            ) from error
        root = trees.apply(EMPTY, writer.finish())
        left_out = 0
        if links:
            writer = DeltaWriter(trees)
            for path, target in links.items():
                meant = _meant(path, target, links)
                row = None if meant is None else trees.find(root, meant)
                if row is None:
                    left_out += 1
                else:
                    writer.put_row(replace(row, path=path))
            root = trees.apply(root, writer.finish())
        without = f" (without {left_out:,} symbolic links to no file of it)" if left_out else ""
        description = f"{git.branch} {commit} {mirror.subject(commit)}{without}"
        return _Checkout(commit=commit, root=root, description=description)

    def _remote(self, git: Git) -> Remote:
        """Raises NotFound where the secret has gone, InvalidInput for what older releases took."""
        credentials = ""
        if git.secret:
            secret = self._secrets.read(git.secret)
            if git.secret_key not in secret.values:
                raise NotFound(f"secret '{git.secret}' has no key '{git.secret_key}'")
            try:
                credentials = secret.values[git.secret_key].decode("utf-8").strip()
            except UnicodeDecodeError:
                credentials = "\n"
            if not credentials.isprintable():
                raise OperationFailed(
                    f"key '{git.secret_key}' of secret '{git.secret}' is no token: it is not text "
                    "of one line"
                )
        return Remote(url=parse_git(git.url), branch=git.branch, credentials=credentials)

    def _mirror(self, git: Git) -> Mirror:
        return self._program.mirror(_name_of(git))


_UNCHANGED = "; nothing was changed"


def run_git(services: Services, looks: GitLooks, pipeline: str, *, wait: bool) -> RunId | None:
    """Look at the remotes of a pipeline now, or soon; the run of what is new, if it is waited for.

    Raises PipelineNotFound, Conflict for a pipeline without git inputs or that is stopped,
    CommitOpen, Unavailable, and what is wrong with a remote.
    """
    with services.database.read() as tx:
        record = lifecycle.get(tx, pipeline)
        rows = gits.gits_of(tx, record.name)
        waiting = [_open_head(tx, row) for row in rows]
    if not rows:
        raise Conflict(
            f"pipeline '{pipeline}' has no git input; `rerun pipeline {pipeline}` gives it a job"
        )
    if record.state is PipelineState.PAUSED:
        raise Conflict(f"pipeline '{pipeline}' is stopped; `start pipeline {pipeline}` comes first")
    for problem in waiting:
        if problem is not None:
            raise problem
    followed = {row.git for row in rows}
    if not wait:
        looks.hasten(followed)
        return None
    try:
        return looks.look(followed)
    except Interrupted:
        raise Unavailable(
            "the look was given up: the caller hung up, or the server is stopping"
        ) from None


def check_gits(services: Services, pipeline: PipelineSpec) -> None:
    """Refuse a pipeline whose remotes the server may not follow; raises NotAllowed."""
    policy = follower_policy(services.config)
    for _, git in git_leaves(pipeline.input):
        policy.check_name(parse_git(git.url).web)


def git_infos(services: Services, tx: Transaction, pipeline: str) -> tuple[GitInfo, ...]:
    """The git inputs of a pipeline, with what was seen of their remotes last."""
    return tuple(_info(services, tx, row) for row in gits.gits_of(tx, pipeline))


def _info(services: Services, tx: Transaction, row: GitRow) -> GitInfo:
    sight = services.remotes.get(row.git)
    problem = "" if sight is None else sight.problem
    if not problem and (found := _open_head(tx, row)) is not None:
        problem = str(found)
    return GitInfo(
        repo=row.repo,
        url=row.git.url,
        branch=row.git.branch,
        commit=row.commit,
        looked=None if sight is None else sight.looked,
        problem=problem,
    )


def _name_of(git: Git) -> str:
    """A name for the mirror of a branch, which says nothing else."""
    words = "\0".join((git.url, git.branch, git.secret, git.secret_key))
    return hashlib.blake2b(words.encode("utf-8"), digest_size=16).hexdigest()


def _ready(tx: Transaction, followed: Collection[Git]) -> list[GitRow]:
    """The inputs that follow some remotes and can get a commit now.

    One whose repo has none, because it is new or all were deleted, is at no commit of the remote.
    """
    found = []
    for row in gits.all_gits(tx):
        if row.git not in followed or not repos.repo_exists(tx, row.repo):
            continue
        head = branches.branch_head(tx, row.repo, DEFAULT_BRANCH)
        if head is None:
            found.append(replace(row, commit=""))
        elif head.finished is not None:
            found.append(row)
    return found


def _open_head(tx: Transaction, row: GitRow) -> CommitOpen | None:
    """What keeps an input from getting a commit."""
    if not repos.repo_exists(tx, row.repo):
        return None
    head = branches.branch_head(tx, row.repo, DEFAULT_BRANCH)
    if head is None or head.finished is not None:
        return None
    return CommitOpen(row.repo, head.id, "commit what is new in its git repository")


def _put(change: Change, row: GitRow, checkout: _Checkout) -> None:
    started = change.put(
        *(row.repo, DEFAULT_BRANCH),
        head=branches.branch_head(change.tx, row.repo, DEFAULT_BRANCH),
        root=checkout.root,
        description=checkout.description,
    )
    change.opened(started.opened)


def _files(entries: Iterable[ArchiveEntry], links: dict[str, str]) -> Iterator[ArchiveEntry]:
    """The entries that are no symbolic links, which are noted; raises OperationFailed."""
    letters = 0
    for entry in entries:
        if entry.kind is not Kind.SYMLINK:
            yield entry
            continue
        links[entry.path] = entry.target
        letters += 128 + len(entry.path) + len(entry.target)
        if letters > _LINKS_LETTERS_MAX:
            raise OperationFailed(f"it has too many symbolic links ({len(links):,} so far)")


def _meant(path: str, target: str, links: Mapping[str, str]) -> str | None:
    """The path that a symbolic link leads to, through further ones; None if it leads out."""
    for _ in range(_HOPS_MAX):
        if target.startswith("/"):
            return None
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if path == ".." or path.startswith("../"):
            return None
        if path not in links:
            return path
        target = links[path]
    return None
