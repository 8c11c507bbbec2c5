"""An engine without workers, and all that can be seen of what it keeps."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from trunkline.config import load
from trunkline.engine import engine as engine_module
from trunkline.engine.engine import Engine
from trunkline.errors import CommitOpen
from trunkline.jobs.launcher import ProcessLauncher


@contextmanager
def without_workers() -> Iterator[None]:
    """Engines that start no process ahead of need, and look for none that an earlier one left.

    Both take most of the time of opening one, and these tests open thousands.
    """
    with (
        mock.patch.object(ProcessLauncher, "start"),
        mock.patch.object(engine_module, "kill_leftovers", return_value=0),
    ):
        yield


def open_engine(home: Path, **environment: str) -> Engine:
    return Engine(
        load({"HOME": str(home.parent), "PATH": os.environ["PATH"], **environment}, home=home)
    )


def tree(engine: Engine, repo: str, commit: str) -> dict[str, bytes]:
    """The files of a commit with their content, which is checked against their digests."""
    found = {}
    for info in engine.files.list_files(repo, commit, "/", recursive=True):
        data = b"".join(engine.files.read_file(repo, commit, info.path))
        assert len(data) == info.size_bytes, info.path
        found[info.path] = data
    return found


def state(engine: Engine, *, open_trees: bool = True, names: bool = True) -> dict[str, Any]:
    """All repos, branches and commits, with all trees: equal for equal histories only.

    Without `open_trees`, those of open commits are left out: to read them makes a tree, which a
    store that takes no more writes can't. Without `names`, tags, triggers and transactions are.
    """
    seen: dict[str, Any] = {}
    for batch in engine.transactions.list_transactions() if names else ():
        found = engine.transactions.inspect_transaction(batch.id)
        seen[f"transaction {batch.id}"] = [str(step) for step in found.steps]
    for repo in engine.repos.list_repos():
        seen[f"repo {repo.name}"] = (repo.description, repo.created, repo.size_bytes)
        for branch in engine.branches.list_branches(repo.name):
            seen[f"branch {repo.name}@{branch.name}"] = (
                branch.head,
                branch.provenance,
                branch.trigger if names else None,
            )
        for tag in engine.tags.list_tags(repo.name) if names else ():
            seen[f"tag {repo.name}@{tag.name}"] = tag
        for commit in engine.commits.list_commits(repo.name):
            content: object = commit.root
            if open_trees or commit.finished:
                try:
                    content = tree(engine, repo.name, commit.id)
                except CommitOpen:  # by its job
                    content = "open"
            seen[f"commit {repo.name}@{commit.id}"] = (
                commit.branch,
                commit.origin,
                commit.parent,
                commit.description,
                commit.started,
                commit.finished,
                commit.size_bytes,
                commit.files,
                commit.error,
                commit.provenance,
                content,
            )
    return seen


def damages(engine: Engine) -> list[str]:
    """What `fsck` finds, as sentences."""
    return [f"{d.thing}: {d.problem} ({d.hits})" for d in engine.admin.fsck().damages]
