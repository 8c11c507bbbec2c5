"""SQL on jobs whose output commits were deleted: into the trash, and back out of it."""

from collections.abc import Iterator

from trunkline.db.database import Transaction
from trunkline.jobs.tables.records import delete_job
from trunkline.model.jobs import JobState
from trunkline.versions.counter import next_number

# Columns of the tables whose rows are kept; a test compares them with the schema.
KEPT_COLUMNS: dict[str, tuple[str, ...]] = {
    "job": (
        *("number", "pipeline", "id", "version", "spec_commit", "output_repo", "output_branch"),
        *("state", "reason", "created", "started", "finished", "restarts", "total", "skipped"),
        *("processed", "failed", "recovered", "downloaded_bytes", "uploaded_bytes"),
        *("download_us", "process_us", "upload_us", "leased", "datums_digest"),
    ),
    "job_segment": ("job", "number", "chunk", "first", "fresh", "total"),
    "datum": (
        *("number", "job", "position", "key", "state", "tries", "worker", "started", "finished"),
        *("downloaded_bytes", "uploaded_bytes", "download_us", "process_us", "upload_us"),
        *("log", "reason"),
    ),
}
_SHADOWS = {"job": "trash_job", "job_segment": "trash_job_segment", "datum": "trash_datum"}
_PAGE = 500


def trash_job(tx: Transaction, entry: int, number: int) -> None:
    """Keep a job under an entry of the trash, then forget it; remembered results stay."""
    _keep(tx, entry, "job", "number = :job", number)
    for table in ("job_segment", "datum"):
        _keep(tx, entry, table, "job = :job", number)
    delete_job(tx, number)


def _keep(tx: Transaction, entry: int, table: str, where: str, job: int) -> None:
    columns = ", ".join(KEPT_COLUMNS[table])
    tx.execute(
        f"INSERT INTO {_SHADOWS[table]} (entry, {columns}) "
        f"SELECT :entry, {columns} FROM {table} WHERE {where}",
        entry=entry,
        job=job,
    )


def trashed_jobs(tx: Transaction, entry: int) -> list[tuple[int, str, str, int, JobState]]:
    """Number, pipeline, spec commit, version and state of the jobs of an entry, oldest first."""
    rows = tx.rows(
        "SELECT number, pipeline, spec_commit, version, state FROM trash_job "
        "WHERE entry = :entry ORDER BY number",
        entry=entry,
    )
    return [(number, name, spec, version, JobState(s)) for number, name, spec, version, s in rows]


def put_back_job(tx: Transaction, entry: int, number: int) -> None:
    """Insert a job that had ended, as it was."""
    for table, which, without in (
        ("job", "number = :job", ""),
        ("job_segment", "job = :job", ""),
        # Numbers of datums only say which ended first, and may have been given out again.
        ("datum", "job = :job ORDER BY number", "number"),
    ):
        columns = ", ".join(column for column in KEPT_COLUMNS[table] if column != without)
        tx.execute(
            f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {_SHADOWS[table]} "
            f"WHERE entry = :entry AND {which}",
            entry=entry,
            job=number,
        )


def begin_job_again(tx: Transaction, number: int) -> None:
    """Insert a job that was open, from its start and under a new number.

    A worker may still be busy with the old one, and must not be heard.
    """
    tx.execute(
        """INSERT INTO job (number, pipeline, id, version, spec_commit, output_repo, output_branch,
             state, created, restarts)
           SELECT :fresh, pipeline, id, version, spec_commit, output_repo, output_branch,
             :state, created, restarts FROM trash_job WHERE number = :number""",
        fresh=next_number(tx),
        number=number,
        state=JobState.STARTING,
    )


def chunks_in_trash(tx: Transaction) -> Iterator[str]:
    """The chunks with segments and logs of the jobs in the trash, page by page."""
    after = (0, -1, 0)
    while True:
        rows = tx.rows(
            "SELECT entry, job, number, chunk FROM trash_job_segment "
            "WHERE (entry, job, number) > (:entry, :job, :number) "
            "ORDER BY entry, job, number LIMIT :page",
            entry=after[0],
            job=after[1],
            number=after[2],
            page=_PAGE,
        )
        yield from (str(chunk) for *_, chunk in rows)
        if len(rows) < _PAGE:
            break
        after = tuple(rows[-1][:3])
    last = (0, 0)
    while True:
        rows = tx.rows(
            "SELECT entry, number, log FROM trash_datum WHERE (entry, number) > (:entry, :number) "
            "ORDER BY entry, number LIMIT :page",
            entry=last[0],
            number=last[1],
            page=_PAGE,
        )
        for *_, log in rows:
            yield from filter(None, str(log).split(","))
        if len(rows) < _PAGE:
            return
        last = tuple(rows[-1][:2])
