"""Commands that erase files from all history, and tell of it afterwards."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from trunkline.cli.arguments import commit_of, file_of
from trunkline.cli.command import command, option
from trunkline.cli.confirm import confirm
from trunkline.cli.output import (
    Table,
    counted,
    note,
    shortened,
    show_all,
    show_one,
    size,
    to_json,
    when,
)
from trunkline.cli.progress import waiting
from trunkline.cli.session import current, operations
from trunkline.errors import InvalidInput, LocalFileNotFound, OperationFailed
from trunkline.model.names import in_project
from trunkline.model.purges import PurgedFile, PurgeReport

_NOT_YET = 6
_SHOWN = 20
_REASON_SHOWN = 40

_PURGES: Table[PurgeReport] = Table(
    titles=("PURGE", "STARTED", "STATE", "COMMITS", "FILES", "SIZE", "REASON"),
    cells=lambda purge: (
        *(purge.id, when(purge.started), purge.state, f"{_commits(purge):,}"),
        *(f"{_files(purge):,}", size(_bytes(purge)), shortened(purge.reason, _REASON_SHOWN)),
    ),
    width=0,
    padding=1,
)
_FILES: Table[PurgedFile] = Table(
    titles=("NAME", "PURGED", "PURGE", "REASON"),
    cells=lambda file: (
        f"/{file.path}" if file.named else f"(digest) {file.path}",
        *(when(file.purged), file.purge, shortened(file.reason, _REASON_SHOWN)),
    ),
    width=0,
    padding=1,
)


@command(
    shows=True,
    examples=[
        "purge training:/people/jane-doe.csv --reason 'request 17'",
        "purge 'training:/people/**' 'photos:/jane*' --dry-run",
        "purge --from names.txt --forget-names --copies --yes --report purge.json",
    ],
)
@click.argument("targets", metavar="[REPO:/GLOB]...", nargs=-1)
@option(
    "--from",
    "lists",
    metavar="FILE",
    multiple=True,
    type=click.Path(allow_dash=True),
    help="Take more of them from a file, one a line (- for stdin).",
)
@option("-m", "--reason", default="", metavar="TEXT", help="Kept with each commit.")
@option("--forget-names", is_flag=True, help="Keep digests of the paths, not the paths.")
@option("--copies", is_flag=True, help="Files of the same content too, in all repos.")
@option("--no-rerun", is_flag=True, help="Begin no runs that make anew what is downstream.")
@option("--dry-run", is_flag=True, help="Only say what would go, and where copies are.")
@option("-y", "--yes", is_flag=True, help="Do not ask.")
@option("--report", metavar="FILE", help="Write the report as JSON there as well.")
def purge(
    targets: tuple[str, ...],
    lists: tuple[str, ...],
    reason: str,
    forget_names: bool,
    copies: bool,
    no_rerun: bool,
    dry_run: bool,
    yes: bool,
    report: str | None,
) -> None:
    """Erase files from all history, all that was made from them, and their bytes, for good.

    A pattern takes the files that it matches and all below directories that it matches, in all
    commits of the repo, open and deleted ones too. Ids, parents, provenance and times stay. Exit
    status 6 if somebody still uses the bytes: it goes on by itself, see `list purge`.
    """
    named = [_full(target) for target in (*targets, *_listed(lists))]
    if not named:
        raise InvalidInput("name what is to be purged, as REPO:/GLOB, or use --from FILE")
    if report is not None:
        _check_writable(report)
    call = operations().purges
    if dry_run or not yes:
        with waiting("looking through all history"):
            found = call.purge(
                named, reason=reason, forget_names=forget_names, copies=copies, dry_run=True
            )
        if dry_run:
            _tell(found, report)
            return
        note(report_block(found))
        confirm("This erases it for good.", yes=yes)
    with waiting("purging"):
        done = call.purge(
            named, reason=reason, forget_names=forget_names, copies=copies, rerun=not no_rerun
        )
    _tell(done, report)
    if done.state != "done":
        note("Somebody who was at work before still uses the bytes; it goes on by itself.")
        raise click.exceptions.Exit(_NOT_YET)


def _full(target: str) -> str:
    """The target with the full name of its repo."""
    name, colon, pattern = target.partition(":")
    if not colon or not name or "@" in name:
        raise InvalidInput(
            f"{target!r} does not say what to purge; write REPO:/GLOB (all branches and commits "
            "of the repo are meant)"
        )
    return f"{in_project(current().project, name)}:{pattern}"


def _listed(lists: tuple[str, ...]) -> Iterator[str]:
    for name in lists:
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
        except FileNotFoundError as error:
            raise LocalFileNotFound(name, "the patterns to purge") from error
        except (OSError, UnicodeDecodeError) as error:
            raise OperationFailed(f"{name} can't be read as text: {error}") from error
        for line in text.splitlines():
            if line.strip() and not line.startswith("#"):
                yield line.strip()


def _check_writable(report: str) -> None:
    """A purge can't be repeated for its report, so the place for it has to be right before."""
    try:
        fd = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OperationFailed(
            f"the report can't be written to {report} ({error.strerror}); nothing was purged"
        ) from error
    os.close(fd)


