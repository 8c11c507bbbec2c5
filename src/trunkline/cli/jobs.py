"""Commands on jobs and workers."""

from contextlib import nullcontext

import click

from trunkline.cli.arguments import (
    all_projects,
    at_most,
    commit_name,
    full_name,
    full_names,
    seconds,
)
from trunkline.cli.command import command, option
from trunkline.cli.job_names import job_names, one_job
from trunkline.cli.output import (
    Table,
    lasted,
    note,
    noting,
    short_age,
    shortened,
    show_all,
    show_each,
    show_one,
    size,
    when,
)
from trunkline.cli.pipeline_text import job_block
from trunkline.cli.progress import waiting
from trunkline.cli.session import Shape, current, operations
from trunkline.errors import InvalidInput, TimedOut
from trunkline.model.jobs import JobInfo, JobState, WorkerInfo
from trunkline.model.names import is_commit_id

_REASON_LETTERS = 25

JOBS: Table[JobInfo] = Table(
    titles=(
        *("ID", "OUTPUT COMMIT", "STARTED", "DURATION", "RESTART"),
        *("PROGRESS", "DL", "UL", "STATE"),
    ),
    cells=lambda job: (
        *(job.id, f"{job.output_repo}/{job.id}", when(job.started or job.created)),
        *(lasted(job.started or job.created, job.finished), str(job.restarts)),
        *(_progress(job), size(job.downloaded_bytes), size(job.uploaded_bytes), _state(job)),
    ),
    width=0,
    padding=1,
)
_WORKERS: Table[WorkerInfo] = Table(
    titles=("NAME", "READY", "STATUS", "RESTARTS", "AGE"),
    cells=lambda worker: (
        *(worker.name, worker.ready, worker.status, str(worker.restarts)),
        short_age((current().clock() - worker.started).total_seconds()),
    ),
    width=0,
    trimmed=True,
)


def _progress(job: JobInfo) -> str:
    recovered = f" + {job.recovered}" if job.recovered else ""
    return f"{job.processed} + {job.skipped}{recovered} / {job.total}"


def _state(job: JobInfo) -> str:
    if job.state.ended and job.state != JobState.SUCCESS and job.reason:
        return f"{job.state.value}: {shortened(job.reason, _REASON_LETTERS)}"
    return (
        f"{job.state.value}: {job.quarantined:,} quarantined"
        if job.quarantined
        else job.state.value
    )


@command(
    shows=True,
    examples=[
        "list job",
        "list job -p inference",
        "list job 4f2a…",
        "list job --state failure",
        "list job -n 5 -o json",
    ],
)
@click.argument("run", metavar="[RUN]", required=False)
@option("-p", "--pipeline", metavar="PIPELINE", help="The jobs of this pipeline.")
@option("-i", "--input", "inputs", multiple=True, metavar="COMMIT", help="That read it.")
@option("--output-commit", metavar="COMMIT", help="The job that wrote it (list-job: -o too).")
@option(
    "--state",
    "states",
    multiple=True,
    metavar="STATE",
    help="In this state: " + ", ".join(JobState) + ".",
)
@option("--before", metavar="JOB", help="Older than this one.")
@option("--newest", is_flag=True, help="Only the newest one of each pipeline.")
@option("-n", "--number", default=0, metavar="N", help="At most so many (0: all).")
@option("-x", "--expand", is_flag=True, hidden=True)
@all_projects
def list_job(
    run: str | None,
    pipeline: str | None,
    inputs: tuple[str, ...],
    output_commit: str | None,
    states: tuple[str, ...],
    before: str | None,
    newest: bool,
    number: int,
    expand: bool,
    everywhere: bool,
) -> None:
    """List the jobs of the project, newest first; with RUN, those of one run, in all projects."""
    if run is not None and not is_commit_id(run):
        raise InvalidInput(f"{run!r} is not the id of a run; use -p to list a pipeline's jobs")
    if current().classic and output_commit in ("json", "yaml"):
        # 1.7's -o names a commit, which has a slash; everywhere else -o is the format
        current().shape, output_commit = Shape(output_commit), None
    # 1.7 separates several commits by commas
    read = [commit_name(text) for listed in inputs for text in listed.split(",")]
    named = pipeline or run or read or output_commit  # which may be of another project
    show_all(
        operations().jobs.list_jobs(
            pipeline=full_name(pipeline) if pipeline else None,
            run=run,
            project=None if everywhere or named else current().project,
            output=commit_name(output_commit) if output_commit else None,
            inputs=read or None,
            states=list(states) or None,
            before=one_job(before) if before else None,
            newest=newest,
            number=at_most(number),
        ),
        JOBS,
    )


