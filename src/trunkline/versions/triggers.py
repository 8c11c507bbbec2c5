"""Triggers: a branch whose head follows that of another branch when enough has come together.

The rule is about what is there, not about events: whenever a commit finishes on the source, or one
of the two branches is moved, or the schedule has a tick, the newest good commit of the source is
compared with the target's head. When the conditions are met, the target moves to it in the same
transaction, and the commits that become due downstream are opened.

* size: that commit is so many bytes larger than the target's head (as in Pachyderm 2.x; what was
  deleted meanwhile counts against what was added);
* commits: so many commits lie between the two;
* cron: the schedule has had a tick. Ticks that passed while nobody looked count as one, and a tick
  that finds nothing new is used up, unless other conditions have to be met as well.

A branch has at most one trigger, so triggers form a forest; with provenance they must form no loop.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.errors import Conflict, InvalidInput, shown
from trunkline.model.versions import BranchName, BranchTrigger, is_spec_repo
from trunkline.versions import schedules, tables
from trunkline.versions.provenance import derived_run, propagate, propagate_apart
from trunkline.versions.records import BranchRow, CommitRecord, OpenedCommit, TriggerRow
from trunkline.versions.repos import require_repo

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgGtTpP]?)(i?)[bB]?")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
COMMITS_MAX = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """By how much the source is ahead of the target, and whether there was a tick."""

    size_bytes: int
    commits: int
    tick: bool


def is_met(trigger: BranchTrigger, grown: Grown) -> bool:
    """Whether a branch has to move; pure."""
    met = []
    if trigger.size:
        met.append(grown.size_bytes >= parse_size(trigger.size))
    if trigger.commits:
        met.append(grown.commits >= trigger.commits)
    if trigger.cron:
        met.append(grown.tick)
    return all(met) if trigger.all else any(met)


def parse_size(text: str) -> int:
    """Bytes of `100MB` (1000²), `64MiB` (1024²), `1.5G`, `4096`; raises InvalidInput."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{shown(text)} is not a size; write 100MB, 64MiB or a number of bytes")
    amount, unit, binary = match.groups()
    size = int(float(amount) * (1024 if binary else 1000) ** _POWERS[unit.lower()])
    if not 0 < size < 2**62:
        raise InvalidInput(f"{shown(text)} is not a size that a branch can grow by")
    return size


def set_trigger(
    tx: Transaction, branch: BranchRow, source: BranchRow, trigger: BranchTrigger, *, now: datetime
) -> None:
    """Give a branch a trigger, in place of the one it may have; it moves nothing by itself.

    Raises InvalidInput for conditions that can't be read or none at all, and Conflict where the
    branch has provenance or the triggers would form a loop.
    """
    if is_spec_repo(branch.repo.name):
        raise InvalidInput(f"branch {branch.name} holds the specs of a pipeline: no triggers there")
    if not (trigger.size or trigger.commits or trigger.cron):
        raise InvalidInput(
            f"the trigger of {branch.name} has no condition: give a size, a number of commits or "
            "a schedule"
        )
    if trigger.size:
        parse_size(trigger.size)
    if not 0 <= trigger.commits < COMMITS_MAX:
        raise InvalidInput(f"a trigger after {trigger.commits} commits can't be: give 1 or more")
    if tables.sources_of(tx, branch.number):
        raise _both(branch)
    if source.number in tables.flows_to(tx, branch.number):
        raise Conflict(
            f"triggers can't form a loop: commits of {branch.name} already get to {source.name}"
        )
    clock = schedules.start(trigger.cron, now) if trigger.cron else None
    tables.replace_trigger(
        tx,
        branch.number,
        source.number,
        trigger,
        evaluated=None if clock is None else clock.evaluated,
        next_tick=None if clock is None else clock.next,
    )


def remove_trigger(tx: Transaction, branch: BranchRow) -> None:
    tables.remove_trigger(tx, branch.number)


