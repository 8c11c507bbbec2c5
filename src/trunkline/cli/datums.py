"""Commands on the datums of a job, and on logs."""

import sys
from collections.abc import Sequence

import click

from trunkline.cli.arguments import NUMBER_MAX, at_most, full_name, local_files, seconds
from trunkline.cli.command import command, option
from trunkline.cli.job_names import job_names, one_job
from trunkline.cli.output import (
    Table,
    note,
    show_all,
    show_one,
    size,
    span,
    to_json,
    when,
    write,
)
from trunkline.cli.session import current, operations
from trunkline.cli.spec_sources import STDIN, arg_option, drafts_of, jsonnet_option, source_of
from trunkline.errors import InvalidInput
from trunkline.model.jobs import DatumInfo, DatumInput, DatumState, LogLine
from trunkline.model.versions import FileInfo

_FILES_SHOWN = 8

_CLASSIC: Table[DatumInfo] = Table(
    titles=("ID", "STATUS", "TIME"),
    cells=lambda datum: (datum.id, datum.state.value, _time(datum)),
    open_ended=True,
)
_SPACED: Table[DatumInfo] = Table(
    titles=("ID", "FILES", "STATUS", "TIME"),
    cells=lambda datum: (
        *(datum.id or "-", _files(datum)),
        *(datum.state.value, _time(datum)),
    ),
    width=0,
    padding=1,
)
_INPUTS: Table[DatumInput] = Table(
    titles=("REPO", "COMMIT", "PATH"),
    cells=lambda given: (given.repo, given.commit, f"/{given.path}"),
)


_OUTPUTS: Table[FileInfo] = Table(
    titles=("PATH", "SIZE"),
    cells=lambda file: (f"/{file.path}", size(file.size_bytes)),
)


def _time(datum: DatumInfo) -> str:
    if datum.state in (DatumState.SKIPPED, DatumState.STARTING):
        return "-"
    return span(datum.download_s + datum.process_s + datum.upload_s)


def _files(datum: DatumInfo) -> str:
    """What the datum was given; of a large group, the beginning: `inspect datum` has all."""
    files = [_file(given) for given in datum.inputs[:_FILES_SHOWN]]
    more = len(datum.inputs) - len(files)
    return ", ".join([*files, f"and {more:,} more"] if more else files)


def _file(given: DatumInput) -> str:
    return f"{given.repo}@{given.commit}:/{given.path}"


@command(
    shows=True,
    examples=[
        "list datum inference@4f2a…",
        "list datum inference@4f2a… --state failed",
        "list datum -f infer.json -n 20",
    ],
)
@click.argument("job", required=False)
@option(
    *("-f", "--file", "file"),
    metavar="FILE|URL|-",
    shell_complete=local_files,
    help="Those that this spec would have now; nothing is created.",
)
@jsonnet_option
@arg_option
@option(
    "--state",
    "states",
    multiple=True,
    metavar="STATE",
    help="In this state: " + ", ".join(DatumState) + ".",
)
@option("--grep", "text", metavar="TEXT", help="TEXT is part of a path, or begins the id.")
@option("-n", "--number", default=0, metavar="N", help="At most so many (0: all).")
@option("--pageSize", "--page-size", "page_size", default=0, help="So many on a page.")
@option("--page", default=0, help="Which page, from 0.")
def list_datum(
    job: str | None,
    file: str | None,
    jsonnet: str | None,
    arguments: tuple[str, ...],
    states: tuple[str, ...],
    text: str | None,
    number: int,
    page_size: int,
    page: int,
) -> None:
    """List the datums of a job, failed ones first, or those that a spec would have."""
    if page < 0 or page_size < 0:
        raise InvalidInput("--page and --page-size must not be negative")
    most = at_most(number)
    if most and page_size:
        raise InvalidInput("-n and --page-size exclude each other; use one of them")
    pages = {"page": page, "page_size": most or page_size}
    datums = operations().datums
    if job is not None and file is None and jsonnet is None and not arguments:
        listed = datums.list_datums(one_job(job), states=list(states) or None, text=text, **pages)
    elif job is None and (states or text):
        raise InvalidInput("--state and --grep are for the datums of a job; name one")
    elif job is None and (file or jsonnet):
        listed = datums.preview_datums(_one_spec(file, jsonnet, arguments), **pages)
    else:
        raise InvalidInput("name either a job, or a spec with -f or --jsonnet")
    show_all(listed, _CLASSIC if current().classic else _SPACED)


def _one_spec(file: str | None, jsonnet: str | None, arguments: Sequence[str]) -> dict[str, object]:
    if file is not None and jsonnet is not None:
        raise InvalidInput("-f and --jsonnet exclude each other; use one of them")
    source = source_of(file or STDIN, jsonnet, arguments)
    drafts = drafts_of(source)
    if len(drafts) != 1:
        raise InvalidInput(f"{source.name} describes {len(drafts)} pipelines; one is expected here")
    return drafts[0].spec