@command(
    shows=True,
    examples=[
        "inspect job inference@4f2a…",
        "inspect job inference@master",
        "inspect job 4f2a… --wait",
    ],
)
@click.argument("job")
@option("-w", "-b", "--wait", "--block", "wait", is_flag=True, help="Wait for its end.")
def inspect_job(job: str, wait: bool) -> None:
    """Show a job (PIPELINE: its newest one; an id alone: all jobs of the run)."""
    names = job_names(job)
    shown = (_inspected(name, wait=wait) for name in names)
    if len(names) > 1 and current().shape != Shape.TABLE:
        show_all(shown, JOBS)
        return
    for number, info in enumerate(shown):
        if number:
            click.echo()
        show_one(info, _block)


def _inspected(name: str, *, wait: bool) -> JobInfo:
    with waiting(f"waiting for {name}") if wait else nullcontext():
        return operations().jobs.inspect_job(name, wait=wait)


def _block(job: JobInfo) -> str:
    workers = operations().jobs.list_workers(pipeline=job.pipeline)
    return job_block(job, [worker for worker in workers if worker.job.endswith(f"@{job.id}")])


_timeout = option("--timeout", metavar="TIME", help="Give up after this long, e.g. 30s or 5m.")


@command(
    shows=True,
    examples=["wait job inference@4f2a…", "wait job inference", "wait job 4f2a… --timeout 10m"],
)
@click.argument("job")
@_timeout
def wait_job(job: str, timeout: str | None) -> None:
    """Wait for the end of a job (an id alone: of all jobs of the run).

    The exit status is 0 only if all of them succeeded, 6 if the time is over.
    """
    limit = None if timeout is None else seconds(timeout)
    done: list[JobInfo] = []
    for name in job_names(job):
        with waiting(f"waiting for {name}"):
            done.append(operations().jobs.inspect_job(name, wait=True, timeout_s=limit))
    show_all(done, JOBS)
    _leave_with_the_outcome(done)


def _leave_with_the_outcome(jobs: list[JobInfo]) -> None:
    failed = [job for job in jobs if job.state != JobState.SUCCESS]
    for job in failed:
        note(f"error: job {job.pipeline}@{job.id} ended as {job.state.value}: {job.reason}")
    if failed:
        raise click.exceptions.Exit(1)


@command(shows=True, examples=["flush job training@master", "flush job training@master -p train"])
@click.argument("commits", metavar="COMMIT...", nargs=-1, required=True)
@option(
    "-p", "--pipeline", "pipelines", multiple=True, metavar="PIPELINE", help="Wait for these only."
)
@_timeout
def flush_job(commits: tuple[str, ...], pipelines: tuple[str, ...], timeout: str | None) -> None:
    """Wait for all jobs that the commits caused, and print each as it ends.

    The exit status is 1 if a job did not succeed, 6 if the time is over.
    """
    done: list[JobInfo] = []
    ended = noting(
        done,
        operations().jobs.flush_jobs(
            [commit_name(text) for text in commits],
            pipelines=full_names(pipelines),
            timeout_s=None if timeout is None else seconds(timeout),
        ),
    )
    if current().shape == Shape.TABLE:
        try:
            show_all(list(ended), JOBS)
        except TimedOut:
            show_all(done, JOBS)  # those that did end
            raise
    else:
        show_each(ended, JOBS)
    _leave_with_the_outcome(done)


@command(examples=["stop job inference@4f2a…", "stop job inference"])
@click.argument("job")
def stop_job(job: str) -> None:
    """Stop a job (an id alone: all jobs of the run); its output commit is finished empty."""
    for name in job_names(job):
        operations().jobs.stop_job(name)


@command(examples=["delete job inference@4f2a…"])
@click.argument("job")
def delete_job(job: str) -> None:
    """Stop a job and forget its record; its output stays."""
    for name in job_names(job):
        operations().jobs.delete_job(name)


@command(shows=True, examples=["list worker", "list worker -p inference"])
@option("-p", "--pipeline", metavar="PIPELINE", help="The workers of this pipeline.")
def list_worker(pipeline: str | None) -> None:
    """List the workers there are now, as `kubectl get pods` would."""
    name = full_name(pipeline) if pipeline else None
    show_all(operations().jobs.list_workers(pipeline=name), _WORKERS)
