"""Commands on runs: all commits and jobs that one change set off."""

import click

from trunkline.cli.arguments import at_most, seconds
from trunkline.cli.command import command, option
from trunkline.cli.output import Table, brief, counted, note, show_all, show_one, when
from trunkline.cli.progress import waiting
from trunkline.cli.session import operations
from trunkline.model.jobs import JobState
from trunkline.model.runs import RunDetails, RunStep
from trunkline.model.versions import RunInfo

_BAR_CELLS = 8
_ENDED_WELL = ("finished", JobState.SUCCESS.value)

RUNS: Table[RunInfo] = Table(
    titles=("ID", "SUBCOMMITS", "PROGRESS", "CREATED", "MODIFIED", "STATE"),
    cells=lambda run: (
        *(run.id, str(len(run.commits)), ("▇" if run.finished else "-") * _BAR_CELLS),
        *(when(run.created), when(run.finished), run.state),
    ),
    width=0,
    padding=1,
)
_STEPS: Table[RunStep] = Table(
    titles=("STEP", "STATE", "WAITED", "RAN", "PROGRESS", "WAITS FOR"),
    cells=lambda step: (
        *(step.repo, step.state, brief(step.waited_s), brief(step.ran_s)),
        *(_progress(step), ", ".join(step.waits_for) or "-"),
    ),
    width=0,
    padding=2,
    trimmed=True,
)


def _progress(step: RunStep) -> str:
    if step.pipeline is None:
        return "-"
    recovered = f" + {step.recovered}" if step.recovered else ""
    failed = f", {step.failed} failed" if step.failed else ""
    return f"{step.processed} + {step.skipped}{recovered} / {step.total}{failed}"


@command(shows=True, examples=["list run -n 10"])
@option("-n", "--number", default=0, metavar="N", help="At most so many (0: all).")
@option("--before", metavar="RUN", help="Only those that began before this one.")
def list_run(number: int, before: str | None) -> None:
    """List the runs, newest first."""
    show_all(operations().commits.list_runs(number=at_most(number), before=before), RUNS)


@command(shows=True, examples=["inspect run 4f2a…"])
@click.argument("run")
@option("-w", "--wait", is_flag=True, help="Wait until all of it is finished.")
def inspect_run(run: str, wait: bool) -> None:
    """Show the commits and jobs of a run: how each ended, when, and what it waits for."""
    show_one(operations().commits.inspect_run(run, wait=wait), run_block)


def run_block(run: RunDetails) -> str:
    lines = [f"Run: {run.id}", f"State: {run.state}", f"Created: {when(run.created)}"]
    if run.finished is not None:
        lines.append(f"Finished: {when(run.finished)}")
    lines.append(f"Duration: {brief(run.duration_s)}")
    lines += ["", *_STEPS.whole(run.steps)]
    if len(run.critical_path) > 1:
        lines += ["", f"Critical path: {_path(run)}"]
    for step in run.steps:
        if step.reason and step.state not in _ENDED_WELL:
            lines.append(f"{step.repo}: {step.state}: {step.reason}")
    return "\n".join(lines)


def _path(run: RunDetails) -> str:
    by_repo = {step.repo: step for step in run.steps}
    steps = [by_repo[repo] for repo in run.critical_path]
    named = " > ".join(f"{step.repo} {brief(step.waited_s + step.ran_s)}" for step in steps)
    spent = sum(step.waited_s + step.ran_s for step in steps)
    return f"{named} ({counted(len(steps), 'step')}, {brief(spent)})"


@command(examples=["stop run 4f2a…"])
@click.argument("run")
def stop_run(run: str) -> None:
    """Stop all jobs of a run; their output commits are finished empty."""
    operations().jobs.stop_run(run)


@command(shows=True, examples=["wait run 4f2a…"])
@click.argument("run")
@option("--timeout", metavar="TIME", help="Give up after this long, e.g. 30s or 5m.")
def wait_run(run: str, timeout: str | None) -> None:
    """Wait until all commits of a run are finished, and all its jobs have ended.

    The exit status is 1 if a job of it failed, 6 if the time is over.
    """
    wait_for_run(run, None if timeout is None else seconds(timeout))


def wait_for_run(run: str, limit_s: float | None) -> None:
    commits = operations().commits
    with waiting(f"waiting for run {run}"):
        done = commits.inspect_run(run, wait=True, timeout_s=limit_s)
    show_one(done, run_block)
    for step in done.steps:
        if step.state not in _ENDED_WELL:
            what = "it" if step.pipeline is None else "its job"
            reason = step.reason.partition("\n")[0]
            note(f"error: {step.repo}@{done.id}: {what} ended as {step.state}: {reason}")
    if done.state == "failure":
        raise click.exceptions.Exit(1)
