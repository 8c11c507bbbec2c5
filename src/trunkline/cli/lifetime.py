"""Commands on the life of stored bytes: what is whole, what is needed, what has to go."""

import click

from trunkline.cli.arguments import full_name, seconds
from trunkline.cli.command import command, option
from trunkline.cli.output import Table, show_all, show_one, size, span
from trunkline.cli.progress import waiting
from trunkline.cli.session import operations
from trunkline.errors import InvalidInput
from trunkline.model.admin import DiskUsage, FsckReport, GcReport

_USAGE: Table[DiskUsage] = Table(
    titles=("NAME", "COMMITS", "FILES", "LOGICAL", "STORED", "EXCLUSIVE"),
    cells=lambda use: (
        *(use.name, f"{use.commits}", f"{use.files}"),
        *(size(use.logical_bytes), size(use.stored_bytes), size(use.exclusive_bytes)),
    ),
    width=0,
    padding=1,
)


@command(shows=True, examples=["gc", "gc --dry-run", "gc --grace 0s"])
@option("--dry-run", is_flag=True, help="Only say how much is not needed.")
@option(
    "--grace",
    metavar="TIME",
    help="Remove what is not needed for so long (0s: at once). Default: the server's setting.",
)
@option("-m", "--memory", hidden=True)  # of 1.x: how much the collector may use
def gc(dry_run: bool, grace: str | None, memory: str | None) -> None:
    """Remove stored bytes that nothing needs; the server does so by itself from time to time.

    Works beside everything else. What is found to be unneeded is kept for the grace period first.
    """
    grace_s = None if grace is None else seconds(grace)
    with waiting("collecting"):
        report = operations().admin.gc(dry_run=dry_run, grace_s=grace_s)
    show_one(report, _gc_block)


def _gc_block(report: GcReport) -> str:
    lines = [f"Needed: {_amount(report.needed_objects, report.needed_bytes)}"]
    waiting = _amount(report.waiting_objects, report.waiting_bytes)
    if report.dry_run:
        lines.append(f"Not needed: {waiting}; nothing was changed")
        return "\n".join(lines)
    lines.append(f"Removed: {_amount(report.removed_objects, report.removed_bytes)}")
    packs = f"{report.packs_removed:,} packs removed, {report.packs_written:,} written"
    lines.append(f"Given back: {size(max(0, report.freed_bytes))} ({packs})")
    if report.waiting_objects:
        after = f" for {span(report.grace_s).lower()}" if report.grace_s >= 1 else ""
        lines.append(f"Not needed, and kept{after}: {waiting}")
    if report.results_forgotten or report.file_sets_forgotten:
        lines.append(
            f"Forgotten: {report.results_forgotten:,} results of datums, "
            f"{report.file_sets_forgotten:,} unused uploads"
        )
    return "\n".join([*lines, *(f"Note: {remark}" for remark in report.remarks)])


def _amount(objects: int, size_bytes: int) -> str:
    return f"{objects:,} objects, {size(size_bytes)}"


@command(
    shows=True, examples=["du", "du training", "du training@master", "du training@master:/images"]
)
@click.argument("targets", metavar="[REPO[@REF[:/PATH]]]...", nargs=-1)
def du(targets: tuple[str, ...]) -> None:
    """Show what repos, commits or paths take up; without argument, all repos.

    LOGICAL is the sum over all commits, STORED what is on the disk for them (compressed, each piece
    once), EXCLUSIVE the part of it that nothing else has.
    """
    with waiting("adding up"):
        uses = operations().admin.disk_usage(targets=list(map(_in_full, targets)))
    show_all(uses, _USAGE)


def _in_full(target: str) -> str:
    """The target with the full name of its repo."""
    name, at, rest = target.partition("@")
    return f"{full_name(name)}{at}{rest}"


@command(shows=True, examples=["fsck", "fsck --read-data-subset 5%", "fsck --repair"])
@option("--quick", is_flag=True, help="Check structure and presence, read no data.")
@option(
    "--read-data-subset",
    "subset",
    metavar="PERCENT",
    help="Read the data of so much of the store only, chosen by chance, as in 5%.",
)
@option("--repair", is_flag=True, help="Heal what can be healed, and say what can't.")
@option("-f", "--fix", "repair", is_flag=True, hidden=True)  # the name in 2.x
def fsck(quick: bool, subset: str | None, repair: bool) -> None:
    """Check every commit, file and stored byte; exit status 7 if damage is there and stays."""
    percent = 100.0 if subset is None else _percent(subset)
    if quick and subset is not None:
        raise InvalidInput("--quick and --read-data-subset exclude each other; use one of them")
    with waiting("checking"):
        report = operations().admin.fsck(read_data=not quick, read_percent=percent, repair=repair)
    show_one(report, _fsck_block)
    if any(not damage.repaired for damage in report.damages):
        raise click.exceptions.Exit(7)


def _percent(text: str) -> float:
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError as error:
        raise InvalidInput(f"{text!r} is not a share of the data; write it as 5%") from error


def _fsck_block(report: FsckReport) -> str:
    lines = [
        f"Checked {report.commits:,} commits, {report.files:,} files, {report.chunks:,} chunks, "
        f"{size(report.bytes_read)} read."
    ]
    for damage in report.damages:
        lines.append(f"{damage.thing}: {damage.problem}")
        lines += [f"  {hit}" for hit in damage.hits]
        more = damage.hits_total - len(damage.hits)
        if more > 0:
            lines.append(f"  and {more:,} more")
        if damage.repair:
            lines.append(f"  → {damage.repair}")
    lines += report.remarks
    count = len(report.damages)
    healed = sum(damage.repaired for damage in report.damages)
    verdict = "No damage found." if not count else f"{count} damaged."
    if healed:
        verdict = f"{count} damaged, {healed} repaired."
    return "\n".join([*lines, verdict])
