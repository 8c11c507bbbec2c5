"""The log of a process that stays: in memory while it does, with its job's datum afterwards."""

from datetime import datetime

from trunkline.db.database import Database
from trunkline.db.times import to_microseconds
from trunkline.errors import TrunklineError
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.logs import LiveLogs, stored_entries, stored_form
from trunkline.jobs.tables import DatumRecord, JobRecord
from trunkline.model.jobs import DatumState, JobState


def keep_log(
    database: Database, trees: Trees, live: LiveLogs, job: JobRecord, now: datetime
) -> None:
    """Store what was printed for a job, with the outcome of its datum; a full disk loses it."""
    for log in live.of_job(job.number):
        entries = [(to_microseconds(time), stream, text) for time, stream, text in log.lines]
        try:
            with trees.chunks.hold():
                data = stored_form(entries)
                chunks = (str(trees.chunks.put(data)),) if data else ()
                trees.chunks.flush()
                _record(database, job.number, key=log.key, worker=log.worker, log=chunks, now=now)
        except TrunklineError:
            pass
        live.end(job.number, log.position)


def take_up_log(database: Database, trees: Trees, live: LiveLogs, job: JobRecord) -> None:
    """Have what was stored of a job's log in memory again, as more will be printed."""
    if live.has(job.number):
        return
    with database.write() as tx:
        found = tables.datum_at(tx, job.number, 0)
        if found is None:
            return
        tables.delete_datum(tx, job.number, 0)
    live.begin_again(job.number, key=found.key, worker=found.worker)
    try:
        entries = list(stored_entries(trees.chunks, found.log))
    except TrunklineError:
        return
    live.add(job.number, 0, [(to_microseconds(time), stream, m) for time, stream, m in entries])


def _record(
    database: Database, number: int, *, key: str, worker: str, log: tuple[str, ...], now: datetime
) -> None:
    with database.write() as tx:
        job = tables.job_by_number(tx, number)
        if job is None:
            return  # deleted
        good = job.state is JobState.SUCCESS
        tables.delete_datum(tx, number, 0)
        record = DatumRecord(
            job=number,
            position=0,
            key=key,
            state=DatumState.SUCCESS if good else DatumState.FAILED,
            tries=1,
            worker=worker,
            started=job.started or job.created,
            finished=now,
            downloaded_bytes=0,
            uploaded_bytes=0,
            download_us=0,
            process_us=0,
            upload_us=0,
            log=log,
            reason="" if good else job.reason.partition("\n")[0],
        )
        tables.insert_datums(tx, number, [record])
