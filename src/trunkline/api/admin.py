"""Operations on the whole installation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import ADMIN, READER

if TYPE_CHECKING:
    from trunkline.model.admin import (
        BackupReport,
        Damage,
        DiskUsage,
        FsckReport,
        GcReport,
        ServerStatus,
        ServerVersion,
        Setting,
    )


__all__ = ["Admin", "Damage"]


class Admin(Protocol):
    @operation("GET", "/version", READER)
    def version(self) -> ServerVersion:
        """Version of the server and of its data directory's format."""

    @operation("GET", "/status", READER)
    def status(self) -> ServerStatus:
        """What the server is, where its data is, and what it is doing."""

    @operation("GET", "/settings", READER)
    def settings(self) -> list[Setting]:
        """The settings of the server that tell what it allows and when; none that is secret."""

    @operation("POST", "/delete-all", ADMIN)
    def delete_all(self) -> None:
        """Delete all pipelines, jobs, repos and data."""

    @operation("POST", "/fsck", ADMIN)
    def fsck(
        self, *, read_data: bool = True, read_percent: float = 100.0, repair: bool = False
    ) -> FsckReport:
        """Check every commit, manifest and chunk, and the rules of provenance.

        With `read_data`, every byte is read and hashed, or those of a random share of the packs;
        otherwise only structure and presence. With `repair`, what can be healed is: the index is
        brought in line with the packs, chunks are pointed to whole copies, damaged packs set aside.
        """

    @operation("POST", "/gc", ADMIN)
    def gc(self, *, dry_run: bool = False, grace_s: float | None = None) -> GcReport:
        """Remove stored bytes that nothing needs, online.

        They go once they have been unneeded for the grace period (without `grace_s`, that of the
        server), and nobody who was at work then still is. With `dry_run` only say how much it is.
        """

    @operation("POST", "/disk-usage", READER)
    def disk_usage(self, targets: list[str] | None = None) -> list[DiskUsage]:
        """What repos, commits or paths take up: `repo[@ref[:/path]]`; without any, all repos.

        Of several the last one is the total. Only finished commits count.
        """

    @operation("POST", "/backup", ADMIN, private=True)
    def backup(self, target: str, *, verify: bool = False, force: bool = False) -> BackupReport:
        """Copy everything into a directory of the server's machine, beside all other work.

        What an earlier backup there has already is not copied again. A crash leaves the earlier
        backup or the new one, whole. What the store has lost is taken from the earlier one; where
        nobody can tell what that is, the earlier one stays as it is. With `verify` all of it is
        read again. Raises Conflict while another backup to it is under way, and without `force` for
        the backup of another installation, InvalidInput for a directory of something else,
        StorageFull. Only for callers on the private socket.
        """
