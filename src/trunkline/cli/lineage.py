"""Commands that answer questions about results: where they came from, why they were computed."""

from collections.abc import Iterator

import click

from trunkline.cli.arguments import NUMBER_MAX, file_of, full_name
from trunkline.cli.command import command, option
from trunkline.cli.job_names import one_job
from trunkline.cli.output import counted, shortened, show_lines, show_one, size, when, write
from trunkline.cli.session import Shape, current, operations
from trunkline.errors import InvalidInput
from trunkline.model.lineage import (
    Cause,
    ChangedPart,
    DatumOrigin,
    DatumReason,
    ImpactStep,
    JobReason,
    PipelineReason,
    WhyStep,
)
from trunkline.model.versions import FileInfo, FileType, spec_branch

_ID_SHOWN = 12  # letters of digests and of ids of datums, which commands find by their beginning
_CODE_SHOWN = 100
_LINES_SHOWN = 20
_DIGESTS = frozenset({"input", "code", "salt"})  # parts whose values are digests

_depth = option(
    "--depth", default=0, metavar="N", help="Only over so many datums one after the other (0: all)."
)


@command(
    shows=True,
    examples=["why inference@master:/test1.csv", "why inference@4f2a…:/test1.csv --depth 1"],
)
@click.argument("file", metavar="REPO@REF:/PATH")
@_depth
def why(file: str, depth: int) -> None:
    """Show what a file was made from: datums, their inputs and code, back to what was put."""
    repo, ref, path = _file(file)
    show_lines(operations().lineage.why_file(repo, ref, path, depth=_limit(depth)), _why_lines)


@command(
    shows=True,
    examples=["impact training@master:/iris.csv", "impact training@4f2a…:/iris.csv --files"],
)
@click.argument("file", metavar="REPO@REF:/PATH")
@option("--files", is_flag=True, help="List the files, not only how many they are.")
@_depth
def impact(file: str, files: bool, depth: int) -> None:
    """Show which datums of which jobs read a file, and what came of it over all stages."""
    repo, ref, path = _file(file)
    totals = _Totals()
    steps = operations().lineage.impact_of_file(repo, ref, path, depth=_limit(depth), files=files)
    show_lines(steps, totals.lines)
    if current().shape == Shape.TABLE:
        write(totals.sentence)


@command(shows=True, examples=["explain job train@4f2a…", "explain job train@master^"])
@click.argument("job")
@option("--whole", is_flag=True, help="Compare all datums, however many were run.")
def explain_job(job: str, whole: bool) -> None:
    """Tell why there is a job, why its datums were run or skipped, and what it waits for."""
    show_one(operations().lineage.explain_job(one_job(job), whole=whole), _job_block)


@command(shows=True, examples=["explain datum train@4f2a… 9c1b"])
@click.argument("job")
@click.argument("datum")
def explain_datum(job: str, datum: str) -> None:
    """Tell why a datum was run or skipped, and what differs from its nearest earlier run."""
    show_one(operations().lineage.explain_datum(one_job(job), datum), _datum_block)


@command(shows=True, examples=["explain file inference@master:/test1.csv"])
@click.argument("file", metavar="REPO@REF:/PATH")
def explain_file(file: str) -> None:
    """Tell why the datums that wrote a file were run or skipped."""
    found = operations().lineage.explain_file(*_file(file))
    show_lines(found, lambda reason: [_datum_block(reason)])


@command(shows=True, examples=["explain pipeline train"])
@click.argument("pipeline")
def explain_pipeline(pipeline: str) -> None:
    """Tell why a pipeline has a job for what its inputs are now, or why it has none."""
    show_one(operations().lineage.explain_pipeline(full_name(pipeline)), _pipeline_block)


def _job_block(reason: JobReason) -> str:
    lines = [f"job {reason.job} (version {reason.pipeline_version}): {reason.state}"]
    lines += [f"  {sentence}" for sentence in reason.sentences]
    if reason.before:
        lines.append(f"since job {reason.before}:" if reason.changes else f"as job {reason.before}")
    elif reason.changes:
        lines.append("the first job of its pipeline that had datums, on")
    lines += [f"  {_change(change)}" for change in reason.changes]
    for count in reason.causes:
        parts = f": {', '.join(count.parts)}" if count.parts else ""
        if count.cause is Cause.RUN:
            parts = " and not compared, as they are many (--whole compares all)"
        lines.append(
            f"{counted(count.datums, 'datum')} {count.cause.value}{parts}, "
            f"e.g. {count.example[:_ID_SHOWN]}"
        )
    return "\n".join(lines)


def _datum_block(reason: DatumReason) -> str:
    given = [f"  {file.name}: {file.repo}@{file.commit}:/{file.path}" for file in reason.inputs]
    lines = [
        f"datum {reason.datum[:_ID_SHOWN]} of {reason.job} ({reason.state}): {reason.cause.value}",
        *_first(given, "  "),
        f"  {reason.sentence}",
    ]
    if reason.changes and reason.cause is Cause.SKIPPED:
        lines.append(f"  since job {reason.before}:")
    lines += _first([f"    {_change(change)}" for change in reason.changes], "    ")
    return "\n".join(lines)


