"""What the operations may ask of the record of jobs, and how they may change it.

The statements are in `tables`, which is this package's own; this is the part of it that others see.
"""

from trunkline.jobs.tables import (
    DatumRecord,
    JobRecord,
    count_open_jobs,
    datums_at,
    datums_ended_after,
    delete_everything,
    delete_job,
    failed_datums,
    good_job_before,
    job_before,
    job_by_name,
    job_by_number,
    job_counts,
    job_of_output,
    jobs_of_run,
    last_failure,
    last_success,
    list_jobs,
    open_jobs,
    open_jobs_before,
    origin_of_result,
    segments_of,
)

__all__ = [
    "DatumRecord",
    "JobRecord",
    "count_open_jobs",
    "datums_at",
    "datums_ended_after",
    "delete_everything",
    "delete_job",
    "failed_datums",
    "good_job_before",
    "job_before",
    "job_by_name",
    "job_by_number",
    "job_counts",
    "job_of_output",
    "jobs_of_run",
    "last_failure",
    "last_success",
    "list_jobs",
    "open_jobs",
    "open_jobs_before",
    "origin_of_result",
    "segments_of",
]
