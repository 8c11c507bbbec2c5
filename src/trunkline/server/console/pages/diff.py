"""What differs between two commits: which files, and what in one of them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any

from trunkline.errors import FileNotFoundInCommit
from trunkline.model.differences import ContentDifference, ContentKind
from trunkline.model.versions import Change, FileDifference, FileType, Side
from trunkline.server.console import urls
from trunkline.server.console.media import PICTURES
from trunkline.server.console.page import PAGE_ROWS, Answer, Route, Show, Visit
from trunkline.server.console.pages.notebook_cells import BYTES_MAX, differing_cells
from trunkline.server.console.pages.places import above

_COUNTED = 2000  # differing files; of more it is only said that there are more
_PLACES = 12  # directories whose changes are counted apart
_DETAILS = 400  # lines or rows of a file
_COLUMNS_MAX = 40
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(slots=True, kw_only=True)
class Changed:
    """A path that differs, with its sizes on both sides; None where it is not there."""

    path: str
    old_bytes: int | None = None
    new_bytes: int | None = None

    @property
    def change(self) -> Change:
        if self.old_bytes is None:
            return Change.ADDED
        return Change.DELETED if self.new_bytes is None else Change.CHANGED


def diff(visit: Visit) -> Answer:
    """A directory or a file of a commit beside the same path of another one, or of its parent."""
    name, ref = visit.full_name("repo"), visit.arguments["ref"]
    path = visit.arguments["path"].strip("/")
    operations = visit.operations
    commit = operations.commits.inspect_commit(name, ref)
    against = visit.query.get("from", "")
    old_ref = against or commit.parent
    old = operations.commits.inspect_commit(name, old_ref) if old_ref else None
    context = {
        "repo": name,
        "ref": ref,
        "path": path,
        "commit": commit,
        "old": old,
        "against": against,
        "branches": operations.branches.list_branches(name),
        "above": above(name, ref, path),
        "place": lambda to, **query: urls.diff(name, ref, to, **{"from": against, **query}),
        "swapped": urls.diff(name, old.id, path, **{"from": commit.id}) if old else None,
    }
    is_file = path and any(
        _is_file(visit, name, one.id, path) for one in (commit, old) if one is not None
    )
    show = _file if is_file else _tree
    template, more = show(visit, name, commit.id, old.id if old else None, path)
    title = f"Changes of {path or name}@{commit.id[:8]}"
    return Show(template=template, title=title, context={**context, **more})


def _is_file(visit: Visit, name: str, commit: str, path: str) -> bool:
    try:
        first = next(visit.operations.files.list_files(name, commit, path), None)
    except FileNotFoundInCommit:
        return False
    return first is not None and first.type is FileType.FILE and first.path == path


# --- which files ----------------------------------------------------------------------------------


def _tree(
    visit: Visit, name: str, new: str, old: str | None, path: str
) -> tuple[str, dict[str, Any]]:
    after = visit.query.get("after", "")
    listed = visit.operations.files.diff_files(name, new, path or "/", old_commit=old, after=after)
    found = _by_path(listed)
    rows = list(islice(found, PAGE_ROWS + 1))
    counts: Counter[Change] = Counter()
    places: Counter[str] = Counter()
    if not after:
        for one in [*rows, *islice(found, _COUNTED - len(rows))]:
            counts[one.change] += 1
            first, slash, _ = one.path[len(path) :].strip("/").partition("/")
            places[first if slash else ""] += 1
    last = rows[PAGE_ROWS - 1].path[len(path) :].strip("/") if len(rows) > PAGE_ROWS else ""
    return "diff/tree.html", {
        "rows": rows[:PAGE_ROWS],
        "begins": not after,
        "counts": {change: counts[change] for change in Change},
        "many": counts.total() >= _COUNTED,
        "places": places.most_common(_PLACES) if len(places) > 1 else [],
        "after": last,
    }


def _by_path(listed: Iterator[FileDifference]) -> Iterator[Changed]:
    """One for each path; the two sides of a changed one come one after the other."""
    held: Changed | None = None
    for difference in listed:
        path, size_bytes = difference.file.path, difference.file.size_bytes
        if held is None or held.path != path:
            if held is not None:
                yield held
            held = Changed(path=path)
        if difference.side is Side.NEW:
            held.new_bytes = size_bytes
        else:
            held.old_bytes = size_bytes
    if held is not None:
        yield held


# --- what in a file -------------------------------------------------------------------------------


def _file(
    visit: Visit, name: str, new: str, old: str | None, path: str
) -> tuple[str, dict[str, Any]]:
    kind = visit.query.get("as", "")
    compared = visit.operations.files.diff_contents(
        *(name, new, path),
        old_commit=old,
        kind=ContentKind.TEXT if kind == "text" else None,
        key=visit.query["key"].split(",") if visit.query.get("key") else None,
        most=_DETAILS,
        files_max=1,
    )
    found = next(compared, None)
    context: dict[str, Any] = {"found": found, "as_text": kind == "text"}
    if found is None:
        return "diff/same.html", context
    if found.path.rpartition(".")[2].lower() in PICTURES and kind != "text":
        return "diff/pictures.html", context
    if found.path.endswith(".ipynb") and kind != "text":
        cells = _cells(visit, found, name, new, old)
        if cells is not None:
            return "diff/text.html", {**context, **cells}
    if found.kind is ContentKind.TEXT:
        return "diff/text.html", {**context, "lines": _side_by_side(found.lines)}
    if found.kind is ContentKind.JSON:
        return "diff/values.html", context
    if found.kind is ContentKind.BINARY:
        return "diff/bytes.html", context
    names = _columns(found)
    rows = []
    for row in found.rows:
        cells = {cell.column: cell for cell in row.cells}
        rows.append((row, [cells.get(name) for name in names]))
    return "diff/rows.html", {**context, "names": names, "rows": rows}


def _cells(
    visit: Visit, found: ContentDifference, name: str, new: str, old: str | None
) -> dict[str, Any] | None:
    """The cells of a notebook that differ, as lines of both sides; None where it can't be told."""

    def read(commit: str | None, size_bytes: int | None) -> bytes:
        if commit is None or size_bytes is None:
            return b""
        return b"".join(visit.operations.files.read_file(name, commit, found.path))

    sizes = (found.old_size_bytes, found.new_size_bytes)
    if any(size is not None and size > BYTES_MAX for size in sizes):
        return None
    compared = differing_cells(read(old, sizes[0]), read(new, sizes[1]))
    if compared is None:
        return None
    changes, counts = compared
    lines: list[Pair] = []
    for change in changes:
        lines += [Pair(kind="cell", new=change.title), *_side_by_side(change.lines)]
    return {"lines": lines, "cells": counts}


