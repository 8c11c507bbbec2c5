"""Commands on the rules that say which commits of a branch stay."""

import click

from trunkline.cli.arguments import branch_of, seconds
from trunkline.cli.branches import rules_text
from trunkline.cli.command import command, option
from trunkline.cli.output import Table, note, show_all, show_one, size, when, write
from trunkline.cli.progress import waiting
from trunkline.cli.session import Shape, current, operations
from trunkline.cli.trash import tell
from trunkline.model.retention import Judged, RetentionInfo, RetentionReport
from trunkline.model.versions import Retention

_RULES: Table[RetentionInfo] = Table(
    titles=("BRANCH", "KEEPS", "SET"),
    cells=lambda info: (
        f"{info.repo}@{info.branch}",
        rules_text(info.rules),
        when(info.created),
    ),
    width=0,
    padding=1,
)
_JUDGED: Table[Judged] = Table(
    titles=("COMMIT", "FINISHED", "SIZE", "STAYS"),
    cells=lambda judged: (
        judged.id,
        "-" if judged.finished is None else when(judged.finished),
        size(judged.size_bytes),
        ", ".join(judged.reasons) or _goes(judged),
    ),
    width=0,
    padding=1,
)


def _goes(judged: Judged) -> str:
    with_it = f" (with {', '.join(judged.derived)})" if judged.derived else ""
    return f"no{with_it}"


@command(
    examples=[
        "set retention training@master --keep-last 10 --keep-daily 7 --keep-weekly 4",
        "set retention training@master --keep-within 30d --derived",
    ]
)
@click.argument("branch", metavar="REPO@BRANCH")
@option("--keep-last", type=int, default=0, metavar="N", help="The newest N commits.")
@option("--keep-within", metavar="TIME", help="What is at most so much older than the newest: 30d.")
@option(
    "--keep-hourly", type=int, default=0, metavar="N", help="The newest of each hour, N of them."
)
@option("--keep-daily", type=int, default=0, metavar="N", help="The newest of each day.")
@option("--keep-weekly", type=int, default=0, metavar="N", help="The newest of each week.")
@option("--keep-monthly", type=int, default=0, metavar="N", help="The newest of each month.")
@option("--keep-yearly", type=int, default=0, metavar="N", help="The newest of each year.")
@option("--keep-tagged", is_flag=True, help="What has a tag (which stays in any case).")
@option("--derived", is_flag=True, help="What pipelines made from the others goes with them.")
def set_retention(
    branch: str,
    keep_last: int,
    keep_within: str | None,
    keep_hourly: int,
    keep_daily: int,
    keep_weekly: int,
    keep_monthly: int,
    keep_yearly: int,
    keep_tagged: bool,
    derived: bool,
) -> None:
    """Say which commits of a branch stay; the others are squashed from time to time.

    A commit stays if any rule keeps it. Heads, tagged commits, and what others need stay anyway.
    """
    rules = Retention(
        last=keep_last,
        within_s=0.0 if keep_within is None else seconds(keep_within),
        hourly=keep_hourly,
        daily=keep_daily,
        weekly=keep_weekly,
        monthly=keep_monthly,
        yearly=keep_yearly,
        tagged=keep_tagged,
        derived=derived,
    )
    repo, name = branch_of(branch)
    operations().retention.set_retention(repo, name, rules=rules)
    note(f"see what goes: {current().program} apply retention {branch} --dry-run")


@command(shows=True, examples=["inspect retention training@master"])
@click.argument("branch", metavar="REPO@BRANCH")
def inspect_retention(branch: str) -> None:
    """Show the rules of a branch."""
    show_one(operations().retention.inspect_retention(*branch_of(branch)), _block)


def _block(info: RetentionInfo) -> str:
    return (
        f"Branch: {info.repo}@{info.branch}\nKeeps: {rules_text(info.rules)}\n"
        f"Set: {when(info.created)}"
    )


@command(shows=True, examples=["list retention"])
def list_retention() -> None:
    """List the rules of all branches that have some."""
    show_all(operations().retention.list_retention(), _RULES)


@command(examples=["delete retention training@master"])
@click.argument("branch", metavar="REPO@BRANCH")
def delete_retention(branch: str) -> None:
    """Take a branch its rules: all its commits stay."""
    operations().retention.delete_retention(*branch_of(branch))


@command(
    shows=True,
    examples=["apply retention training@master --dry-run", "apply retention training@master"],
)
@click.argument("branch", metavar="REPO@BRANCH")
@option("--dry-run", is_flag=True, help="Only show which commits stay, and why.")
def apply_retention(branch: str, dry_run: bool) -> None:
    """Squash the commits of a branch that nothing keeps; the server does so by itself."""
    with waiting("applying"):
        report = operations().retention.apply_retention(*branch_of(branch), dry_run=dry_run)
    if current().shape != Shape.TABLE:
        show_one(report, _summary)
        return
    if dry_run:
        show_all(report.commits, _JUDGED)
        note(_summary(report))
        return
    write(_summary(report))
    for deleted in report.deletions:
        tell(deleted)


def _summary(report: RetentionReport) -> str:
    verb = "would go" if report.dry_run else "went"
    return f"{report.repo}@{report.branch}: {report.kept:,} commits stay, {report.removed:,} {verb}"
