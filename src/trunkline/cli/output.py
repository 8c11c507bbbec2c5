"""How values look: sizes, ages and durations as text; tables, JSON and YAML on stdout.

Plain tables have the widths of Go's text/tabwriter, which users of Pachyderm parse; a terminal
gets a rich table instead. Only data goes to stdout, notes and warnings go to stderr.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import Enum
from itertools import islice
from typing import Generic, TypeVar

from trunkline.cli.session import Session, Shape, current
from trunkline.values import dataclass

T = TypeVar("T")

_ROWS_AT_ONCE = 10_000  # a longer table gets its widths per portion, so that memory stays bounded
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


# --- text for one value ---------------------------------------------------------------------------


def size(size_bytes: int) -> str:
    """Bytes in units of 1024 with four significant digits: 870B, 4.308KiB."""
    amount = float(size_bytes)
    unit = 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount /= 1024
        unit += 1
    return f"{amount:.4g}{_UNITS[unit]}"


def span(seconds: float) -> str:
    """A length of time in its largest sensible unit, in the words that Docker and Go tools use."""
    whole = int(seconds)
    minutes, hours = whole // 60, int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    for limit, unit, name in (
        (48, 1, "hours"),
        (24 * 7 * 2, 24, "days"),
        (24 * 30 * 2, 24 * 7, "weeks"),
        (24 * 365 * 2, 24 * 30, "months"),
    ):
        if hours < limit:
            return f"{hours // unit} {name}"
    return f"{int(seconds / 3600) // 24 // 365} years"


def ago(moment: datetime, now: datetime) -> str:
    return f"{span((now - moment).total_seconds())} ago"


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, with microseconds where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def when(moment: datetime | None) -> str:
    """An age, or with --full-timestamps the moment itself; `-` for what has not happened."""
    if moment is None:
        return "-"
    session = current()
    return timestamp(moment) if session.full_timestamps else ago(moment, session.clock())


def lasted(started: datetime | None, finished: datetime | None) -> str:
    """How long something took; `-` while it is not over."""
    if started is None or finished is None:
        return "-"
    return span((finished - started).total_seconds())


def short_age(seconds: float) -> str:
    """An age as `kubectl get` prints it: 14s, 3m5s, 12m, 5h10m, 2d3h."""
    whole = max(int(seconds), 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    return f"{days}d"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def brief(seconds: float) -> str:
    """A measured time with its fractions: 4 ms, 0.35 s, 12.4 s, then as `short_age`."""
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    return short_age(seconds)


def counted(number: int, thing: str) -> str:
    """How many things: 1 file, 2,000 files."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def shortened(text: str, most: int) -> str:
    """One line of at most so many characters, `...` where some were cut off."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}..."


# --- tables ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Generic[T]):
    """How values of one kind are laid out: titles, and the cells of a value.

    `width` and `padding` are the least width of a column and the blanks behind its longest cell.
    The last cell of a line is padded as well, unless the table is `open_ended`.
    """

    titles: tuple[str, ...]
    cells: Callable[[T], Sequence[str]]
    width: int = 20
    padding: int = 3
    open_ended: bool = False  # the last cell of a row is not padded (its title is)
    trimmed: bool = False  # no blanks at the end of any line

    def lines(
        self, rows: Sequence[Sequence[str]], widths: list[int], *, header: bool
    ) -> Iterable[str]:
        """The lines of the table; `widths` grows to what these rows need."""
        everything = [self.titles, *rows]
        for column in range(len(self.titles)):
            tight = self.open_ended and column == len(self.titles) - 1
            longest = max(len(row[column]) for row in (everything[:1] if tight else everything))
            widths[column] = max(widths[column], self.width, longest + self.padding)
        for number, row in enumerate(everything if header else rows):
            padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            is_title = header and number == 0
            if self.trimmed or (self.open_ended and not is_title):
                padded[-1] = row[-1]
            yield "".join(padded)

    def whole(self, values: Iterable[T]) -> Iterable[str]:
        """The lines of a table of few values, titles first."""
        rows = [list(self.cells(value)) for value in values]
        return self.lines(rows, [0] * len(self.titles), header=True)


def write(text: str = "") -> None:
    """One line of data."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """One line for the person at the terminal, never part of the data."""
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")


def warn(text: str) -> None:
    note(f"warning: {text}")


def show_all(values: Iterable[T], table: Table[T]) -> None:
    """Print values as the options of the command ask: a table, or JSON, or YAML."""
    session = current()
    if session.shape == Shape.TABLE:
        _show_table(values, table, session)
    else:
        _show_data(values, session)


def _show_data(values: Iterable[object], session: Session) -> None:
    if session.shape == Shape.RAW:
        for value in values:
            write(to_json(value))
    elif session.shape == Shape.JSON:
        _show_array(values)
    else:
        _show_yaml([plain(value) for value in values])


def show_lines(values: Iterable[T], lines: Callable[[T], Iterable[str]]) -> None:
    """Print values as lines of text while they come, or as JSON or YAML."""
    session = current()
    if session.shape == Shape.TABLE:
        for value in values:
            for line in lines(value):
                write(line)
    else:
        _show_data(values, session)


def show_each(values: Iterable[T], table: Table[T], *, endless: bool = False) -> None:
    """Print values as they come, each at once; as a table, every one has its own header.

    An `endless` listing has no closing bracket to wait for: its JSON is one value after another.
    """
    session = current()
    if session.shape == Shape.JSON and not endless:
        _show_array(values)
        return
    for value in values:
        if session.shape == Shape.TABLE:
            _show_table([value], table, session)
        elif session.shape == Shape.YAML:
            _show_yaml([plain(value)])
        else:
            write(to_json(value))
        sys.stdout.flush()


def noting(seen: list[T], values: Iterable[T]) -> Iterable[T]:
    """The values, each put into `seen` on its way."""
    for value in values:
        seen.append(value)
        yield value


def show_one(value: T, block: Callable[[T], str]) -> None:
    """Print one value as JSON, YAML or as the text that `block` makes of it."""
    session = current()
    if session.shape == Shape.TABLE:
        write(block(value))
    elif session.shape == Shape.YAML:
        _show_yaml(plain(value))
    else:
        write(to_json(value))


def _show_table(values: Iterable[T], table: Table[T], session: Session) -> None:
    rows = (list(table.cells(value)) for value in values)
    if session.terminal:
        from trunkline.cli.terminal import print_table

        print_table(table.titles, list(rows), color=session.color)
        return
    widths = [0] * len(table.titles)
    header = True
    while portion := list(islice(rows, _ROWS_AT_ONCE)):
        for line in table.lines(portion, widths, header=header):
            write(line)
        header = False
    if header:
        for line in table.lines([], widths, header=True):
            write(line)


# --- JSON and YAML --------------------------------------------------------------------------------


def plain(value: object) -> object:
    """A value as JSON knows it: dataclasses are objects, moments RFC 3339 texts."""
    from dataclasses import fields, is_dataclass

    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def to_json(value: object) -> str:
    import json

    return json.dumps(plain(value), indent=2, ensure_ascii=False)


def _show_array(values: Iterable[object]) -> None:
    # Written piece by piece: a listing of millions must not be held in memory.
    before = "[\n"
    for value in values:
        text = "\n".join(f"  {line}" for line in to_json(value).split("\n"))
        sys.stdout.write(before + text)
        before = ",\n"
    write("[]" if before == "[\n" else "\n]")


def _show_yaml(document: object) -> None:
    import yaml

    sys.stdout.write(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
