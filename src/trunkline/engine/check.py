"""`fsck`: checks everything that is stored, names what each damage hits, and heals what it can.

Order: the packs against their own checksums and the index; the rules of the catalog; the structure
of every tree, delta and plan; then what the damaged chunks are needed for. Parts that trees share
are looked at once. No garbage is collected meanwhile.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from trunkline.engine import liveness
from trunkline.engine.services import Services
from trunkline.errors import Corrupt, TrunklineError
from trunkline.files.impact import Impact
from trunkline.files.manifest import RootId
from trunkline.files.reach import Kind, Reach
from trunkline.files.tree import Trees
from trunkline.model.admin import Damage, FsckReport
from trunkline.store.collect import Collection
from trunkline.store.live import LiveSet
from trunkline.versions import invariants, purges, repos
from trunkline.versions.commits import CommitRecord

_HITS_MAX = 20

_PUT_AGAIN = "put the same content again, which heals it wherever it is, or restore a backup"
_RUN_AGAIN = "run its pipeline again with `update pipeline --reprocess`, or restore a backup"
_UNUSED = "nothing needs it"
_ASK = "`fsck --repair` heals it"
_SEAL = "its files are as they were: `fsck --repair` takes the rest of the record as it is now"
_SEALED = "repaired: its files are as they were, and the rest of the record counts as it is now"
_RESTORE = "restore a backup"


class Check:
    """One check of an installation."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._damages: list[Damage] = []
        self._hits: dict[str, list[str]] = {}  # of damaged chunks, at most `_HITS_MAX` each
        self._counts: Counter[str] = Counter()
        self._remarks: tuple[str, ...] = ()
        self._outputs: dict[str, bool] = {}  # repo: whether a pipeline writes to it
        self._known: frozenset[str] = frozenset()  # chunks that are told of as damaged
        self._trees = Trees(services.chunks)  # one that remembers nothing

    def run(self, *, share: float, repair: bool) -> FsckReport:
        """Check with the data of this share of the packs; `repair` what can be."""
        services = self._services
        collection = services.chunks.collection()
        if repair:
            services.chunks.seal()
        with collection.exclusive(), collection.live_set() as live:
            whole = self._mark(live)
            found = services.chunks.verify(
                read_data=share > 0, share=share, needed=live if whole else None
            )
            problems = {(str(chunk) or f" {n}"): text for n, (chunk, text) in enumerate(found)}
            healed = self._heal(collection, live, problems) if repair else {}
            files, count = self._check_catalog(
                live, [c for c in problems if c[0] != " "], repair=repair
            )
        for chunk, problem in problems.items():
            self._damages.append(self._chunk_damage(chunk, problem, healed, tried=repair))
        stats = services.chunks.stats
        return FsckReport(
            commits=count,
            files=files,
            chunks=stats.chunks,
            bytes_read=stats.bytes_read,
            damages=tuple(self._damages),
            remarks=self._remarks,
        )

    def _mark(self, live: LiveSet) -> bool:
        """Note what is needed; False if that can't be told, because something can't be read."""
        try:
            liveness.mark(self._services.database, self._services.chunks, live, pace=_no_pause)
        except Corrupt:  # what it is about is found again, and reported, below
            return False
        return True

    # --- what is damaged --------------------------------------------------------------------------

    def _heal(
        self, collection: Collection, live: LiveSet, problems: dict[str, str]
    ) -> dict[str, str]:
        chunks = self._services.chunks
        try:
            outcome = collection.repair(
                live,
                damaged=[chunk for chunk in problems if chunk[0] != " "],
                damaged_packs=chunks.damaged_packs,
            )
        except Corrupt:
            again = "the index is made anew at the next start: `trunkline down`, then any command"
            return dict.fromkeys(problems, again)
        finally:
            chunks.let_go(cached=True)
        left = outcome.pop("", "repaired: what is whole was copied, and the file set aside")
        between = {key: left for key in problems if key[0] == " "}
        # Packs are read in full before they are set aside, which a quick check has not done.
        for chunk in outcome.keys() - problems.keys():
            problems[chunk] = "it can't be read in a pack that was set aside"
        return outcome | between

    def _chunk_damage(
        self, chunk: str, problem: str, healed: dict[str, str], *, tried: bool
    ) -> Damage:
        if chunk[0] == " ":
            what = healed.get(chunk, _ASK)
            return Damage(thing="the store", problem=problem, hits=(), repair=what, repaired=tried)
        hits = tuple(self._hits.get(chunk, ()))
        total = self._counts[chunk]
        damage = Damage(
            thing=f"chunk {chunk}", problem=problem, hits=hits, hits_total=total, repair=_ASK
        )
        if not tried:
            return damage
        if healed.get(chunk):
            return replace(damage, repair=healed[chunk], repaired=True)
        if not total:
            return replace(damage, repair=f"repaired: {_UNUSED}", repaired=True)
        made = any(self._is_output(hit.partition("@")[0]) for hit in hits)
        return replace(damage, repair=_RUN_AGAIN if made else _PUT_AGAIN)

    def _is_output(self, repo: str) -> bool:
        if repo not in self._outputs:
            with self._services.database.read() as tx:
                self._outputs[repo] = invariants.is_derived(tx, repo)
        return self._outputs[repo]

    # --- the catalog ------------------------------------------------------------------------------

    def _check_catalog(self, seen: LiveSet, damaged: list[str], *, repair: bool) -> tuple[int, int]:
        """Check all that the catalog names; returns numbers of files and commits."""
        impact = Impact(self._services.chunks, damaged)
        self._known = frozenset(damaged)
        with self._services.database.read() as tx:
            self._remarks = tx.blind_spots
            names = [*repos.repo_names(tx), *repos.spec_repos(tx)]
            found = [*invariants.broken_rows(tx)]
            if not found:  # else there may be no asking what was made from what
                found += [problem for name in names for problem in invariants.broken(tx, name)]
        self._damages += [
            Damage(thing=thing, problem=problem, hits=hits) for thing, problem, hits in found
        ]
        files = count = 0
        checked: set[str] = set()
        unsealed = {thing for thing, problem, _ in found if problem == invariants.UNSEALED}
        for name in names:
            for record in invariants.records(self._services.database, name):
                count += 1
                files += record.files
                if f"commit {record.name}" in unsealed:
                    self._check_unsealed(record, repair=repair)
                if record.finished is None:
                    continue
                if record.root not in checked:
                    checked.add(record.root)
                    self._damages += self._check_tree(record, seen)
                if damaged:
                    self._note_hits(f"{record.repo}@{record.id}", record.root, impact)
        self._check_tombstones(seen, impact if damaged else None)
        broken = liveness.broken_transactions(self._services.database, self._services.chunks)
        self._damages += [
            Damage(
                thing=f"transaction {transaction}",
                problem=problem,
                hits=(),
                repair=f"give it up with `delete transaction {transaction}`",
            )
            for transaction, problem in broken
        ]
        self._check_others(seen, frozenset(damaged))
        return files, count

    def _check_tombstones(self, seen: LiveSet, impact: Impact | None) -> None:
        """What commits say of the files that were purged from them."""
        with self._services.database.read() as tx:
            stones = purges.all_tombstones(tx)
        for purge, names in stones:
            for hit in impact.of(names) if impact is not None else ():
                self._note_hit(hit.chunk, f"{_TOMBSTONE} (purge {purge})")
            self._damages += [
                Damage(thing=f"{_TOMBSTONE} (purge {purge})", problem=problem, hits=())
                for problem in self._tree_problems(names, seen)
            ]

    def _check_tree(self, record: CommitRecord, seen: LiveSet) -> Iterator[Damage]:
        """What is wrong with the structure of a commit's tree."""
        name = f"{record.repo}@{record.id}"
        sizes = (record.files, record.size_bytes)
        problems = self._tree_problems(record.root, seen, sizes=sizes)
        made = _RUN_AGAIN if self._is_output(record.repo) else _PUT_AGAIN
        for problem in problems:
            yield Damage(thing=f"commit {name}", problem=problem, hits=(name,), repair=made)

    def _tree_problems(
        self, root: str, seen: LiveSet, *, sizes: tuple[int, int] | None = None
    ) -> list[str]:
        """What is wrong with the structure of a tree, or its files and bytes if they are known."""

        def fresh(blob: str) -> bool:
            return bool(seen.walk_once(_CHECKED, [bytes.fromhex(blob)]))

        try:
            problems = [
                _told(path, problem)
                for path, problem in self._trees.verify(RootId(root), fresh=fresh)
                if not self._is_known(problem)
            ]
            if sizes is not None and self._trees.totals(RootId(root)) != sizes:
                problems.append("its size is not what was recorded")
        except TrunklineError as error:
            problems = [str(error)]
        return problems

    def _check_unsealed(self, record: CommitRecord, *, repair: bool) -> None:
        """A record that was changed is sealed as it is where its tree is not what was changed."""
        fits = invariants.has_its_tree(self._services.database, record)
        if repair and fits:
            invariants.seal(self._services.database, record)
        for number, damage in enumerate(self._damages):
            if (damage.thing, damage.problem) == (f"commit {record.name}", invariants.UNSEALED):
                how = (_SEALED if repair else _SEAL) if fits else _RESTORE
                self._damages[number] = replace(damage, repair=how, repaired=repair and fits)

    def _is_known(self, problem: str) -> bool:
        """Whether it is about a chunk that is told of by itself, with all that it hits."""
        chunk = problem.removeprefix("its chunk ").removesuffix(" is missing")
        return chunk in self._known

    def _note_hits(self, commit: str, root: str, impact: Impact) -> None:
        for hit in impact.of(root):
            self._note_hit(hit.chunk, f"{commit}:/{hit.where.lstrip('/')}")

    def _note_hit(self, chunk: str, where: str) -> None:
        self._counts[chunk] += 1
        hits = self._hits.setdefault(chunk, [])
        if len(hits) < _HITS_MAX:
            hits.append(where)

    def _check_others(self, seen: LiveSet, damaged: frozenset[str]) -> None:
        """Deltas, plans and logs: readable, and whether a damaged chunk is one of them."""
        reach = Reach(self._services.chunks, _Apart(seen))
        for kind, digest in seen.starts():
            name = digest.hex()
            if kind == Kind.TREE:
                continue  # of a commit: checked; of the trash, a file set or code: by the mark
            if name in damaged:
                self._note_hit(name, _OF_KIND[Kind(kind)])
            try:
                if kind == Kind.DELTA:
                    reach.delta(digest)
                elif kind in (Kind.DATUMS, Kind.OPEN_DATUMS):
                    liveness.read_plan(self._services.chunks, name)
            except TrunklineError as error:
                self._damages.append(
                    Damage(thing=_OF_KIND[Kind(kind)], problem=str(error), hits=())
                )


class _Apart:
    """Notes for a second walk beside a first one."""

    def __init__(self, seen: LiveSet) -> None:
        self._seen = seen

    def add(self, digests: Iterable[bytes]) -> None:
        """They were noted by the first walk."""

    def walk_once(self, kind: int, digests: Sequence[bytes]) -> list[bytes]:
        return self._seen.walk_once(kind + _CHECKED, digests)


_TOMBSTONE = "what is said of purged files"
_CHECKED = 100  # kinds of objects from here on are those of checks
_OF_KIND = {
    Kind.CHUNK: "the log of a datum, or the lock of a pipeline's packages",
    Kind.DELTA: "the changes of an open commit, or the remembered result of a datum",
    Kind.DATUMS: "the list of the datums of a job",
    Kind.OPEN_DATUMS: "the plan of a job that is at work",
}


def _told(path: str, problem: str) -> str:
    return f"/{path}: {problem}" if path else problem


def _no_pause() -> None:
    """Somebody waits for the answer."""
