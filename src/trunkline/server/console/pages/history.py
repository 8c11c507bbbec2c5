"""What became of a path: the commits that changed it, newest first."""

from itertools import islice

from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Route, Show, Visit
from trunkline.server.console.pages.places import above

_ROWS = 50


def history(visit: Visit) -> Answer:
    """The versions of a file or directory; `to` in the query is where a further page begins."""
    name, ref = visit.full_name("repo"), visit.arguments["ref"]
    path = visit.arguments["path"].strip("/")
    operations = visit.operations
    begin = visit.query.get("to") or ref
    listed = operations.files.list_file_versions(name, begin, path or "/", number=_ROWS + 1)
    found = list(islice(listed, _ROWS + 1))
    # How large it was before, which the next older version says.
    sizes = [one.file.size_bytes if one.file is not None else 0 for one in found]
    rows = [
        (one, size - before)
        for one, size, before in zip(found[:_ROWS], sizes, [*sizes[1:], 0], strict=False)
    ]
    further = found[_ROWS].commit if len(found) > _ROWS else ""
    return Show(
        template="files/history.html",
        title=f"History of {path or name}",
        context={
            "repo": name,
            "ref": ref,
            "path": path,
            "branches": operations.branches.list_branches(name),
            "above": above(name, ref, path),
            "rows": rows,
            "next": urls.history(name, ref, path, to=further) if further else None,
        },
    )


ROUTES = (Route(path="/projects/{project}/repos/{repo}@{ref}/history/{path}", view=history),)