def _first(lines: list[str], margin: str) -> list[str]:
    """As many lines as a person reads, and how many more there are: a group can be large."""
    if len(lines) <= _LINES_SHOWN:
        return lines
    return [*lines[:_LINES_SHOWN], f"{margin}and {len(lines) - _LINES_SHOWN:,} more"]


def _pipeline_block(reason: PipelineReason) -> str:
    return "\n".join(
        [
            f"pipeline {reason.pipeline} is {reason.state}",
            *(f"  {text}" for text in reason.sentences),
        ]
    )


def _change(change: ChangedPart) -> str:
    if change.part == "reprocess":
        return "a user asked for everything to be computed anew"
    name = f"{change.part} {change.name}" if change.name else change.part
    if not change.before:
        return f"{name}: new" if change.part in _DIGESTS else f"{name}: {_value(change, new=True)}"
    if not change.after:
        return f"{name}: gone"
    return f"{name}: {_value(change, new=False)} → {_value(change, new=True)}"


def _value(change: ChangedPart, *, new: bool) -> str:
    text = change.after if new else change.before
    return text[:_ID_SHOWN] if change.part in _DIGESTS else shortened(text, _CODE_SHOWN)


class _Totals:
    """Adds up jobs while they are printed."""

    def __init__(self) -> None:
        self._jobs = self._datums = self._files = self._bytes = 0

    def lines(self, step: ImpactStep) -> Iterator[str]:
        margin = "  " * (step.depth - 1)
        if step.file is not None:
            yield f"{margin}  {_shown(step.file)} by datum {step.datum[:_ID_SHOWN]}"
            return
        self._jobs += 1
        self._datums += step.datums
        self._files += step.files
        self._bytes += step.size_bytes
        skipped = f" ({step.skipped} skipped)" if step.skipped else ""
        yield (
            f"{margin}{step.job} {step.state}: {step.datums} of "
            f"{counted(step.datums_total, 'datum')}{skipped} wrote {counted(step.files, 'file')} "
            f"({size(step.size_bytes)})"
        )
        if step.remark:
            yield f"{margin}  {step.remark}"

    @property
    def sentence(self) -> str:
        if not self._jobs:
            return "no datum of any job read it"
        return (
            f"in all: {counted(self._jobs, 'job')}, {counted(self._datums, 'datum')}, "
            f"{counted(self._files, 'file')} ({size(self._bytes)})"
        )


def _file(text: str) -> tuple[str, str, str]:
    repo, ref, path = file_of(text)
    if not path or path == "/":
        raise InvalidInput(f"{text!r} does not name a file; write repo@branch:/path")
    return repo, ref, path


def _limit(depth: int) -> int:
    if depth < 0:
        raise InvalidInput(f"--depth is {depth}; it must be 0 (all) or more")
    return min(depth, NUMBER_MAX)


def _why_lines(step: WhyStep) -> Iterator[str]:
    if step.datum is not None:
        margin = "  " * (2 * step.depth + 1)
        origin = step.datum
        known = "; told above" if step.same_as else ""
        yield f"{margin}datum {origin.id[:_ID_SHOWN]} of {_run(origin)}{known}"
        if not known:
            yield from (f"{margin}  {line}" for line in _code(origin))
    elif step.file is not None:
        margin = "  " * (2 * step.depth)
        name = f"{step.input}: " if step.input else ""
        known = "; told above" if step.same_as else ""
        yield f"{margin}{name}{_shown(step.file)}{known}"
        if step.put is not None:
            about = f": {step.put.description}" if step.put.description else ""
            put = f"{step.put.repo}@{step.put.commit}"
            yield f"{margin}  put in {put} {when(step.put.finished)}{about}"
        elif step.remark:
            yield f"{margin}  {step.remark}"
    else:
        yield f"{'  ' * (2 * step.depth + 1)}{step.remark}"


def _run(origin: DatumOrigin) -> str:
    moment = "" if origin.made is None else f" {when(origin.made)}"
    if not origin.skipped:
        return f"{origin.job}, run{moment}"
    if not origin.made_by:
        return f"{origin.job}, skipped; the job that ran it has been deleted"
    return f"{origin.job}, skipped: {origin.made_by} ran it{moment}"


def _code(origin: DatumOrigin) -> Iterator[str]:
    pipeline = origin.job.partition("@")[0]
    text = " ".join([*origin.cmd, *(("<<<", *origin.stdin) if origin.stdin else ())])
    parts = [
        f"version {origin.pipeline_version} ({spec_branch(pipeline).repo}@{origin.spec_commit})",
        f"code {origin.code[:_ID_SHOWN]}" if origin.code else "",
        f"image {origin.image}" if origin.image else "",
    ]
    yield ", ".join(part for part in parts if part)
    yield f"cmd {shortened(text, _CODE_SHOWN)}"


def _shown(file: FileInfo) -> str:
    slash = "/" if file.type == FileType.DIR and file.path else ""
    name = f"{file.repo}@{file.commit}:/{file.path}{slash}"
    return f"{name} ({size(file.size_bytes)}, {file.digest[:_ID_SHOWN]})"
