"""Operations that erase files from all history, and tell of it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import ADMIN, READER

if TYPE_CHECKING:
    from trunkline.model.purges import PurgedFile, PurgeReport


class Purges(Protocol):
    @operation("POST", "/purges", ADMIN)
    def purge(
        self,
        targets: list[str],
        *,
        reason: str = "",
        forget_names: bool = False,
        copies: bool = False,
        rerun: bool = True,
        dry_run: bool = False,
    ) -> PurgeReport:
        """Erase files from all commits of repos, all that was made from them, and their bytes.

        A target is `repo:/glob`; a pattern that matches a directory takes all below it. Ids,
        parents, provenance, runs and times of commits stay, and each commit says what is gone from
        it, when and why; with `forget_names` it keeps digests of the paths instead. With `copies`,
        files of the same content go from all repos. Pipelines then run on what is left, unless
        `rerun` is false. With `dry_run` only say what would go.

        What is begun is carried to its end, over crashes too: the same call again goes on with it.
        The state of the report is `done`, or `erasing` as long as somebody who was at work before
        keeps bytes in use. Raises NotFound where nothing matches, RepoNotFound, InvalidGlob, and
        Corrupt (nothing was changed) where it can't be told what a commit has.
        """

    @operation("GET", "/purges", READER)
    def list_purges(self) -> list[PurgeReport]:
        """All purges, newest first."""

    @operation("GET", "/purges/{purge}", READER)
    def inspect_purge(self, purge: str) -> PurgeReport:
        """What one purge did; raises NotFound."""

    @operation("GET", "/repos/{repo}/purged/{commit}/{path}", READER)
    def list_purged(self, repo: str, commit: str, path: str) -> Iterator[PurgedFile]:
        """The files at or below a path that purges took from a commit, the latest purge first.

        Those whose names were forgotten are told for the path `/` only, as digests.
        """
