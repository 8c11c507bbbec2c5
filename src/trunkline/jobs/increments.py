"""What the datums of incremental pipelines go on from: their last result, and what was added since.

The last result of a datum is that of the same paths in the same pipeline with the same salt,
whichever job it came from; what it was made of is read in that job's plan. Whatever is gone by now
(the result, the job, the input of then) leaves nothing to go on from, and the datum is processed
from the beginning. So is one of whose input something was changed or removed: only what is added
to can be gone on with, whatever the code does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trunkline.db.database import Database, Transaction
from trunkline.errors import TrunklineError
from trunkline.files.delta import DeltaId, delta_rows
from trunkline.files.manifest import FileRow, RootId
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.segments import (
    PlannedDatum,
    decode_segment,
    encode_segment,
    fresh_of_segment,
)
from trunkline.model.pipelines import PipelineSpec
from trunkline.model.versions import Side
from trunkline.pipelines.datums import DatumFile
from trunkline.pipelines.identity import datum_place
from trunkline.store.chunks import ChunkId


def goes_on(pipeline: PipelineSpec) -> bool:
    """Whether datums of a pipeline go on from their last results."""
    return pipeline.incremental and not pipeline.reprocess_every_job


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The last result of a datum: what it was then, and the deltas with what it wrote."""

    planned: PlannedDatum
    output: tuple[str, ...]

    def as_message(self) -> dict[str, Any]:
        segment = encode_segment([self.planned]).decode("utf-8")
        return {"datum": segment, "output": list(self.output)}

    @staticmethod
    def parse(message: Mapping[str, Any] | None) -> "Before | None":
        if message is None:
            return None
        [planned] = decode_segment(message["datum"].encode("utf-8"))
        return Before(planned=planned, output=tuple(message["output"]))


def note_result(
    tx: Transaction, pipeline: str, salt: str, planned: PlannedDatum, *, job: int, position: int
) -> None:
    """A datum of a job has a result, which the next one with its paths can go on from."""
    place = datum_place(pipeline, planned.datum, salt)
    tables.put_increment(tx, place, key=planned.key, job=job, position=position)


def befores(
    database: Database,
    trees: Trees,
    pipeline: str,
    salt: str,
    datums: Mapping[int, PlannedDatum],
) -> dict[str, Any]:
    """For a message: the last results of some datums, by position; those that have one."""
    found: dict[str, Any] = {}
    for position, planned in datums.items():
        before = _before(database, trees, datum_place(pipeline, planned.datum, salt))
        if before is not None:
            found[str(position)] = before.as_message()
    return found


def _before(database: Database, trees: Trees, place: str) -> Before | None:
    with database.read() as tx:
        last = tables.increment_of(tx, place)
        if last is None:
            return None
        key, job, position = last
        result = tables.results_of(tx, [key]).get(key)
        segments = tables.segments_between(tx, job, position, position + 1)
    if result is None or not segments:
        return None
    [segment] = segments
    try:
        fresh = fresh_of_segment(trees.chunks.get(ChunkId(segment.chunk)))
    except TrunklineError:
        return None
    planned = fresh[position - segment.first]
    return Before(planned=planned, output=result.output) if planned.key == key else None


class Increment:
    """How a datum goes on from its last result."""

    def __init__(self, trees: Trees, before: Before) -> None:
        self._trees = trees
        self._before = before
        self._old = {(file.name, file.path): file for file in before.planned.datum.files}

    def possible(self, planned: PlannedDatum) -> bool:
        """Whether all that the datum was given then is there now, unchanged."""
        try:
            return all(
                side is Side.NEW for file in planned.datum.files for side, _ in self._diff(file)
            )
        except TrunklineError:  # what was read then is gone
            return False

    def added(self, file: DatumFile) -> Iterator[FileRow]:
        """The rows that an input gives and did not give then."""
        return (row for _, row in self._diff(file))

    def output(self) -> Iterator[FileRow]:
        """What the datum wrote then."""
        for delta in self._before.output:
            for row in delta_rows(self._trees, DeltaId(delta)):
                if row.datum == self._before.planned.key:
                    yield row

    def _diff(self, file: DatumFile) -> Iterator[tuple[Side, FileRow]]:
        old = self._old[file.name, file.path]
        return self._trees.diff(RootId(file.root), file.path, RootId(old.root), old.path)
