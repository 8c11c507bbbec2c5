"""Compares two tables row by row, in any order of rows, in bounded memory.

Rows are dealt into parts by the hash of their key (of the whole row, if there is none), and one
part of both sides is held at a time: the sides are read once for each part, and anew in more parts
where one of them takes too much memory. Equal rows cancel each
other out as often as they occur; of what is left, rows with equal keys are one that changed.
"""

import heapq
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, islice
from sys import getsizeof

from trunkline.api.waiting import check_wanted
from trunkline.compare.content import NotComparable
from trunkline.model.differences import CellChange, ColumnChange, Op, RowChange

HELD_BYTES = 128 * 1024 * 1024  # of memory for the rows of one part of both sides
LISTED_BYTES = 32 * 1024 * 1024  # of memory for the rows that are listed
ROWS_MAX = 10_000_000  # of each side
_PARTS_MAX = 32
_ENTRY_BYTES = 320  # what a row takes beside its bytes, as measured
_ROWS_BETWEEN_LOOKS = 1000  # whether the answer is still wanted
_ABSENT = b"\xfe"  # bytes that UTF-8 has no use for
_CELL_END = b"\xff"


def packed(cells: Iterable[str | None]) -> bytes:
    """A row as bytes, equal for rows of equal cells: they take far less than a list of texts."""
    parts = [_ABSENT if c is None else c.encode("utf-8", "backslashreplace") for c in cells]
    return _CELL_END.join((*parts, b""))


