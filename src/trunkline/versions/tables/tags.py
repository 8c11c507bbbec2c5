"""SQL on tags."""

from datetime import datetime

from trunkline.db.database import Row, Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.versions.records import RepoRow, TagRow
from trunkline.versions.tables.numbers import next_number

_TAG = "SELECT number, name, commit_number, created_us FROM tag"


def insert_tag(tx: Transaction, repo: RepoRow, name: str, commit: int, now: datetime) -> None:
    tx.execute(
        "INSERT INTO tag (number, repo, name, commit_number, created_us) "
        "VALUES (:number, :repo, :name, :commit, :now)",
        number=next_number(tx),
        repo=repo.number,
        name=name,
        commit=commit,
        now=to_microseconds(now),
    )


def move_tag(tx: Transaction, number: int, commit: int, now: datetime) -> None:
    tx.execute(
        "UPDATE tag SET commit_number = :commit, created_us = :now WHERE number = :number",
        number=number,
        commit=commit,
        now=to_microseconds(now),
    )


def delete_tag(tx: Transaction, number: int) -> None:
    tx.execute("DELETE FROM tag WHERE number = :number", number=number)


def find_tag(tx: Transaction, repo: RepoRow, name: str) -> TagRow | None:
    row = tx.row(f"{_TAG} WHERE repo = :repo AND name = :name", repo=repo.number, name=name)
    return None if row is None else _row(row)


def tags_of(tx: Transaction, repo: RepoRow) -> list[TagRow]:
    """The tags of a repo by name."""
    rows = tx.rows(f"{_TAG} WHERE repo = :repo ORDER BY name", repo=repo.number)
    return [_row(row) for row in rows]


def tags_at(tx: Transaction, commit: int) -> list[str]:
    """The names of the tags of a commit."""
    rows = tx.rows(
        "SELECT name FROM tag WHERE commit_number = :commit ORDER BY name", commit=commit
    )
    return [str(name) for (name,) in rows]


def _row(row: Row) -> TagRow:
    number, name, commit, created_us = row
    return TagRow(number=number, name=name, commit=commit, created=from_microseconds(created_us))
