"""SQL on the planned datums of jobs, which are in segments, and on leases of them.

One function is one statement.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from trunkline.db.database import Row, Transaction
from trunkline.versions.counter import next_number


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
    rows = tx.rows(
        """SELECT number, chunk, first, fresh, total FROM job_segment
           WHERE job = :job AND first < :until AND first + fresh > :first ORDER BY number""",
        job=job,
        first=first,
        until=until,
    )
    return [_segment(row) for row in rows]


def take_lost_lease(tx: Transaction, job: int) -> LeaseRecord | None:
    """Remove and return the first lease of a job that has to be handed out again."""
    row = tx.row(
        """DELETE FROM lease WHERE id = (
             SELECT MIN(id) FROM lease WHERE job = :job AND state = 'lost')
           RETURNING id, job, first, until, worker""",
        job=job,
    )
    return _lease(row) if row else None


def insert_lease(
    tx: Transaction, job: int, *, first: int, until: int, worker: str, state: str = "active"
) -> LeaseRecord:
    row = tx.row(
        """INSERT INTO lease (id, job, first, until, worker, state)
           VALUES (:id, :job, :first, :until, :worker, :state)
           RETURNING id, job, first, until, worker""",
        id=next_number(tx),  # the fencing token: never one that was used before
        job=job,
        first=first,
        until=until,
        worker=worker,
        state=state,
    )
    assert row is not None
    return _lease(row)


def record_lease(tx: Transaction, lease: LeaseRecord) -> None:
    """Insert an active lease whose number was given out before."""
    tx.execute(
        """INSERT INTO lease (id, job, first, until, worker, state)
           VALUES (:id, :job, :first, :until, :worker, 'active')""",
        **asdict(lease),
    )


def lease_from(tx: Transaction, job: int, first: int) -> LeaseRecord | None:
    """The first lease of a job at this position or behind it."""
    row = tx.row(
        "SELECT id, job, first, until, worker FROM lease WHERE job = :job AND first >= :first"
        " ORDER BY first LIMIT 1",
        job=job,
        first=first,
    )
    return _lease(row) if row else None


def advance_leased(tx: Transaction, job: int, until: int) -> None:
    tx.execute("UPDATE job SET leased = :until WHERE number = :job", job=job, until=until)


def active_lease(tx: Transaction, lease: int) -> LeaseRecord | None:
    """The lease, if its holder may still report; None is the fence."""
    row = tx.row(
        "SELECT id, job, first, until, worker FROM lease WHERE id = :lease AND state = 'active'",
        lease=lease,
    )
    return _lease(row) if row else None


def lose_lease(tx: Transaction, lease: int) -> None:
    tx.execute("UPDATE lease SET state = 'lost' WHERE id = :lease", lease=lease)


def shorten_lease(tx: Transaction, lease: LeaseRecord, until: int) -> LeaseRecord:
    """End a lease earlier; what it had behind that is handed out again."""
    tx.execute("UPDATE lease SET until = :until WHERE id = :id", id=lease.id, until=until)
    insert_lease(tx, lease.job, first=until, until=lease.until, worker=lease.worker, state="lost")
    return replace(lease, until=until)


def split_lease(tx: Transaction, lease: LeaseRecord, positions: Sequence[int]) -> None:
    """Replace a lease by lost ones of one datum each."""
    end_lease(tx, lease.id)
    for position in positions:
        insert_lease(
            tx, lease.job, first=position, until=position + 1, worker=lease.worker, state="lost"
        )


def lose_all_leases(tx: Transaction) -> None:
    """At start: no worker of an earlier server can report any more."""
    tx.execute("UPDATE lease SET state = 'lost'")


def lose_leases_of(tx: Transaction, job: int) -> None:
    """Its workers were ended, and none of them can report any more."""
    tx.execute("UPDATE lease SET state = 'lost' WHERE job = :job", job=job)


def end_lease(tx: Transaction, lease: int) -> None:
    tx.execute("DELETE FROM lease WHERE id = :lease", lease=lease)


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
