"""Handles on jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trunkline.api.connection import Operations

if TYPE_CHECKING:
    from trunkline.model.jobs import DatumInfo, JobInfo, LogLine
    from trunkline.model.lineage import JobReason


class JobHandle:
    """A job of a server, by its name."""

    def __init__(self, operations: Operations, name: str) -> None:
        self._operations = operations
        self.name = name

    @property
    def info(self) -> JobInfo:
        """What the server says of it now; raises JobNotFound."""
        return self._operations.jobs.inspect_job(self.name)

    def wait(self, timeout_s: float | None = None) -> JobInfo:
        """The job once it has ended, however it did: see its `state`. Raises TimedOut."""
        return self._operations.jobs.inspect_job(self.name, wait=True, timeout_s=timeout_s)

    def datums(self) -> Iterator[DatumInfo]:
        """Its datums, failed ones first."""
        return self._operations.datums.list_datums(self.name)

    def logs(self, *, follow: bool = False, tail: int = 0) -> Iterator[LogLine]:
        """What its user code printed; `follow` waits for more until the job ends."""
        return self._operations.datums.get_logs(job=self.name, follow=follow, tail=tail)

    def explain(self, *, whole: bool = False) -> JobReason:
        """Why there is this job, and why its datums were run or skipped.

        Of more than 10,000 that were run, the others are compared for the `whole` answer only.
        """
        return self._operations.lineage.explain_job(self.name, whole=whole)

    def stop(self) -> None:
        """Kill it; no error if it has ended."""
        self._operations.jobs.stop_job(self.name)

    def __repr__(self) -> str:
        return f"<job {self.name}>"
