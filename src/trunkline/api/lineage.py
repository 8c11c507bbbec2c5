"""Questions about results: where they came from, what came of them, why they were computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER

if TYPE_CHECKING:
    from trunkline.model.lineage import (
        DatumReason,
        ImpactStep,
        JobReason,
        PipelineReason,
        WhyStep,
    )


class Lineage(Protocol):
    @operation("GET", "/repos/{repo}/why/{commit}/{path}", READER)
    def why_file(self, repo: str, commit: str, path: str, *, depth: int = 0) -> Iterator[WhyStep]:
        """Where a file came from: the datums that wrote it, what they read, and so on to puts.

        A tree, line by line: what is below a step follows it. `depth` datums behind one another are
        followed (0: all). Raises CommitOpen, FileNotFoundInCommit, FilePurged, and InvalidInput for
        a directory.
        """

    @operation("GET", "/repos/{repo}/impact/{commit}/{path}", READER)
    def impact_of_file(
        self, repo: str, commit: str, path: str, *, depth: int = 0, files: bool = False
    ) -> Iterator[ImpactStep]:
        """What came of a file: the jobs whose datums read it, or what was made of it, in order.

        A datum reads a file if a glob matched it or a directory above it. `depth` jobs behind one
        another are followed (0: all); with `files`, what the datums wrote follows each job. Raises
        CommitOpen, FileNotFoundInCommit, FilePurged, and InvalidInput for a directory.
        """

    @operation("GET", "/jobs/{job}/explain", READER)
    def explain_job(self, job: str, *, whole: bool = False) -> JobReason:
        """Why there is a job, how many datums it ran or skipped and why, and what it waits for.

        It is compared with the job of the pipeline before it that had datums: as far as the first
        10,000 datums that they do not share, or the `whole`, which takes seconds for a million.
        """

    @operation("GET", "/jobs/{job}/explain/{datum}", READER)
    def explain_datum(self, job: str, datum: str) -> DatumReason:
        """Why a datum, named by its id or the beginning of it, was run or skipped.

        It is compared with the nearest earlier run of the same paths, among the 50 jobs before.
        """

    @operation("GET", "/repos/{repo}/explain/{commit}/{path}", READER)
    def explain_file(self, repo: str, commit: str, path: str) -> list[DatumReason]:
        """The same for the datums that wrote a file.

        Raises FileNotFoundInCommit, FilePurged, CommitOpen, and InvalidInput for a directory or a
        file that a user put.
        """

    @operation("GET", "/pipelines/{name}/explain", READER)
    def explain_pipeline(self, name: str) -> PipelineReason:
        """Why a pipeline has a job for what its inputs are now, or has none."""
