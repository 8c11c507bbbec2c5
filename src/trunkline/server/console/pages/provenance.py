"""Where things come from and what came of them: of a file, and of a commit as a whole.

Each step leads to the same page of what is before it or behind it, so that one gets from a result
to the rows it was made of, and back, by links alone.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from trunkline.errors import CommitOpen, NotFound, TrunklineError
from trunkline.model.jobs import DatumInfo, JobInfo
from trunkline.model.lineage import DatumOrigin, ImpactStep, WhyStep
from trunkline.model.names import parse_job
from trunkline.model.versions import CommitInfo, CommitName, FileInfo, FileType, is_spec_repo
from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Redirect, Route, Show, Visit

_STEPS = 200  # of the way back to what was put
_DATUMS = 3  # that wrote a file and are told in full
_GIVEN = 12  # files that a datum read and are shown beside it
_USES = 20  # jobs that read a file
_WRITTEN = 6  # files that such a job made of it
_COMMITS = 30
_JOBS = 30
_FILES = 20
_DEEPEST = 15  # levels that are set off from each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One step of the way back; `level` is how far it is set off."""

    step: WhyStep
    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """A datum that wrote a file, with all that is known of how it did."""

    origin: DatumOrigin
    given: tuple[WhyStep, ...]
    given_more: bool
    pipeline: str
    run: str  # of the job that ran it
    job: JobInfo | None  # that job; None: its record is gone
    datum: DatumInfo | None
    variables: tuple[tuple[str, str], ...]  # that its command was given

    @property
    def command(self) -> str:
        """What ran, as one would type it; what went to its standard input is apart."""
        return " ".join(self.origin.cmd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A job whose datums read a file, and what they made of it."""

    step: ImpactStep
    pipeline: str
    run: str
    written: tuple[FileInfo, ...]


def provenance(visit: Visit) -> Answer:
    """Of a file; of its commit where the address has no path, or that of a directory."""
    name, ref = visit.full_name("repo"), visit.arguments["ref"]
    path = visit.arguments["path"].strip("/")
    commit = visit.operations.commits.inspect_commit(name, ref)
    if not path or commit.finished is None:
        return _of_commit(visit, commit, ref)
    file = visit.operations.files.inspect_file(name, commit.id, path)
    if file.type is not FileType.FILE:
        return Redirect(to=urls.provenance(name, ref))
    return _of_file(visit, commit, ref, file)


# --- a file ---------------------------------------------------------------------------------------


def _of_file(visit: Visit, commit: CommitInfo, ref: str, file: FileInfo) -> Answer:
    why = visit.operations.lineage.why_file(commit.repo, commit.id, file.path)
    steps = list(islice(why, _STEPS + 1))
    place = file.path.rpartition("/")[2]
    return Show(
        template="provenance/file.html",
        title=f"Where {place} is from",
        context={
            "repo": commit.repo,
            "ref": ref,
            "path": file.path,
            "commit": commit,
            "file": file,
            "put": steps[0].put,
            "remark": steps[0].remark,
            "makers": _makers(visit, steps),
            "makers_total": sum(1 for step in steps if step.parent == 1 and step.datum),
            "lines": _lines(steps[:_STEPS]),
            "more_lines": len(steps) > _STEPS,
            "sources": _sources(steps),
            "uses": _uses(visit, commit, file),
        },
    )


def _lines(steps: Iterable[WhyStep]) -> list[Line]:
    levels = {0: -1}
    lines = []
    for step in steps:
        levels[step.number] = levels[step.parent] + 1
        lines.append(Line(step=step, level=min(levels[step.number], _DEEPEST)))
    return lines


def _sources(steps: Iterable[WhyStep]) -> list[WhyStep]:
    """What users put that it all began with, each once."""
    return [step for step in steps if step.put is not None and not step.same_as]


def _makers(visit: Visit, steps: list[WhyStep]) -> list[Maker]:
    found = [step for step in steps if step.parent == 1 and step.datum is not None]
    makers = []
    for step in found[:_DATUMS]:
        assert step.datum is not None
        given = [one for one in steps if one.parent == step.number]
        makers.append(_maker(visit, step.datum, given))
    return makers


def _maker(visit: Visit, origin: DatumOrigin, given: list[WhyStep]) -> Maker:
    name = origin.made_by or origin.job
    pipeline, run = parse_job(name)
    job = datum = None
    with contextlib.suppress(NotFound):
        job = visit.operations.jobs.inspect_job(name)
        datum = visit.operations.datums.inspect_datum(name, origin.id)
    return Maker(
        origin=origin,
        given=tuple(given[:_GIVEN]),
        given_more=len(given) > _GIVEN,
        pipeline=pipeline,
        run=run,
        job=job,
        datum=datum,
        variables=_variables(job),
    )


def _variables(job: JobInfo | None) -> tuple[tuple[str, str], ...]:
    transform = job.spec.get("transform") if job is not None else None
    env = transform.get("env") if isinstance(transform, dict) else None
    return tuple((str(key), str(value)) for key, value in sorted((env or {}).items()))


def _uses(visit: Visit, commit: CommitInfo, file: FileInfo) -> list[Use]:
    """The jobs that read the file themselves, each with the first files that they made of it."""
    steps = visit.operations.lineage.impact_of_file(
        commit.repo, commit.id, file.path, depth=1, files=True
    )
    uses: list[tuple[ImpactStep, list[FileInfo]]] = []
    for step in islice(steps, _USES * _WRITTEN):
        if step.file is None:
            if len(uses) == _USES:
                break
            uses.append((step, []))
        elif len(uses[-1][1]) < _WRITTEN:
            uses[-1][1].append(step.file)
    found = []
    for step, written in uses:
        pipeline, run = parse_job(step.job)
        found.append(Use(step=step, pipeline=pipeline, run=run, written=tuple(written)))
    return found


# --- a commit -------------------------------------------------------------------------------------


def _of_commit(visit: Visit, commit: CommitInfo, ref: str) -> Answer:
    operations = visit.operations
    job = None
    with contextlib.suppress(NotFound):
        job = operations.jobs.inspect_job(f"{commit.repo}@{commit.id}")
    made_of = [one for one in commit.provenance if not is_spec_repo(one.repo)]
    read = list(
        islice(
            operations.jobs.list_jobs(inputs=[f"{commit.repo}@{commit.id}"], number=_JOBS + 1),
            _JOBS + 1,
        )
    )
    files, more_files = _files(visit, commit)
    return Show(
        template="provenance/commit.html",
        title=f"Where {commit.repo}@{commit.id[:8]} is from",
        live=("commits", "jobs") if commit.finished is None else ("jobs",),
        context={
            "repo": commit.repo,
            "ref": ref,
            "commit": commit,
            "job": job,
            "sources": _commits(visit, made_of[:_COMMITS]),
            "sources_total": len(made_of),
            "uses": read[:_JOBS],
            "more_uses": len(read) > _JOBS,
            "files": files,
            "more_files": more_files,
        },
    )


def _commits(visit: Visit, names: Iterable[CommitName]) -> list[CommitInfo]:
    found = []
    for name in names:
        with contextlib.suppress(NotFound):  # deleted since
            found.append(visit.operations.commits.inspect_commit(name.repo, name.id))
    return found


def _files(visit: Visit, commit: CommitInfo) -> tuple[list[FileInfo], bool]:
    if commit.finished is None or commit.error:
        return [], False
    try:
        listed = visit.operations.files.glob_files(commit.repo, commit.id, "**")
        found = [file for file in islice(listed, 2 * _FILES + 1) if file.type is FileType.FILE]
    except (CommitOpen, TrunklineError):
        return [], False
    return found[:_FILES], len(found) > _FILES


ROUTES = (Route(path="/projects/{project}/repos/{repo}@{ref}/provenance/{path}", view=provenance),)
