"""The heart of a purge: finds all that has to go, in one view of the catalog, and rewrites it.

Runs twice. First over a snapshot, beside all other work: it makes the trees, plans and deltas that
take the place of others, and stores them. Then inside one transaction that writes, in which it
finds the same again, and only what came in between is left to do. So nobody ever sees the half of
it, and a crash before the end of the transaction leaves nothing but garbage.

How it spreads: patterns choose files in the trees of their repos. A datum of any job that had one
of them among its inputs, alone or in a directory, is gone: all that it wrote is chosen too, in all
commits of the repo that its job writes to. And so on until nothing more is found.
"""

import json
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from trunkline.db.database import Transaction
from trunkline.engine.purge_request import PurgeRequest
from trunkline.engine.services import Services
from trunkline.errors import Corrupt
from trunkline.files.columns import Columns
from trunkline.files.glob import compile_glob
from trunkline.files.manifest import EMPTY, RootId
from trunkline.files.segments import APPEND, PUT, DeltaId
from trunkline.files.selection import (
    NOTHING,
    Chosen,
    Finder,
    Gathered,
    Selection,
    delta_without,
    tree_of_names,
    without_files,
)
from trunkline.jobs import purges as jobs
from trunkline.jobs.purges import HeldJob, JobTraces, Reading, ResultTraces
from trunkline.model.purges import PurgedRepo
from trunkline.model.versions import FileType, is_spec_repo
from trunkline.pipelines.datums import DatumFile
from trunkline.versions import purges
from trunkline.versions.purges import HeldCommit, HeldDelta

_KEY = re.compile("[0-9a-f]{64}")
_PURGED_ERROR = "a datum of its job failed, and what that read has been purged"
_EVERYTHING = Selection(globs=(compile_glob("/"),))


