"""From what a user calls a job to the jobs that are meant.

1.7 knew a job by an id alone. Here an id is the id of a run, which may have a job in every
pipeline that it reached.
"""

from trunkline.cli.arguments import job_name
from trunkline.cli.session import operations
from trunkline.errors import InvalidInput, NotFound
from trunkline.model.jobs import JobInfo
from trunkline.model.names import is_commit_id


def job_names(text: str) -> list[str]:
    """The jobs that the text names, as operations take them, upstream first; at least one.

    An id that no run has is given back as it is: the operation itself then says what is wrong.
    """
    if not is_commit_id(text):
        return [job_name(text)]
    try:
        jobs = list(operations().jobs.list_jobs(run=text))
    except NotFound:
        return [text]
    # A run is listed the most derived first.
    return [_name(job) for job in reversed(jobs)] or [text]


def one_job(text: str) -> str:
    """The one job that the text names; raises InvalidInput with the candidates of a run."""
    names = job_names(text)
    if len(names) > 1:
        raise InvalidInput(
            f"run {text} has {len(names)} jobs, and this command needs one of them: "
            f"{', '.join(names)}"
        )
    return names[0]


def _name(job: JobInfo) -> str:
    return f"{job.pipeline}@{job.id}"
