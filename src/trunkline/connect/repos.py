"""Handles on repos, and the commit that is built up in a `with` statement."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from trunkline.api.changes import CopyFile, DeleteFile, FileChange, PutFile, PutUrl
from trunkline.api.connection import Operations
from trunkline.client.local_files import put_local
from trunkline.connect.content import Content, Spool
from trunkline.connect.files import FileHandle
from trunkline.errors import InvalidInput, RepoNotFound
from trunkline.model.names import check_path, parse_address, project_of
from trunkline.model.versions import DEFAULT_BRANCH

if TYPE_CHECKING:
    from trunkline.model.versions import BranchInfo, CommitInfo, RepoInfo


class RepoHandle:
    """A repo of a server."""

    def __init__(self, operations: Operations, name: str) -> None:
        self._operations = operations
        self.name = name

    def create(self, *, description: str = "", exist_ok: bool = False) -> Self:
        """Create the repo; raises AlreadyExists unless `exist_ok`."""
        if not (exist_ok and self.exists()):
            self._operations.repos.create_repo(self.name, description=description)
        return self

    def exists(self) -> bool:
        try:
            self._operations.repos.inspect_repo(self.name)
        except RepoNotFound:
            return False
        return True

    @property
    def info(self) -> RepoInfo:
        """What the server says of it now; raises RepoNotFound."""
        return self._operations.repos.inspect_repo(self.name)

    def delete(self, *, force: bool = False) -> None:
        """Delete the repo with its commits."""
        self._operations.repos.delete_repo(self.name, force=force)

    def branches(self) -> list[BranchInfo]:
        """Its branches, last moved first."""
        return self._operations.branches.list_branches(self.name)

    def commits(self, to: str | None = None) -> Iterator[CommitInfo]:
        """Its commits, newest first; with `to`, that commit and its ancestors."""
        return self._operations.commits.list_commits(self.name, to=to)

    def commit(self, ref: str = DEFAULT_BRANCH, *, message: str = "") -> CommitWriter:
        """A commit on a branch, to be filled in a `with` statement.

            with connection.repo("training").commit("master", message="v2") as commit:
                commit["iris.csv"] = Path("data/iris.csv")

        With the id of an open commit, the changes go into that one, which stays open.
        """
        return CommitWriter(self._operations, self.name, ref, message)

    def file(self, path: str, *, ref: str = DEFAULT_BRANCH) -> FileHandle:
        """A handle on a file or directory of a commit."""
        return FileHandle(self._operations, self.name, ref, path)

    def __repr__(self) -> str:
        return f"<repo {self.name}>"


class CommitWriter:
    """Changes that are collected and, at the end of the `with` statement, made all at once.

    An exception inside discards them. Content is taken when it is given; of a path object only the
    name is, the file is read at the end.
    """

    def __init__(self, operations: Operations, repo: str, ref: str, message: str) -> None:
        self._operations = operations
        self._repo = repo
        self._ref = ref
        self._message = message
        self._changes: list[FileChange] = []
        self._spool: Spool | None = None
        self._info: CommitInfo | None = None

    @property
    def info(self) -> CommitInfo:
        """The commit, once it has been made."""
        if self._info is None:
            raise InvalidInput("the commit has not been made yet: that happens when `with` ends")
        return self._info

    def __setitem__(self, path: str, content: Content) -> None:
        self.put(path, content)

    def __delitem__(self, path: str) -> None:
        self.delete(path)

    def put(
        self,
        path: str,
        content: Content,
        *,
        append: bool = False,
        mirror: bool = False,
        links: str = "inside",
    ) -> None:
        """Write a file: bytes, text, a binary or text file object, a table, or a local path.

        A `pathlib.Path` stands for a local file or directory tree; with `mirror`, what is below
        `path` and not in that directory is removed. `links` says what is done about symbolic links
        in it: `inside` (those to its own files count as these, others are refused), `refuse`,
        `skip`, or `follow`, which stores what they mean. A pandas or polars table is
        written in the format that the path ends in (.csv, .tsv, .json, .jsonl or .parquet).
        """
        spool = self._opened()
        if isinstance(content, os.PathLike):
            name = _checked(path, root=True)
            change = put_local(name, content, append=append, mirror=mirror, links=links)
            self._changes.append(change)
            return
        name = _checked(path)
        taken = spool.take(name, content)
        self._changes.append(PutFile(path=name, content=taken, append=append))

    def put_url(
        self, path: str, url: str, *, append: bool = False, by_server: bool = False
    ) -> None:
        """Write what is behind an http(s) or object-store URL, fetched when `with` ends.

        This process fetches it, unless `by_server` says that the server shall: which it does only
        from hosts and buckets that its settings list.
        """
        self._opened()
        name = _checked(path)
        if by_server:
            self._changes.append(PutUrl(path=name, url=url, append=append))
            return
        from trunkline.connect.urls import url_content
        from trunkline.fetch.urls import parse_url

        parse_url(url)  # the mistake is then reported on the line that makes it
        self._changes.append(PutFile(path=name, content=url_content(url), append=append))

    def delete(self, path: str) -> None:
        """Delete a file, or a directory with all below it; a missing one is no error."""
        self._opened()
        self._changes.append(DeleteFile(path=_checked(path)))

    def copy(self, path: str, source: str | FileHandle, *, append: bool = False) -> None:
        """Copy a file or directory of any commit: a handle, or `repo@ref:/path`."""
        self._opened()
        if isinstance(source, FileHandle):
            repo, ref, from_path = source.repo, source.ref, source.path
        else:
            parsed = parse_address(source, project=project_of(self._repo))
            repo, ref, from_path = parsed.repo, parsed.ref or DEFAULT_BRANCH, parsed.path or ""
        self._changes.append(
            CopyFile(
                path=_checked(path, root=True),
                source_repo=repo,
                source_commit=ref,
                source_path=from_path,
                append=append,
            )
        )

    def __enter__(self) -> Self:
        self._spool = Spool()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        changes, self._changes = self._changes, []
        try:
            if error is None:
                self._info = self._operations.files.modify_files(
                    self._repo, self._ref, changes, description=self._message
                )
        finally:
            self._opened().close()
            self._spool = None

    def _opened(self) -> Spool:
        if self._spool is None:
            raise InvalidInput("a commit is filled inside a `with` statement")
        return self._spool


def _checked(path: str, *, root: bool = False) -> str:
    # Here and not only at the server: the mistake is then reported on the line that makes it.
    return check_path(path, root_allowed=root) or "/"
