"""Which cells of a notebook differ between two versions of it."""

import json
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff
from itertools import zip_longest

BYTES_MAX = 4 * 1024 * 1024
_CELLS_MAX = 400


@dataclass(frozen=True, slots=True)
class Cell:
    kind: str
    source: str
    outputs: str  # as JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class CellChange:
    """A cell that differs; `lines` are those of a unified diff of its source."""

    title: str
    change: str  # added, removed, changed
    lines: tuple[str, ...]


def differing_cells(old: bytes, new: bytes) -> tuple[list[CellChange], Counter[str]] | None:
    """The cells that differ, and how many are the same, added, removed and changed.

    None where one of them is not a notebook of version 4, or has too many cells.
    """
    before, after = _cells(old), _cells(new)
    if before is None or after is None:
        return None
    olds, news = ([(cell.kind, cell.source) for cell in side] for side in (before, after))
    matcher = SequenceMatcher(None, olds, news, autojunk=False)
    changes: list[CellChange] = []
    counts: Counter[str] = Counter()
    for word, a, b, c, d in matcher.get_opcodes():
        for place, (was, now) in enumerate(zip_longest(before[a:b], after[c:d])):
            if word == "equal" and was.outputs == now.outputs:
                counts["same"] += 1
                continue
            number = (c if now else a) + place + 1
            changes.append(_change(number, was, now))
            counts[changes[-1].change] += 1
    return changes, counts


def _cells(content: bytes) -> list[Cell] | None:
    try:
        cells = json.loads(content)["cells"] if content else []
        if len(cells) > _CELLS_MAX:
            return None
        return [
            Cell(
                str(cell.get("cell_type", "")),
                "".join(cell.get("source", "")),
                json.dumps(cell.get("outputs", []), sort_keys=True),
            )
            for cell in cells
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _change(number: int, was: Cell | None, now: Cell | None) -> CellChange:
    change = "added" if was is None else "removed" if now is None else "changed"
    old = was.source.splitlines() if was else []
    new = now.source.splitlines() if now else []
    told = f"Cell {number}, {(now or was or _NOTHING).kind}: {change}"
    if was and now and was.outputs != now.outputs:
        told += ", and what came of it" if old != new else " only in what came of it"
    lines = list(unified_diff(old, new, n=2, lineterm=""))[2:]  # behind the names
    return CellChange(title=told, change=change, lines=tuple(lines))


_NOTHING = Cell("", "", "")
