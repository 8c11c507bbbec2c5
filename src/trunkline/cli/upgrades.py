"""The command that brings a data directory to the formats of this version, and back."""

from datetime import UTC, datetime

import click

from trunkline.cli.command import command, option
from trunkline.cli.confirm import confirm
from trunkline.cli.output import note, show_one, size, span
from trunkline.cli.progress import waiting
from trunkline.errors import InvalidInput
from trunkline.model.admin import UpgradeCheck, UpgradeReport, UpgradeStep


@command(shows=True, examples=["upgrade --check", "upgrade --yes", "upgrade --undo"])
@option("--check", "only_check", is_flag=True, help="Only look, and say what would be done.")
@option("--undo", is_flag=True, help="Go back to before the last upgrade.")
@option("-f", "--force", is_flag=True, help="Upgrade a catalog that breaks a rule too.")
@option("-y", "--yes", is_flag=True, help="Do not ask.")
def upgrade(only_check: bool, undo: bool, force: bool, yes: bool) -> None:
    """Bring the local data directory to the formats of this version; no server may have it open.

    The catalog is kept beside it as it was. Where all is well and quick, the first command of a new
    version does this by itself.
    """
    from trunkline import config
    from trunkline.engine import upgrade as upgrades

    if only_check + undo > 1 or (force and (only_check or undo)):
        raise InvalidInput("--check, --undo and --force exclude each other; use one of them")
    settings = config.load()
    automatic = settings.upgrade == "auto"
    if undo:
        consequence = "This puts the catalog back as it was before the last upgrade."
        confirm(consequence, yes=yes, done="changed")
        with waiting("going back"):
            show_one(upgrades.undo(settings.home), _undone_block)
        return
    with waiting("checking"):
        plan = upgrades.check(settings.home, automatic=automatic)
    if only_check:
        show_one(plan, _check_block)
        if plan.damages:
            raise click.exceptions.Exit(7)
        if _is_needed(plan) and (plan.hindrances or plan.held_by):
            raise click.exceptions.Exit(4)
        return
    if _is_needed(plan) and not yes:
        note(_check_block(plan))
        confirm("This upgrades the data directory.", yes=False, done="changed")
    with waiting("upgrading"):
        report = upgrades.upgrade(settings.home, now=datetime.now(UTC), force=force)
    show_one(report, _done_block)
    if report.problems:
        raise click.exceptions.Exit(7)


def _is_needed(plan: UpgradeCheck) -> bool:
    return bool(plan.steps) or plan.interrupted


def _check_block(plan: UpgradeCheck) -> str:
    lines = [
        f"Data directory: {plan.home}",
        f"Format: {plan.format}, catalog {plan.catalog} (this version: {plan.newest})",
    ]
    if plan.interrupted:
        lines.append("An upgrade was interrupted; it would be completed.")
    if plan.steps:
        lines.append("To do:")
        lines += [f"  {_step(step)}" for step in plan.steps]
    if _is_needed(plan):
        lines.append(
            f"Takes about {span(max(plan.duration_s, 1)).lower()}, and {size(plan.needed_bytes)} "
            f"beside it ({size(plan.free_bytes)} free)."
        )
        if plan.held_by:
            lines.append(
                f"In the way: another process ({plan.held_by}) has it open; `trunkline down` stops "
                "a server"
            )
    lines += [f"In the way: {problem}" for problem in plan.hindrances]
    lines += [f"Damaged: {problem}" for problem in plan.damages]
    lines += [f"Note: {remark}" for remark in plan.remarks if _is_needed(plan)]
    if plan.kept:
        lines.append(f"Kept from before the last upgrade: {plan.kept}")
    return "\n".join([*lines, _verdict(plan)])


def _verdict(plan: UpgradeCheck) -> str:
    if not _is_needed(plan):
        return "Nothing is to be done."
    if plan.damages:
        return "A damaged catalog is not upgraded: restore a backup."
    if plan.hindrances or plan.held_by:
        return "It can't be upgraded as things stand."
    if plan.by_itself:
        return "The next command does it by itself; `trunkline upgrade` does it now."
    return "`trunkline upgrade` does it; it is not done by itself."


def _step(step: UpgradeStep) -> str:
    rows = f" ({step.rewrites:,} rows are written anew)" if step.rewrites else ""
    return f"{step.part} {step.number}: {step.title}{rows}"


def _done_block(report: UpgradeReport) -> str:
    if not report.steps and report.catalog_before == report.catalog and not report.problems:
        return f"{report.home} is up to date (catalog {report.catalog})."
    lines = [
        f"Upgraded the catalog of {report.home} from {report.catalog_before} to {report.catalog}, "
        f"in {span(report.duration_s).lower()}; its rules were checked.",
        f"Kept as it was before: {report.kept}; until something is written, "
        "`trunkline upgrade --undo` goes back to it.",
    ]
    if report.problems:
        lines[0] = lines[0].replace("its rules were checked", "it breaks rules")
        lines += [f"  {problem}" for problem in report.problems]
    return "\n".join(lines)


def _undone_block(report: UpgradeReport) -> str:
    return (
        f"The catalog of {report.home} is at {report.catalog} again, as before the upgrade (to "
        f"{report.catalog_before}).\nInstall the older version before the next command: this one "
        "would upgrade it again (TRUNKLINE_UPGRADE=never keeps it from that)."
    )