def refuse_trigger(tx: Transaction, branch: BranchRow) -> None:
    """Raise Conflict if a branch that is about to be derived from others has a trigger."""
    if tables.trigger_of(tx, branch.number) is not None:
        raise _both(branch)


def _both(branch: BranchRow) -> Conflict:
    return Conflict(
        f"a branch can't have both provenance and a trigger: {branch.name} would be written by "
        "what it is derived from and moved by its trigger"
    )


def triggered_by(tx: Transaction, branch: BranchRow) -> list[BranchName]:
    """The branches whose triggers look at this one."""
    around = tables.triggers_around(tx, branch.number)
    return [row.branch.name for row in around if row.source.number == branch.number]


def trigger_of(tx: Transaction, branch: BranchRow) -> TriggerRow | None:
    return tables.trigger_of(tx, branch.number)


def settle(
    tx: Transaction,
    branches: Sequence[BranchName],
    *,
    now: datetime,
    run_id: str,
    later: list[BranchName] | None,
) -> list[OpenedCommit]:
    """`propagate_apart` for branches whose heads or sources have changed, and `fire`.

    With `later`, the branches are only noted there, for one who does it for all.
    """
    opened: list[OpenedCommit] = []
    if later is None:
        opened += propagate_apart(tx, branches, now=now, run_id=run_id)
    else:
        later.extend(branches)
    return opened + fire(tx, branches, now=now, run_id=run_id, later=later)


def fire(
    tx: Transaction,
    branches: Sequence[BranchName],
    *,
    now: datetime,
    run_id: str,
    later: list[BranchName] | None = None,
) -> list[OpenedCommit]:
    """Move what is triggered now that these branches have changed, and open what becomes due.

    Chains are followed to their ends, each trigger being looked at once, after that of the branch
    that it follows: so what comes of it does not depend on which branch was made first. The commits
    downstream belong to the run `run_id`, where that has none yet in their repos (a run has one
    commit per repo); otherwise each move makes a run of its own, whose id comes from that of the
    other. With `later` they are only noted there.
    """
    waiting: dict[int, TriggerRow] = {}
    for name in branches:
        if (row := _find(tx, name)) is not None:
            waiting |= {t.branch.number: t for t in tables.triggers_around(tx, row.number)}
    moved: dict[int, BranchRow] = {}
    depths = {number: _depth(tx, trigger) for number, trigger in waiting.items()}
    while waiting:
        number = min(waiting, key=lambda n: (depths[n], n))
        trigger = waiting.pop(number)
        if _moved(tx, trigger):
            moved[number] = trigger.branch
            for follower in tables.triggers_around(tx, number):
                if follower.source.number == number:
                    waiting[follower.branch.number] = follower
                    depths[follower.branch.number] = depths[number] + 1
    opened: list[OpenedCommit] = []
    for number, target in moved.items():
        tables.touch_repos(tx, [target.repo.number])
        if later is not None:
            later.append(target.name)
            continue
        taken = tables.run_reaches(tx, run_id, number)
        run = derived_run(run_id, str(tables.next_number(tx))) if taken else run_id
        opened += propagate(tx, [target.name], now=now, run_id=run)
    return opened


def tick(tx: Transaction, *, now: datetime, run_id: str) -> list[OpenedCommit]:
    """Look at all schedules that have a tick, and fire; how far each was followed is recorded."""
    due = tables.triggers_due(tx, now, now + schedules.SET_BACK_MAX)
    for trigger in due:
        assert trigger.evaluated is not None, "what is due has a schedule"
        assert trigger.next_tick is not None, "what is due has a schedule"
        before = schedules.Clock(evaluated=trigger.evaluated, next=trigger.next_tick)
        clock, ticked = schedules.look(trigger.trigger.cron, before, now)
        tables.set_clock(
            tx, trigger.branch.number, evaluated=clock.evaluated, next_tick=clock.next, due=ticked
        )
    return fire(tx, [trigger.branch.name for trigger in due], now=now, run_id=run_id)


