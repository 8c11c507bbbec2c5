"""Operations on retention rules (see `api.retention`), and the duty that applies them.

Commits go in pieces, each in a transaction of its own and one entry of the trash, so that others
get their turn; what was judged before is judged again if the catalog has changed since.
"""

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from trunkline.engine import removal
from trunkline.engine.change import single
from trunkline.engine.services import Services
from trunkline.errors import TrunklineError
from trunkline.model.retention import Judged, RetentionInfo, RetentionReport
from trunkline.model.versions import DeletedInfo, Retention
from trunkline.versions import retention
from trunkline.versions.retention import Verdict

_PIECE = 500  # commits that go in one transaction, about

_log = logging.getLogger("trunkline.retention")


class EngineRetention:
    def __init__(self, services: Services) -> None:
        self._services = services

    def set_retention(self, repo: str, branch: str, *, rules: Retention) -> RetentionInfo:
        with self._services.database.write() as tx:
            return retention.set_retention(tx, repo, branch, rules, now=self._services.now())

    def inspect_retention(self, repo: str, branch: str) -> RetentionInfo:
        with self._services.database.read() as tx:
            return retention.retention_info(tx, repo, branch)

    def list_retention(self) -> list[RetentionInfo]:
        with self._services.database.read() as tx:
            return retention.list_retentions(tx)

    def delete_retention(self, repo: str, branch: str) -> None:
        with self._services.database.write() as tx:
            retention.delete_retention(tx, repo, branch)

    def apply_retention(self, repo: str, branch: str, *, dry_run: bool = False) -> RetentionReport:
        with self._services.database.read() as tx:
            verdicts = retention.judge(tx, repo, branch)
            stamp = retention.stamp(tx)
        if dry_run:
            return _report(repo, branch, verdicts, (), dry_run=True)
        deletions: list[DeletedInfo] = []
        while True:
            with self._services.database.write() as tx:
                if stamp != retention.stamp(tx):
                    verdicts = retention.judge(tx, repo, branch)
                doomed = retention.doomed(verdicts, _PIECE)
                if not doomed:
                    return _report(repo, branch, verdicts, deletions, dry_run=False)
                how = f"apply retention {repo}@{branch}"
                change = single(self._services, tx)
                deletions.append(removal.squash_kept_by_nothing(change, doomed, how=how))
                stamp = retention.stamp(tx)
            gone = {commit.number for commit in doomed}
            verdicts = [v for v in verdicts if v.commit.number not in gone]


class RetentionDuty:
    """Applies the rules of all branches from time to time, if anything has changed."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._operations = EngineRetention(services)
        self._due = 0.0  # monotonic; the wall clock may be set
        self._seen: object = None

    def attend(self, now: datetime) -> datetime | None:
        interval_s = self._services.config.retention_interval_s
        if not interval_s:
            return None
        left_s = self._due - time.monotonic()
        if left_s <= 0:
            self._apply()
            self._due = time.monotonic() + interval_s
            left_s = interval_s
        return now + timedelta(seconds=left_s)

    def _apply(self) -> None:
        with self._services.database.read() as tx:
            stamp = retention.stamp(tx)
            removed = 0
            names = [] if stamp == self._seen else retention.branches_with_rules(tx)
        for name in names:
            if self._services.closing.is_set():
                return
            try:
                report = self._operations.apply_retention(name.repo, name.branch)
            except TrunklineError as error:  # of a branch that is gone by now, say
                _log.error("the retention rules of %s were not applied: %s", name, error)
                continue
            removed += report.removed
            if report.removed:
                _log.info("%d commits of %s went by its rules", report.removed, name)
        self._seen = None if removed else stamp


def _report(
    repo: str,
    branch: str,
    verdicts: Sequence[Verdict],
    deletions: Sequence[DeletedInfo],
    *,
    dry_run: bool,
) -> RetentionReport:
    goes = [verdict for verdict in verdicts if not verdict.reasons]
    derived = {commit.number for verdict in goes for commit in verdict.derived}
    return RetentionReport(
        repo=repo,
        branch=branch,
        dry_run=dry_run,
        kept=len(verdicts) - len(goes),
        removed=len(goes) + len(derived) if dry_run else sum(d.commits for d in deletions),
        commits=tuple(map(_judged, verdicts)) if dry_run else (),
        deletions=tuple(deletions),
    )


def _judged(verdict: Verdict) -> Judged:
    commit = verdict.commit
    return Judged(
        repo=commit.repo,
        id=commit.id,
        finished=commit.finished,
        size_bytes=commit.size_bytes,
        reasons=verdict.reasons,
        derived=tuple(str(made.name) for made in verdict.derived),
    )