@dataclass(slots=True, kw_only=True)
class Found:
    """What one run over the catalog came to."""

    commits: Counter[str] = field(default_factory=Counter)  # by repo
    files: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    changed: set[int] = field(default_factory=set)  # numbers of the commits
    open_changes: int = 0
    datums: int = 0
    results: int = 0
    restarted: int = 0
    pipelines: set[str] = field(default_factory=set)
    names: set[bytes] = field(default_factory=set)  # chunks that named what is gone
    remarks: list[str] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        return not (self.commits or self.open_changes or self.datums or self.results)

    def repos(self, patterns: Iterable[str]) -> tuple[PurgedRepo, ...]:
        direct = set(patterns)
        return tuple(
            PurgedRepo(
                repo=repo,
                derived=repo not in direct,
                commits=self.commits[repo],
                files=self.files[repo],
                size_bytes=self.sizes[repo],
            )
            for repo in self.commits
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """A delta without what was chosen in it."""

    delta: DeltaId | None
    paths: tuple[str, ...]  # of the files that it wrote
    size_bytes: int


class Rewriting:
    """One purge in the light of the catalog. Keeps what it has found from one run to the next."""

    def __init__(
        self, services: Services, request: PurgeRequest, *, salt: str, secret: bytes, store: bool
    ) -> None:
        """`secret` is forgotten with this object: it makes the new keys of datums.

        With `store`, what takes the place of what has to go is stored.
        """
        self._store = store
        self._services = services
        self._trees = services.trees
        self._request = request
        self._salt = salt
        self._patterns = request.patterns()
        self._contents: frozenset[bytes] = frozenset()
        self._keys: dict[str, set[bytes]] = defaultdict(set)  # of datums that read what is gone
        self._partly: dict[str, set[bytes]] = defaultdict(set)  # of those that only wrote it
        self._whole: set[int] = set()  # commits of which nothing can be kept
        self._extra: dict[int, set[str]] = defaultdict(set)  # paths of commits, beside the chosen
        self._version = 0  # grows with all of these
        self._gathered: dict[str, Gathered] = defaultdict(Gathered)
        self._finders: dict[str, Finder] = {}
        self._chosen: dict[tuple[str, str], Chosen] = {}
        self._same: dict[Chosen, Chosen] = {}
        self._roots: dict[tuple[str, tuple[str, ...]], RootId] = {}
        self._names: dict[tuple[str, ...], RootId] = {}
        self._deltas: dict[tuple[str, str, int], _Rest] = {}
        self._traces = JobTraces(services.trees, secret)
        self._results = ResultTraces(services.trees, self._gathered[""], store=store)
        self._begin_run({})

    def _begin_run(self, repos: dict[int, str]) -> None:
        """Forget what may be another the next time."""
        self._repos = repos
        self._commits: dict[str, list[HeldCommit]] = {}
        self._by_id: dict[str, dict[str, HeldCommit]] = {}
        self._jobs: dict[str, dict[str, HeldJob]] = {}
        self._touched_jobs: set[str] = set()  # repos with a job that may have read what is gone

    @property
    def chunks(self) -> set[bytes]:
        """The chunks of all files that were chosen."""
        return set().union(*(gathered.chunks for gathered in self._gathered.values()))

    def lost_inputs(self, repo: str) -> bool:
        """Whether datums of its pipeline had read what is gone, which is why it lost files."""
        return bool(self._keys.get(repo))

    def run(self, tx: Transaction, *, purge: int | None) -> Found:
        """Find everything; with `purge`, its number, write it.

        Raises Corrupt if something can't be read: nobody knows then what is in it.
        """
        self._begin_run(purges.held_repos(tx))
        found = Found()
        if self._request.copies and not self._contents:
            self._gather_contents(tx)
        version = -1
        while version != self._version:  # once more, so that all is known as of the last version
            version = self._version
            remarks = self._discover(tx)
        found.remarks += remarks
        self._discover_results(tx)
        for repo in self._chosen_repos():
            for commit in self._commits_of(tx, repo):
                if commit.root:
                    self._finished(tx, commit, found, purge=purge)
                else:
                    self._open(tx, commit, found, purge=purge)
        self._steps(tx, found, write=purge is not None)
        self._records_of_jobs(tx, found, write=purge is not None)
        self._file_sets(tx, found, write=purge is not None)
        return found

    # --- what is chosen ---------------------------------------------------------------------------

    def selection(self, repo: str | None) -> Selection:
        """What has to go from a repo; for None, from any that can't be told."""
        if repo is None:
            return Selection(
                globs=tuple(glob for globs in self._patterns.values() for glob in globs),
                datums=frozenset().union(*self._keys.values()),
                contents=self._contents,
            )
        if is_spec_repo(repo):
            return Selection()
        return Selection(
            globs=self._patterns.get(repo, ()),
            datums=frozenset(self._keys.get(repo, ())),
            contents=self._contents,
        )

    def chosen(self, commit: HeldCommit) -> Chosen:
        """The files that have to go from a finished commit."""
        place = (commit.repo, commit.root)
        if place not in self._chosen:
            found = self._finder(commit.repo).of(RootId(commit.root))
            self._chosen[place] = self._same.setdefault(found, found)
        chosen = self._chosen[place]
        gathered = self._gathered[commit.repo]
        if commit.number in self._whole:
            return Finder(self._trees.chunks, _EVERYTHING, gathered).of(RootId(commit.root))
        more = self._extra.get(commit.number, set()) - set(chosen.paths)
        rows = [row for p in sorted(more) if (row := self._trees.find(RootId(commit.root), p))]
        for row in rows:
            gathered.note_row(row)
        if not rows:
            return chosen
        paths = tuple(sorted([*chosen.paths, *(row.path for row in rows)]))
        return Chosen(paths, chosen.size_bytes + sum(row.size_bytes for row in rows))

    def _finder(self, repo: str) -> Finder:
        wanted = self.selection(repo)
        finder = self._finders.get(repo)
        if finder is None or finder.selection != wanted:
            finder = Finder(self._trees.chunks, wanted, self._gathered[repo])
            self._finders[repo] = finder
            self._chosen = {k: chosen for k, chosen in self._chosen.items() if k[0] != repo}
        return finder

    def _chosen_repos(self) -> list[str]:
        return [repo for repo in dict.fromkeys(self._repos.values()) if self.selection(repo)]

    def _commits_of(self, tx: Transaction, repo: str) -> list[HeldCommit]:
        if repo not in self._commits:
            mine = {number: name for number, name in self._repos.items() if name == repo}
            self._commits[repo] = list(purges.held_commits(tx, mine)) if mine else []
            self._by_id[repo] = {commit.id: commit for commit in self._commits[repo]}
        return self._commits[repo]

    def _gather_contents(self, tx: Transaction) -> None:
        """The contents of the files that the patterns choose, to be chosen everywhere."""
        gathered = Gathered()
        for repo, globs in self._patterns.items():
            selection = Selection(globs=globs)
            finder = Finder(self._trees.chunks, selection, gathered)
            for commit in self._commits_of(tx, repo):
                if commit.root:
                    finder.of(RootId(commit.root))
                for held in purges.held_deltas(tx, commit) if not commit.root else ():
                    delta_without(
                        self._trees,
                        DeltaId(held.deltas),
                        selection.rows,
                        drops=selection.chooses,
                        gathered=gathered,
                        store=False,
                    )
        self._contents = frozenset(gathered.contents)
        self._version += 1

    # --- how it spreads ---------------------------------------------------------------------------

    def _discover(self, tx: Transaction) -> list[str]:
        """Follow what is chosen through all jobs; returns what has to be said about it."""
        waiting = dict.fromkeys(r for r in self._repos.values() if self.selection(r))
        unknown: dict[int, HeldCommit] = {}
        by_hand: dict[int, HeldCommit] = {}
        while waiting:
            repo = next(iter(waiting))
            del waiting[repo]
            touched = [
                commit.number
                for commit in self._commits_of(tx, repo)
                if commit.root and self.chosen(commit).paths
            ]
            for derived in purges.direct_derivations(tx, touched, self._repos):
                if is_spec_repo(derived.repo):
                    continue
                before = (len(self._keys[derived.repo]), len(self._whole), len(self._extra))
                self._follow(tx, derived, unknown, by_hand)
                if before != (len(self._keys[derived.repo]), len(self._whole), len(self._extra)):
                    self._version += 1
                    waiting[derived.repo] = None
            if not waiting and unknown:
                waiting.update(dict.fromkeys(self._without_record(tx, unknown)))
        return [
            *(
                f"{commit.repo}@{commit.id} was made from commits that had purged files, and there "
                "is no record of how: its files that no other job is known to have made are gone"
                for commit in sorted(unknown.values())
            ),
            *(
                f"{commit.repo}@{commit.id} is derived from commits that had purged files and was "
                "written by hand: nothing in it was touched, look at it yourself"
                for commit in sorted(by_hand.values())
            ),
        ]

    def _follow(
        self,
        tx: Transaction,
        derived: HeldCommit,
        unknown: dict[int, HeldCommit],
        by_hand: dict[int, HeldCommit],
    ) -> None:
        """Choose what a commit has of the files that its inputs lose."""
        job = self._jobs_of(tx, derived.repo).get(derived.id)
        if job is not None:
            self._touched_jobs.add(derived.repo)
        if job is not None and (self._traces.is_known(tx, job) or not job.state.ended):
            keys = self._traces.keys(tx, job, self._reading(tx))
            self._keys[derived.repo] |= keys
            if keys and derived.root and jobs.joins_outputs(tx, job):
                paths = jobs.paths_written(tx, self._trees, [key.hex() for key in keys])
                if paths is None:
                    self._whole.add(derived.number)
                elif paths:
                    self._extra[derived.number] |= paths
        elif derived.root not in ("", EMPTY):
            made = self._written_by_datums(derived)
            (unknown if made else by_hand)[derived.number] = derived

    def _without_record(self, tx: Transaction, unknown: dict[int, HeldCommit]) -> list[str]:
        """Commits whose jobs left no record: all datums go but those that others tell of.

        Returns the repos for which that was news.
        """
        changed: list[str] = []
        for repo in {commit.repo for commit in unknown.values()}:
            known = set[bytes]().union(
                *(self._traces.told_keys(tx, job) for job in self._jobs_of(tx, repo).values())
            )
            gathered = Gathered()
            finder = Finder(self._trees.chunks, _EVERYTHING, gathered)
            for commit in unknown.values():
                if commit.repo == repo:
                    finder.of(RootId(commit.root))
            new = gathered.datums - known - self._keys[repo]
            if new:
                self._keys[repo] |= new
                self._version += 1
                changed.append(repo)
        return changed

    def _written_by_datums(self, commit: HeldCommit) -> bool:
        row = next(iter(self._trees.walk(RootId(commit.root))), None)
        return row is not None and bool(row.datum)

    def _jobs_of(self, tx: Transaction, repo: str) -> dict[str, HeldJob]:
        if repo not in self._jobs:
            self._jobs[repo] = {job.id: job for job in jobs.held_jobs(tx, [repo])}
        return self._jobs[repo]

    def _reading(self, tx: Transaction) -> Reading:
        return Reading(
            version=self._version, reads=lambda file: self._reads(tx, file), hidden=self._hidden
        )

    def _reads(self, tx: Transaction, file: DatumFile) -> bool:
        """Whether what an input gave to a datum had a chosen file in it."""
        selection = self.selection(file.repo)
        self._commits_of(tx, file.repo)
        commit = self._by_id[file.repo].get(file.commit)
        if commit is None or not commit.root:  # gone for good: its path is all that is known
            below = file.type is FileType.DIR and selection.may_choose_below(
                file.path, f"{file.path}0" if file.path else "\U0010ffff"
            )
            return below or (bool(selection) and selection.chooses(file.path))
        paths = self.chosen(commit).paths
        if not file.path:
            return bool(paths)
        i = bisect_left(paths, file.path)
        if i < len(paths) and paths[i] == file.path:
            return True
        i = bisect_left(paths, file.path + "/")
        return i < len(paths) and paths[i].startswith(file.path + "/")

    def _hidden(self, file: DatumFile) -> str:
        """The path of an input that had a chosen file in it, as far as it may be told.

        The name of a directory of which nothing is left is not told either.
        """
        if not self._salt or not file.path:
            return file.path
        commit = self._by_id[file.repo].get(file.commit)
        if file.type is FileType.DIR and commit is not None and commit.root:
            paths, below = self.chosen(commit).paths, file.path + "/"
            chosen = bisect_left(paths, file.path + "0") - bisect_left(paths, below)
            rows = self._trees.slices(RootId(commit.root), file.path)
            if chosen < sum(part.end - part.start for part in rows):
                return file.path
        return purges.hashed(file.path, self._salt)

    def _discover_results(self, tx: Transaction) -> None:
        """Datums of which a chosen file is remembered, or is in a tree: they will run again."""
        chosen = self._results.look(tx, self._rows_of)
        for repo, keys in chosen.items():
            self._partly[repo or ""] |= keys
        for repo, gathered in self._gathered.items():
            self._partly[repo] |= gathered.datums

    def _rows_of(self, repo: str | None) -> tuple[int, Callable[[Columns], list[int]]]:
        return self._version, self.selection(repo).rows

    # --- what is rewritten ------------------------------------------------------------------------

    def _finished(
        self, tx: Transaction, commit: HeldCommit, found: Found, *, purge: int | None
    ) -> None:
        if commit.error is not None:
            self._failed(tx, commit, write=purge is not None)
        chosen = self.chosen(commit)
        if not chosen.paths:
            return
        found.commits[commit.repo] += 1
        found.files[commit.repo] += len(chosen.paths)
        found.sizes[commit.repo] += chosen.size_bytes
        found.changed.add(commit.number)
        found.names.add(bytes.fromhex(commit.root))
        if not self._store:
            return
        root = self._root_without(RootId(commit.root), chosen)
        names = self._names_of(chosen.paths)
        if purge is not None:
            files, size = self._trees.totals(root)
            purges.replace_root(tx, commit, root=root, files=files, size_bytes=size)
            purges.put_tombstone(
                *(tx, commit.number, purge),
                names=names,
                files=len(chosen.paths),
                size_bytes=chosen.size_bytes,
            )

    def _failed(self, tx: Transaction, commit: HeldCommit, *, write: bool) -> None:
        """A commit that its job could not make: the reason may name a datum."""
        gone = self._gone(commit.repo)
        told = {bytes.fromhex(key) for key in _KEY.findall(commit.error or "")}
        if write and not gone.isdisjoint(told):
            purges.replace_error(tx, commit, _PURGED_ERROR)

    def _root_without(self, root: RootId, chosen: Chosen) -> RootId:
        place = (root, chosen.paths)
        if place not in self._roots:
            files, _ = self._trees.totals(root)
            everything = len(chosen.paths) == files
            new = EMPTY if everything else without_files(self._trees, root, chosen.paths)
            if len(chosen.paths) != files - self._trees.totals(new)[0]:
                raise Corrupt(f"tree {root}", "the files that were chosen in it", "others")
            self._roots[place] = new
        return self._roots[place]

    def _names_of(self, paths: tuple[str, ...]) -> RootId:
        if paths not in self._names:
            names = purges.kept_names(paths, self._salt)
            self._names[paths] = tree_of_names(self._trees, names)
        return self._names[paths]

    def _open(
        self, tx: Transaction, commit: HeldCommit, found: Found, *, purge: int | None
    ) -> None:
        """The changes of an open commit, and what is gone from the tree that they are made to."""
        paths: set[str] = set()
        size = 0
        for held in purges.held_deltas(tx, commit):
            rest = self._without(held, commit.repo, found)
            if rest.delta != held.deltas:
                found.open_changes += 1
                paths.update(rest.paths)
                size += rest.size_bytes
                if purge is not None:
                    purges.replace_delta(tx, held, rest.delta)
        if purge is not None and paths:
            names = self._names_of(tuple(sorted(paths)))
            purges.put_tombstone(
                tx, commit.number, purge, names=names, files=len(paths), size_bytes=size
            )

    def _without(self, held: HeldDelta, repo: str, found: Found) -> _Rest:
        place = (held.deltas, repo, self._version)
        if place not in self._deltas:
            selection = self.selection(repo)
            paths: list[str] = []
            sizes: list[int] = []

            def chosen(rows: Columns) -> list[int]:
                places = selection.rows(rows)
                written = [i for i in places if rows.kinds[i] in (PUT, APPEND)]
                paths.extend(rows.paths[i] for i in written)
                sizes.extend(rows.sizes[i] for i in written)
                return places

            rest = delta_without(
                self._trees,
                DeltaId(held.deltas),
                chosen,
                drops=selection.chooses,
                gathered=self._gathered[repo],
                store=self._store,
            )
            self._deltas[place] = _Rest(delta=rest, paths=tuple(paths), size_bytes=sum(sizes))
        if self._deltas[place].delta != held.deltas:
            found.names.add(bytes.fromhex(held.deltas))
        return self._deltas[place]

    def _steps(self, tx: Transaction, found: Found, *, write: bool) -> None:
        """What waits in transactions."""
        for arguments, held in purges.waiting_steps(tx):
            repo = str(json.loads(arguments).get("repo", ""))
            if not self.selection(repo):
                continue
            rest: list[str] = []
            for delta in held.deltas.split(","):
                kept = self._without(held._replace(deltas=delta), repo, found).delta
                rest += [kept] if kept is not None else []
            if ",".join(rest) != held.deltas:
                found.open_changes += 1
                if write:
                    purges.replace_step(tx, held, ",".join(rest))

    # --- the record of jobs -----------------------------------------------------------------------

    def _gone(self, repo: str) -> frozenset[bytes]:
        return frozenset(self._keys.get(repo, set()) | self._partly.get(repo, set()))

    def _records_of_jobs(self, tx: Transaction, found: Found, *, write: bool) -> None:
        repos = {repo for repo in (*self._keys, *self._partly) if repo and self._gone(repo)}
        for job in jobs.held_jobs(tx, sorted(repos | self._touched_jobs)):
            gone = self._gone(job.output_repo)
            found.pipelines.add(job.pipeline)
            if gone and job.state.ended and self._store:
                segments = self._traces.rewrite(tx, job, gone, self._reading(tx), write=write)
                found.names |= {bytes.fromhex(chunk) for chunk in segments}
            found.restarted += write and jobs.restart(tx, job)
        found.datums = sum(map(len, self._keys.values()))
        everything = frozenset().union(*self._keys.values(), *self._partly.values())
        forgotten = jobs.remembered(tx, everything)
        found.results = len(forgotten)
        found.names |= {name for result in forgotten for name in result}
        if write and everything:
            self._results.look(tx, self._rows_of, write=everything)

    def _file_sets(self, tx: Transaction, found: Found, *, write: bool) -> None:
        """Uploads without a commit that hold the same content: they would go in a day anyway."""
        contents = set[bytes]().union(*(g.contents for g in self._gathered.values()))
        selection = Selection(contents=frozenset(contents))
        finder = Finder(self._trees.chunks, selection, Gathered())
        for root in purges.file_sets(tx) if contents else ():
            if finder.of(RootId(root)) != NOTHING:
                found.names.add(bytes.fromhex(root))
                if write:
                    purges.drop_file_set(tx, root)
