"""Operations on the rules that say which commits of a branch stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER, WRITER
from trunkline.model.versions import Retention as Rules  # by this name it is nowhere else

if TYPE_CHECKING:
    from trunkline.model.retention import RetentionInfo, RetentionReport


class Retention(Protocol):
    @operation("PUT", "/repos/{repo}/branches/{branch}/retention", WRITER)
    def set_retention(self, repo: str, branch: str, *, rules: Rules) -> RetentionInfo:
        """Give a branch rules in place of those it has; the server applies them from time to time.

        A commit stays if a rule keeps it, and in any case if it is a head or tagged, if a branch
        keeps it that has other rules or none, if it is open or something on top of it is, and if
        commits were made from it (unless `derived` lets them go along). Others are squashed, into
        the trash. Raises InvalidInput for rules that keep nothing, and Conflict for a branch that
        is derived from others.
        """

    @operation("GET", "/repos/{repo}/branches/{branch}/retention", READER)
    def inspect_retention(self, repo: str, branch: str) -> RetentionInfo:
        """The rules of a branch; raises NotFound if it has none."""

    @operation("GET", "/retention", READER)
    def list_retention(self) -> list[RetentionInfo]:
        """The rules of all branches that have some, by repo and branch."""

    @operation("DELETE", "/repos/{repo}/branches/{branch}/retention", WRITER)
    def delete_retention(self, repo: str, branch: str) -> None:
        """Take a branch its rules: from now on all its commits stay."""

    @operation("POST", "/repos/{repo}/branches/{branch}/retention/apply", WRITER)
    def apply_retention(self, repo: str, branch: str, *, dry_run: bool = False) -> RetentionReport:
        """Squash what nothing keeps; with `dry_run`, only judge every commit, newest first."""
