"""SQL on projects."""

from datetime import datetime

from trunkline.db.database import Row, Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.model.versions import ProjectInfo
from trunkline.versions.tables.numbers import next_number

_PROJECT = "SELECT name, description, created_us FROM project"


def insert_project(tx: Transaction, name: str, *, description: str, now: datetime) -> None:
    tx.execute(
        "INSERT INTO project (number, name, description, created_us, changed) "
        "VALUES (:number, :name, :description, :now, :number)",
        number=next_number(tx),
        name=name,
        description=description,
        now=to_microseconds(now),
    )


def find_project(tx: Transaction, name: str) -> ProjectInfo | None:
    row = tx.row(f"{_PROJECT} WHERE name = :name", name=name)
    return None if row is None else _project(row)


def all_projects(tx: Transaction) -> list[ProjectInfo]:
    """All projects, last changed first."""
    return [_project(row) for row in tx.rows(f"{_PROJECT} ORDER BY changed DESC")]


def describe_project(tx: Transaction, name: str, description: str) -> None:
    tx.execute(
        "UPDATE project SET description = :description, changed = :changed WHERE name = :name",
        name=name,
        description=description,
        changed=next_number(tx),
    )


def delete_project(tx: Transaction, name: str) -> None:
    """Remove the row of a project, which must be empty."""
    tx.execute("DELETE FROM project WHERE name = :name", name=name)


def repos_out_of_place(tx: Transaction) -> list[tuple[str, str]]:
    """(problem, repo) of repos whose project is none, or not the one in their full name."""
    queries = (
        "SELECT 'its project is gone', r.name FROM repo r WHERE NOT EXISTS"
        " (SELECT 1 FROM project p WHERE p.name = r.project)",
        "SELECT 'its name is not one of its project', r.name FROM repo r WHERE CASE r.project"
        " WHEN 'default' THEN r.name LIKE '%/%' ELSE r.name NOT LIKE '%/%' OR"
        " substr(r.name, 1, length(r.project) + 1) <> r.project || '/' END",
    )
    return [(str(problem), str(repo)) for query in queries for problem, repo in tx.rows(query)]


def _project(row: Row) -> ProjectInfo:
    name, description, created_us = row
    return ProjectInfo(
        name=name,
        description=description,
        created=None if created_us is None else from_microseconds(created_us),
    )
