"""Ticks of cron inputs: the duty that makes those that are due, and those that users ask for."""

import logging
from collections.abc import Sequence
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.engine.change import Change
from trunkline.engine.services import Services
from trunkline.errors import CommitOpen, Conflict, TrunklineError
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY, RootId
from trunkline.model.pipelines import PipelineState
from trunkline.model.versions import DEFAULT_BRANCH
from trunkline.pipelines import crons, lifecycle
from trunkline.pipelines.crons import CronRow
from trunkline.versions import branches, commits

_log = logging.getLogger("trunkline.crons")


class CronTicks:
    """Makes the ticks of cron inputs when they are due.

    One transaction for each pipeline that has some: all of its clocks that tick at once make one
    run, and what is recorded of their schedules is changed with it.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._seen = -1  # revision of the catalog when `_next` was read
        self._next: datetime | None = None
        self._last: datetime | None = None
        self._told: dict[str, str] = {}  # why a pipeline's ticks wait, as the log has it

    def attend(self, now: datetime) -> datetime | None:
        database = self._services.database
        set_back = self._last is not None and now < self._last
        self._last = now
        if not set_back and self._seen == database.revision and not self._is_due(now):
            return self._next
        self._seen = database.revision
        with database.read() as tx:
            due = crons.pipelines_due(tx, now)
        made = [pipeline for pipeline in due if self._make(pipeline, now)]
        with database.read() as tx:  # where some were made, there may be more of them
            self._next = now if made else crons.next_tick(tx, now)
        return self._next

    def _is_due(self, now: datetime) -> bool:
        return self._next is not None and self._next <= now

    def _make(self, pipeline: str, now: datetime) -> bool:
        """Make the ticks of a pipeline; those that can't be wait until the catalog changes."""
        services = self._services
        try:
            with services.chunks.hold(), services.database.write() as tx:
                run = services.new_id()
                change = Change(services=services, tx=tx, now=now, run_id=run, later=[])
                for row in crons.crons_of(tx, pipeline):
                    followed, ticks = crons.advance(row, now)
                    if ticks:
                        _put_ticks(change, followed, ticks)
                    if followed != row:
                        crons.record(tx, followed)
                change.settle(apart=True)
                services.chunks.flush()
        except TrunklineError as error:
            if self._told.get(pipeline) != str(error):
                _log.warning("the ticks of pipeline '%s' wait: %s", pipeline, error)
            self._told[pipeline] = str(error)
            return False
        self._told.pop(pipeline, None)
        return True


def run_cron(change: Change, pipeline: str) -> None:
    """A tick now on each cron input of a pipeline; its schedules go on as they are."""
    record = lifecycle.get(change.tx, pipeline)
    rows = crons.crons_of(change.tx, record.name)
    if not rows:
        raise Conflict(
            f"pipeline '{pipeline}' has no cron input; `rerun pipeline {pipeline}` gives it a job"
        )
    if record.state is PipelineState.PAUSED:
        raise Conflict(f"pipeline '{pipeline}' is stopped; `start pipeline {pipeline}` comes first")
    for row in rows:
        _put_ticks(change, row, [change.now])


def _put_ticks(change: Change, row: CronRow, ticks: Sequence[datetime]) -> None:
    """Commit the files of ticks; the caller flushes the store before the change is committed."""
    tx, trees = change.tx, change.services.trees
    head = _head(tx, row.repo)
    there = EMPTY if head is None else RootId(head.root)
    base = EMPTY if row.overwrite else there
    writer = DeltaWriter(trees)
    for tick in ticks[-1:] if row.overwrite else ticks:
        name = crons.name_of(tick)
        if trees.find(there, name) is not None:  # asked for in the same second
            name = crons.name_of(tick, exact=True)
        writer.put(name, ())
    root = trees.apply(base, writer.finish())
    change.opened(change.put(row.repo, DEFAULT_BRANCH, head=head, root=root).opened)


def _head(tx: Transaction, repo: str) -> commits.CommitRecord | None:
    """The head that ticks are put on; raises CommitOpen for one that somebody writes."""
    head = branches.branch_head(tx, repo, DEFAULT_BRANCH)
    if head is not None and head.finished is None:
        raise CommitOpen(repo, head.id, "add the ticks of its schedule")
    return head
