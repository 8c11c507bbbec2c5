"""Repos: all of them, and one with its README, branches and newest commits."""

import contextlib
from itertools import islice

from trunkline.errors import CommitOpen, NotFound
from trunkline.model.versions import BranchInfo, CommitInfo, FileInfo, FileType
from trunkline.server.console import urls
from trunkline.server.console.markdown import to_html
from trunkline.server.console.page import PAGE_ROWS, Answer, Navigation, Route, Show, Visit
from trunkline.server.console.pages.branch_choice import chosen_branch
from trunkline.server.console.pages.spec_inputs import read_by
from trunkline.server.console.paths import beside

_README_BYTES_MAX = 256 * 1024
_READMES = ("README.md", "README", "README.txt", "readme.md")
_BRANCHES = 20
_COMMITS = 10
_FILES = 12


def repos(visit: Visit) -> Answer:
    """All repos (of a project), those first that changed last."""
    project = visit.query.get("project") or None
    found = visit.operations.repos.list_repos(project=project)
    begin = visit.whole_number("from", 0, most=len(found))
    end = begin + PAGE_ROWS
    return Show(
        template="repos/list.html",
        title="Repos",
        live=("repos", "commits") if not begin else (),
        context={
            "project": project,
            "projects": visit.operations.projects.list_projects(),
            "repos": found[begin:end],
            "total": len(found),
            "next": f"{urls.repos(project or '')}{'&' if project else '?'}from={end}"
            if end < len(found)
            else None,
        },
    )


def repo(visit: Visit) -> Answer:
    """One repo, as it is at the head of its main branch."""
    name = visit.full_name("repo")
    operations = visit.operations
    info = operations.repos.inspect_repo(name)
    branches = operations.branches.list_branches(name)
    branch = chosen_branch(branches)
    head, files, readme = _head(visit, name, branch)
    tags = operations.tags.list_tags(name)
    pipeline = None
    with contextlib.suppress(NotFound):
        pipeline = operations.pipelines.inspect_pipeline(name)
    return Show(
        template="repos/repo.html",
        title=name,
        live=("commits", "repos"),
        context={
            "repo": info,
            "branch": branch,
            "branches": branches[:_BRANCHES],
            "branches_total": len(branches),
            "head": head,
            "files": files[:_FILES],
            "more_files": len(files) > _FILES,
            "readme": readme,
            "commits": list(operations.commits.list_commits(name, number=_COMMITS)),
            "tags": tags[:_BRANCHES],
            "tags_total": len(tags),
            "pipeline": pipeline,
            "readers": _readers(visit, name),
        },
    )


def _head(
    visit: Visit, name: str, branch: BranchInfo | None
) -> tuple[CommitInfo | None, list[FileInfo], object]:
    """The head, its first entries and its README as HTML."""
    if branch is None or branch.head is None:
        return None, [], None
    operations = visit.operations
    head = operations.commits.inspect_commit(name, branch.head)
    try:
        listed = operations.files.list_files(name, head.id, "/")
        files = list(islice(listed, _FILES + 1))
        return head, files, _readme(visit, name, head.id)
    except CommitOpen:  # by its job, which alone knows what will be in it
        return head, [], None


def _readme(visit: Visit, name: str, commit: str) -> object:
    for path in _READMES:
        try:
            found = visit.operations.files.inspect_file(name, commit, path)
        except NotFound:
            continue
        if found.type is not FileType.FILE:
            continue
        pieces = visit.operations.files.read_file(name, commit, path, size_bytes=_README_BYTES_MAX)
        text = b"".join(pieces).decode("utf-8", "replace")
        if not path.endswith(".md"):
            return text
        return to_html(
            text,
            page_of=lambda to: urls.files(name, commit, beside("", to)),
            content_of=lambda to: urls.raw(name, commit, beside("", to), inline="1"),
        )
    return None


def _readers(visit: Visit, name: str) -> list[str]:
    """The pipelines that read it."""
    listed = visit.operations.pipelines.list_pipelines()
    return [one.name for one in listed if name in read_by(one.spec.get("input"))]


ROUTES = (
    Route(path="/repos", view=repos),
    Route(path="/projects/{project}/repos/{repo}", view=repo),
)
NAVIGATION = (Navigation(title="Repos", path="/repos", icon="repo", order=10),)
