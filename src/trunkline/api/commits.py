"""Operations on commits and runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER, WRITER

if TYPE_CHECKING:
    from trunkline.model.runs import RunDetails
    from trunkline.model.versions import CommitInfo, DeletedInfo, RunInfo


class Commits(Protocol):
    @operation("POST", "/repos/{repo}/commits", WRITER)
    def start_commit(
        self,
        repo: str,
        *,
        branch: str | None = None,
        parent: str | None = None,
        description: str = "",
    ) -> CommitInfo:
        """Open a commit on a branch (created if need be), or below `parent` without a branch.

        Raises OutputBranch, CommitOpen when the parent is still open.
        """

    @operation("POST", "/repos/{repo}/commits/{commit}/finish", WRITER)
    def finish_commit(
        self, repo: str, commit: str, *, description: str | None = None
    ) -> CommitInfo:
        """Finish an open commit; it never changes again.

        Raises CommitFinished, PathConflict (the commit then stays open), OutputBranch.
        """

    @operation("GET", "/repos/{repo}/commits/{commit}", READER)
    def inspect_commit(
        self, repo: str, commit: str, *, wait: bool = False, timeout_s: float | None = None
    ) -> CommitInfo:
        """One commit; with `wait`, once it is finished. Raises TimedOut."""

    @operation("GET", "/repos/{repo}/commits", READER)
    def list_commits(
        self,
        repo: str,
        *,
        to: str | None = None,
        after: str | None = None,
        number: int = 0,
        origin: str | None = None,
    ) -> Iterator[CommitInfo]:
        """The commits of a repo, newest first; with `to`, that commit and its ancestors.

        `after` leaves out that commit and its ancestors; `number` 0 means all; `origin` (user or
        auto) leaves out what was made otherwise. Each page is read by itself: a list takes what is
        there then.
        """

    @operation("GET", "/commits", READER)
    def list_all_commits(
        self, *, number: int = 0, origin: str | None = None, system: bool = False
    ) -> Iterator[CommitInfo]:
        """The commits of all repos, newest first; `system` includes the specs of pipelines."""

    @operation("DELETE", "/repos/{repo}/commits/{commit}", WRITER)
    def delete_commit(self, repo: str, commit: str) -> DeletedInfo:
        """Delete a commit that nobody computed, and what was derived from it.

        Its children move to its parent; heads of branches move back. Raises OutputBranch.
        """

    @operation("POST", "/repos/{repo}/commits/{commit}/squash", WRITER)
    def squash_commit(self, repo: str, commit: str, *, recursive: bool = False) -> DeletedInfo:
        """Forget a commit that later ones go on from: no file of theirs and no branch changes.

        `recursive` takes along what was made from it. Raises InUse where something that stays was
        made from it or is still open on top of it, Conflict for the head of a branch.
        """

    @operation("POST", "/repos/{repo}/commits/{commit}/drop", WRITER)
    def drop_commit(self, repo: str, commit: str, *, recursive: bool = False) -> DeletedInfo:
        """Take back the newest commit of a branch, which then stands on the one before.

        `recursive` takes along what was made from it. Raises InUse where something that stays was
        made from it or on top of it, OutputBranch for what a pipeline made.
        """

    @operation("DELETE", "/runs/{run}", WRITER)
    def delete_run(self, run: str) -> DeletedInfo:
        """Delete the commits that users made in a run, as `delete_commit` does."""

    @operation("POST", "/runs/{run}/squash", WRITER)
    def squash_run(self, run: str, *, recursive: bool = False) -> DeletedInfo:
        """Squash all commits of a run; the rules are those of `squash_commit`."""

    @operation("POST", "/runs/{run}/drop", WRITER)
    def drop_run(self, run: str, *, recursive: bool = False) -> DeletedInfo:
        """Drop all commits of a run; the rules are those of `drop_commit`."""

    @operation("GET", "/flush/commits", READER)
    def flush_commits(
        self,
        commits: list[str],
        *,
        repos: list[str] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[CommitInfo]:
        """Each finished commit that is derived from all the given ones, upstream first.

        Those that are deleted meanwhile are left out.
        `commits` are `repo@ref`. Blocks until no more can come; `repos` limits the wait. Raises
        TimedOut, `timeout_s` after the call.
        """

    @operation("GET", "/repos/{repo}/subscribe/{branch}", READER)
    def subscribe_commits(
        self,
        repo: str,
        branch: str,
        *,
        after: str | None = None,
        new: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[CommitInfo]:
        """The finished commits of a branch, oldest first, and then each new one as it finishes.

        `after` leaves out that commit and those before it; `new` leaves out all there are now.
        Ends by TimedOut, behind those that came in time, and by BranchNotFound once the branch is
        deleted; goes on for ever without a limit. Commits that are deleted meanwhile are left out.
        """

    @operation("GET", "/runs", READER)
    def list_runs(self, *, number: int = 0, before: str | None = None) -> list[RunInfo]:
        """The runs, newest first; those that began before a run, if one is named."""

    @operation("GET", "/runs/{run}", READER)
    def inspect_run(
        self, run: str, *, wait: bool = False, timeout_s: float | None = None
    ) -> RunDetails:
        """One run step by step; with `wait`, once all its commits are finished. Raises TimedOut."""
