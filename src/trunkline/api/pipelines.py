"""Operations on pipelines. One is named by its full name, which is that of its output repo too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER, WRITER

if TYPE_CHECKING:
    from trunkline.model.pipelines import GitLook, PipelineDifference, PipelineDraft, PipelineInfo
    from trunkline.model.versions import DeletedInfo, RunInfo


class Pipelines(Protocol):
    @operation("POST", "/pipelines/validate", READER)
    def validate_specs(
        self, text: str, *, source: str = "spec", project: str = "default"
    ) -> list[PipelineDraft]:
        """Read one or more specs (JSON stream or YAML documents) and check them, changing nothing.

        `source` names the text in sentences; `project` is for the pipelines that name none. Raises
        InvalidSpec with line and caret.
        """

    @operation("POST", "/pipelines", WRITER)
    def create_pipeline(
        self,
        spec: dict[str, object],
        *,
        code: str | None = None,
        update: bool = False,
        reprocess: bool = False,
        keep_results: bool = False,
        renew_packages: bool = False,
    ) -> PipelineInfo:
        """Create (or update) a pipeline and, where its inputs have data, its first job.

        `code` is the root of a file set that becomes `/code`. An update makes a new version;
        `reprocess` forgets remembered results, `keep_results` keeps them though the code changed.
        Python packages of the spec keep their locked versions unless it asks for other ones, or
        `renew_packages`.
        One transaction. Raises AlreadyExists, PipelineNotFound, RepoNotFound, ProjectNotFound,
        ProvenanceLoop.
        """

    @operation("GET", "/pipelines/{name}", READER)
    def inspect_pipeline(self, name: str, *, version: int | None = None) -> PipelineInfo:
        """One pipeline, as of its newest or the given version; below 1, so many before the newest.

        Raises PipelineNotFound, and NotFound for a version that there is not.
        """

    @operation("GET", "/pipelines", READER)
    def list_pipelines(
        self, *, project: str | None = None, name: str | None = None, history: int = 0
    ) -> list[PipelineInfo]:
        """The pipelines of a project (None: of all), last changed first; or the one of a name.

        `history`: each with so many older versions behind it, newest first; -1 means all.
        """

    @operation("GET", "/pipelines/{name}/differences", READER)
    def diff_pipeline(
        self, name: str, *, old_version: int | None = None, new_version: int | None = None
    ) -> PipelineDifference:
        """What differs between two versions: spec, Python packages, files of the code.

        The new one is the newest unless it is said, the old one that before the new one. Versions
        below 1 count from the newest back. Raises PipelineNotFound, and NotFound for a version that
        there is not.
        """

    @operation("POST", "/pipelines/{name}/rerun", WRITER)
    def rerun_pipeline(self, name: str, *, reprocess: bool = False) -> PipelineInfo:
        """One more job on the current heads of the inputs, as a new version of the same spec.

        Remembered results are taken over, so it runs what failed or was stopped; with `reprocess`
        nothing is. Raises PipelineNotFound, and Conflict for a pipeline that is stopped.
        """

    @operation("POST", "/pipelines/{name}/tick", WRITER)
    def run_cron(self, name: str) -> RunInfo:
        """A tick now on each cron input of a pipeline, in one run; its schedules go on as they are.

        Raises PipelineNotFound, and Conflict for a pipeline without cron inputs or that is stopped.
        """

    @operation("POST", "/pipelines/{name}/look", WRITER)
    def run_git(self, name: str, *, wait: bool = False) -> GitLook:
        """Look at the git repositories that a pipeline follows, and commit what is new there.

        With `wait` at once, which may take as long as fetching takes; else soon, and the answer
        tells what is known. Raises PipelineNotFound, CommitOpen, Conflict for a pipeline without
        git inputs or that is stopped, and with `wait` NotAllowed, NotFound, NotSupported or
        OperationFailed for a repository that can't be had.
        """

    @operation("DELETE", "/pipelines/{name}", WRITER)
    def delete_pipeline(
        self, name: str, *, force: bool = False, keep_repo: bool = False
    ) -> DeletedInfo:
        """Delete a pipeline, its jobs and (unless `keep_repo`) its output repo.

        Raises InUse when another pipeline reads its output, unless `force`.
        """

    @operation("POST", "/pipelines/{name}/start", WRITER)
    def start_pipeline(self, name: str) -> None:
        """Resume a stopped pipeline: one job for the current heads of its inputs."""

    @operation("POST", "/pipelines/{name}/stop", WRITER)
    def stop_pipeline(self, name: str) -> None:
        """Stop processing new commits; its running job is stopped too.

        One whose output is finished and only copied elsewhere (`egressing`) goes on.
        """
