"""SQL on lines of commits: which ancestors a commit has, how many, and which of them is which.

A line is a chain of commits ordered by number: the parent of each is the one before it on the line.
The parent of the first one is on another line, or there is none. So the ancestors of a commit are
what comes before it on its line, then the same from the first one's parent on: few ranges of an
index. Removing a commit changes its children alone: whoever stays is as much in line as before.
"""

from collections.abc import Iterator
from typing import NamedTuple

from trunkline.db.database import Transaction
from trunkline.versions.records import CommitRecord
from trunkline.versions.tables.commits import (
    FIELDS,
    JOINS,
    LINE_BELOW,
    PAGES,
    commit_numbered,
    commit_record,
)
from trunkline.versions.tables.numbers import next_number

_STRETCHES = (
    "WITH RECURSIVE stretch(step, line, upto) AS ("
    " SELECT 0, line, number FROM commit_record WHERE number = :commit"
    " UNION ALL SELECT s.step + 1, p.line, p.number FROM stretch s"
    " JOIN commit_record f ON f.number ="
    " (SELECT MIN(c.number) FROM commit_record c WHERE c.line = s.line)"
    " JOIN commit_record p ON p.number = f.parent) "
)


class Stretch(NamedTuple):
    """The commits of a line up to one of them."""

    line: int
    upto: int  # number of the last one


def stretches(tx: Transaction, commit: int) -> list[Stretch]:
    """A commit and all its ancestors, nearest first."""
    rows = tx.rows(f"{_STRETCHES} SELECT line, upto FROM stretch ORDER BY step", commit=commit)
    return [Stretch(int(line), int(upto)) for line, upto in rows]


def count_stretch(tx: Transaction, stretch: Stretch, *, after: int = -1, most: int = 2**62) -> int:
    """How many commits of it have a number above `after`; no more than `most` are counted."""
    rows = tx.rows(
        "SELECT COUNT(*) FROM (SELECT 1 FROM commit_record WHERE line = :line "
        "AND number <= :upto AND number > :after LIMIT :most) counted",
        line=stretch.line,
        upto=stretch.upto,
        after=after,
        most=most,
    )
    return int(rows[0][0])


def count_ancestors(tx: Transaction, commit: int) -> int:
    """How many ancestors a commit has. Counts them, in the index alone."""
    return sum(count_stretch(tx, stretch) for stretch in stretches(tx, commit)) - 1


def ancestor_above(tx: Transaction, commit: int, steps: int) -> CommitRecord | None:
    """The ancestor so many steps above a commit (0: itself); None beyond the first commit.

    Costs the steps over an index, and nothing for how many ancestors there are.
    """
    at: int | None = commit
    while at is not None:
        rows = tx.rows("SELECT line FROM commit_record WHERE number = :at", at=at)
        stretch = Stretch(int(rows[0][0]), at)
        found = tx.row(
            "SELECT number FROM commit_record WHERE line = :line AND number <= :upto "
            "ORDER BY number DESC LIMIT 1 OFFSET :steps",
            line=stretch.line,
            upto=stretch.upto,
            steps=steps,
        )
        if found is not None:
            return commit_numbered(tx, int(found[0]))
        steps -= count_stretch(tx, stretch)
        at = _parent_of_first(tx, stretch.line)
    return None


def ancestor_from_first(tx: Transaction, commit: int, nth: int) -> CommitRecord | None:
    """The n-th of a commit's ancestors and itself, from the first one (1) on; None if too few."""
    for stretch in reversed(stretches(tx, commit)) if nth > 0 else ():
        found = tx.row(
            "SELECT number FROM commit_record WHERE line = :line AND number <= :upto "
            "ORDER BY number LIMIT 1 OFFSET :skipped",
            line=stretch.line,
            upto=stretch.upto,
            skipped=nth - 1,
        )
        if found is not None:
            return commit_numbered(tx, int(found[0]))
        nth -= count_stretch(tx, stretch)
    return None


def newest_in_both(tx: Transaction, one: int, other: int) -> int | None:
    """The newest commit that both are or come from; None if they have nothing in common."""
    mine = dict(stretches(tx, one))
    for line, upto in stretches(tx, other):
        if line in mine:
            return min(upto, mine[line])
    return None


def count_since(tx: Transaction, commit: int, shared: int | None, *, most: int) -> int:
    """How many of a commit and its ancestors come after `shared` (one of them; None: all).

    Counts no further than `most`.
    """
    line = None if shared is None else stretches(tx, shared)[0].line
    count = 0
    for stretch in stretches(tx, commit):
        after = shared if stretch.line == line and shared is not None else -1
        count += count_stretch(tx, stretch, after=after, most=most - count)
        if stretch.line == line or count >= most:
            break
    return count


def ancestors(tx: Transaction, commit: int) -> Iterator[CommitRecord]:
    """A commit, its parent and so on to the root, page by page."""
    at: int | None = commit
    pages = iter(PAGES)
    page = next(pages)
    while at is not None:
        rows = tx.rows(
            f"SELECT {FIELDS} FROM commit_record c {JOINS} WHERE c.line = "
            "(SELECT line FROM commit_record WHERE number = :at) AND c.number <= :at "
            "ORDER BY c.number DESC LIMIT :page",
            at=at,
            page=page,
        )
        yield from map(commit_record, rows)
        at = _parent(tx, int(rows[-1][0]))
        page = next(pages, page)


# --- who is on which line -------------------------------------------------------------------------


def put_on_lines(tx: Transaction, commits: list[int]) -> None:
    """Find lines for commits (oldest first) that stand between others again, and have none (0).

    First where their children need them, or can have them, at the end from which they come; what is
    left goes on with its parent's line or begins one.
    """
    left = []
    for commit in reversed(commits):
        line = _line_of_child(tx, commit)
        if line is None:
            left.append(commit)
        else:
            _set_line(tx, commit, line)
    for commit in reversed(left):
        row = tx.row(LINE_BELOW, parent=_parent(tx, commit))
        _set_line(tx, commit, next_number(tx) if row is None else int(row[0]))


def _line_of_child(tx: Transaction, commit: int) -> int | None:
    """The line on which a child misses its parent before it, else one that a child begins."""
    rows = tx.rows(
        "SELECT c.line FROM commit_record c WHERE c.parent = :commit AND c.line <> 0 "
        "ORDER BY CASE WHEN EXISTS (SELECT 1 FROM commit_record b WHERE b.line = c.line "
        "AND b.number < c.number) THEN 0 ELSE 1 END, c.number LIMIT 1",
        commit=commit,
    )
    return int(rows[0][0]) if rows else None


def _set_line(tx: Transaction, commit: int, line: int) -> None:
    tx.execute(
        "UPDATE commit_record SET line = :line WHERE number = :commit", line=line, commit=commit
    )


def _parent_of_first(tx: Transaction, line: int) -> int | None:
    row = tx.row(
        "SELECT parent FROM commit_record WHERE line = :line ORDER BY number LIMIT 1", line=line
    )
    return None if row is None else row[0]


def _parent(tx: Transaction, commit: int) -> int | None:
    row = tx.row("SELECT parent FROM commit_record WHERE number = :commit", commit=commit)
    return None if row is None else row[0]
