"""Compares two tables row by row, in any order of rows, in bounded memory.

Rows are dealt into parts by the hash of their key (of the whole row, if there is none), and one
part of both sides is held at a time: the sides are read once for each part. Equal rows cancel each
other out as often as they occur; of what is left, rows with equal keys are one that changed.
"""

import heapq
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trunkline.compare.content import NotComparable
from trunkline.model.differences import CellChange, ColumnChange, Op, RowChange

PART_BYTES = 16 * 1024 * 1024  # of rows that are held of each side, about a tenth of what they take
_PARTS_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One table: how many bytes its rows are, and a way to read them, again and again.

    `cells` gives the values of a row as text; `identity` is equal for equal rows only.
    """

    size_bytes: int
    rows: Callable[[], Iterator[Any]] = field(repr=False)
    cells: Callable[[Any], dict[str, str]] = field(repr=False)
    identity: Callable[[Any], Hashable] = field(repr=False)
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


Key = Callable[[Any], Hashable]


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
    result = TableDifference(key=key)
    parts = 1 + max(old.size_bytes, new.size_bytes) // PART_BYTES
    if parts > _PARTS_MAX:
        raise NotComparable(
            f"{max(old.size_bytes, new.size_bytes):,} bytes of rows lie between the first and the "
            f"last difference; at most {_PARTS_MAX * PART_BYTES:,} are compared row by row"
        )
    kept: list[_Change] = []
    for part in range(parts):
        before, after = _part(old, key, part, parts), _part(new, key, part, parts)
        changes = _paired(old, new, before, after, key) if key else _unpaired(before, after)
        kept = heapq.nsmallest(most, [*kept, *_counted(changes, result)])
    result.rows = [_row_change(old, new, change) for change in kept]
    return result


_Held = dict[Hashable, list[tuple[int, Any]]]  # name of a row → (number, row), in order


@dataclass(frozen=True, slots=True, order=True)
class _Change:
    """Sorted by where it is; a removed row comes before an added one of the same number."""

    number: int
    added: bool
    place: str = field(compare=False)
    old: Any = field(compare=False, default=None)
    new: Any = field(compare=False, default=None)


def _part(side: Side, key: tuple[str, ...], part: int, parts: int) -> _Held:
    held: _Held = {}
    for number, row in enumerate(side.rows(), side.first):
        name = _key_of(side, row, key) if key else side.identity(row)
        if parts == 1 or hash(name) % parts == part:
            held.setdefault(name, []).append((number, row))
    return held


def _key_of(side: Side, row: Any, key: tuple[str, ...]) -> Hashable:
    cells = side.cells(row)
    return tuple(cells.get(column) for column in key)


def _paired(
    old: Side, new: Side, before: _Held, after: _Held, key: tuple[str, ...]
) -> Iterator[_Change]:
    for held in (before, after):
        if any(len(rows) > 1 for rows in held.values()):
            raise KeyRepeats
    for name, [(number, row)] in after.items():
        place = _named(key, name)
        if name not in before:
            yield _Change(number, True, place, new=row)
            continue
        [(_, was)] = before.pop(name)
        if old.identity(was) != new.identity(row):
            yield _Change(number, True, place, old=was, new=row)
    for name, [(number, row)] in before.items():
        yield _Change(number, False, _named(key, name), old=row)


def _named(key: tuple[str, ...], name: Hashable) -> str:
    assert isinstance(name, tuple)
    return ", ".join(
        f"{column}={'' if value is None else value}"
        for column, value in zip(key, name, strict=True)
    )


def _unpaired(before: _Held, after: _Held) -> Iterator[_Change]:
    for name, rows in after.items():
        for number, row in rows[len(before.get(name, ())) :]:
            yield _Change(number, True, f"row {number}", new=row)
    for name, rows in before.items():
        for number, row in rows[len(after.get(name, ())) :]:
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
