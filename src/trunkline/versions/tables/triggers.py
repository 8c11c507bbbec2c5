"""SQL on the triggers of branches."""

from datetime import datetime

from trunkline.db.database import Row, Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.model.versions import BranchTrigger
from trunkline.versions.records import TriggerRow
from trunkline.versions.tables.branches import branch_numbered

_TRIGGER = (
    "SELECT t.branch, t.source, s.name, t.size, t.commits, t.cron, t.all_of, t.evaluated_us, "
    "t.next_us, t.tick_due FROM branch_trigger t JOIN branch s ON s.number = t.source"
)


def replace_trigger(
    tx: Transaction,
    branch: int,
    source: int,
    trigger: BranchTrigger,
    *,
    evaluated: datetime | None,
    next_tick: datetime | None,
) -> None:
    remove_trigger(tx, branch)
    tx.execute(
        "INSERT INTO branch_trigger "
        "(branch, source, size, commits, cron, all_of, evaluated_us, next_us) VALUES "
        "(:branch, :source, :size, :commits, :cron, :all_of, :evaluated, :next)",
        branch=branch,
        source=source,
        size=trigger.size,
        commits=trigger.commits,
        cron=trigger.cron,
        all_of=int(trigger.all),
        evaluated=None if evaluated is None else to_microseconds(evaluated),
        next=None if next_tick is None else to_microseconds(next_tick),
    )


def remove_trigger(tx: Transaction, branch: int) -> None:
    tx.execute("DELETE FROM branch_trigger WHERE branch = :branch", branch=branch)


def trigger_of(tx: Transaction, branch: int) -> TriggerRow | None:
    row = tx.row(f"{_TRIGGER} WHERE t.branch = :branch", branch=branch)
    return None if row is None else _row(tx, row)


def triggers_around(tx: Transaction, branch: int) -> list[TriggerRow]:
    """The trigger of a branch, and those that it is the source of, by the number of the branch."""
    found = tx.rows(
        f"{_TRIGGER} WHERE t.branch = :branch UNION {_TRIGGER} WHERE t.source = :branch ORDER BY 1",
        branch=branch,
    )
    return [_row(tx, row) for row in found]


def triggers_due(tx: Transaction, now: datetime, set_back: datetime) -> list[TriggerRow]:
    """Those whose next tick is not after now, and those evaluated after `set_back`."""
    found = tx.rows(
        f"{_TRIGGER} WHERE t.next_us <= :now UNION "
        f"{_TRIGGER} WHERE t.evaluated_us > :back AND t.next_us IS NOT NULL ORDER BY 1",
        now=to_microseconds(now),
        back=to_microseconds(set_back),
    )
    return [_row(tx, row) for row in found]


def next_tick(tx: Transaction) -> datetime | None:
    """When the first of all schedules has its next tick."""
    row = tx.row("SELECT MIN(next_us) FROM branch_trigger")
    return None if row is None or row[0] is None else from_microseconds(row[0])


def set_clock(
    tx: Transaction, branch: int, *, evaluated: datetime, next_tick: datetime, due: bool
) -> None:
    """Record how far a schedule was followed; a tick that is due stays due."""
    tx.execute(
        "UPDATE branch_trigger SET evaluated_us = :evaluated, next_us = :next, "
        "tick_due = CASE WHEN :due = 1 THEN 1 ELSE tick_due END WHERE branch = :branch",
        branch=branch,
        evaluated=to_microseconds(evaluated),
        next=to_microseconds(next_tick),
        due=int(due),
    )


def use_tick(tx: Transaction, branch: int) -> None:
    tx.execute("UPDATE branch_trigger SET tick_due = 0 WHERE branch = :branch", branch=branch)


def flows_to(tx: Transaction, branch: int) -> set[int]:
    """A branch and all that its commits get to: by provenance, by triggers, or by both in turn."""
    found = {branch}
    waiting = [branch]
    while waiting:  # no recursive query: it may name itself only once to be portable
        rows = tx.rows(
            "SELECT derived FROM branch_provenance WHERE source = :branch "
            "UNION SELECT branch FROM branch_trigger WHERE source = :branch",
            branch=waiting.pop(),
        )
        new = {int(number) for (number,) in rows} - found
        found |= new
        waiting += new
    return found


def run_reaches(tx: Transaction, run: str, branch: int) -> bool:
    """Whether a run has a commit in the repo of a branch that is derived from this one.

    A deleted one counts: it may come back.
    """
    row = tx.row(
        "WITH RECURSIVE down(number) AS ("
        " SELECT derived FROM branch_provenance WHERE source = :branch AND quiet = 0 UNION"
        " SELECT e.derived FROM branch_provenance e JOIN down ON e.source = down.number"
        " WHERE e.quiet = 0) "
        "SELECT 1 FROM down JOIN branch b ON b.number = down.number WHERE EXISTS "
        "(SELECT 1 FROM commit_record c WHERE c.id = :run AND c.repo = b.repo) OR EXISTS "
        "(SELECT 1 FROM trash_commit t WHERE t.id = :run AND t.repo = b.repo) LIMIT 1",
        run=run,
        branch=branch,
    )
    return row is not None


def _row(tx: Transaction, row: Row) -> TriggerRow:
    branch, source, source_name, size, commits, cron, all_of, evaluated_us, next_us, due = row
    target, watched = branch_numbered(tx, branch), branch_numbered(tx, source)
    assert target is not None, "a trigger goes with its branches"
    assert watched is not None, "a trigger goes with its branches"
    return TriggerRow(
        branch=target,
        source=watched,
        trigger=BranchTrigger(
            source=source_name, size=size, commits=commits, cron=cron, all=bool(all_of)
        ),
        evaluated=None if evaluated_us is None else from_microseconds(evaluated_us),
        next_tick=None if next_us is None else from_microseconds(next_us),
        tick_due=bool(due),
    )
