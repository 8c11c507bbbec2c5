"""Log lines: those of running datums in memory, those of ended ones in the store.

Every line is stored with its datum before the outcome is recorded; what is here in memory is only
what a running datum has printed so far.
"""

import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from trunkline.db.times import from_microseconds
from trunkline.errors import Corrupt, shown
from trunkline.model.jobs import LogLine
from trunkline.store.chunks import ChunkId, ChunkStore

_HEAD = b'["trunkline-log",1]'
LIVE_LINES_MAX = 10_000  # kept per running datum; the whole log is readable once it ended

_LAST_LINES = 20

Entry = tuple[datetime, str, str]  # time, stream, message


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLog:
    """What a running datum, or a process that stays, has printed so far."""

    position: int
    key: str  # of the datum
    worker: str
    lines: list[Entry]
    dropped: int  # lines that were printed before those, and are not kept


@dataclass(slots=True, kw_only=True)
class _Printed:
    key: str
    worker: str
    stays: bool  # a process, of which the last lines are kept, not the first ones
    lines: deque[Entry] = field(default_factory=lambda: deque(maxlen=LIVE_LINES_MAX))
    dropped: int = 0


class LiveLogs:
    """What running datums have printed so far. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[tuple[int | str, int], _Printed] = {}

    def begin(self, job: int, position: int, *, key: str, worker: str) -> None:
        with self._lock:
            self._lines[(job, position)] = _Printed(key=key, worker=worker, stays=False)

    def begin_again(self, job: int | str, *, key: str, worker: str) -> None:
        """A process that stays begins; what an earlier one printed for the same job is kept.

        Here and below the name of a spout stands for its job, as it has none.
        """
        with self._lock:
            found = self._lines.setdefault((job, 0), _Printed(key=key, worker=worker, stays=True))
            found.worker = worker

    def add(self, job: int | str, position: int, entries: Iterable[tuple[int, str, str]]) -> None:
        with self._lock:
            found = self._lines.get((job, position))
            if found is None:
                return
            for time_us, stream, message in entries:
                full = len(found.lines) == LIVE_LINES_MAX
                if full and not found.stays:
                    return
                found.dropped += full
                found.lines.append((from_microseconds(time_us), stream, message))

    def end(self, job: int | str, position: int) -> None:
        with self._lock:
            self._lines.pop((job, position), None)

    def has(self, job: int) -> bool:
        """Whether something may still be printed for a job."""
        with self._lock:
            return any(number == job for number, _ in self._lines)

    def of_job(self, job: int | str) -> list[LiveLog]:
        """The logs of the running datums of a job."""
        with self._lock:
            positions = sorted(position for number, position in self._lines if number == job)
            return [_as_live(self._lines[(job, position)], position) for position in positions]


def _as_live(printed: _Printed, position: int) -> LiveLog:
    return LiveLog(
        position=position,
        key=printed.key,
        worker=printed.worker,
        lines=list(printed.lines),
        dropped=printed.dropped,
    )


def stored_entries(chunks: ChunkStore, log: Iterable[str]) -> Iterator[Entry]:
    """The lines of an ended datum; raises Corrupt for what is no log."""
    rest = b""
    first = True
    for chunk in log:
        *lines, rest = (rest + chunks.get(ChunkId(chunk))).split(b"\n")
        for line in lines:
            if first:
                if line != _HEAD:
                    raise Corrupt("a datum's log", _HEAD.decode(), shown(line.decode("latin-1")))
                first = False
                continue
            yield _entry(line)


def last_words(chunks: ChunkStore, chunk: str) -> str:
    """The last line that a datum printed to stderr, near the end of the last chunk of its log."""
    lines = chunks.get(ChunkId(chunk)).split(b"\n")[1:-1]  # the first may have begun before
    for line in reversed(lines[-_LAST_LINES:]):
        _, stream, message = _entry(line)
        if stream == "stderr" and message.strip():
            return message.strip()
    return ""


def _entry(line: bytes) -> Entry:
    try:
        time_us, stream, message = json.loads(line)
        return from_microseconds(time_us), str(stream), str(message)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Corrupt("a datum's log", "a line of it", shown(line.decode("latin-1"))) from error


def stored_form(entries: Iterable[tuple[int, str, str]]) -> bytes:
    """The bytes of a log (microseconds since 1970, stream, message); nothing for no lines.

    Format page: docs/formats/datum-segment.md (log, version 1).
    """
    lines = [json.dumps(entry, separators=(",", ":")).encode("utf-8") for entry in entries]
    return b"\n".join([_HEAD, *lines, b""]) if lines else b""


def as_line(entry: Entry, *, pipeline: str, job: str, datum: str, worker: str) -> LogLine:
    time, stream, message = entry
    return LogLine(
        time=time,
        pipeline=pipeline,
        job=job,
        datum=datum,
        worker=worker,
        stream=stream,
        user=stream != "worker",
        message=message,
    )
