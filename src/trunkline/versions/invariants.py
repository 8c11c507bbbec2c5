"""Checks the rules of the history in the catalog: what must hold after every transaction."""

from collections.abc import Iterator
from typing import NamedTuple

from trunkline.db.database import Transaction, file_problems
from trunkline.model.versions import BranchName
from trunkline.versions import branches, provenance, tables


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
        for source in info.provenance:
            wanted = branches.branch_head(tx, source.repo, source.branch)
            if wanted is not None and (wanted.repo, wanted.id) not in made_from:
                yield Broken(
                    f"branch {BranchName(repo=repo, branch=info.name)}",
                    f"its head was not made from the head of {source}",
                    (f"{repo}@{head.id}",),
                )


def broken_rows(tx: Transaction) -> Iterator[Broken]:
    """What the rows of the catalog say against each other, and the database against its file."""
    for problem in file_problems(tx):
        yield Broken("the catalog", f"its file is damaged: {problem}", ())
    for problem, repo, commit in tables.commits_out_of_line(tx):
        name = f"{repo}@{commit}"
        yield Broken(f"commit {name}", problem, (name,))
    for number, problem in tables.tombstones_out_of_line(tx):
        yield Broken("the catalog", f"the tombstone of commit number {number}: {problem}", ())
    for problem, repo in tables.repos_out_of_place(tx):
        yield Broken(f"repo {repo}", problem, ())
    for problem, repo, branch in tables.heads_out_of_line(tx):
        yield Broken(f"branch {repo}@{branch}", problem, ())


def is_derived(tx: Transaction, repo: str) -> bool:
    """Whether a branch of the repo is derived from another; works also where rules are broken."""
    return tables.has_derived_branch(tx, repo)
