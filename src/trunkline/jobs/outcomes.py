"""The outcomes of datums, and what follows: the result, the event for the job, its usage."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.db.times import from_microseconds
from trunkline.jobs import tables
from trunkline.jobs.channel import Message
from trunkline.jobs.state import DatumsEnded
from trunkline.jobs.tables import DatumRecord, ResultRecord
from trunkline.model.jobs import DatumState


def datum_record(outcome: Message, *, job: int, worker: str) -> DatumRecord:
    """The outcome that a worker reports."""
    return DatumRecord(
        job=job,
        position=outcome["position"],
        key=outcome["key"],
        state=DatumState(outcome["state"]),
        tries=outcome["tries"],
        worker=worker,
        started=from_microseconds(outcome["started"]),
        finished=from_microseconds(outcome["finished"]),
        downloaded_bytes=outcome["downloaded_bytes"],
        uploaded_bytes=outcome["uploaded_bytes"],
        download_us=outcome["download_us"],
        process_us=outcome["process_us"],
        upload_us=outcome["upload_us"],
        log=tuple(outcome["log"]),
        reason=outcome["reason"],
    )


def lost_with(
    *, job: int, position: int, key: str, worker: str, times: int, now: datetime
) -> DatumRecord:
    """The outcome of a datum whose workers don't come back."""
    return DatumRecord(
        job=job,
        position=position,
        key=key,
        state=DatumState.FAILED,
        tries=times,
        worker=worker,
        started=now,
        finished=now,
        downloaded_bytes=0,
        uploaded_bytes=0,
        download_us=0,
        process_us=0,
        upload_us=0,
        log=(),
        reason=f"its worker was killed or fell silent {times} times while running it",
    )


def result_of(record: DatumRecord, outcome: Message, output: tuple[str, ...]) -> ResultRecord:
    """What is remembered of a datum that succeeded; `output` are the deltas with its files."""
    return ResultRecord(
        key=record.key,
        output=output if outcome["files"] else (),
        files=outcome["files"],
        size_bytes=outcome["uploaded_bytes"],
        log=record.log,
    )


def event_of(fresh: list[DatumRecord], last_words: Mapping[int, str]) -> DatumsEnded:
    """What the job hears of datums that have ended; `last_words` are by position."""
    states = Counter(record.state for record in fresh)
    failed = [record for record in fresh if record.state is DatumState.FAILED]
    return DatumsEnded(
        processed=states[DatumState.SUCCESS],
        failed=states[DatumState.FAILED],
        recovered=states[DatumState.RECOVERED],
        failure=failure_of(failed[0]) if failed else "",
        last_words=last_words.get(failed[0].position, "") if failed else "",
    )


def failure_of(record: DatumRecord) -> str:
    """The sentence for a datum that failed."""
    return f"failed to process datum: {record.key}: {record.reason}"


def add_usage(tx: Transaction, number: int, fresh: list[DatumRecord]) -> None:
    """Add what some datums used to their job."""
    tables.add_usage(
        tx,
        number,
        downloaded_bytes=sum(r.downloaded_bytes for r in fresh),
        uploaded_bytes=sum(r.uploaded_bytes for r in fresh),
        download_us=sum(r.download_us for r in fresh),
        process_us=sum(r.process_us for r in fresh),
        upload_us=sum(r.upload_us for r in fresh),
    )
