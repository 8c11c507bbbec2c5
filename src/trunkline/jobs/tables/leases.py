"""SQL on the planned datums of jobs, which are in segments, and on leases of them.

One function is one statement.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from trunkline.db.database import Row, Soon, Transaction, among
from trunkline.versions.counter import next_number, next_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRecord:
    number: int
    chunk: str
    first: int
    fresh: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    id: int
    job: int
    first: int
    until: int
    worker: str


def insert_segments(tx: Transaction, job: int, segments: Iterable[SegmentRecord]) -> None:
    tx.execute("DELETE FROM job_segment WHERE job = :job", job=job)
    tx.execute_many(
        """INSERT INTO job_segment (job, number, chunk, first, fresh, total)
           VALUES (:job, :number, :chunk, :first, :fresh, :total)""",
        ({"job": job, **asdict(segment)} for segment in segments),
    )


def segments_of(tx: Transaction, job: int) -> list[SegmentRecord]:
    rows = tx.rows(
        "SELECT number, chunk, first, fresh, total FROM job_segment WHERE job = :job"
        " ORDER BY number",
        job=job,
    )
    return [_segment(row) for row in rows]


def segments_between(tx: Transaction, job: int, first: int, until: int) -> list[SegmentRecord]:
    """The segments that hold the fresh datums [first, until)."""
    return segments_between_soon(tx, job, first, until)()


def segments_between_soon(
    tx: Transaction, job: int, first: int, until: int
) -> Soon[list[SegmentRecord]]:
    """`segments_between`, asked for now and told later."""
    answer = tx.ask(
        """SELECT number, chunk, first, fresh, total FROM job_segment
           WHERE job = :job AND first < :until AND first + fresh > :first ORDER BY number""",
        job=job,
        first=first,
        until=until,
    )
    return lambda: [_segment(row) for row in answer()]


def take_lost_leases_soon(tx: Transaction, job: int, most: int) -> Soon[list[LeaseRecord]]:
    """Remove the first leases of a job that have to be handed out again; told later."""
    answer = tx.ask(
        """DELETE FROM lease WHERE id IN (
             SELECT id FROM lease WHERE job = :job AND state = 'lost' ORDER BY id LIMIT :most)
           RETURNING id, job, first, until, worker""",
        job=job,
        most=most,
    )
    return lambda: sorted(map(_lease, answer()), key=lambda lease: lease.id)


def record_leases(tx: Transaction, leases: Iterable[LeaseRecord], *, state: str = "active") -> None:
    """Insert leases whose numbers were given out before."""
    tx.execute_many(
        """INSERT INTO lease (id, job, first, until, worker, state)
           VALUES (:id, :job, :first, :until, :worker, :state)""",
        ({**asdict(lease), "state": state} for lease in leases),
    )


def leases_ahead_soon(tx: Transaction, job: int) -> Soon[list[tuple[int, int]]]:
    """The spans that leases of a job have behind what was handed out in its turn; told later."""
    answer = tx.ask(
        "SELECT first, until FROM lease WHERE job = :job "
        "AND first >= (SELECT leased FROM job WHERE number = :job)",
        job=job,
    )
    return lambda: [(int(start), int(end)) for start, end in answer()]


def advance_leased(tx: Transaction, job: int, until: int) -> None:
    tx.execute("UPDATE job SET leased = :until WHERE number = :job", job=job, until=until)


def active_among(tx: Transaction, leases: Collection[int]) -> set[int]:
    """Those of some leases whose holders may still report: the fence."""
    return active_among_soon(tx, leases)()


def active_among_soon(tx: Transaction, leases: Collection[int]) -> Soon[set[int]]:
    """`active_among`, asked for now and told later."""
    marks, names = among(leases)
    answer = tx.ask(f"SELECT id FROM lease WHERE id IN {marks} AND state = 'active'", **names)
    return lambda: {int(lease) for (lease,) in answer()}


def lose_lease(tx: Transaction, lease: int) -> None:
    tx.execute("UPDATE lease SET state = 'lost' WHERE id = :lease", lease=lease)


def shorten_lease(tx: Transaction, lease: LeaseRecord, until: int) -> LeaseRecord:
    """End a lease earlier; what it had behind that is handed out again."""
    tx.execute("UPDATE lease SET until = :until WHERE id = :id", id=lease.id, until=until)
    record_leases(tx, [replace(lease, id=next_number(tx), first=until)], state="lost")
    return replace(lease, until=until)


def split_lease(tx: Transaction, lease: LeaseRecord, positions: Sequence[int]) -> None:
    """Replace a lease by lost ones of one datum each."""
    end_leases(tx, [lease.id])
    record_leases(
        tx,
        [
            replace(lease, id=number, first=position, until=position + 1)
            for number, position in zip(next_numbers(tx, len(positions)), positions, strict=True)
        ],
        state="lost",
    )


def lose_all_leases(tx: Transaction) -> None:
    """At start: no worker of an earlier server can report any more."""
    tx.execute("UPDATE lease SET state = 'lost'")


def lose_leases_of(tx: Transaction, job: int) -> None:
    """Its workers were ended, and none of them can report any more."""
    tx.execute("UPDATE lease SET state = 'lost' WHERE job = :job", job=job)


def end_leases(tx: Transaction, leases: Collection[int]) -> None:
    marks, names = among(leases)
    tx.execute(f"DELETE FROM lease WHERE id IN {marks}", **names)


def end_leases_of(tx: Transaction, job: int) -> None:
    tx.execute("DELETE FROM lease WHERE job = :job", job=job)


def lost_leases(tx: Transaction, job: int) -> int:
    row = tx.row("SELECT COUNT(*) FROM lease WHERE job = :job AND state = 'lost'", job=job)
    return int(row[0]) if row else 0


def _segment(row: Row) -> SegmentRecord:
    number, chunk, first, fresh, total = row
    return SegmentRecord(number=number, chunk=chunk, first=first, fresh=fresh, total=total)


def _lease(row: Row) -> LeaseRecord:
    lease, job, first, until, worker = row
    return LeaseRecord(id=lease, job=job, first=first, until=until, worker=worker)