@command(shows=True, examples=["inspect datum inference@4f2a… 9c1b"])
@click.argument("job")
@click.argument("datum")
def inspect_datum(job: str, datum: str) -> None:
    """Show one datum of a job, by its id or the beginning of it."""
    show_one(operations().datums.inspect_datum(one_job(job), datum), _block)


def _block(datum: DatumInfo) -> str:
    lines = [
        f"ID\t{datum.id}",
        f"Job ID\t{datum.job}",
        f"State\t{datum.state.value}",
        f"Data Downloaded\t{size(datum.downloaded_bytes)}",
        f"Data Uploaded\t{size(datum.uploaded_bytes)}",
        f"Total Time\t{_time(datum)}",
        f"Download Time\t{span(datum.download_s)}",
        f"Process Time\t{span(datum.process_s)}",
        f"Upload Time\t{span(datum.upload_s)}",
        f"Tries\t{datum.tries}",
    ]
    if datum.worker:
        lines.append(f"Worker\t{datum.worker}")
    if datum.started is not None:
        lines.append(f"Started\t{when(datum.started)}")
    if datum.reason:
        lines.append(f"Reason\t{datum.reason}")
    return "\n".join([*lines, "Inputs:", *_INPUTS.whole(datum.inputs)])


@command(shows=True, examples=["list output inference@4f2a… 9c1b"])
@click.argument("job")
@click.argument("datum")
def list_output(job: str, datum: str) -> None:
    """List the files of a job's output commit that a datum wrote."""
    show_all(operations().datums.list_outputs(one_job(job), datum), _OUTPUTS)


@command(examples=["restart datum inference@4f2a… /test1.csv"])
@click.argument("job")
@click.argument("paths", metavar="PATH[,PATH...]")
def restart_datum(job: str, paths: str) -> None:
    """Run the datums of a job again that are running now and whose inputs have all the PATHs."""
    count = operations().datums.restart_datums(one_job(job), paths.split(","))
    if count:
        note(f"{count} running {'datum starts' if count == 1 else 'datums start'} again")
    else:
        note("no datum that is running now has all of these inputs")


@command(
    examples=[
        "logs --pipeline inference",
        "logs --job inference@4f2a… -f",
        "logs --job inference@4f2a… --datum 9c1b…",
        "logs --pipeline train --since 1h -t 20",
        "logs --pipeline train --grep Error --since 24h --until 1h",
    ]
)
@option("-p", "--pipeline", metavar="PIPELINE", help="What the code of a pipeline printed.")
@option("-j", "--job", metavar="JOB", help="Of one job; an id alone: of the whole run.")
@option("--datum", metavar="DATUM", help="Of one datum.")
@option("--inputs", metavar="PATH,...", help="Of the datums that have all these inputs.")
@option("-f", "--follow", is_flag=True, help="Wait for more.")
@option("-t", "--tail", default=0, metavar="N", help="Only the last N lines (0: all).")
@option("--since", metavar="TIME", help="Nothing older, e.g. 90s or 24h.")
@option("--until", metavar="TIME", help="Nothing younger, e.g. 10m.")
@option("--grep", "text", metavar="TEXT", help="Only lines that TEXT is part of.")
@option("--raw", is_flag=True, help="JSON with all that is known of each line.")
@option("--master", "--worker", "everything", is_flag=True, help="The workers' lines too.")
def logs(
    pipeline: str | None,
    job: str | None,
    datum: str | None,
    inputs: str | None,
    follow: bool,
    tail: int,
    since: str | None,
    until: str | None,
    text: str | None,
    raw: bool,
    everything: bool,
) -> None:
    """Print what user code printed, by pipeline, job or datum."""
    if tail < 0:
        raise InvalidInput(f"--tail is {tail}; it must be 0 (all) or more")
    if pipeline is None and job is None:
        raise InvalidInput("whose logs? name a pipeline (--pipeline) or a job (--job)")
    jobs: Sequence[str | None] = [None] if job is None else job_names(job)
    for name in jobs:
        for line in operations().datums.get_logs(
            pipeline=full_name(pipeline) if pipeline else None,
            job=name,
            datum=datum,
            paths=inputs.split(",") if inputs else None,
            follow=follow,
            tail=min(tail, NUMBER_MAX),
            since_s=None if since is None else seconds(since),
            until_s=None if until is None else seconds(until),
            text=text,
        ):
            _print(line, raw=raw, everything=everything)
            if follow:
                sys.stdout.flush()


def _print(line: LogLine, *, raw: bool, everything: bool) -> None:
    if raw:
        write(to_json(line))
    elif line.user or everything:
        write(line.message)