def _tell(done: PurgeReport, report: str | None) -> None:
    if report is not None:
        Path(report).write_text(to_json(done) + "\n", "utf-8")
    show_one(done, report_block)


@command(shows=True, examples=["list purge"])
def list_purge() -> None:
    """List the purges there were, newest first."""
    show_all(operations().purges.list_purges(), _PURGES)


@command(shows=True, examples=["inspect purge 4f2a…"])
@click.argument("purge", metavar="ID")
def inspect_purge(purge: str) -> None:
    """Show what a purge did."""
    show_one(operations().purges.inspect_purge(purge), report_block)


@command(shows=True, examples=["list purged training@master", "list purged training@master:/a"])
@click.argument("commit", metavar="REPO@REF[:/PATH]")
def list_purged(commit: str) -> None:
    """List the files that a commit had until they were purged, and why they were."""
    if ":" in commit:
        repo, ref, path = file_of(commit)
    else:
        (repo, ref), path = commit_of(commit), None
    show_all(operations().purges.list_purged(repo, ref, path or "/"), _FILES)


def report_block(report: PurgeReport) -> str:
    """A report as text."""
    dry = report.state == "dry run"
    lines = [] if dry else [f"Purge: {report.id}", f"State: {report.state}"]
    lines += [] if dry else [f"Started: {when(report.started)}"]
    if report.reason:
        lines.append(f"Reason: {report.reason}")
    if report.targets:
        lines.append(f"Patterns: {', '.join(report.targets[:_SHOWN])}")
    elif report.forget_names:
        lines.append("Patterns: forgotten")
    for repo in report.repos:
        how = " (made from them)" if repo.derived else ""
        lines.append(
            f"  {repo.repo}{how}: {counted(repo.files, 'file')} in "
            f"{counted(repo.commits, 'commit')}, {size(repo.size_bytes)} together"
        )
    if report.open_changes:
        lines.append(f"  changes not committed yet: {report.open_changes:,}")
    if report.datums:
        lines.append(
            f"Datums that read them: {report.datums:,}; remembered results of these: "
            f"{report.results_forgotten:,}"
        )
    if report.runs:
        lines.append(f"Runs begun: {', '.join(report.runs)}")
    if dry:
        lines.append(f"Contents: {counted(report.contents, 'piece')}; nothing was changed")
    elif report.state == "done":
        lines.append(
            f"Erased: {report.contents_erased:,} of {report.contents:,} pieces of content, "
            f"{size(max(0, report.freed_bytes))} given back"
        )
    return "\n".join([*lines, *_kept_lines(report), *(f"Note: {r}" for r in report.remarks)])


def _kept_lines(report: PurgeReport) -> Iterator[str]:
    if not report.kept_total:
        return
    others = counted(report.kept_total, "other file")
    yield f"The same content is also in {others}; kept there:"
    for kept in report.kept[:_SHOWN]:
        deleted = "" if kept.what == "commit" else f" ({kept.what})"
        yield (
            f"  {kept.repo}@{kept.newest}:/{kept.path}{deleted}, "
            f"in {counted(kept.commits, 'commit')}"
        )
    more = report.kept_total - min(len(report.kept), _SHOWN)
    if more > 0:
        yield f"  and {more:,} more"


def _commits(report: PurgeReport) -> int:
    return sum(repo.commits for repo in report.repos)


def _files(report: PurgeReport) -> int:
    return sum(repo.files for repo in report.repos)


def _bytes(report: PurgeReport) -> int:
    return sum(repo.size_bytes for repo in report.repos)
