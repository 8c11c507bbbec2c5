"""`du`: what repos, commits and paths take up, and how much of it is theirs alone.

Every tree is walked once for each owner of its commits, ranges that an owner's trees share only
once. What is found is kept on disk.
"""

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from trunkline.engine.services import Services
from trunkline.errors import CommitOpen, FileNotFoundInCommit, InvalidInput
from trunkline.files.columns import FileRow
from trunkline.files.manifest import RootId
from trunkline.files.reach import Reach
from trunkline.model.admin import DiskUsage
from trunkline.model.names import check_path, parse_address
from trunkline.store.uses import OwnerUses, Uses
from trunkline.versions import commits, repos
from trunkline.versions.commits import CommitRecord

_ELSE = 0  # the owner of everything that was not asked for
_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Something that was asked for; a commit or path has a record."""

    name: str
    repo: str
    record: CommitRecord | None = None
    path: str = ""


def usage(services: Services, names: list[str]) -> list[DiskUsage]:
    """What the targets take up, in their order, and the total if there are several.

    Raises RepoNotFound, CommitNotFound, FileNotFoundInCommit, CommitOpen, InvalidInput.
    """
    with services.database.read() as tx:
        known = [*repos.repo_names(tx), *repos.spec_repos(tx)]
        listed = names or list(repos.repo_names(tx))
    targets = [
        # What is the full name of a repo is not taken for one of 1.7's, repo/commit.
        _Target(name=name, repo=name) if name in known else _target(services, name)
        for name in dict.fromkeys(listed)
    ]
    if not targets:
        return []
    if any(target.record is not None for target in targets):
        return [_Survey(services, known, [target]).run()[0] for target in targets]
    found = _Survey(services, known, targets).run()
    return found if len(targets) > 1 else found[:1]


def _target(services: Services, name: str) -> _Target:
    address = parse_address(name)
    with services.database.read() as tx:
        repos.repo_info(tx, address.repo)
        if address.ref is None:
            if address.path is not None:
                raise InvalidInput(f"{name!r} names a path of no commit; write repo@branch:/path")
            return _Target(name=name, repo=address.repo)
        record = commits.resolve(tx, address.repo, address.ref)
    if record.finished is None:
        raise CommitOpen(record.repo, record.id, "tell what it takes up")
    path = check_path(address.path or "/", root_allowed=True)
    if path and services.trees.entry(RootId(record.root), path) is None:
        raise FileNotFoundInCommit(record.repo, record.id, path)
    return _Target(name=name, repo=address.repo, record=record, path=path)


class _Survey:
    """One pass over all commits, for some whole repos, or for one commit or path."""

    def __init__(self, services: Services, known: list[str], targets: list[_Target]) -> None:
        self._services = services
        self._known = known
        self._targets = targets
        self._commits: Counter[int] = Counter()
        self._files: Counter[int] = Counter()
        self._logical: Counter[int] = Counter()

    def run(self) -> list[DiskUsage]:
        """One for each target, and the total."""
        with self._services.chunks.collection().uses(uuid.uuid4().hex) as uses:
            self._walk(uses)
            return self._add_up(uses)

    def _walk(self, uses: Uses) -> None:
        owners = {target.repo: n for n, target in enumerate(self._targets, start=1)}
        single = self._targets[0].record is not None
        notes = {n: uses.by(n) for n in (_ELSE, *owners.values())}
        reaches = {n: Reach(self._services.chunks, note) for n, note in notes.items()}
        for repo in self._known:
            for record in self._finished(repo):
                mine = single and record.number == self._record.number
                owner = owners.get(repo, _ELSE) if mine or not single else _ELSE
                if mine:
                    self._walk_path(notes)
                    continue
                self._count(owner, 1, record.files, record.size_bytes)
                reaches[owner].tree(bytes.fromhex(record.root))
        for note in notes.values():
            note.done()

    @property
    def _record(self) -> CommitRecord:
        record = self._targets[0].record
        assert record is not None, "only asked where a commit was named"
        return record

    def _walk_path(self, notes: dict[int, OwnerUses]) -> None:
        """The rows of one commit: those at or below the path are the target's."""
        path, root = self._targets[0].path, RootId(self._record.root)
        if not path:
            self._count(1, 1, self._record.files, self._record.size_bytes)
            Reach(self._services.chunks, notes[1]).tree(bytes.fromhex(root))
            return
        files = size = 0
        for row in self._services.trees.walk(root):
            inside = row.path == path or row.path.startswith(path + "/")
            notes[1 if inside else _ELSE].add(_chunks_of(row))
            files += inside
            size += row.size_bytes if inside else 0
        self._count(1, 1, files, size)

    def _finished(self, repo: str) -> Iterator[CommitRecord]:
        before: int | None = None
        while True:
            with self._services.database.read() as tx:
                page = list(commits.list_commits(tx, repo, number=_PAGE, before=before))
            yield from (record for record in page if record.finished is not None)
            if len(page) < _PAGE:
                return
            before = page[-1].number

    def _count(self, owner: int, count: int, files: int, size_bytes: int) -> None:
        self._commits[owner] += count
        self._files[owner] += files
        self._logical[owner] += size_bytes

    def _add_up(self, uses: Uses) -> list[DiskUsage]:
        stored: Counter[int] = Counter()
        exclusive: Counter[int] = Counter()
        total = total_exclusive = 0
        for size, owners in uses.all():
            asked = owners - {_ELSE}
            for owner in asked:
                stored[owner] += size
            if len(owners) == 1:
                exclusive.update(dict.fromkeys(asked, size))
            total += size if asked else 0
            total_exclusive += size if asked == owners else 0
        found = [
            DiskUsage(
                name=target.name,
                commits=self._commits[n],
                files=self._files[n],
                logical_bytes=self._logical[n],
                stored_bytes=stored[n],
                exclusive_bytes=exclusive[n],
            )
            for n, target in enumerate(self._targets, start=1)
        ]
        everything = DiskUsage(
            name="total",
            commits=sum(use.commits for use in found),
            files=sum(use.files for use in found),
            logical_bytes=sum(use.logical_bytes for use in found),
            stored_bytes=total,
            exclusive_bytes=total_exclusive,
        )
        return [*found, everything]


def _chunks_of(row: FileRow) -> list[bytes]:
    return [bytes.fromhex(chunk) for chunk, _ in row.chunks]
