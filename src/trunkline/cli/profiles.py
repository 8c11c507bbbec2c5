"""`profile job`: how the datums of a job went."""

import click

from trunkline.cli.command import command
from trunkline.cli.job_names import one_job
from trunkline.cli.output import Table, brief, counted, shortened, show_one
from trunkline.cli.session import operations
from trunkline.model.jobs import FailureGroup, JobProfile
from trunkline.values import dataclass

_ID_SHOWN = 12
_MESSAGE_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worker:
    """What one of them did in all."""

    name: str
    datums: int
    failed: int
    busy_s: float


_WORKERS: Table[_Worker] = Table(
    titles=("WORKER", "DATUMS", "FAILED", "BUSY"),
    cells=lambda one: (one.name, f"{one.datums:,}", f"{one.failed:,}", brief(one.busy_s)),
    width=0,
    padding=2,
    trimmed=True,
)
_FAILURES: Table[FailureGroup] = Table(
    titles=("FAILED", "EXAMPLE", "MESSAGE"),
    cells=lambda one: (
        *(f"{one.datums:,}", one.example[:_ID_SHOWN]),
        shortened(one.message, _MESSAGE_SHOWN),
    ),
    width=0,
    padding=2,
    trimmed=True,
)


@command(shows=True, examples=["profile job inference@4f2a…", "profile job inference"])
@click.argument("job")
def profile_job(job: str) -> None:
    """Tell how the datums of a job went: how long they took, what failed, what each worker did."""
    show_one(operations().jobs.profile_job(one_job(job)), _block)


def _block(profile: JobProfile) -> str:
    lines = [f"{counted(profile.datums, 'datum')} of {profile.job} ended"]
    if profile.quantiles_s:
        median, most, longest = (brief(profile.quantiles_s[place]) for place in (10, 19, -1))
        lines.append(f"half took at most {median}, 95 % at most {most}, the longest {longest}")
    workers: dict[str, _Worker] = {}
    for span in profile.spans:
        before = workers.get(span.worker)
        workers[span.worker] = _Worker(
            name=span.worker,
            datums=span.datums + (before.datums if before else 0),
            failed=span.failed + (before.failed if before else 0),
            busy_s=span.busy_s + (before.busy_s if before else 0.0),
        )
    if workers:
        lines += ["", *_WORKERS.whole(workers.values())]
    if profile.failures:
        lines += ["", *_FAILURES.whole(profile.failures)]
    return "\n".join(lines)
