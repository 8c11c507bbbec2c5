"""Cron inputs: which ticks of their schedules are due, and how far each has been followed.

A tick becomes a file of the input's repo. What is recorded of a schedule changes in the transaction
that commits its ticks, so that each of them is made once, whatever happens in between:

* ticks that were missed (no server ran, the clock was set forward) are all made, as in Pachyderm,
  but those that are found at one look come in one commit, TICKS_MAX at most: after a day's pause
  there is one job with many datums, and not one job for each tick;
* a clock that was set back by less than `schedules.SET_BACK_MAX` is waited for; one that was set
  back by more had been wrong, and its schedules begin anew.

The clock is an argument everywhere. The caller makes the commits, in the same transaction.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice, takewhile

from trunkline.db.database import Transaction
from trunkline.errors import InvalidInput, shown
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines import cron_tables
from trunkline.pipelines.cron_tables import CronRow
from trunkline.pipelines.inputs import cron_leaves
from trunkline.versions import schedules

__all__ = ["CronRow"]

TICKS_MAX = 10_000  # of one commit
BACKLOG_MAX = 100_000  # ticks between `start` and now, when the input is made


# --- pure -----------------------------------------------------------------------------------------


def begin(row: CronRow, now: datetime) -> CronRow:
    """The schedule from its start on; raises InvalidInput for a start that is too long ago."""
    missed = takewhile(lambda tick: tick <= now, _ticks(row.schedule, row.start))
    if sum(1 for _ in islice(missed, BACKLOG_MAX + 1)) > BACKLOG_MAX:
        raise InvalidInput(
            f"since {name_of(row.start)} there were more than {BACKLOG_MAX:,} ticks of "
            f"{shown(row.schedule)}, and all of them would be made; give a later start"
        )
    return replace(row, evaluated=now, next=next(_ticks(row.schedule, row.start), None))


def advance(
    row: CronRow, now: datetime, *, most: int = TICKS_MAX
) -> tuple[CronRow, list[datetime]]:
    """How far the schedule is followed after a look at the clock, and the ticks to make.

    Where more than `most` are due, the oldest of them; another look has the next ones at once.
    """
    if now < row.evaluated - schedules.SET_BACK_MAX:
        waits = row.start > row.evaluated  # for a start that was given, and not come to yet
        start = row.start if waits else now.replace(microsecond=0)
        return replace(
            row, start=start, evaluated=now, next=next(_ticks(row.schedule, start), None)
        ), []
    if row.next is None or now < row.next:
        return row, []
    due: list[datetime] = []
    following: datetime | None = None
    for tick in chain([row.next], _ticks(row.schedule, row.next)):
        if tick > now or len(due) == most:
            following = tick
            break
        due.append(tick)
    rest = following is not None and following <= now
    return replace(row, evaluated=due[-1] if rest else now, next=following), due


def name_of(tick: datetime, *, exact: bool = False) -> str:
    """The file that a tick is: its time in RFC 3339, to the second or `exact`."""
    return tick.astimezone(UTC).strftime(f"%Y-%m-%dT%H:%M:%S{'.%f' if exact else ''}Z")


def _ticks(schedule: str, after: datetime) -> Iterator[datetime]:
    return iter(()) if schedule.strip() == schedules.NEVER else schedules.ticks(schedule, after)


# --- in the catalog -------------------------------------------------------------------------------


def follow(
    tx: Transaction, pipeline: PipelineSpec, *, owned: Collection[str], now: datetime
) -> None:
    """Record the cron inputs of a pipeline that was created or updated; `owned` repos are new.

    A schedule that stays is followed as before, and a new one from where that of its repo was:
    what was made once is not made again. Raises InvalidInput.
    """
    before = {row.repo: row for row in cron_tables.crons_of(tx, pipeline.name)}
    for leaf, cron in cron_leaves(pipeline.input):
        old = before.pop(leaf.repo, None)
        start = cron.start or now.replace(microsecond=0)
        row = CronRow(
            pipeline=pipeline.name,
            repo=leaf.repo,
            schedule=cron.spec,
            overwrite=cron.overwrite,
            owned=leaf.repo in owned if old is None else old.owned,
            start=start if old is None else max(start, old.evaluated.replace(microsecond=0)),
            evaluated=now,
            next=None,
        )
        stays = old is not None and old.schedule == cron.spec
        if old is not None and stays and (cron.start is None or cron.start <= old.evaluated):
            row = replace(old, overwrite=cron.overwrite)
        else:
            row = begin(row, now)
        cron_tables.save(tx, row)
    for gone in before.values():
        cron_tables.remove(tx, gone)


def crons_of(tx: Transaction, pipeline: str) -> list[CronRow]:
    """The cron inputs of a pipeline."""
    return cron_tables.crons_of(tx, pipeline)


def cron_writing(tx: Transaction, repo: str) -> CronRow | None:
    """A cron input whose ticks go to a repo, if any do."""
    return cron_tables.cron_writing(tx, repo)


def pipelines_due(tx: Transaction, now: datetime) -> list[str]:
    """The pipelines with cron inputs that are to be looked at now."""
    return cron_tables.pipelines_due(tx, now, now + schedules.SET_BACK_MAX)


def next_tick(tx: Transaction, after: datetime) -> datetime | None:
    """When the first of all cron inputs has a tick after a moment."""
    return cron_tables.next_tick(tx, after)


def record(tx: Transaction, row: CronRow) -> None:
    """How far a schedule has been followed, in the transaction that commits its ticks."""
    cron_tables.save(tx, row)
