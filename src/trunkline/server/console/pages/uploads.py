"""Files that are sent with a form, or dropped onto a page: one commit of all of them."""

import posixpath
from collections.abc import Iterator

from trunkline.api.changes import PutFile
from trunkline.errors import InvalidInput
from trunkline.model.versions import DEFAULT_BRANCH
from trunkline.server.console import urls
from trunkline.server.console.multipart import Part
from trunkline.server.console.page import Answer, Redirect, Route, Visit


def upload(visit: Visit) -> Answer:
    """Put files into a branch as they come; then on to the commit.

    The fields `branch`, `directory` and `description` come before the files. A file whose name has
    slashes in it (of a directory that was dropped) lies below the directory accordingly.
    """
    name = visit.full_name("repo")
    fields: dict[str, str] = {}
    first: Part | None = None
    for part in visit.parts:
        if part.file_name:
            first = part
            break
        if part.file_name is None:
            fields[part.name] = part.text()
    if first is None:
        raise InvalidInput("no file was chosen: choose or drop one, and upload again")
    directory = fields.get("directory", "").strip().strip("/")

    def changes() -> Iterator[PutFile]:
        for part in _files(first, visit.parts):
            yield PutFile(
                path=posixpath.join(directory, (part.file_name or "").lstrip("/")),
                content=part.content,
            )

    commit = visit.operations.files.modify_files(
        name,
        fields.get("branch", "").strip() or DEFAULT_BRANCH,
        changes(),
        description=fields.get("description", "").strip(),
    )
    return Redirect(to=urls.commit(name, commit.id))


def _files(first: Part, others: Iterator[Part]) -> Iterator[Part]:
    yield first
    yield from (part for part in others if part.file_name)


ROUTES = (
    Route(path="/projects/{project}/repos/{repo}/upload", view=upload, method="POST", streams=True),
)
