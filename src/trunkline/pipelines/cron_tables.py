"""All SQL on cron inputs; one function is one statement. No rule is decided here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trunkline.db.database import Row, Transaction, Value
from trunkline.db.times import from_microseconds, to_microseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class CronRow:
    """A cron input of a pipeline, and how far its schedule has been followed.

    No tick up to `evaluated` is outstanding, but those from `next` on; None: there will be none.
    """

    pipeline: str  # full name
    repo: str  # full name
    schedule: str
    overwrite: bool
    owned: bool  # the repo was made for it, and goes with the pipeline
    start: datetime
    evaluated: datetime
    next: datetime | None


_COLUMNS = ("repo", "schedule", "overwrite", "owned", "start_us", "evaluated_us", "next_us")
_ROW = (
    "SELECT p.name, repo, schedule, overwrite, owned, start_us, evaluated_us, next_us "
    "FROM pipeline_cron c JOIN pipeline p ON p.number = c.pipeline"
)
# What is kept of them in the trash; a test compares it with the schema.
KEPT_COLUMNS: dict[str, tuple[str, ...]] = {"pipeline_cron": _COLUMNS}


def crons_of(tx: Transaction, pipeline: str) -> list[CronRow]:
    """Those of a pipeline, by repo."""
    rows = tx.rows(f"{_ROW} WHERE p.name = :pipeline ORDER BY c.repo", pipeline=pipeline)
    return [_row(row) for row in rows]


def cron_writing(tx: Transaction, repo: str) -> CronRow | None:
    """A cron input whose ticks go to a repo."""
    row = tx.row(f"{_ROW} WHERE c.repo = :repo ORDER BY c.pipeline LIMIT 1", repo=repo)
    return None if row is None else _row(row)


def pipelines_due(tx: Transaction, now: datetime, set_back: datetime) -> list[str]:
    """Those with a next tick that is not after now, or evaluated after `set_back`."""
    rows = tx.rows(
        "SELECT DISTINCT p.name FROM pipeline_cron c JOIN pipeline p ON p.number = c.pipeline "
        "WHERE c.next_us <= :now OR c.evaluated_us > :back ORDER BY p.name",
        now=to_microseconds(now),
        back=to_microseconds(set_back),
    )
    return [str(name) for (name,) in rows]


def next_tick(tx: Transaction, after: datetime) -> datetime | None:
    """When the first of all schedules has a tick after a moment."""
    row = tx.row(
        "SELECT MIN(next_us) FROM pipeline_cron WHERE next_us > :after",
        after=to_microseconds(after),
    )
    return None if row is None or row[0] is None else from_microseconds(row[0])


def save(tx: Transaction, cron: CronRow) -> None:
    """Record a cron input in place of what is known of it."""
    remove(tx, cron)
    _insert(
        tx,
        cron.pipeline,
        (
            *(cron.repo, cron.schedule, int(cron.overwrite), int(cron.owned)),
            *(to_microseconds(cron.start), to_microseconds(cron.evaluated)),
            None if cron.next is None else to_microseconds(cron.next),
        ),
    )


def remove(tx: Transaction, cron: CronRow) -> None:
    tx.execute(
        "DELETE FROM pipeline_cron WHERE repo = :repo AND pipeline = "
        "(SELECT number FROM pipeline WHERE name = :pipeline)",
        repo=cron.repo,
        pipeline=cron.pipeline,
    )


def rows_of(tx: Transaction, pipeline: str) -> list[Row]:
    """Those of a pipeline as rows, to be kept."""
    rows = tx.rows(f"{_ROW} WHERE p.name = :pipeline ORDER BY c.repo", pipeline=pipeline)
    return [row[1:] for row in rows]


def put_rows(tx: Transaction, pipeline: str, rows: Sequence[Sequence[Value]]) -> None:
    """Insert rows as they were kept."""
    for row in rows:
        _insert(tx, pipeline, row)


def _insert(tx: Transaction, pipeline: str, row: Sequence[Value]) -> None:
    tx.execute(
        "INSERT INTO pipeline_cron "
        "(pipeline, repo, schedule, overwrite, owned, start_us, evaluated_us, next_us) "
        "SELECT number, :repo, :schedule, :overwrite, :owned, :start_us, :evaluated_us, :next_us "
        "FROM pipeline WHERE name = :_name",
        _name=pipeline,
        **dict(zip(_COLUMNS, row, strict=True)),
    )


def _row(row: Row) -> CronRow:
    pipeline, repo, schedule, overwrite, owned, start_us, evaluated_us, next_us = row
    return CronRow(
        pipeline=pipeline,
        repo=repo,
        schedule=schedule,
        overwrite=bool(overwrite),
        owned=bool(owned),
        start=from_microseconds(start_us),
        evaluated=from_microseconds(evaluated_us),
        next=None if next_us is None else from_microseconds(next_us),
    )
