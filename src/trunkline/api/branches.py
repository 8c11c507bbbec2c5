"""Operations on branches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER, WRITER

if TYPE_CHECKING:
    from trunkline.model.versions import BranchInfo, BranchTrigger, DeletedInfo


class Branches(Protocol):
    # Its head may be told from where the branch is: `master^`.
    @operation("PUT", "/repos/{repo}/branches/{branch}", WRITER, once=True)
    def create_branch(
        self,
        repo: str,
        branch: str,
        *,
        head: str | None = None,
        provenance: list[str] | None = None,
        trigger: BranchTrigger | None = None,
    ) -> BranchInfo:
        """Create a branch, or move its head or change its provenance or trigger.

        `head` is a branch or commit reference in the same repo; `provenance` lists branches as
        `repo@branch` (None leaves it as it is). `trigger` names another branch, whose head this one
        moves to when the conditions are met (None leaves it, one without a source removes it).
        Downstream branches get their commits in the same transaction. Raises ProvenanceLoop,
        BranchNotFound, CommitNotFound, and Conflict for a trigger that can't be.
        """

    @operation("GET", "/repos/{repo}/branches/{branch}", READER)
    def inspect_branch(self, repo: str, branch: str) -> BranchInfo:
        """One branch."""

    @operation("GET", "/repos/{repo}/branches", READER)
    def list_branches(self, repo: str) -> list[BranchInfo]:
        """The branches of a repo, last moved first."""

    @operation("DELETE", "/repos/{repo}/branches/{branch}", WRITER)
    def delete_branch(self, repo: str, branch: str, *, force: bool = False) -> DeletedInfo:
        """Delete a branch; its commits stay.

        Raises InUse when others depend on it, unless `force`, and when a pipeline writes it.
        """
