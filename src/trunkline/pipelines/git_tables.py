"""All SQL on git inputs; one function is one statement. No rule is decided here."""

from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.db.database import Row, Transaction, Value
from trunkline.model.pipelines import Git


@dataclass(frozen=True, slots=True, kw_only=True)
class GitRow:
    """A git input of a pipeline, and the commit of its remote that its newest checkout is of."""

    pipeline: str  # full name
    repo: str  # full name
    git: Git
    owned: bool  # the repo was made for it, and goes with the pipeline
    commit: str  # empty before the first checkout


_COLUMNS = ("repo", "url", "branch", "secret", "secret_key", "owned", "commit_id")
_ROW = (
    "SELECT p.name, repo, url, branch, secret, secret_key, owned, commit_id "
    "FROM pipeline_git g JOIN pipeline p ON p.number = g.pipeline"
)
# What is kept of them in the trash; a test compares it with the schema.
KEPT_COLUMNS: dict[str, tuple[str, ...]] = {"pipeline_git": _COLUMNS}


def all_gits(tx: Transaction) -> list[GitRow]:
    """Those of all pipelines, by pipeline and repo."""
    return [_row(row) for row in tx.rows(f"{_ROW} ORDER BY p.name, g.repo")]


def gits_of(tx: Transaction, pipeline: str) -> list[GitRow]:
    """Those of a pipeline, by repo."""
    rows = tx.rows(f"{_ROW} WHERE p.name = :pipeline ORDER BY g.repo", pipeline=pipeline)
    return [_row(row) for row in rows]


def gits_writing(tx: Transaction, repo: str) -> list[GitRow]:
    """Those whose checkouts go to a repo, by pipeline."""
    rows = tx.rows(f"{_ROW} WHERE g.repo = :repo ORDER BY p.name", repo=repo)
    return [_row(row) for row in rows]


def save(tx: Transaction, row: GitRow) -> None:
    """Record a git input in place of what is known of it."""
    remove(tx, row)
    git = row.git
    _insert(
        tx,
        row.pipeline,
        (
            *(row.repo, git.url, git.branch, git.secret, git.secret_key),
            *(int(row.owned), row.commit),
        ),
    )


def remove(tx: Transaction, row: GitRow) -> None:
    tx.execute(
        "DELETE FROM pipeline_git WHERE repo = :repo AND pipeline = "
        "(SELECT number FROM pipeline WHERE name = :pipeline)",
        repo=row.repo,
        pipeline=row.pipeline,
    )


def rows_of(tx: Transaction, pipeline: str) -> list[Row]:
    """Those of a pipeline as rows, to be kept."""
    rows = tx.rows(f"{_ROW} WHERE p.name = :pipeline ORDER BY g.repo", pipeline=pipeline)
    return [row[1:] for row in rows]


def put_rows(tx: Transaction, pipeline: str, rows: Sequence[Sequence[Value]]) -> None:
    """Insert rows as they were kept."""
    for row in rows:
        _insert(tx, pipeline, row)


def _insert(tx: Transaction, pipeline: str, row: Sequence[Value]) -> None:
    tx.execute(
        "INSERT INTO pipeline_git "
        "(pipeline, repo, url, branch, secret, secret_key, owned, commit_id) "
        "SELECT number, :repo, :url, :branch, :secret, :secret_key, :owned, :commit_id "
        "FROM pipeline WHERE name = :_name",
        _name=pipeline,
        **dict(zip(_COLUMNS, row, strict=True)),
    )


def _row(row: Row) -> GitRow:
    pipeline, repo, url, branch, secret, secret_key, owned, commit = row
    return GitRow(
        pipeline=pipeline,
        repo=repo,
        git=Git(url=url, branch=branch, secret=secret, secret_key=secret_key),
        owned=bool(owned),
        commit=commit,
    )
