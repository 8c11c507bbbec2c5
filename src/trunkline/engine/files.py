"""Operations on the files of commits; see `api.files`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from itertools import chain, islice

from trunkline.api.changes import FileChange, PutFile, PutLocal, write_changes
from trunkline.api.waiting import check_wanted
from trunkline.engine.change import Change
from trunkline.engine.commits import names_branch, open_target, written_by_hand
from trunkline.engine.differences import ComparedSide, content_differences
from trunkline.engine.file_history import file_info, file_versions, row_info
from trunkline.engine.intakes import counted, is_directory, taken_in
from trunkline.engine.puts import Stored, Storing
from trunkline.engine.services import Services
from trunkline.engine.together import Together
from trunkline.errors import (
    CommitNotFound,
    FileNotFoundInCommit,
    HeadMoved,
    InvalidInput,
    NotFound,
    NotSupported,
    TrunklineError,
    shown,
)
from trunkline.files.apply import LooseParts
from trunkline.files.delta import DeltaId, DeltaWriter
from trunkline.files.intake import Counts
from trunkline.files.manifest import EMPTY, FileRow, RootId
from trunkline.files.tree import Entry
from trunkline.jobs.records import open_jobs
from trunkline.model.differences import ContentDifference
from trunkline.model.names import check_path
from trunkline.model.versions import (
    CommitInfo,
    FileDifference,
    FileInfo,
    FileSetInfo,
    FileType,
    FileVersion,
    PutProgress,
    Side,
)
from trunkline.versions import branches, commits, contents, liveness, purges
from trunkline.versions.commits import CommitRecord

_PIECE_BYTES = 256 * 1024


class EngineFiles:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._together = Together(services)

    # --- writing ----------------------------------------------------------------------------------

    def modify_files(
        self,
        repo: str,
        commit: str,
        changes: Iterable[FileChange],
        *,
        description: str = "",
        if_changed: bool = False,
        progress: str = "",
    ) -> CommitInfo:
        coming = iter(changes)
        first = list(islice(coming, 1))
        if first and isinstance(first[0], PutLocal):
            first += islice(coming, 1)
        with (
            self._services.chunks.hold(),
            counted(self._services, progress, first) as counts,
        ):
            return self._modify(
                repo, commit, first, coming, description, counts, if_changed=if_changed
            )

    def put_progress(self, token: str) -> PutProgress:
        counts = self._services.puts.get(token)
        if counts is None:
            raise NotFound(f"no put is going on that is called {shown(token)}")
        counts.asked.set()
        return PutProgress(
            files=counts.files,
            size_bytes=counts.size_bytes,
            known_files=counts.known_files,
            known_bytes=counts.known_bytes,
            total_files=counts.total_files,
            total_bytes=counts.total_bytes,
        )

    def _modify(
        self,
        repo: str,
        commit: str,
        first: list[FileChange],
        rest: Iterator[FileChange],
        description: str,
        counts: Counts,
        *,
        if_changed: bool,
    ) -> CommitInfo:
        services = self._services
        target = None
        if services.heads.of(repo, commit) is None:
            with services.database.read() as tx:
                target = open_target(tx, repo, commit)
        if target is None and len(first) == 1 and is_directory(first[0]):
            assert isinstance(first[0], PutLocal)
            done = self._sync(repo, commit, first[0], description, counts, if_changed=if_changed)
            if done is not None:
                return done
        stored = self._store(
            chain(first, rest),
            lambda: self._likely_base(repo, commit, target),
            counts,
            loose=LooseParts(services.chunks) if target is None else None,
        )
        if target is not None:
            branch = commit if names_branch(commit) else None
            with suppress(HeadMoved), services.turn(repo) if stored.numbered else nullcontext():
                return self._add(repo, target, stored, branch=branch)
        if if_changed or stored.numbered:  # what they become depends on the tree that is there
            with services.turn(repo):
                return self._commit_stored(repo, commit, stored, description, if_changed=if_changed)
        return self._together.commit(
            *(repo, commit, stored, description),
            alone=lambda: self._commit_stored(repo, commit, stored, description, if_changed=False),
        )

    def _add(
        self, repo: str, target: CommitRecord, stored: Stored, *, branch: str | None
    ) -> CommitInfo:
        """Add the changes to an open commit; to be called in a turn where they are numbered.

        Of a branch it is the head, or raises HeadMoved: finished, gone, or another one by now.
        """
        services = self._services
        try:
            deltas = stored.for_tree(services, lambda: self._root(repo, target.id)[0])
            stored.keep()
            services.chunks.flush()
            with services.database.write() as tx:
                if branch is not None and open_target(tx, repo, branch) != target:
                    raise HeadMoved(f"branch {repo}@{branch}")
                by_hand = written_by_hand(tx, commits.get_commit(tx, repo, target.id))
                commits.add_deltas(tx, repo, target.id, deltas, output=by_hand)
                return commits.commit_info(tx, commits.get_commit(tx, repo, target.id))
        except CommitNotFound as error:
            if branch is None:
                raise
            raise HeadMoved(f"branch {repo}@{branch}") from error

    def _sync(
        self,
        repo: str,
        branch: str,
        change: PutLocal,
        description: str,
        counts: Counts,
        *,
        if_changed: bool,
    ) -> CommitInfo | None:
        """Commit a directory by what it changes in the head; None if the head is open by now.

        What is left out, because the head has it, is right for that head only. So when another one
        is there at the end, the directory is compared anew, which reads no file again; and from
        then on nobody else gets a turn.
        """
        services = self._services

        def once(turn: AbstractContextManager[None]) -> CommitInfo | None:
            head = self._head(repo, branch)
            if head is not None and head.finished is None:
                return None
            base = EMPTY if head is None else RootId(head.root)
            writer = DeltaWriter(services.trees)
            with taken_in(services, writer, change, counts, base=base):
                stored = Stored(deltas=writer.finish(), numbered=())
                try:
                    with turn:
                        now = self._head(repo, branch)
                        if base != _finished_root(now):
                            raise HeadMoved(f"branch {repo}@{branch}")
                        return self._commit(
                            repo, branch, stored, description, head=now, if_changed=if_changed
                        )
                except HeadMoved as error:
                    services.chunks.flush()  # what was read is remembered
                    moved = error
            raise moved

        try:
            return once(services.turn(repo))
        except HeadMoved:
            pass
        with services.turn(repo):
            while True:
                try:
                    return once(nullcontext())
                except HeadMoved:  # by a branch move
                    continue

    def create_file_set(self, changes: Iterable[FileChange]) -> FileSetInfo:
        services = self._services
        with services.chunks.hold():
            deltas = self._store(changes, lambda: EMPTY, Counts()).deltas
            root = services.trees.apply(EMPTY, deltas)
            services.chunks.flush()
            with services.database.write() as tx:
                liveness.keep_file_set(tx, root, now=services.now())
        files, size = services.trees.totals(root)
        return FileSetInfo(root=root, files=files, size_bytes=size)

    def tree_after(
        self, repo: str, commit: str, changes: Iterable[FileChange]
    ) -> tuple[CommitRecord | None, RootId]:
        """The tree that changes would make, and the commit that they are made to: its head, or the
        open one. The caller holds the chunks; nothing names the tree.
        """
        with self._services.database.read() as tx:
            head = open_target(tx, repo, commit) or branches.branch_head(tx, repo, commit)
        base = EMPTY if head is None else self._root(repo, head.id)[0]
        stored = self._store(changes, lambda: base, Counts())
        deltas = stored.for_tree(self._services, lambda: base)
        return head, self._services.trees.apply(base, deltas)

    def store_for_later(
        self, repo: str, commit: str, changes: Iterable[FileChange]
    ) -> list[DeltaId]:
        """Store changes whose place in the history is not known yet; the caller flushes."""
        stored = self._store(changes, lambda: EMPTY, Counts())
        if stored.numbered:
            raise NotSupported(
                f"a split into numbered files can't wait in a transaction ({repo}@{commit}): the "
                "numbers go on where those of the branch end then"
            )
        return stored.deltas

    def _store(
        self,
        changes: Iterable[FileChange],
        base: Callable[[], RootId],
        counts: Counts,
        *,
        loose: LooseParts | None = None,
    ) -> Stored:
        storing = Storing(self._services, root_of=self._root, base=base, counts=counts, loose=loose)
        return storing.store(changes)

    def _likely_base(self, repo: str, commit: str, target: CommitRecord | None) -> RootId:
        """The tree that a put is likely to change; nothing depends on whether it is."""
        if target is not None:
            with suppress(CommitNotFound):
                return self._root(repo, target.id)[0]
            return EMPTY
        head = self._head(repo, commit)
        return EMPTY if head is None or head.finished is None else RootId(head.root)

    def _head(self, repo: str, branch: str) -> CommitRecord | None:
        with self._services.database.read() as tx:
            return branches.branch_head(tx, repo, branch)

    def _commit_stored(
        self, repo: str, branch: str, stored: Stored, description: str, *, if_changed: bool
    ) -> CommitInfo:
        """Add the changes to the branch, whatever its head is; to be called in a turn.

        First to the head that is known from the last put, which it nearly always still is.
        """
        heads = self._services.heads
        known = heads.of(repo, branch)
        if known is not None:
            try:
                return self._commit(
                    repo, branch, stored, description, head=known, if_changed=if_changed
                )
            except TrunklineError as error:
                heads.forget(repo, branch)
                # Of another head than there is, any error may be untrue.
                if not isinstance(error, HeadMoved) and self._head(repo, branch) == known:
                    raise
        while True:
            with self._services.database.read() as tx:
                target = open_target(tx, repo, branch)
                head = branches.branch_head(tx, repo, branch)
            with suppress(HeadMoved):  # by a start or finish, or a branch move, of somebody else
                if target is not None:
                    return self._add(repo, target, stored, branch=branch)
                return self._commit(
                    repo, branch, stored, description, head=head, if_changed=if_changed
                )

    def _commit(
        self,
        repo: str,
        branch: str,
        stored: Stored,
        description: str,
        *,
        head: CommitRecord | None,
        if_changed: bool,
    ) -> CommitInfo:
        """Add the changes to the branch as one finished commit; raises HeadMoved to try again.

        That is when `head`, which is finished, is not its head in the end. With `if_changed`, a
        commit that would have the same tree as the head is not made: the head is returned.
        """
        services = self._services
        era = services.heads.era
        before = RootId(head.root) if head is not None else EMPTY
        deltas = stored.for_tree(services, lambda: before)
        root = services.trees.apply(before, deltas, loose=stored.loose)
        if if_changed and head is not None and root == before:
            with services.database.read() as tx:
                if branches.branch_head(tx, repo, branch) != head:
                    raise HeadMoved(f"branch {repo}@{branch}")
                return commits.commit_info(tx, head)
        files, size = services.trees.totals(root)
        services.chunks.flush()
        check_wanted()  # from here on it is done
        now = services.now()
        with services.database.write() as tx:
            started = commits.put_commit(
                tx,
                repo,
                branch,
                expected_head=head.id if head is not None else None,
                expected_root=before if head is not None else None,
                root=root,
                files=files,
                size_bytes=size,
                description=description,
                now=now,
                run_id=services.new_id(),
            )
            open_jobs(tx, started.opened, now=now)
        services.heads.remember(repo, branch, started.commit, era=era)
        return commits.info_of_put(started.commit)

    # --- reading ----------------------------------------------------------------------------------

    def read_file(
        self,
        repo: str,
        commit: str,
        path: str,
        *,
        offset_bytes: int = 0,
        size_bytes: int | None = None,
    ) -> Iterator[bytes]:
        if offset_bytes < 0 or (size_bytes is not None and size_bytes < 0):
            raise InvalidInput("the offset and size of a read can't be negative")
        canonical = check_path(path, root_allowed=True)
        root, record = self._root(repo, commit)
        row = self._services.trees.find(root, canonical)
        if row is None:
            if self._services.trees.entry(root, canonical) is not None:
                raise InvalidInput(
                    f"'{path}' is a directory in {repo}@{record.id}; add -r to get it"
                )
            raise self._missing(record, canonical, path)
        return self._services.trees.read(row, offset_bytes, size_bytes)

    def read_tree(self, repo: str, commit: str, path: str) -> Iterator[bytes]:
        canonical = check_path(path, root_allowed=True)
        root, record = self._root(repo, commit)
        entry = self._entry(root, record, canonical, digest=False)
        above = canonical if entry.type is FileType.DIR else canonical.rpartition("/")[0]
        skip = len(above) + 1 if above else 0
        trees = self._services.trees
        return _in_larger_pieces(
            write_changes(
                PutFile(path=path[skip:], content=content)
                for path, _, content in trees.contents(root, canonical)
            )
        )

    def read_tar(self, repo: str, commit: str, path: str) -> Iterator[bytes]:
        canonical = check_path(path, root_allowed=True)
        root, record = self._root(repo, commit)
        entry = self._entry(root, record, canonical, digest=False)
        above = canonical if entry.type is FileType.DIR else canonical.rpartition("/")[0]
        moment = record.finished or record.started
        return self._services.trees.tar(
            root, canonical, above=above, mtime_s=int(moment.timestamp())
        )

    def list_paths(self, repo: str, commit: str, path: str) -> Iterator[bytes]:
        canonical = check_path(path, root_allowed=True)
        root, record = self._root(repo, commit)
        self._entry(root, record, canonical, digest=False)
        return self._services.trees.name_lines(root, canonical)

    def inspect_file(self, repo: str, commit: str, path: str) -> FileInfo:
        canonical = check_path(path, root_allowed=True)
        root, record = self._root(repo, commit)
        entry = self._entry(root, record, canonical)
        info = file_info(record, entry)
        if entry.type is FileType.DIR:
            names = [e.path.rpartition("/")[2] for e in self._services.trees.list(root, canonical)]
            info = replace(info, children=tuple(names))
        return info

    def list_files(
        self, repo: str, commit: str, path: str, *, recursive: bool = False, after: str = ""
    ) -> Iterator[FileInfo]:
        canonical = check_path(path, root_allowed=True)
        last = check_path(after, root_allowed=True)
        root, record = self._root(repo, commit)
        entry = self._entry(root, record, canonical, digest=False)
        trees = self._services.trees
        if recursive:
            return (row_info(record, row) for row in trees.walk(root, canonical, after=last))
        if entry.type is FileType.FILE:
            itself = file_info(record, self._entry(root, record, canonical))
            return iter([itself] if itself.path > last else [])
        return (file_info(record, found) for found in trees.list(root, canonical, after=last))

    def glob_files(
        self, repo: str, commit: str, pattern: str, *, after: str = ""
    ) -> Iterator[FileInfo]:
        last = check_path(after, root_allowed=True)
        root, record = self._root(repo, commit)
        found = self._services.trees.glob(root, pattern, after=last)
        return (file_info(record, entry) for entry in found)

    def diff_files(
        self,
        repo: str,
        commit: str,
        path: str,
        *,
        old_repo: str | None = None,
        old_commit: str | None = None,
        old_path: str | None = None,
        shallow: bool = False,
        after: str = "",
    ) -> Iterator[FileDifference]:
        new, old = self._sides(repo, commit, path, old_repo, old_commit, old_path)
        differences = self._services.trees.diff(
            new.root, new.path, old.root, old.path, after=after.strip("/")
        )
        sides = {"new": (new.record, new.path), "old": (old.record, old.path)}
        if shallow:
            return self._shallow(differences, sides, {"new": new.root, "old": old.root})
        return (
            FileDifference(side=side, file=row_info(sides[side][0], row))
            for side, row in differences
        )

    def diff_contents(
        self,
        repo: str,
        commit: str,
        path: str,
        *,
        old_repo: str | None = None,
        old_commit: str | None = None,
        old_path: str | None = None,
        kind: str | None = None,
        key: list[str] | None = None,
        most: int = 1000,
        files_max: int = 0,
    ) -> Iterator[ContentDifference]:
        new, old = self._sides(repo, commit, path, old_repo, old_commit, old_path)
        return content_differences(
            self._services.trees, new, old, kind=kind, key=key or (), most=most, files_max=files_max
        )

    def list_file_versions(
        self, repo: str, commit: str, path: str, *, number: int = 0
    ) -> Iterator[FileVersion]:
        canonical = check_path(path, root_allowed=True)
        with self._services.database.read() as tx:
            record = commits.resolve(tx, repo, commit)
        return file_versions(self._services, record, canonical, number=number)

    def _sides(
        self,
        repo: str,
        commit: str,
        path: str,
        old_repo: str | None,
        old_commit: str | None,
        old_path: str | None,
    ) -> tuple[ComparedSide, ComparedSide]:
        """The new and the old side of a comparison; the old one defaults to the parent."""
        new_path = check_path(path, root_allowed=True)
        root, record = self._root(repo, commit)
        before = new_path if old_path is None else check_path(old_path, root_allowed=True)
        if old_commit is not None:
            old_root, old_record = self._root(old_repo or repo, old_commit)
        elif record.parent is not None:
            old_root, old_record = self._root(repo, record.parent)
        else:
            old_root, old_record = EMPTY, record
        return (
            ComparedSide(root=root, record=record, path=new_path),
            ComparedSide(root=old_root, record=old_record, path=before),
        )

    def _shallow(
        self,
        differences: Iterable[tuple[str, FileRow]],
        sides: dict[str, tuple[CommitRecord, str]],
        roots: dict[str, RootId],
    ) -> Iterator[FileDifference]:
        """The entries directly below the two paths that hold a difference, each once."""
        seen: set[tuple[str, str]] = set()
        for side, row in differences:
            record, base = sides[side]
            rest = row.path[len(base) :].lstrip("/")
            name = rest.partition("/")[0]
            path = "/".join(part for part in (base, name) if part)
            if (side, path) in seen:
                continue
            seen.add((side, path))
            entry = self._services.trees.entry(roots[side], path)
            if entry is not None:
                yield FileDifference(side=Side(side), file=file_info(record, entry))

    def _root(self, repo: str, commit: str) -> tuple[RootId, CommitRecord]:
        """The readable tree of a commit, open or finished."""
        with self._services.database.read() as tx:
            record = commits.resolve(tx, repo, commit)
            layers = contents.layers_of(tx, record, by_hand=written_by_hand(tx, record))
        return contents.content_root(self._services.trees, layers), record

    def _entry(
        self, root: RootId, record: CommitRecord, path: str, *, digest: bool = True
    ) -> Entry:
        entry = self._services.trees.entry(root, path, digest=digest)
        if entry is None:
            raise self._missing(record, path, path or "/")
        return entry

    def _missing(self, record: CommitRecord, path: str, shown: str) -> FileNotFoundInCommit:
        """The error for a path that a commit does not have, or not any more."""
        with self._services.database.read() as tx:
            purged = purges.missing(tx, self._services.trees, record, path)
        return purged or FileNotFoundInCommit(record.repo, record.id, shown)


def _finished_root(head: CommitRecord | None) -> RootId | None:
    """The tree of a branch's head, None if that is open."""
    if head is None:
        return EMPTY
    return RootId(head.root) if head.finished is not None else None


def write_in_change(
    change: Change, repo: str, commit: str, *, deltas: Sequence[str], description: str = ""
) -> None:
    """Add stored changes to an open commit, or to one on a branch that the change finishes."""
    tx = change.tx
    record = open_target(tx, repo, commit)
    if record is None:
        started = commits.start_commit(
            tx,
            repo,
            branch=commit,
            parent=None,
            description=description,
            now=change.now,
            run_id=change.run_id,
            later=change.later,
        )
        change.opened(started.opened)
        record = started.commit
        change.unfinished.append((repo, record.id))
    by_hand = written_by_hand(tx, record)
    commits.add_deltas(tx, repo, record.id, deltas, output=by_hand)


def _in_larger_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes with less to do for each: small files make small pieces."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= _PIECE_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)
