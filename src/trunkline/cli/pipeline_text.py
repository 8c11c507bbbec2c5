"""Pipelines and jobs as blocks of text, in the form that 1.7 prints, blanks included."""

from collections.abc import Iterable

from trunkline.cli.output import Table, lasted, size, span, to_json, when
from trunkline.cli.session import current
from trunkline.model.images import Image
from trunkline.model.jobs import JobInfo, WorkerInfo
from trunkline.model.pipelines import GitInfo, PipelineInfo, PipelineState, ResidentInfo

_NO_DURATION = "(duration: nil Duration)"
_CLASSIC_STATES = {
    PipelineState.CRASHING: PipelineState.RESTARTING.value,
    PipelineState.STANDBY: PipelineState.RUNNING.value,
}
_COUNTED = ("starting", "running", "failure", "success")

_WORKERS: Table[WorkerInfo] = Table(
    titles=("WORKER", "JOB", "DATUM", "STARTED", "QUEUE"),
    cells=lambda worker: (worker.name, worker.job, worker.datum, when(worker.started), "0"),
)


def job_block(job: JobInfo, workers: Iterable[WorkerInfo]) -> str:
    spec = job.spec
    lines = [f"ID: {job.id} ", f"Pipeline: {job.pipeline}  "]
    if job.parent:
        lines.append(f"Parent: {job.parent} ")
    lines.append(f"Started: {when(job.started or job.created)} ")
    if job.finished is not None:
        lines.append(f"Duration: {lasted(job.started or job.created, job.finished)} ")
    lines += [
        f"State: {job.state.value}",
        f"Reason: {job.reason}",
        f"Processed: {job.processed}",
        f"Failed: {job.failed}",
        f"Skipped: {job.skipped}",
    ]
    if job.recovered:
        lines.append(f"Recovered: {job.recovered}")
    if job.quarantined:
        lines.append(f"Quarantined: {job.quarantined}")
    lines += [
        f"Total: {job.total}",
        f"Data Downloaded: {size(job.downloaded_bytes)}",
        f"Data Uploaded: {size(job.uploaded_bytes)}",
        f"Download Time: {span(job.download_s)}",
        f"Process Time: {span(job.process_s)}",
        f"Upload Time: {span(job.upload_s)}",
        f"Datum Timeout: {spec.get('datum_timeout') or _NO_DURATION}",
        f"Job Timeout: {spec.get('job_timeout') or _NO_DURATION}",
        "Worker Status:",
        *_WORKERS.whole(workers),
        f"Restarts: {job.restarts}",
        f"ParallelismSpec: {_parallelism(spec)} ",
        *_resources(spec),
        "",
        "Input:",
        to_json(spec.get("input", {})),
        "",
        "Transform:",
        f"{to_json(spec.get('transform', {}))} ",
        *_image(job.image),
        *_packages(job.packages),
        f"Output Commit: {job.id}   ",
        *_egress(spec),
    ]
    return "\n".join(lines)


def pipeline_block(pipeline: PipelineInfo) -> str:
    spec = pipeline.spec
    lines = [f"Name: {pipeline.name}"]
    if pipeline.description:
        lines.append(f"Description: {pipeline.description}")
    lines += [
        f"Created: {when(pipeline.created)}",
        f"State: {state_word(pipeline.state)}",
        f"Reason: {pipeline.reason}",
        *(f"Alert: {alert}" for alert in pipeline.alerts),
        *(f"Warning: {warning}" for warning in pipeline.warnings),
        *_resident(pipeline.resident),
        *_gits(pipeline.gits),
        f"Parallelism Spec: {_parallelism(spec)} ",
        *_resources(spec),
        "",
        f"Datum Timeout: {spec.get('datum_timeout') or _NO_DURATION}",
        f"Job Timeout: {spec.get('job_timeout') or _NO_DURATION}",
        "Input:",
        to_json(spec.get("input", {})),
        "",
        "",
        f"Output Branch: {pipeline.output_branch}",
        "Transform:",
        to_json(spec.get("transform", {})),
        *_image(pipeline.image),
        *_packages(pipeline.packages),
        *_egress(spec),
        "",
    ]
    if pipeline.recent_error:
        lines.append(f"Recent Error: {pipeline.recent_error}")
    counts = pipeline.job_counts
    others = (state for state in counts if state not in _COUNTED and counts[state])
    shown = [f"{state}: {counts.get(state, 0)}\t" for state in (*_COUNTED, *others)]
    return "\n".join([*lines, "", "Job Counts:", "".join(shown)])


def state_word(state: PipelineState) -> str:
    """The state, in the classic spelling of commands by the names that 1.7 has for such."""
    return _CLASSIC_STATES.get(state, state.value) if current().classic else state.value


def _egress(spec: dict[str, object]) -> list[str]:
    """Where the output is copied to, as the spec says it."""
    return ["Egress:", to_json(spec["egress"])] if spec.get("egress") else []


def _resident(found: ResidentInfo | None) -> list[str]:
    """Where a service is reached, what it serves and how it is."""
    if found is None:
        return []
    health = "healthy" if found.healthy else "starting"
    restarts = f", {found.restarts} restarts" if found.restarts else ""
    lines = [f"Address: {found.address}"] if found.address else []
    if found.job:
        lines += [f"Serves: {', '.join(found.commits) or 'no files'}", f"Job: {found.job}"]
    return [*lines, f"Health: {health} since {when(found.since)}{restarts}"]


def _image(image: Image | None) -> list[str]:
    """What the containers that code runs in are made of."""
    if image is None:
        return []
    return [
        f"Image: {image.reference}",
        *(f"\t{name}" for name in (image.id, image.digest) if name),
    ]


def _gits(gits: Iterable[GitInfo]) -> list[str]:
    """What git inputs follow; their problems are among the alerts."""
    return [
        f"Follows: branch {git.branch} of {git.url} in {git.repo}, "
        f"{f'at {git.commit}' if git.commit else 'at no commit yet'}, "
        f"{f'looked at {when(git.looked)}' if git.looked else 'not looked at yet'}"
        for git in gits
    ]


def _packages(packages: Iterable[str]) -> list[str]:
    lines = [f"\t{package}" for package in packages]
    return ["Packages:", *lines] if lines else []


def _parallelism(spec: dict[str, object]) -> str:
    asked = spec.get("parallelism_spec")
    if isinstance(asked, dict):
        for kind in ("constant", "coefficient"):
            if asked.get(kind):
                return f"{kind}:{asked[kind]}"
    return "constant:1"


def _resources(spec: dict[str, object]) -> list[str]:
    lines: list[str] = []
    for title, field in (
        ("ResourceRequests", "resource_requests"),
        ("ResourceLimits", "resource_limits"),
    ):
        asked = spec.get(field)
        if isinstance(asked, dict) and asked:
            cpu, memory = asked.get("cpu", 0), asked.get("memory", "")
            lines += [f"{title}:", f"\tCPU: {cpu}", f"\tMemory: {memory} "]
    return lines
