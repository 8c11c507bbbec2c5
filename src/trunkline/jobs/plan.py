"""Which datums of a job are fresh, and which have a remembered result.

Pure: datums and look-ups come in as arguments. Works in batches, so that a job of any size is
planned in bounded memory.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, takewhile

from trunkline.jobs.segments import SEGMENT_DATUMS, SEGMENT_FILES, PlannedDatum
from trunkline.model.pipelines import Batches
from trunkline.pipelines.datums import Datum

_BATCH_LEAST = 8  # datums for a process that is started for them
_LEASE_LEAST_S = 0.02  # a lease of less work takes longer to make than to do
_LEASE_S = 0.5  # of work in a lease
_BATCH_S = 10.0  # in that of a process which is started for it
_REPORT_S = 0.25  # between two reports of a worker
_LEASES_PER_S, _REPORTS_PER_S = 200, 400  # of a job, however many its workers are


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSegment:
    datums: list[PlannedDatum]
    fresh: int

    @property
    def keys(self) -> bytes:
        """All keys in a row, for the digest of a plan."""
        return "".join(planned.key for planned in self.datums).encode("ascii")


def plan_datums(
    datums: Iterable[Datum],
    *,
    key_of: Callable[[Datum], str],
    remembered: Callable[[list[str]], set[str]],
    may_repeat: bool,
    reprocess: bool = False,
) -> Iterator[PlannedSegment]:
    """The datums in segments, in their order, each marked as fresh or remembered.

    `remembered` tells which of some keys have a result. `may_repeat` says that the input can yield
    the same datum twice (a union): repetitions are left out. `reprocess` makes all datums fresh.
    """
    seen: set[bytes] = set()
    for batch in _batches(datums):
        keyed = [(key_of(datum), datum) for datum in batch]
        if may_repeat:
            keyed = _first_time(keyed, seen)
        known = set() if reprocess else remembered([key for key, _ in keyed])
        planned = [
            PlannedDatum(key=key, fresh=key not in known, datum=datum) for key, datum in keyed
        ]
        yield PlannedSegment(datums=planned, fresh=sum(p.fresh for p in planned))


def _batches(datums: Iterable[Datum]) -> Iterator[list[Datum]]:
    batch: list[Datum] = []
    files = 0
    for datum in datums:
        files += len(datum.files)
        if batch and (len(batch) == SEGMENT_DATUMS or files > SEGMENT_FILES):
            yield batch
            batch, files = [], len(datum.files)
        batch.append(datum)
    if batch:
        yield batch


def _first_time(keyed: list[tuple[str, Datum]], seen: set[bytes]) -> list[tuple[str, Datum]]:
    first = []
    for key, datum in keyed:
        mark = bytes.fromhex(key)
        if mark not in seen:
            seen.add(mark)
            first.append((key, datum))
    return first


def batch_size(
    batches: Batches, *, fresh: int, workers: int, sizes: Callable[[], Iterable[int]]
) -> int | None:
    """How many datums the spec wants in the next batch of a job with `fresh` ones; None: no wish.

    `sizes` are the input bytes of the datums that come next.
    """
    wishes = []
    if batches.number:
        wishes.append(batches.number)
    if batches.per_worker:
        wishes.append(-(-fresh // (max(1, workers) * batches.per_worker)))
    if batches.size_bytes:
        filled = accumulate(sizes())
        wishes.append(1 + sum(1 for _ in takewhile(lambda size: size < batches.size_bytes, filled)))
    return min(wishes, default=None)


def lease_size(
    *,
    remaining: int,
    workers: int,
    datum_s: float | None,
    batching: bool = False,
    wish: int | None = None,
    most: int = 0,
) -> int:
    """How many datums to hand to one worker at once: what the spec wishes, but at most `most`.

    Without a wish about half a second of work, as far as the duration of a datum is known, or more
    for very many workers; and never so many that the others run dry for longer than making a lease
    takes. `batching`: a process is started for each lease and may take long to start, so more work,
    and a few even at the end.
    """
    least = 1 if datum_s is None else int(_LEASE_LEAST_S / max(datum_s, 0.0005))
    fair = max(1, remaining // (2 * max(1, workers)), min(remaining, least))
    seconds, unknown = max(_LEASE_S, workers / _LEASES_PER_S), 4
    if batching:
        fair, seconds, unknown = max(fair, min(remaining, _BATCH_LEAST)), _BATCH_S, _BATCH_LEAST
    wanted = unknown if datum_s is None else int(seconds / max(datum_s, 0.0005))
    size = min(fair, wanted) if wish is None else wish
    return max(1, min(size, most or size, SEGMENT_DATUMS))


def report_s(workers: int) -> float:
    """How often each of so many workers is to report, in seconds between two reports."""
    return max(_REPORT_S, workers / _REPORTS_PER_S)
