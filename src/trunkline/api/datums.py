"""Operations on the datums of a job, and logs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER, WRITER

if TYPE_CHECKING:
    from trunkline.api.changes import FileChange
    from trunkline.model.jobs import DatumInfo, DatumRecipe, LogLine
    from trunkline.model.versions import FileInfo


class Datums(Protocol):
    @operation("GET", "/jobs/{job}/datums", READER)
    def list_datums(
        self,
        job: str,
        *,
        states: list[str] | None = None,
        text: str | None = None,
        page: int = 0,
        page_size: int = 0,
    ) -> Iterator[DatumInfo]:
        """The datums of a job, failed first, then in datum order; `page_size` 0 means all.

        `states` leaves out the datums in all others; `text` those that it neither begins the id of
        nor is part of a path that they read. Raises JobNotFound, and InvalidInput for a state that
        there is not.
        """

    @operation("POST", "/datums/preview", READER)
    def preview_datums(
        self, spec: dict[str, object], *, page: int = 0, page_size: int = 0
    ) -> Iterator[DatumInfo]:
        """The datums that a spec would have on what its inputs are now, in datum order.

        Nothing is created; the datums have no id, as that hangs on the code too, and no job.
        `page_size` 0 means all. Raises InvalidSpec, RepoNotFound, TooManyDatums.
        """

    @operation("GET", "/jobs/{job}/datums/{datum}", READER)
    def inspect_datum(self, job: str, datum: str) -> DatumInfo:
        """One datum, by its id or an unambiguous beginning of it."""

    @operation("GET", "/jobs/{job}/datums/{datum}/recipe", READER)
    def datum_recipe(self, job: str, datum: str) -> DatumRecipe:
        """What it takes to run something where the datum's code runs, with what that printed."""

    @operation("GET", "/jobs/{job}/datums/{datum}/output", READER)
    def list_outputs(self, job: str, datum: str) -> Iterator[FileInfo]:
        """The files of a job's output commit that a datum wrote, by path; of a skipped one too.

        None before the job has succeeded, and none of a datum that failed or was recovered. Raises
        JobNotFound, DatumNotFound.
        """

    @operation("POST", "/jobs/{job}/datums/{datum}/output", WRITER, upload="changes")
    def hand_in(self, job: str, datum: str, changes: Iterable[FileChange]) -> int:
        """Put files into the output of a datum at work that an object of a cluster stands for.

        They are plain `PutFile`; each replaces what is at its path, and they are in the output once
        the datum is a success. Returns how many there were. Raises JobNotFound, Conflict for a
        datum that is not at work, InvalidInput, InvalidPath, StorageFull.
        """

    @operation("POST", "/jobs/{job}/restart", WRITER)
    def restart_datums(self, job: str, paths: list[str]) -> int:
        """Cancel the running datums whose inputs include all the paths: they run again.

        Returns how many there were.
        """

    @operation("GET", "/logs", READER)
    def get_logs(
        self,
        *,
        pipeline: str | None = None,
        job: str | None = None,
        datum: str | None = None,
        paths: list[str] | None = None,
        follow: bool = False,
        tail: int = 0,
        since_s: float | None = None,
        until_s: float | None = None,
        text: str | None = None,
    ) -> Iterator[LogLine]:
        """Log lines of a pipeline, job or datum in order of time; `follow` waits for more.

        `tail` keeps the last lines only (0 means all); `since_s` leaves out lines that are older,
        `until_s` those that are younger than so many seconds; `text` leaves out those that it is
        not part of. Following ends with the job, if one was named. Raises InvalidInput when neither
        is named, and for `until_s` with `follow`.
        """
