"""Commands that copy a whole installation away, and bring it back."""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from trunkline.cli.command import command, option
from trunkline.cli.output import show_one, size, span
from trunkline.cli.progress import waiting
from trunkline.cli.session import operations
from trunkline.model.admin import BackupReport, RestoreReport


@command(shows=True, examples=["backup /mnt/backups/trunkline", "backup backups --verify"])
@click.argument("target", metavar="DIRECTORY", type=click.Path(file_okay=False))
@option("--verify", is_flag=True, help="Read all of it again at the end.")
@option("-f", "--force", is_flag=True, help="Replace the backup of another installation.")
def backup(target: str, verify: bool, force: bool) -> None:
    """Copy everything into a directory, beside all other work; exit status 7 if something is lost.

    Into the directory of an earlier backup only what is new is copied. Tokens are left out.
    """
    with waiting("backing up"):
        report = operations().admin.backup(os.path.abspath(target), verify=verify, force=force)
    show_one(report, _backup_block)
    if report.problems:
        raise click.exceptions.Exit(7)


def _backup_block(report: BackupReport) -> str:
    if report.stays:
        return "\n".join(
            [
                "Not backed up: the store is damaged so that nobody can tell what it lacks; see "
                "`fsck`:",
                *(f"  {problem}" for problem in report.problems),
                f"The backup of {report.stays} in {report.target} was left as it is; what can be "
                "read is backed up into another directory.",
            ]
        )
    lines = [
        f"Backed up {report.commits:,} commits in {report.packs:,} packs to {report.target}",
        f"Copied: {size(report.copied_bytes)}, there already: {size(report.reused_bytes)}, "
        f"in {span(report.duration_s).lower()}",
    ]
    if report.verified:
        lines.append("Verified: every byte was read again.")
    if report.problems:
        lines.append("The store itself is damaged; see `fsck`:")
        lines += [f"  {problem}" for problem in report.problems]
    return "\n".join(lines)


@command(
    shows=True,
    examples=["restore /mnt/backups/trunkline", "restore backups --to /srv/trunkline --force"],
)
@click.argument("source", metavar="DIRECTORY", type=click.Path(file_okay=False))
@option(
    "--to",
    "home",
    metavar="DATA_DIRECTORY",
    type=click.Path(file_okay=False),
    help="Restore there instead of into the data directory in force.",
)
@option("-f", "--force", is_flag=True, help="Set aside what is there.")
def restore(source: str, home: str | None, force: bool) -> None:
    """Make a data directory of a backup; no server may have it open.

    Everything is checked first, and takes its place in one step. With TRUNKLINE_STORE the packs go
    into that bucket, below a prefix that nobody has yet.
    """
    from trunkline import config
    from trunkline.engine.restore import restore as restore_backup
    from trunkline.engine.urls import chosen_place

    settings = config.load()
    target = Path(home) if home is not None else settings.home
    with waiting("restoring"):
        report = restore_backup(
            Path(source), target, force=force, now=datetime.now(UTC), place=chosen_place(settings)
        )
    show_one(report, _restore_block)


def _restore_block(report: RestoreReport) -> str:
    lines = [
        f"Restored {report.commits:,} commits ({size(report.restored_bytes)}) of {report.created} "
        f"to {report.home}, in {span(report.duration_s).lower()}"
    ]
    if report.aside:
        lines.append(f"What was there before is in {report.aside}")
    return "\n".join(lines)