def _columns(found: ContentDifference) -> list[str]:
    """The columns in which something differs, in their order, but for those that name the row."""
    # A row that came or went has all of them.
    rows = sorted(found.rows, key=lambda row: -len(row.cells))
    names = dict.fromkeys(cell.column for row in rows for cell in row.cells)
    return [name for name in names if name not in found.key][:_COLUMNS_MAX]


@dataclass(slots=True, kw_only=True)
class Pair:
    """A line on both sides; the number is None where the side has none."""

    kind: str  # same, changed, gap, or cell: the title of what comes then
    old_number: int | None = None
    old: str = ""
    new_number: int | None = None
    new: str = ""


@dataclass(slots=True)
class _Block:
    """Lines that went and came, up to the next one that stayed."""

    old: list[tuple[int, str]] = field(default_factory=list)
    new: list[tuple[int, str]] = field(default_factory=list)

    def pairs(self) -> Iterator[Pair]:
        for was, now in zip_longest(self.old, self.new):
            yield Pair(
                kind="changed",
                old_number=was[0] if was else None,
                old=was[1] if was else "",
                new_number=now[0] if now else None,
                new=now[1] if now else "",
            )


def _side_by_side(lines: Sequence[str]) -> list[Pair]:
    """The lines of a unified diff, with both sides beside each other."""
    pairs: list[Pair] = []
    block = _Block()
    old = new = 1
    for line in lines:
        sign, text = line[:1], line[1:]
        if sign == "-":
            block.old.append((old, text))
            old += 1
        elif sign == "+":
            block.new.append((new, text))
            new += 1
        else:
            pairs += block.pairs()
            block = _Block()
            hunk = _HUNK.match(line)
            if hunk is not None:
                old, new = int(hunk[1]), int(hunk[2])
                pairs.append(Pair(kind="gap"))
            elif sign == " ":
                pairs.append(Pair(kind="same", old_number=old, old=text, new_number=new, new=text))
                old, new = old + 1, new + 1
            # What is left says that a last line has no end, which nobody sees here.
    pairs += block.pairs()
    return pairs


ROUTES = (Route(path="/projects/{project}/repos/{repo}@{ref}/diff/{path}", view=diff),)
