"""Git inputs: which look at a remote makes which commit, and what each input is at.

A look asks what branches of remotes are at, fetches that, and then commits it, which may take
hours. What an input is at is recorded in the transaction that commits its checkout, and compared
there with what it was at before anybody asked: so a look that was slower than another one changes
nothing, however branches moved meanwhile, and after a crash the next look makes what is missing.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from trunkline.db.database import Transaction
from trunkline.model.pipelines import Git, PipelineSpec
from trunkline.pipelines import git_tables
from trunkline.pipelines.git_tables import GitRow
from trunkline.pipelines.inputs import git_leaves

__all__ = ["GitRow"]

Before = Mapping[tuple[str, str], str]  # by pipeline and repo: what an input was at


# --- pure -----------------------------------------------------------------------------------------


def standing(rows: Iterable[GitRow]) -> dict[tuple[str, str], str]:
    """What inputs are at, to be compared when a look is over."""
    return {(row.pipeline, row.repo): row.commit for row in rows}


def news(rows: Iterable[GitRow], before: Before, found: Mapping[Git, str]) -> list[GitRow]:
    """The inputs that get a commit by what a look found, as they are to be recorded.

    Those that are as they were before it, and whose branch is elsewhere by now.
    """
    return [
        replace(row, commit=found[row.git])
        for row in rows
        if row.git in found
        and before.get((row.pipeline, row.repo)) == row.commit
        and row.commit != found[row.git]
    ]


# --- in the catalog -------------------------------------------------------------------------------


def follow(tx: Transaction, pipeline: PipelineSpec, *, owned: Collection[str]) -> None:
    """Record the git inputs of a pipeline that was created or updated; `owned` repos are new.

    One that still follows the same branch stays at its commit, whoever is let in for it.
    """
    before = {row.repo: row for row in git_tables.gits_of(tx, pipeline.name)}
    for leaf, git in git_leaves(pipeline.input):
        old = before.pop(leaf.repo, None)
        same = old is not None and (old.git.url, old.git.branch) == (git.url, git.branch)
        git_tables.save(
            tx,
            GitRow(
                pipeline=pipeline.name,
                repo=leaf.repo,
                git=git,
                owned=leaf.repo in owned if old is None else old.owned,
                commit=old.commit if old is not None and same else "",
            ),
        )
    for gone in before.values():
        git_tables.remove(tx, gone)


def all_gits(tx: Transaction) -> list[GitRow]:
    """The git inputs of all pipelines."""
    return git_tables.all_gits(tx)


def gits_of(tx: Transaction, pipeline: str) -> list[GitRow]:
    """The git inputs of a pipeline."""
    return git_tables.gits_of(tx, pipeline)


def gits_writing(tx: Transaction, repo: str) -> list[GitRow]:
    """The git inputs whose checkouts go to a repo."""
    return git_tables.gits_writing(tx, repo)


def record(tx: Transaction, row: GitRow) -> None:
    """What an input is at, in the transaction that commits its checkout."""
    git_tables.save(tx, row)
