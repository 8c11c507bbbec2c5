"""Erased files in the record of jobs: which datums read them, and what is left to say of those.

A datum that read an erased file is called by another key afterwards, one that no datum of any job
can have: what it did stays on the record, and its result can't be taken for that of another. What
it read is told without digest and size, its log is gone, and so is what is remembered of it.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from trunkline.db.database import Transaction
from trunkline.errors import NotFound
from trunkline.files.columns import Columns
from trunkline.files.delta import DeltaId, delta_rows
from trunkline.files.selection import Gathered, delta_without
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.segments import PlannedDatum, decode_segment, encode_segment
from trunkline.jobs.tables import HeldJob
from trunkline.pipelines import lifecycle
from trunkline.pipelines.datums import DatumFile
from trunkline.store.chunks import ChunkId
from trunkline.store.digests import Digest

__all__ = ["HeldJob"]

_NO_DIGEST = "0" * 64
_GONE = "what it read has been purged"

held_jobs = tables.held_jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a purge knows of the inputs of datums; `version` grows whenever it knows of more."""

    version: int
    reads: Callable[[DatumFile], bool]  # whether a file that is erased is in it
    hidden: Callable[[DatumFile], str]  # its path, as far as that may be told


class _Rewritten(NamedTuple):
    chunk: str
    keys: dict[str, str]  # old → new, of the datums that were renamed


class JobTraces:
    """The datums of jobs in the light of one purge. Looks at each segment once per version."""

    def __init__(self, trees: Trees, secret: bytes) -> None:
        """`secret` makes the new keys, so that nobody can tell by them what the old ones were."""
        self._trees = trees
        self._secret = secret
        self._version = self._size = -1
        self._keys: dict[str, frozenset[bytes]] = {}
        self._rewritten: dict[str, _Rewritten] = {}
        self._digests: dict[int, str] = {}

    def keys(self, tx: Transaction, job: HeldJob, reading: Reading) -> set[bytes]:
        """The keys of the datums of a job that read what is erased."""
        found: set[bytes] = set()
        self._begin(reading.version)
        for segment in tables.held_segments(tx, job):
            if segment.chunk not in self._keys:
                self._keys[segment.chunk] = frozenset(
                    bytes.fromhex(planned.key)
                    for planned in self._datums(segment.chunk)
                    if any(reading.reads(file) for file in planned.datum.files)
                )
            found |= self._keys[segment.chunk]
        return found

    def _begin(self, version: int, size: int | None = None) -> None:
        """Forget what was found when less was known; `size` is that of what is gone."""
        if version != self._version:
            self._keys.clear()
        if version != self._version or size not in (None, self._size):
            self._rewritten.clear()
            self._digests.clear()
        self._version, self._size = version, self._size if size is None else size

    def is_known(self, tx: Transaction, job: HeldJob) -> bool:
        """Whether it is known what the datums of a job were."""
        return bool(tables.held_segments(tx, job))

    def told_keys(self, tx: Transaction, job: HeldJob) -> set[bytes]:
        """The keys of the datums of a job of which it is known what their results were made of.

        Not of those with a `reference`: it may have been another one in the job that ran them.
        """
        return {
            bytes.fromhex(planned.key)
            for segment in tables.held_segments(tx, job)
            for planned in self._datums(segment.chunk)
            if not any(file.reference for file in planned.datum.files)
        }

    def rewrite(
        self,
        tx: Transaction,
        job: HeldJob,
        gone: frozenset[bytes],
        reading: Reading,
        *,
        write: bool,
    ) -> list[str]:
        """Rename the datums of an ended job that are among the `gone`.

        Returns the chunks with datums that others have replaced. Without `write` only what has to
        be stored for that is stored.
        """
        segments = tables.held_segments(tx, job)
        self._begin(reading.version, len(gone))
        done = {s.number: self._rewrite(s.chunk, gone, reading) for s in segments}
        keys = {old: new for one in done.values() for old, new in one.keys.items()}
        if not keys:
            return []
        digest = self._digest(job, [one.chunk for one in done.values()])
        replaced = [s for s in segments if done[s.number].chunk != s.chunk]
        if write:
            for segment in replaced:
                tables.replace_segment(tx, job, segment.number, done[segment.number].chunk)
            tables.blank_datums(tx, job, keys, reason=_GONE)
            told = any(key in job.reason for key in keys)
            reason = "a datum of it failed, and what that read has been purged"
            tables.replace_summary(tx, job, digest=digest, reason=reason if told else job.reason)
        return [segment.chunk for segment in replaced]

    def new_key(self, key: str) -> str:
        """What a datum is called once it has been purged."""
        return Digest(self._secret + bytes.fromhex(key)).hexdigest()

    def _rewrite(self, chunk: str, gone: frozenset[bytes], reading: Reading) -> _Rewritten:
        if chunk not in self._rewritten:
            datums = self._datums(chunk)
            keys = {d.key: self.new_key(d.key) for d in datums if bytes.fromhex(d.key) in gone}
            name = chunk
            if keys:
                told = [self._told(d, keys[d.key], reading) if d.key in keys else d for d in datums]
                name = self._trees.chunks.put(encode_segment(told))
            self._rewritten[chunk] = _Rewritten(name, keys)
        return self._rewritten[chunk]

    def _told(self, planned: PlannedDatum, key: str, reading: Reading) -> PlannedDatum:
        files = tuple(
            _emptied(file, reading.hidden(file)) if reading.reads(file) else file
            for file in planned.datum.files
        )
        return replace(planned, key=key, datum=replace(planned.datum, files=files))

    def _digest(self, job: HeldJob, segments: Iterable[str]) -> str:
        """The digest of the keys of a job, as its plan would have."""
        if job.number not in self._digests:
            digest = Digest()
            for chunk in segments:
                digest.update("".join(d.key for d in self._datums(chunk)).encode("ascii"))
            self._digests[job.number] = digest.hexdigest()
        return self._digests[job.number]

    def _datums(self, chunk: str) -> list[PlannedDatum]:
        return decode_segment(self._trees.chunks.get(ChunkId(chunk)))


