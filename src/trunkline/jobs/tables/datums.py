"""SQL on the outcomes of datums and on remembered results.

One function is one statement. Times are datetimes outside and microseconds inside.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter

from trunkline.db.database import Row, Soon, Transaction, among
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.model.jobs import DatumState

_DATUM = """number, job, position, key, state, tries, worker, started, finished,
  downloaded_bytes, uploaded_bytes, download_us, process_us, upload_us, log, reason"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatumRecord:
    """The outcome of a processed datum; `number` orders datums by when they ended."""

    number: int = 0
    job: int
    position: int
    key: str
    state: DatumState
    tries: int
    worker: str
    started: datetime
    finished: datetime
    downloaded_bytes: int
    uploaded_bytes: int
    download_us: int
    process_us: int
    upload_us: int
    log: tuple[str, ...]
    reason: str


_PAGE = 500
# All are flat: `asdict` is slow.
_OUTCOME = tuple(field.name for field in fields(DatumRecord) if field.name != "number")
_values = attrgetter(*_OUTCOME)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRecord:
    """What a datum made: the deltas that hold its files, their number and bytes."""

    key: str
    output: tuple[str, ...]
    files: int
    size_bytes: int
    log: tuple[str, ...]


def ended_positions_soon(tx: Transaction, job: int, first: int, until: int) -> Soon[set[int]]:
    """Those of the positions [first, until) that have an outcome; told later."""
    answer = tx.ask(
        "SELECT position FROM datum WHERE job = :job AND position >= :first AND position < :until",
        job=job,
        first=first,
        until=until,
    )
    return lambda: {int(position) for (position,) in answer()}


def ended_ahead_soon(tx: Transaction, job: int) -> Soon[list[int]]:
    """The positions with an outcome behind what was handed out in the job's turn; told later."""
    answer = tx.ask(
        "SELECT position FROM datum WHERE job = :job "
        "AND position >= (SELECT leased FROM job WHERE number = :job)",
        job=job,
    )
    return lambda: [int(position) for (position,) in answer()]


def ended_among_soon(tx: Transaction, job: int, positions: Sequence[int]) -> Soon[set[int]]:
    """Those of some positions that have an outcome; told later.

    The range says to a database without statistics what to go by: a job may have millions of them.
    """
    answers = []
    for start in range(0, len(positions), _PAGE):
        page = positions[start : start + _PAGE]
        marks, names = among(page)
        sql = (
            "SELECT position FROM datum WHERE job = :job AND position >= :first "
            f"AND position <= :last AND position IN {marks}"
        )
        answers.append(tx.ask(sql, job=job, first=min(page), last=max(page), **names))
    return lambda: {int(position) for answer in answers for (position,) in answer()}


def insert_datums(tx: Transaction, job: int, datums: Sequence[DatumRecord]) -> list[DatumRecord]:
    """Record outcomes of datums of a job; returns those that had none already."""
    ended = ended_among_soon(tx, job, [datum.position for datum in datums])
    return insert_fresh(tx, datums, ended())


def insert_fresh(
    tx: Transaction, datums: Sequence[DatumRecord], ended: Collection[int]
) -> list[DatumRecord]:
    """Record outcomes of datums of a job, but for the positions that have one; returns those.

    One statement for many: a database behind a network answers each after a while.
    """
    fresh = {datum.position: datum for datum in reversed(datums) if datum.position not in ended}
    new = list(reversed(fresh.values()))
    tx.execute_many(
        f"""INSERT INTO datum ({_DATUM.partition(",")[2]})
           VALUES (:job, :position, :key, :state, :tries, :worker, :started, :finished,
             :downloaded_bytes, :uploaded_bytes, :download_us, :process_us, :upload_us, :log,
             :reason)""",
        (
            {
                **dict(zip(_OUTCOME, _values(datum), strict=True)),
                "started": to_microseconds(datum.started),
                "finished": to_microseconds(datum.finished),
                "log": ",".join(datum.log),
            }
            for datum in new
        ),
    )
    return new


def delete_datum(tx: Transaction, job: int, position: int) -> None:
    tx.execute(
        "DELETE FROM datum WHERE job = :job AND position = :position", job=job, position=position
    )


def datums_ended_after(tx: Transaction, job: int, number: int) -> list[DatumRecord]:
    """At most 1000 outcomes of a job recorded after `number`, in the order of ending."""
    rows = tx.rows(
        f"SELECT {_DATUM} FROM datum WHERE job = :job AND number > :number"
        " ORDER BY number LIMIT 1000",
        job=job,
        number=number,
    )
    return [_datum(row) for row in rows]


def datums_at(tx: Transaction, job: int, first: int, until: int) -> dict[int, DatumRecord]:
    rows = tx.rows(
        f"SELECT {_DATUM} FROM datum WHERE job = :job AND position >= :first AND position < :until",
        job=job,
        first=first,
        until=until,
    )
    return {record.position: record for record in map(_datum, rows)}


