"""What a change would set off, told before it is made."""

from trunkline.model.versions import DeletedInfo
from trunkline.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """The job that a pipeline would get, its datums compared to those of its last good job.

    Of `total` datums, `new` are of paths that it had none of, `changed` of paths that it had, but
    with other contents, code, or no remembered result; both would be run. `skipped` have their
    result; `removed` were in the last good job and are no more. `quarantined` ones
    failed in that and are not run again. Where the job `reads_unknown`,
    outputs that are only known once the jobs before it have run, the counts are of what those
    branches have now, and the datums that read them (`may_change`) are counted apart from all
    others: they may be run or skipped, become more or fewer.
    """

    pipeline: str
    version: int
    total: int
    new: int
    changed: int
    removed: int
    skipped: int
    quarantined: int
    may_change: int
    size_bytes: int  # of the inputs of what would be run; with what may change, at most
    workers: int
    datum_s: float | None  # median over earlier jobs of their mean time of a datum; None: had none
    expected_s: float | None  # of what would be run, or with what may change, at most
    reads_unknown: tuple[str, ...]  # repo@branch
    reason: str  # why it would fail or not run at all, else empty

    @property
    def work(self) -> bool:
        """Whether it would do anything but find all as it was."""
        counted = self.new + self.changed + self.removed + self.may_change
        return bool(counted or self.reads_unknown or self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a change would do; nothing of it was done. Jobs come after those they read from."""

    jobs: tuple[PlannedJob, ...]
    stopped: tuple[str, ...]  # jobs (pipeline@id) that go on now and would be stopped
    deleted: tuple[DeletedInfo, ...]
    expected_s: float | None  # of the jobs one after the other as they must; None: not known
    work: bool  # whether a datum would be run or removed, a job stopped, or something deleted
