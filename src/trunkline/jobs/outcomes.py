"""What follows from the outcomes of datums: the result, the event for the job, its usage."""

from collections import Counter

from trunkline.db.database import Transaction
from trunkline.jobs import tables
from trunkline.jobs.channel import Message
from trunkline.jobs.state import DatumsEnded
from trunkline.jobs.tables import DatumRecord, ResultRecord
from trunkline.model.jobs import DatumState


def result_of(record: DatumRecord, outcome: Message, output: tuple[str, ...]) -> ResultRecord:
    """What is remembered of a datum that succeeded; `output` are the deltas with its files."""
    return ResultRecord(
        key=record.key,
        output=output if outcome["files"] else (),
        files=outcome["files"],
        size_bytes=outcome["uploaded_bytes"],
        log=record.log,
    )


def event_of(fresh: list[DatumRecord]) -> DatumsEnded:
    """What the job hears of datums that have ended."""
    states = Counter(record.state for record in fresh)
    failures = [failure_of(record) for record in fresh if record.state is DatumState.FAILED]
    return DatumsEnded(
        processed=states[DatumState.SUCCESS],
        failed=states[DatumState.FAILED],
        recovered=states[DatumState.RECOVERED],
        failure=failures[0] if failures else "",
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