def next_tick(tx: Transaction, now: datetime) -> datetime | None:
    """When to call `tick`: when the first schedule has its next tick; None without schedules.

    Now, if the clock was set back so far that schedules have to be begun anew.
    """
    if tables.triggers_due(tx, now, now + schedules.SET_BACK_MAX):
        return now
    return tables.next_tick(tx)


def pending(tx: Transaction, name: BranchName) -> str | None:
    """What the trigger of a branch waits for, in a sentence; None without a trigger.

    Also where nothing waits: then it says so.
    """
    branch = _find(tx, name)
    row = None if branch is None else tables.trigger_of(tx, branch.number)
    if row is None:
        return None
    new = _newest_good(tx, tables.head_of(tx, row.source.number))
    head = tables.head_of(tx, row.branch.number)
    if new is None or new.number == head:
        return f"{name} follows {row.source.name}, which has nothing newer"
    old = None if head is None else tables.commit_numbered(tx, head)
    grown = _grown(tx, row, old, new)
    trigger = row.trigger
    have = []
    if trigger.size:
        have.append(f"{grown.size_bytes} bytes of {trigger.size}")
    if trigger.commits:
        have.append(f"{grown.commits} of {trigger.commits} commits")
    if trigger.cron:
        due = "none yet" if row.next_tick is None else row.next_tick.isoformat(timespec="seconds")
        have.append(f"the next tick of '{trigger.cron}', {due}")
    joined = (" and " if trigger.all else " or ").join(have)
    return f"{name} follows {row.source.name} when enough has come together: it has {joined}"


def _depth(tx: Transaction, trigger: TriggerRow) -> int:
    """How many triggers lead to the branch that one looks at."""
    depth = 0
    while (above := tables.trigger_of(tx, trigger.source.number)) is not None:
        trigger, depth = above, depth + 1
    return depth


def _moved(tx: Transaction, row: TriggerRow) -> bool:
    """Look at one trigger, and move its branch if it is met."""
    new = _newest_good(tx, tables.head_of(tx, row.source.number))
    head = tables.head_of(tx, row.branch.number)
    old = None if head is None else tables.commit_numbered(tx, head)
    if old is not None and old.finished is None:
        return False  # somebody writes there; it is looked at again when that is finished
    met = False
    if new is not None and new.number != head:
        met = is_met(row.trigger, _grown(tx, row, old, new))
        if met:
            tables.move_branch(tx, row.branch.number, new.number)
    if row.tick_due and (met or not row.trigger.all):
        tables.use_tick(tx, row.branch.number)
    return met


def _grown(tx: Transaction, row: TriggerRow, old: CommitRecord | None, new: CommitRecord) -> Grown:
    return Grown(
        size_bytes=new.size_bytes - (0 if old is None else old.size_bytes),
        commits=_commits_between(tx, old, new, most=row.trigger.commits),
        tick=row.tick_due,
    )


def _newest_good(tx: Transaction, head: int | None) -> CommitRecord | None:
    """The newest commit on a line that is finished and did not fail."""
    if head is None:
        return None
    line = tables.ancestors(tx, head)
    return next((c for c in line if c.finished is not None and c.error is None), None)


def _commits_between(
    tx: Transaction, old: CommitRecord | None, new: CommitRecord, *, most: int
) -> int:
    """How many commits lie between the last one that both lines share and the new one.

    Counts no further than `most`, which is all that a condition asks.
    """
    if not most:
        return 0
    shared = None if old is None else tables.newest_in_both(tx, old.number, new.number)
    return tables.count_since(tx, new.number, shared, most=most)


def _find(tx: Transaction, name: BranchName) -> BranchRow | None:
    found = tables.branch_named(tx, name)
    if found is None:
        require_repo(tx, name.repo)
    return found
