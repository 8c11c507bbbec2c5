"""Files of a commit: directories page by page, a search by glob, one file, its content."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any
from urllib.parse import quote

from trunkline.errors import CommitOpen, InvalidInput, NotFound
from trunkline.model.versions import BranchInfo, CommitInfo, FileInfo, FileType
from trunkline.server.console import urls
from trunkline.server.console.media import SAVED, TYPES
from trunkline.server.console.page import PAGE_ROWS, Answer, Content, Route, Show, Visit
from trunkline.server.console.pages.name_search import places_with
from trunkline.server.console.pages.places import above
from trunkline.server.console.pages.preview_choice import preview_of
from trunkline.server.console.preview import Subject

_GLOB = re.compile(r"[*?\[{(!@+]")
_SPECIAL = re.compile(r"([*?\[\]{}()|!@+\\])")
_RANGE = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?")


def files(visit: Visit) -> Answer:
    """A directory or a file."""
    name, ref = visit.full_name("repo"), visit.arguments["ref"]
    path = visit.arguments["path"].strip("/")
    operations = visit.operations
    commit = operations.commits.inspect_commit(name, ref)
    context = {
        "repo": name,
        "ref": ref,
        "path": path,
        "commit": commit,
        "branches": operations.branches.list_branches(name),
        "above": above(name, ref, path),
    }
    title = f"{path.rpartition('/')[2] or name} · {name}@{ref[:12]}"
    try:
        if visit.query.get("find"):
            return _found(visit, commit, path, context)
        return _shown(visit, commit, path, title, context)
    except CommitOpen:
        return Show(template="files/open.html", title=title, context=context, live=("commits",))


def _shown(
    visit: Visit, commit: CommitInfo, path: str, title: str, context: dict[str, Any]
) -> Answer:
    name = commit.repo
    after = visit.query.get("after", "")
    listed = visit.operations.files.list_files(name, commit.id, path or "/", after=after)
    entries = list(islice(listed, PAGE_ROWS + 1))
    first = entries[0] if entries else None
    if first is not None and first.type is FileType.FILE and first.path == path:
        shown = preview_of(Subject(visit, first))
        kept = {"as": visit.query.get("as", "")}

        def here(**query: object) -> str:
            return urls.files(name, visit.arguments["ref"], path, **{**kept, **query})

        more = {"file": first, "shown": shown, "here_url": here, **shown.preview.context}
        return Show(template=shown.preview.template, title=title, context={**context, **more})
    listing = {
        "entries": entries[:PAGE_ROWS],
        "next": _next(context, entries),
        "find": "",
        "begins": not after,
        "takes_files": _takes_files(visit, name, context["branches"]),
    }
    return Show(template="files/directory.html", title=title, context={**context, **listing})


def _takes_files(visit: Visit, name: str, branches: Sequence[BranchInfo]) -> bool:
    """Whether files can be put where the page is: a branch that no pipeline writes."""
    if visit.arguments["ref"] not in {branch.name for branch in branches}:
        return False
    try:
        visit.operations.pipelines.inspect_pipeline(name)
    except NotFound:
        return True
    return False


def _found(visit: Visit, commit: CommitInfo, path: str, context: dict[str, object]) -> Answer:
    """What matches a glob below the directory; a word without stars is a part of a name."""
    find = visit.query["find"]
    pattern = find.lstrip("/") if _GLOB.search(find) else f"**{_literal(find)}*"
    whole = f"{_literal(path)}/{pattern}" if path else f"/{pattern}"
    after = visit.query.get("after", "")
    if _GLOB.search(find):
        matching = visit.operations.files.glob_files(commit.repo, commit.id, whole, after=after)
        entries = list(islice(matching, PAGE_ROWS + 1))
        further = _next(context, entries, find=find)
    else:
        entries, further = _named(visit, commit, path, after)
    here = {
        "entries": entries[:PAGE_ROWS],
        "next": further,
        "find": find,
        "pattern": whole,
        "begins": True,
        "takes_files": False,
    }
    title = f"{find} · {commit.repo}"
    return Show(template="files/directory.html", title=title, context={**context, **here})


def _named(
    visit: Visit, commit: CommitInfo, path: str, after: str
) -> tuple[list[FileInfo], str | None]:
    """What has a word in its name, and the address of what comes then."""
    files, find = visit.operations.files, visit.query["find"]
    listed = files.list_paths(commit.repo, commit.id, path or "/")
    places = list(islice(places_with(find, listed, below=path, after=after), PAGE_ROWS + 1))
    entries: list[FileInfo] = []
    for place in places[:PAGE_ROWS]:
        exactly = f"/{_literal(place.rstrip('/'))}"
        entries += islice(files.glob_files(commit.repo, commit.id, exactly), 1)
    further = None
    if len(places) > PAGE_ROWS:
        kept = {"find": find, "after": places[PAGE_ROWS - 1]}
        further = urls.files(commit.repo, visit.arguments["ref"], path, **kept)
    return entries, further


def _literal(text: str) -> str:
    """A text as a glob that matches it alone."""
    return _SPECIAL.sub(r"\\\1", text)


def _next(context: dict[str, object], entries: list[FileInfo], **query: str) -> str | None:
    if len(entries) <= PAGE_ROWS:
        return None
    last = entries[PAGE_ROWS - 1].path
    name, ref, path = (str(context[key]) for key in ("repo", "ref", "path"))
    return urls.files(name, ref, path, after=last, **query)


def raw(visit: Visit) -> Answer:
    """The content of a file, or what a Range header asks for; to be saved, unless `inline`.

    With `inline` pictures, sounds and films have their types, and are shown in place where they
    can't hold a script. Whatever it is, it runs nothing (`headers.content_headers`).
    """
    name, path = visit.full_name("repo"), visit.arguments["path"]
    operations = visit.operations
    file = operations.files.inspect_file(name, visit.arguments["ref"], path)
    if file.type is not FileType.FILE:
        raise InvalidInput(f"{file.path or '/'} is a directory; a command gets it whole")
    suffix = file.path.rpartition(".")[2].lower()
    known = bool(visit.query.get("inline")) and suffix in TYPES
    inline = known and suffix not in SAVED
    begin, end, partial = _range(visit.headers.get("range", ""), file.size_bytes)

    def pieces() -> Iterator[bytes]:
        return operations.files.read_file(
            *(name, file.commit, file.path), offset_bytes=begin, size_bytes=end - begin
        )

    last = quote(file.path.rpartition("/")[2])
    headers = [
        ("content-disposition", f"{'inline' if inline else 'attachment'}; filename*=UTF-8''{last}"),
        ("content-length", str(end - begin)),
        ("accept-ranges", "bytes"),
    ]
    if partial:
        headers.append(("content-range", f"bytes {begin}-{end - 1}/{file.size_bytes}"))
    return Content(
        pieces=pieces,
        media_type=TYPES[suffix] if known else "application/octet-stream",
        headers=tuple(headers),
        status=206 if partial else 200,
    )


def _range(header: str, size_bytes: int) -> tuple[int, int, bool]:
    """Begin and end of what is asked for; all of it where that can't be had (RFC 9110, 14.2)."""
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return 0, size_bytes, False
    if found[1] is None:
        begin, end = max(0, size_bytes - int(found[2])), size_bytes
    else:
        begin = int(found[1])
        end = min(int(found[2]) + 1, size_bytes) if found[2] else size_bytes
    return (begin, end, True) if begin < end else (0, size_bytes, False)


ROUTES = (
    Route(path="/projects/{project}/repos/{repo}@{ref}/files/{path}", view=files),
    Route(path="/projects/{project}/repos/{repo}@{ref}/raw/{path}", view=raw),
)
