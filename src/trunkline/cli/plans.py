"""`plan`: what another command would set off, told before it is run."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from trunkline.cli.command import command, option
from trunkline.cli.output import Table, brief, counted, show_lines, size
from trunkline.cli.session import current
from trunkline.errors import InvalidInput
from trunkline.model.plans import Plan, PlannedJob

if TYPE_CHECKING:
    from trunkline.connect.planning import Planning

WORK = 10  # exit status of --check where there is something to do
_WORDS = (
    *("put file", "copy file", "delete file"),
    *("create pipeline", "update pipeline", "delete pipeline", "delete repo"),
)
_JOBS: Table[PlannedJob] = Table(
    titles=("PIPELINE", "DATUMS", "NEW", "CHANGED", "REMOVED", "SKIPPED", "TO READ", "EXPECTED"),
    cells=lambda job: (
        *(job.pipeline, f"{_about(job)}{job.total:,}", f"{job.new:,}", f"{job.changed:,}"),
        *(f"{job.removed:,}", f"{job.skipped:,}", f"{_most(job)}{size(job.size_bytes)}"),
        f"{_most(job)}{brief(job.expected_s)}" if job.expected_s is not None else "unknown",
    ),
    width=0,
    padding=2,
    trimmed=True,
)


def _about(job: PlannedJob) -> str:
    return "~" if job.reads_unknown else ""


def _most(job: PlannedJob) -> str:
    return "<= " if job.reads_unknown else ""


@command(
    examples=[
        "plan put file training@master:/iris.csv -f iris.csv",
        "plan --check update pipeline -f infer.json",
        "plan -o json delete file training@master:/old",
        "plan delete pipeline inference --force",
    ],
    shows=True,
)
@click.argument("words", metavar="COMMAND...", nargs=-1, type=click.UNPROCESSED, required=True)
@option("--check", is_flag=True, help="End with status 10 where there would be work.")
@click.pass_context
def plan(ctx: click.Context, words: tuple[str, ...], check: bool) -> None:
    """Tell what a command would set off, and change nothing.

    Of each pipeline, upstream first: how many datums are new or changed and would be run, how many
    are gone, how many have their result and would be skipped; what the former read, and how long
    they are likely to take, as earlier jobs took. Options of `plan` come before the command: put
    file, copy file, delete file, create pipeline, update pipeline, delete pipeline, delete repo.
    What reads outputs that are not known yet is counted as they are now: ~ is about, <= at most.
    """
    found = planned(ctx, words).plans()
    show_lines(found, _lines)
    if check and any(one.work for one in found):
        raise click.exceptions.Exit(WORK)


# What comes behind the command's first word is the command's own.
plan.context_settings = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def planned(ctx: click.Context, words: tuple[str, ...]) -> "Planning":
    """Run a command that only plans its changes."""
    from trunkline.cli.grammar import spaced

    name = " ".join(words[:2]).removesuffix("s")
    if name not in _WORDS:
        raise InvalidInput(f"`{name}` can't be planned; {_known()} can")
    with current().only_planning() as planning:
        target = spaced(*name.split())
        inner = target.make_context(name, list(words[2:]), parent=ctx)
        with inner:
            target.invoke(inner)
        return planning


def _known() -> str:
    return f"{', '.join(_WORDS[:-1])} and {_WORDS[-1]}"


def _lines(plan: Plan) -> Iterator[str]:
    for entry in plan.deleted:
        yield f"deletes {entry.kind} {entry.name} with {counted(entry.commits, 'commit')}"
    for name in plan.stopped:
        yield f"stops job {name}"
    if plan.jobs:
        yield from _JOBS.whole(plan.jobs)
    elif not plan.deleted:
        yield "no pipeline gets a job"
    for job in plan.jobs:
        if job.reason:
            yield f"{job.pipeline}: would not succeed: {job.reason}"
        elif job.reads_unknown:
            names = ", ".join(job.reads_unknown)
            yield f"{job.pipeline}: {names} is not known yet; up to {job.may_change:,} may change"
        if job.quarantined:
            failed = counted(job.quarantined, "datum")
            yield f"{job.pipeline}: {failed} failed before and would not be run again"
    took = plan.expected_s
    if plan.jobs and took != 0:
        most = "at most " if any(job.reads_unknown for job in plan.jobs) else ""
        yield f"expected in all: {'unknown' if took is None else most + brief(took)}"
