"""Checks the rules of the history in the catalog: what must hold after every transaction."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from trunkline.db.database import Database, FileProblem, Transaction
from trunkline.model.versions import BranchName
from trunkline.versions import branches, provenance, tables
from trunkline.versions.records import CommitRecord

_PAGE = 500
_CHANGED = "is not as it was written"
UNSEALED = f"its record in the catalog {_CHANGED}"


class Broken(NamedTuple):
    """A rule that does not hold."""

    thing: str
    problem: str
    hits: tuple[str, ...]


def broken(tx: Transaction, repo: str) -> Iterator[Broken]:
    """Heads that are not made from the heads of the branches that theirs is derived from."""
    for info in branches.list_branches(tx, repo):
        head = branches.branch_head(tx, repo, info.name)
        if head is None or not info.provenance:
            continue
        made_from = {(c.repo, c.id) for c in provenance.inputs_of(tx, head)}
        quiet = branches.quiet_sources(tx, repo, info.name)
        for source in info.provenance:
            if source in quiet:
                continue
            wanted = branches.branch_head(tx, source.repo, source.branch)
            if wanted is not None and (wanted.repo, wanted.id) not in made_from:
                yield Broken(
                    f"branch {BranchName(repo=repo, branch=info.name)}",
                    f"its head was not made from the head of {source}",
                    (f"{repo}@{head.id}",),
                )


def broken_rows(tx: Transaction) -> Iterator[Broken]:
    """What the rows of the catalog say against each other, and the database against its file."""
    yield from map(_told, tx.problems(), itertools.repeat(tx))
    for _, repo, commit in tables.broken_seals(tx):
        name = f"{repo}@{commit}"
        yield Broken(f"commit {name}", UNSEALED, (name,))
    for commit in tables.broken_seals_in_trash(tx):
        yield Broken(f"deleted commit {commit}", UNSEALED, ())
    for problem, repo, commit in tables.commits_out_of_line(tx):
        name = f"{repo}@{commit}"
        yield Broken(f"commit {name}", problem, (name,))
    for number, problem in tables.tombstones_out_of_line(tx):
        yield Broken("the catalog", f"the tombstone of commit number {number}: {problem}", ())
    for problem, repo in tables.repos_out_of_place(tx):
        yield Broken(f"repo {repo}", problem, ())
    for problem, repo, branch in tables.heads_out_of_line(tx):
        yield Broken(f"branch {repo}@{branch}", problem, ())
    for repo, branch in tables.rules_out_of_place(tx):
        yield Broken(
            f"branch {repo}@{branch}", "it has retention rules and is derived from others", ()
        )


def _told(problem: FileProblem, tx: Transaction) -> Broken:
    if not problem.table:
        return Broken("the catalog", f"its file is damaged: {problem.problem}", ())
    name = tables.name_of_row(tx, problem.table, problem.row)
    if name is None:
        where = f"row {problem.row} of its table {problem.table}" if problem.row else problem.table
        return Broken("the catalog", f"{where} {_CHANGED} ({problem.problem})", ())
    return Broken(name, f"its row in the catalog {_CHANGED} ({problem.problem})", ())


def guard(database: Database) -> None:
    """Have the database notice changed bytes; see `db.guards`."""
    database.guard(tables.APART)


def seal(database: Database, record: CommitRecord) -> None:
    """Let the record of a commit count as it is."""
    with database.write() as tx:
        tables.seal_row(tx, record.number)


def has_its_tree(database: Database, record: CommitRecord) -> bool:
    """Whether a commit's record names the tree that it was given."""
    with database.read() as tx:
        return tables.has_its_tree(tx, record.number)


def records(database: Database, repo: str) -> Iterator[CommitRecord]:
    """All commits of a repo as they lie there, sealed or not, each page in its own transaction."""
    after: int | None = 0
    while after is not None:
        with database.read() as tx:
            page, after = tables.commits_as_they_lie(tx, repo, after, _PAGE)
        yield from page


def is_derived(tx: Transaction, repo: str) -> bool:
    """Whether a branch of the repo is derived from another; works also where rules are broken."""
    return tables.has_derived_branch(tx, repo)
