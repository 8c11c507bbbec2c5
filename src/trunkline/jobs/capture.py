"""What a datum prints, as it is captured: cut into lines, passed on live, kept within a limit.

Of a flood the beginning and the end are kept, with a line between them that says how much was left
out: the beginning tells what ran, the end why it stopped. Memory is bounded by the limit, however
the bytes arrive.
"""

import re
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trunkline.jobs.logs import stored_form
from trunkline.jobs.redaction import NO_PATTERNS, Masking, Patterns

NOTE = "worker"  # the stream of the worker's own lines
CUT = "…"  # before a line whose beginning was left out
_SEND_S = 0.1  # live lines are sent at most this often
_LINE_BYTES_MAX = 64 * 1024  # longer lines are broken
_LINE_COST = 32  # bytes that a line takes besides its text
_PIECE_COST = 128
_PIECE_BYTES_MAX = 64 * 1024
_FLOOD_BYTES = 1024 * 1024  # in a second, of a process that stays
_WORDS_LINES_MAX = 10
_WORDS_LETTERS_MAX = 1000
_WORDS_LINE_MAX = 300

_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?")

LogEntry = tuple[int, str, str]  # microseconds since 1970, stream, line


@dataclass(slots=True)
class _Piece:
    """Bytes of one stream that may still be left out."""

    time_us: int
    stream: str
    data: bytes

    @property
    def cost(self) -> int:
        return _PIECE_COST + _cost(self.data)


class Capture:
    """The log of one run of a datum, all its tries; about `bytes_max` of it are kept.

    Without `bytes_max` it is that of a process that stays: what has been sent is kept no more, but
    for the last words, and of a flood so much is sent per second as anybody could follow.
    """

    def __init__(
        self,
        *,
        bytes_max: int | None,
        now_us: Callable[[], int],
        on_log: Callable[[list[LogEntry]], None],
        on_tick: Callable[[], None],
        masks: Patterns = NO_PATTERNS,
    ) -> None:
        self._now_us = now_us
        self._on_log = on_log
        self._on_tick = on_tick
        self._masks = masks
        self._masking: dict[str, Masking] = {}
        self._endless = bytes_max is None
        bytes_max = bytes_max or 0
        self._left = bytes_max // 2  # of the beginning
        self._end_most = bytes_max - bytes_max // 2
        self._second = 0  # that is being counted
        self._in_second = 0  # bytes
        self._end: deque[_Piece] = deque()
        self._end_cost = 0
        self._begun_end = False
        self._left_out: dict[str, int] = {}  # bytes, by stream
        self._open: dict[str, bool] = {}  # whether a stream is in the middle of a line
        self._rest: dict[str, bytes] = {}
        self._entries: list[LogEntry] = []
        self._sent = 0
        self._sent_at = 0.0

    def add(self, stream: str, data: bytes) -> None:
        """Take what a command printed. All that is captured comes through here, before any of it
        is sent, kept or left out.
        """
        masking = self._masking.setdefault(stream, Masking(self._masks))
        self._take(stream, masking.feed(data))

    def _take(self, stream: str, data: bytes) -> None:
        if not data:
            return
        self._open[stream] = not data.endswith(b"\n")
        now = self._now_us()
        if self._endless:
            self._take_of_flood(now, stream, data)
            return
        if not self._begun_end:
            fits = _fitting(data, self._left)
            self._left -= _cost(data[:fits])
            self._cut_into_lines(now, stream, data[:fits])
            self._begun_end = fits < len(data)
            data = data[fits:]
        if data:
            self._keep_as_end(now, stream, data)

    def _take_of_flood(self, now: int, stream: str, data: bytes) -> None:
        if now // 1_000_000 != self._second:
            if gone := max(0, self._in_second - _FLOOD_BYTES):
                text = f"here {gone:,} bytes were left out: so much in one second is not kept"
                self._entries.append((now, NOTE, text))
            self._second, self._in_second = now // 1_000_000, 0
        room = max(0, _FLOOD_BYTES - self._in_second)
        self._in_second += len(data)
        self._cut_into_lines(now, stream, data[:room])

    def end_lines(self) -> None:
        """A command has ended: what it prints next begins a new line."""
        for stream, masking in self._masking.items():
            self._take(stream, masking.end())
        for stream in [stream for stream, is_open in self._open.items() if is_open]:
            self._take(stream, b"\n")

    def note(self, text: str) -> None:
        """Add a line of ours."""
        self.end_lines()
        self.add(NOTE, text.encode("utf-8", "backslashreplace") + b"\n")
        self._take(NOTE, self._masking[NOTE].end())

    def tick(self) -> None:
        """Called now and then while the command runs."""
        self._on_tick()
        if time.monotonic() - self._sent_at > _SEND_S:
            self._send()

    def finish(self) -> bytes:
        """The log in its stored form; nothing may be added afterwards."""
        self.end_lines()
        cut_streams = {stream for stream, count in self._left_out.items() if count}
        if cut_streams:
            self._end_of_beginning()
        for piece in self._end:
            data = piece.data
            if piece.stream in cut_streams:
                cut_streams.remove(piece.stream)
                data = CUT.encode() + data
            self._cut_into_lines(piece.time_us, piece.stream, data)
        self._end.clear()
        self._send()
        return stored_form(self._entries)

    def last_words(self) -> str:
        """See `last_words`; after `finish`."""
        return last_words((stream, text) for _, stream, text in self._entries)

    # --- beginning and end ------------------------------------------------------------------------

    def _cut_into_lines(self, time_us: int, stream: str, data: bytes) -> None:
        *lines, rest = (self._rest.get(stream, b"") + data).split(b"\n")
        while len(rest) > _LINE_BYTES_MAX:
            lines.append(rest[:_LINE_BYTES_MAX])
            rest = rest[_LINE_BYTES_MAX:]
        self._rest[stream] = rest
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip("\r")
            self._entries.append((time_us, stream, text))

    def _keep_as_end(self, time_us: int, stream: str, data: bytes) -> None:
        last = self._end[-1] if self._end else None
        if last and last.stream == stream and len(last.data) + len(data) <= _PIECE_BYTES_MAX:
            last.data += data
            self._end_cost += _cost(data)
        else:
            piece = _Piece(time_us, stream, data)
            self._end.append(piece)
            self._end_cost += piece.cost
        while self._end_cost > self._end_most and self._end:
            self._leave_out(self._end[0], self._end_cost - self._end_most)

    def _leave_out(self, piece: _Piece, excess: int) -> None:
        """Drop so much of the first piece, or all of it."""
        stays = piece.cost - excess
        if stays <= _PIECE_COST:
            gone = len(piece.data)
            self._end_cost -= piece.cost
            self._end.popleft()
        else:
            # The end of the piece that fits: what fits of it read backwards.
            gone = len(piece.data) - _fitting(piece.data[::-1], stays - _PIECE_COST)
            self._end_cost -= _cost(piece.data[:gone])
            piece.data = piece.data[gone:]
        self._left_out[piece.stream] = self._left_out.get(piece.stream, 0) + gone

    def _end_of_beginning(self) -> None:
        """End the lines that were begun, and say what is missing after them."""
        now = self._end[0].time_us if self._end else self._now_us()
        for stream, rest in list(self._rest.items()):
            if rest:
                self._cut_into_lines(now, stream, b"\n")
        count = sum(self._left_out.values())
        text = (
            f"here {count:,} bytes of this datum's log were left out: it printed more than is kept"
        )
        self._entries.append((now, NOTE, text))

    def _send(self) -> None:
        if self._sent < len(self._entries):
            self._on_log(self._entries[self._sent :])
            if self._endless:
                del self._entries[: -2 * _WORDS_LINES_MAX]
            self._sent = len(self._entries)
        self._sent_at = time.monotonic()