class ResultTraces:
    """Remembered results in the light of one purge. Looks at each delta once per version."""

    def __init__(self, trees: Trees, gathered: Gathered, *, store: bool) -> None:
        """Without `store` nothing is stored in place of what would have to go."""
        self._trees = trees
        self._gathered = gathered
        self._store = store
        self._version = -1
        self._deltas: dict[tuple[str, str | None], tuple[DeltaId | None, frozenset[bytes]]] = {}

    def look(
        self,
        tx: Transaction,
        chosen: Callable[[str | None], tuple[int, Callable[[Columns], list[int]]]],
        *,
        write: frozenset[bytes] | None = None,
    ) -> dict[str | None, set[bytes]]:
        """The keys of datums of which a chosen row is remembered, by the repo they write to.

        `chosen` gives, for a repo (None where that isn't known any more), a number that changes
        with its choice, and the choice. With `write`, the results with these keys are forgotten,
        and what others share with chosen rows is taken apart from those.
        """
        repos = tables.repos_written(tx)
        found: dict[str | None, set[bytes]] = {}
        for result in tables.held_results(tx):
            repo = repos.get(result.job)
            version, rows = chosen(repo)
            output: list[str] = []
            for delta in filter(None, result.output.split(",")):
                rest, keys = self._delta(delta, version, rows, repo)
                found.setdefault(repo, set()).update(keys)
                if rest is not None:
                    output.append(rest)
            if write is None:
                continue
            if bytes.fromhex(result.key) in write:
                tables.delete_results(tx, [result.key])
            elif ",".join(output) != result.output:
                tables.replace_output(tx, result.key, output)
        return found

    def _delta(
        self, delta: str, version: int, rows: Callable[[Columns], list[int]], repo: str | None
    ) -> tuple[DeltaId | None, frozenset[bytes]]:
        place = (delta, repo)
        if version != self._version:
            self._deltas.clear()
            self._version = version
        if place not in self._deltas:
            mine = Gathered()
            rest = delta_without(
                self._trees,
                DeltaId(delta),
                rows,
                drops=lambda _: False,
                gathered=mine,
                store=self._store,
            )
            self._gathered.chunks |= mine.chunks
            self._deltas[place] = (rest, frozenset(mine.datums))
        return self._deltas[place]


def restart(tx: Transaction, job: HeldJob) -> bool:
    """Begin a job again from its start, if it is open."""
    if job.state.ended or job.deleted:
        return False
    tables.restart_job(tx, job.number)
    return True


def remembered(tx: Transaction, keys: Iterable[bytes]) -> list[list[bytes]]:
    """The chunks that name what datums made and printed, for each that is remembered."""
    results = tables.results_of(tx, [key.hex() for key in keys])
    return [[bytes.fromhex(name) for name in (*r.output, *r.log)] for r in results.values()]


def joins_outputs(tx: Transaction, job: HeldJob) -> bool:
    """Whether files of a job may hold what several datums wrote; true where it isn't known."""
    try:
        record = lifecycle.get(tx, job.pipeline, version=job.version)
    except NotFound:  # the pipeline was deleted
        return True
    return lifecycle.spec_of(record).output_merge == "concat"


def paths_written(tx: Transaction, trees: Trees, keys: Collection[str]) -> set[str] | None:
    """The paths that datums wrote; None if it isn't remembered of one of them."""
    results = tables.results_of(tx, list(keys))
    if len(results) < len(keys):
        return None
    deltas = dict.fromkeys(delta for result in results.values() for delta in result.output)
    return {
        row.path
        for delta in deltas
        for row in delta_rows(trees, DeltaId(delta))
        if row.datum in results
    }


def _emptied(file: DatumFile, path: str) -> DatumFile:
    """What is left to say of a file; its keys are parts of its path, and are hidden with it."""
    emptied = replace(file, path=path, size_bytes=0, digest=_NO_DIGEST)
    return emptied if path == file.path else replace(emptied, join_on=None, group_by=None)