def datum_at(tx: Transaction, job: int, position: int) -> DatumRecord | None:
    """What came of one datum that a job had to process, once it has ended."""
    return datums_at(tx, job, position, position + 1).get(position)


def keys_without_output(tx: Transaction, job: int) -> set[str]:
    """Of the datums that a job ran, those that were recovered or failed."""
    rows = tx.rows(
        "SELECT key FROM datum WHERE job = :job AND state IN ('recovered', 'failed')", job=job
    )
    return {str(key) for (key,) in rows}


def failed_datums(tx: Transaction, job: int) -> list[DatumRecord]:
    rows = tx.rows(
        f"SELECT {_DATUM} FROM datum WHERE job = :job AND state = 'failed' ORDER BY position",
        job=job,
    )
    return [_datum(row) for row in rows]


def failed_positions(tx: Transaction, job: int) -> list[int]:
    """The positions of the datums that failed, in order."""
    rows = tx.rows(
        "SELECT position FROM datum WHERE job = :job AND state = 'failed' ORDER BY position",
        job=job,
    )
    return [int(position) for (position,) in rows]


def count_ended(
    tx: Transaction, job: int, first: int, until: int, state: DatumState | None = None
) -> int:
    """How many of the datums from a position to another have ended, or ended in a state.

    Each is the length of a range of one index, if there is one state at a time.
    """
    in_state = "" if state is None else " AND state = :state"
    row = tx.row(
        f"SELECT COUNT(*) FROM datum WHERE job = :job{in_state}"
        " AND position >= :first AND position < :until",
        job=job,
        first=first,
        until=until,
        **({} if state is None else {"state": state.value}),
    )
    return 0 if row is None else int(row[0])


def insert_results(
    tx: Transaction, results: Iterable[ResultRecord], *, job: int, now: datetime
) -> None:
    """Remember what datums of a job made, instead of what was remembered by these keys."""
    tx.execute_many(
        """INSERT INTO result (key, output, files, size_bytes, log, created, job)
           VALUES (:key, :output, :files, :size, :log, :now, :job)
           ON CONFLICT (key) DO UPDATE SET output = excluded.output, files = excluded.files,
             size_bytes = excluded.size_bytes, log = excluded.log, created = excluded.created,
             job = excluded.job""",
        (
            {
                "key": result.key,
                "output": ",".join(result.output),
                "files": result.files,
                "size": result.size_bytes,
                "log": ",".join(result.log),
                "now": to_microseconds(now),
                "job": job,
            }
            for result in results
        ),
    )


def delete_result(tx: Transaction, key: str) -> None:
    tx.execute("DELETE FROM result WHERE key = :key", key=key)


def results_of(tx: Transaction, keys: Sequence[str]) -> dict[str, ResultRecord]:
    """The remembered results of some keys (those that have one)."""
    found: dict[str, ResultRecord] = {}
    for start in range(0, len(keys), _PAGE):
        marks, names = among(keys[start : start + _PAGE])
        rows = tx.rows(
            f"SELECT key, output, files, size_bytes, log FROM result WHERE key IN {marks}",
            **names,
        )
        for key, output, files, size, log in rows:
            found[key] = ResultRecord(
                key=key, output=_split(output), files=files, size_bytes=size, log=_split(log)
            )
    return found


def origin_of_result(tx: Transaction, key: str) -> tuple[int, datetime] | None:
    """Which job made what is remembered by a key (0: not recorded), and when."""
    row = tx.row("SELECT job, created FROM result WHERE key = :key", key=key)
    return None if row is None else (int(row[0]), from_microseconds(row[1]))


def last_success(
    tx: Transaction, pipeline: str, key: str, *, before: int
) -> tuple[int, datetime] | None:
    """The last job of a pipeline before one that ran a datum with success, and when it ended.

    Cost: there is no index, it goes through the datums that those jobs ran.
    """
    row = tx.row(
        """SELECT d.job, d.finished FROM job j JOIN datum d ON d.job = j.number
           WHERE j.pipeline = :pipeline AND j.number < :before AND d.key = :key
             AND d.state = 'success' ORDER BY j.number DESC LIMIT 1""",
        pipeline=pipeline,
        before=before,
        key=key,
    )
    return None if row is None else (int(row[0]), from_microseconds(row[1]))


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _datum(row: Row) -> DatumRecord:
    values = dict(zip((name.strip() for name in _DATUM.split(",")), row, strict=True))
    values["state"] = DatumState(values["state"])
    values["started"] = from_microseconds(values["started"])
    values["finished"] = from_microseconds(values["finished"])
    values["log"] = _split(values["log"])
    return DatumRecord(**values)