def last_words(entries: Iterable[tuple[str, str]]) -> str:
    """The last lines that the last try of a log (stream, line) printed to stderr.

    A few lines without control characters, fit to stand below a sentence; "" if there are none.
    """
    lines: list[str] = []
    room = _WORDS_LETTERS_MAX
    for index, (stream, text) in enumerate(reversed(list(entries))):
        if stream == NOTE:
            if index == 0:
                continue  # that this try failed
            break
        line = _presentable(text)
        if stream == "stderr" and (line or lines):
            room -= len(line) + 1
            if room < 0 or len(lines) == _WORDS_LINES_MAX:
                break
            lines.append(line)
    return "\n".join(reversed(lines)).strip("\n")


def _cost(data: bytes) -> int:
    return len(data) + _LINE_COST * data.count(b"\n")


def _fitting(data: bytes, most: int) -> int:
    """How many of the first bytes cost at most so much."""
    if _cost(data) <= most:
        return len(data)
    return max(0, bisect_right(range(len(data)), most, key=lambda n: _cost(data[:n])) - 1)


def _presentable(text: str) -> str:
    """A line as a terminal would show it in the end, cut to a readable length."""
    visible = _ESCAPES.sub("", text).replace("\t", " ")
    parts: Iterable[str] = (part for part in reversed(visible.split("\r")) if part.strip())
    line = "".join(filter(str.isprintable, next(iter(parts), ""))).rstrip()
    return line if len(line) <= _WORDS_LINE_MAX else line[: _WORDS_LINE_MAX - 1] + "…"
