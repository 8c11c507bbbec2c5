"""Commands on branches."""

from typing import Any

import click

from trunkline.cli.arguments import branch_of, commit_of, full_name
from trunkline.cli.command import command, option
from trunkline.cli.output import Table, show_all, show_one, span, timestamp, when
from trunkline.cli.session import current, operations
from trunkline.cli.trash import tell
from trunkline.errors import InvalidInput
from trunkline.model.versions import BranchInfo, BranchTrigger, Retention

_CLASSIC: Table[BranchInfo] = Table(
    titles=("BRANCH", "HEAD"), cells=lambda branch: (branch.name, branch.head or "-")
)
_SPACED: Table[BranchInfo] = Table(
    titles=("BRANCH", "HEAD", "TRIGGER", "PROVENANCE", "CREATED"),
    cells=lambda branch: (
        *(branch.name, branch.head or "-", trigger_text(branch.trigger)),
        *(", ".join(map(str, branch.provenance)) or "-", when(branch.created)),
    ),
    width=0,
    padding=1,
)


def trigger_text(trigger: BranchTrigger | None) -> str:
    """A trigger in the words of Pachyderm 2.x: `staging on Size(100MB) or Commits(3)`."""
    if trigger is None:
        return "-"
    conditions = [
        *([f"Cron({trigger.cron})"] if trigger.cron else []),
        *([f"Size({trigger.size})"] if trigger.size else []),
        *([f"Commits({trigger.commits})"] if trigger.commits else []),
    ]
    return f"{trigger.source} on {(' and ' if trigger.all else ' or ').join(conditions)}"


def rules_text(rules: Retention) -> str:
    """Retention rules as words: `last 10, within 30 days, daily 7`."""
    counts = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
    words = [f"{name} {getattr(rules, name)}" for name in counts if getattr(rules, name)]
    if rules.within_s:
        words.append(f"within {span(rules.within_s).lower()}")
    if rules.tagged:
        words.append("tagged")
    return ", ".join(words) + ("; what was made from the others goes too" if rules.derived else "")


@command(
    examples=[
        "create branch training@staging",
        "create branch training@master --head staging",
        "create branch model@master -p training@master",
        "create branch training@master --trigger staging --trigger-size 100MB",
        "create branch training@master --trigger staging --trigger-cron @hourly",
    ]
)
@click.argument("branch")
@option("--head", metavar="REF", help="A branch or commit of the same repo.")
@option(
    "-p",
    "--provenance",
    multiple=True,
    metavar="REPO@BRANCH",
    help="A branch that it is derived from; repeat for more.",
)
@option(
    "-t",
    "--trigger",
    metavar="BRANCH",
    help="Follow this branch of the repo when a condition is met.",
)
@option("--trigger-size", metavar="SIZE", help="Once it has grown by so much (100MB).")
@option("--trigger-commits", type=int, metavar="N", help="Once it has so many new commits.")
@option("--trigger-cron", metavar="SCHEDULE", help="At these times, in UTC (@hourly).")
@option("--trigger-all", is_flag=True, help="Only when all conditions are met.")
@option("--no-trigger", is_flag=True, help="Remove the trigger it has.")
def create_branch(
    branch: str,
    head: str | None,
    provenance: tuple[str, ...],
    trigger: str | None,
    no_trigger: bool,
    **conditions: Any,
) -> None:
    """Create a branch, or move its head or change what it is derived from or triggered by."""
    repo, name = branch_of(branch)
    if trigger is not None and no_trigger:
        raise InvalidInput("--trigger and --no-trigger exclude each other; use one of them")
    if trigger is None and any(value not in (None, False) for value in conditions.values()):
        raise InvalidInput("a condition needs --trigger BRANCH, the branch to follow")
    wanted = BranchTrigger(source="") if no_trigger else None
    if trigger is not None:
        wanted = _trigger(_in_repo(repo, trigger), **conditions)
    operations().branches.create_branch(
        repo,
        name,
        head=_in_repo(repo, head) if head else None,
        provenance=["@".join(branch_of(text)) for text in provenance] or None,
        trigger=wanted,
    )


def _trigger(
    source: str,
    *,
    trigger_size: str | None,
    trigger_commits: int | None,
    trigger_cron: str | None,
    trigger_all: bool,
) -> BranchTrigger:
    if trigger_commits is not None and trigger_commits < 1:
        raise InvalidInput(f"--trigger-commits is {trigger_commits}; it must be 1 or more")
    return BranchTrigger(
        source=source,
        size=trigger_size or "",
        commits=trigger_commits or 0,
        cron=trigger_cron or "",
        all=trigger_all,
    )


def _in_repo(repo: str, head: str) -> str:
    """The reference of a branch or commit that may be written with its repo in front."""
    if "@" not in head:
        return head
    other, ref = commit_of(head)
    if other != repo:
        raise InvalidInput(f"a branch of '{repo}' can't follow or begin at {head}, of another repo")
    return ref


@command(examples=["set branch training@staging master"])
@click.argument("commit")
@click.argument("branch")
def set_branch(commit: str, branch: str) -> None:
    """Let BRANCH begin at COMMIT (repo@branch or repo@id) of the same repo."""
    repo, ref = commit_of(commit)
    operations().branches.create_branch(repo, branch, head=ref)


@command(shows=True, examples=["inspect branch training@master"])
@click.argument("branch")
def inspect_branch(branch: str) -> None:
    """Show one branch."""
    show_one(operations().branches.inspect_branch(*branch_of(branch)), _block)


def _block(branch: BranchInfo) -> str:
    lines = [f"Name: {branch.repo}@{branch.name}", f"Head Commit: {branch.head or '-'}"]
    if branch.provenance:
        lines.append(f"Provenance: {', '.join(map(str, branch.provenance))}")
    if branch.trigger is not None:
        lines.append(f"Trigger: {trigger_text(branch.trigger)}")
    if branch.next_tick is not None:
        lines.append(f"Next Tick: {timestamp(branch.next_tick)}")
    if branch.retention is not None:
        lines.append(f"Keeps: {rules_text(branch.retention)}")
    return "\n".join([*lines, f"Created: {when(branch.created)}"])


@command(shows=True, examples=["list branch training"])
@click.argument("repo")
def list_branch(repo: str) -> None:
    """List the branches of a repo, last moved first."""
    show_all(
        operations().branches.list_branches(full_name(repo)),
        _CLASSIC if current().classic else _SPACED,
    )


@command(examples=["delete branch training@staging"])
@click.argument("branch")
@option("-f", "--force", is_flag=True, help="Even if others are derived from it.")
def delete_branch(branch: str, force: bool) -> None:
    """Delete a branch; its commits stay."""
    tell(operations().branches.delete_branch(*branch_of(branch), force=force))
