"""Commits: those of a branch, newest first, and one with what it changed and was made from."""

import contextlib
from itertools import islice

from trunkline.errors import NotFound, TrunklineError
from trunkline.model.versions import CommitInfo, FileDifference, Side, is_spec_repo
from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Route, Show, Visit
from trunkline.server.console.pages.branch_choice import chosen_branch

_ROWS = 50
_CHANGES = 50


def commits(visit: Visit) -> Answer:
    """The commits of a branch; `to` in the query is where a further page begins."""
    name = visit.full_name("repo")
    branches = visit.operations.branches.list_branches(name)
    branch = chosen_branch(branches, visit.query.get("branch", ""))
    begin = visit.query.get("to") or (branch.head if branch is not None else None)
    found: list[CommitInfo] = []
    if begin:
        found = list(visit.operations.commits.list_commits(name, to=begin, number=_ROWS + 1))
    shown_branch = branch.name if branch is not None else ""
    further = urls.commits(name, shown_branch, to=found[_ROWS].id) if len(found) > _ROWS else None
    return Show(
        template="commits/list.html",
        title=f"Commits of {name}",
        live=("commits",) if "to" not in visit.query else (),
        context={
            "repo": name,
            "branch": branch,
            "branches": branches,
            "commits": found[:_ROWS],
            "next": further,
        },
    )


def commit(visit: Visit) -> Answer:
    """One commit."""
    name, ref = visit.full_name("repo"), visit.arguments["ref"]
    info = visit.operations.commits.inspect_commit(name, ref)
    changes, more = _changes(visit, info)
    job = None
    with contextlib.suppress(NotFound):
        job = visit.operations.jobs.inspect_job(f"{name}@{info.id}")
    return Show(
        template="commits/commit.html",
        title=f"{name}@{info.id[:8]}",
        live=("commits", "jobs") if info.finished is None else (),
        context={
            "repo": name,
            "ref": ref,
            "commit": info,
            "changes": changes,
            "more_changes": more,
            "job": job,
            "sources": [one for one in info.provenance if not is_spec_repo(one.repo)],
            "specs": [one for one in info.provenance if is_spec_repo(one.repo)],
        },
    )


def _changes(visit: Visit, info: CommitInfo) -> tuple[list[tuple[str, str, int]], bool]:
    """The first files that differ from the parent's: (what happened, path, bytes); and if more."""
    if info.finished is None:
        return [], False
    try:
        differences = visit.operations.files.diff_files(info.repo, info.id, "/")
        found = list(islice(differences, 2 * _CHANGES + 2))
    except TrunklineError:  # the parent may be gone, or open
        return [], False
    by_path: dict[str, dict[Side, FileDifference]] = {}
    for difference in found:
        by_path.setdefault(difference.file.path, {})[difference.side] = difference
    rows = []
    for path, sides in by_path.items():
        what = "changed" if len(sides) == 2 else "added" if Side.NEW in sides else "deleted"
        side = sides.get(Side.NEW) or sides[Side.OLD]
        rows.append((what, path, side.file.size_bytes))
    return rows[:_CHANGES], len(rows) > _CHANGES


ROUTES = (
    Route(path="/projects/{project}/repos/{repo}/commits", view=commits),
    Route(path="/projects/{project}/repos/{repo}@{ref}", view=commit),
)