def unpacked(row: bytes) -> list[str | None]:
    return [None if cell == _ABSENT else cell.decode() for cell in row.split(_CELL_END)[:-1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One table: about how many bytes its rows are, and a way to read them, again and again.

    `cells` gives the values of a row as text; `identity` is equal for equal rows only.
    """

    size_bytes: int
    rows: Callable[[], Iterator[bytes]] = field(repr=False)
    cells: Callable[[bytes], dict[str, str]] = field(repr=False)
    identity: Callable[[bytes], bytes] = field(repr=False)
    first: int = 1  # number of the first row


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The two sides of a comparison, cut down to the rows that can differ."""

    columns: tuple[ColumnChange, ...]
    header: tuple[str, ...]  # of the new side, or of the only one; () where each row has its own
    old: Side
    new: Side


def column_changes(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[ColumnChange, ...]:
    """The columns that went, came and changed their type, given the types by name ("" for none)."""
    return (
        *(
            ColumnChange(op=Op.REMOVED, name=name, old_type=kind)
            for name, kind in old.items()
            if name not in new
        ),
        *(
            ColumnChange(op=Op.ADDED, name=name, new_type=kind)
            for name, kind in new.items()
            if name not in old
        ),
        *(
            ColumnChange(op=Op.CHANGED, name=name, old_type=old[name], new_type=kind)
            for name, kind in new.items()
            if name in old and old[name] != kind
        ),
    )


@dataclass(slots=True, kw_only=True)
class TableDifference:
    added: int = 0
    removed: int = 0
    changed: int = 0
    key: tuple[str, ...] = ()
    rows: list[RowChange] = field(default_factory=list)


class KeyRepeats(Exception):
    """Two rows of one side have the same key, so rows can't be paired by it."""


class _TooMuch(Exception):
    """The rows of a part take more memory than there is for it."""


class _Room:
    """How much memory is left for the rows of a part."""

    def __init__(self) -> None:
        self._left_bytes = HELD_BYTES

    def take(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise _TooMuch


def compare_tables(
    old: Side, new: Side, *, key: Sequence[str], key_wanted: bool, most: int
) -> TableDifference:
    """What differs, with at most `most` of the rows, those first in the tables.

    Rows are paired by the columns of `key`. If its values repeat on one side: KeyRepeats where the
    caller asked for it (`key_wanted`), otherwise rows are compared without one. Raises
    NotComparable where too much differs.
    """
    if key:
        try:
            return _compare(old, new, key=tuple(key), most=most)
        except KeyRepeats:
            if key_wanted:
                raise
    return _compare(old, new, key=(), most=most)


def _compare(old: Side, new: Side, *, key: tuple[str, ...], most: int) -> TableDifference:
    parts = 1 + (old.size_bytes + new.size_bytes) // HELD_BYTES
    while parts <= _PARTS_MAX:
        try:
            return _in_parts(old, new, key, parts, most)
        except _TooMuch:
            parts = parts * 4 if parts == _PARTS_MAX else min(parts * 4, _PARTS_MAX)
    raise NotComparable(
        "the rows between the first and the last difference take more than the "
        f"{_PARTS_MAX * HELD_BYTES:,} bytes of memory in which they are compared row by row"
    )


def _in_parts(old: Side, new: Side, key: tuple[str, ...], parts: int, most: int) -> TableDifference:
    result = TableDifference(key=key)
    kept: list[_Change] = []
    for part in range(parts):
        room = _Room()
        before, after = (_part(side, key, part, parts, room) for side in (old, new))
        changes = _paired(old, new, before, after, key) if key else _unpaired(before, after)
        # At least one, for without any nothing is counted.
        kept = heapq.nsmallest(max(most, 1), chain(kept, _counted(changes, result)))
        kept = _that_fit(kept[:most])
    result.rows = [_row_change(old, new, change) for change in kept]
    return result


_Held = dict[Hashable, tuple[bytes, "array[int]"]]  # name of a row → row, its numbers in order


@dataclass(frozen=True, slots=True, order=True)
class _Change:
    """Sorted by where it is; a removed row comes before an added one of the same number."""

    number: int
    added: bool
    place: str = field(compare=False)
    old: bytes | None = field(compare=False, default=None)
    new: bytes | None = field(compare=False, default=None)


def _that_fit(kept: list[_Change]) -> list[_Change]:
    """The first changes, as many as memory is there for."""
    sizes = (_ENTRY_BYTES + len(c.old or b"") + len(c.new or b"") for c in kept)
    return kept[: sum(total <= LISTED_BYTES for total in accumulate(sizes))]


def _part(side: Side, key: tuple[str, ...], part: int, parts: int, room: _Room) -> _Held:
    held: _Held = {}
    for count, row in enumerate(side.rows()):
        if count % _ROWS_BETWEEN_LOOKS == 0:
            check_wanted()
            if count >= ROWS_MAX:
                raise NotComparable(f"at most {ROWS_MAX:,} rows are compared row by row")
        name = _key_of(side, row, key) if key else side.identity(row)
        if parts > 1 and hash(name) % parts != part:
            continue
        found = held.get(name)
        if found is None:
            room.take(_ENTRY_BYTES + len(row) + _size_of(name))
            held[name] = row, array("q", [side.first + count])
        elif key:
            raise KeyRepeats
        else:
            room.take(8)
            found[1].append(side.first + count)
    return held


def _key_of(side: Side, row: bytes, key: tuple[str, ...]) -> Hashable:
    cells = side.cells(row)
    return tuple(cells.get(column) for column in key)


def _size_of(name: Hashable) -> int:
    return sum(map(getsizeof, name)) if isinstance(name, tuple) else 0


def _paired(
    old: Side, new: Side, before: _Held, after: _Held, key: tuple[str, ...]
) -> Iterator[_Change]:
    for name, (row, [number]) in after.items():
        place = _named(key, name)
        if name not in before:
            yield _Change(number, True, place, new=row)
            continue
        was, _ = before.pop(name)
        if old.identity(was) != new.identity(row):
            yield _Change(number, True, place, old=was, new=row)
    for name, (row, [number]) in before.items():
        yield _Change(number, False, _named(key, name), old=row)


def _named(key: tuple[str, ...], name: Hashable) -> str:
    assert isinstance(name, tuple)
    return ", ".join(
        f"{column}={'' if value is None else value}"
        for column, value in zip(key, name, strict=True)
    )


def _unpaired(before: _Held, after: _Held) -> Iterator[_Change]:
    for name, (row, numbers) in after.items():
        for number in islice(numbers, len(before[name][1]) if name in before else 0, None):
            yield _Change(number, True, f"row {number}", new=row)
    for name, (row, numbers) in before.items():
        for number in islice(numbers, len(after[name][1]) if name in after else 0, None):
            yield _Change(number, False, f"row {number}", old=row)


def _counted(changes: Iterator[_Change], result: TableDifference) -> Iterator[_Change]:
    for change in changes:
        if change.old is None:
            result.added += 1
        elif change.new is None:
            result.removed += 1
        else:
            result.changed += 1
        yield change


def _row_change(old: Side, new: Side, change: _Change) -> RowChange:
    if change.old is None:
        assert change.new is not None
        values = new.cells(change.new).items()
        cells = [CellChange(column=name, old=None, new=value) for name, value in values]
        return RowChange(op=Op.ADDED, place=change.place, cells=tuple(cells))
    if change.new is None:
        values = old.cells(change.old).items()
        cells = [CellChange(column=name, old=value, new=None) for name, value in values]
        return RowChange(op=Op.REMOVED, place=change.place, cells=tuple(cells))
    before, after = old.cells(change.old), new.cells(change.new)
    cells = [
        CellChange(column=name, old=before.get(name), new=after.get(name))
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    ]
    return RowChange(op=Op.CHANGED, place=change.place, cells=tuple(cells))
