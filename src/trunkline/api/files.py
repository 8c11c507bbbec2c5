"""Operations on the files of commits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER, WRITER

if TYPE_CHECKING:
    from trunkline.api.changes import FileChange
    from trunkline.model.differences import ContentDifference
    from trunkline.model.versions import (
        CommitInfo,
        FileDifference,
        FileInfo,
        FileSetInfo,
        FileVersion,
        PutProgress,
    )


class Files(Protocol):
    @operation("POST", "/repos/{repo}/files/{commit}", WRITER, upload="changes")
    def modify_files(
        self,
        repo: str,
        commit: str,
        changes: Iterable[FileChange],
        *,
        description: str = "",
        if_changed: bool = False,
        progress: str = "",
    ) -> CommitInfo:
        """Apply changes in order: into the open commit, or as one atomic commit on a branch.

        `commit` is a branch (created if it is missing) or the id of an open commit. All or nothing:
        on any error nothing is changed. When it returns, the changes survive power loss. With
        `if_changed`, a commit on a branch that would change no file is not made, and the head is
        returned. `progress` is a word of the caller's choice, by which `put_progress` can be asked.
        Raises CommitFinished, OutputBranch, PathConflict, InvalidPath, StorageFull.
        """

    @operation("GET", "/puts/{token}", READER)
    def put_progress(self, token: str) -> PutProgress:
        """How far a put is that goes on now; raises NotFound for any other.

        It tells of the directories that the server reads itself.
        """

    @operation("POST", "/filesets", WRITER, upload="changes")
    def create_file_set(self, changes: Iterable[FileChange]) -> FileSetInfo:
        """Store files without a commit, for a later operation to use by their root."""

    @operation("GET", "/repos/{repo}/content/{commit}/{path}", READER)
    def read_file(
        self,
        repo: str,
        commit: str,
        path: str,
        *,
        offset_bytes: int = 0,
        size_bytes: int | None = None,
    ) -> Iterator[bytes]:
        """The content of a file from an offset; empty past its end.

        Raises FileNotFoundInCommit, InvalidInput for a directory.
        """

    @operation("GET", "/repos/{repo}/tree/{commit}/{path}", READER)
    def read_tree(self, repo: str, commit: str, path: str) -> Iterator[bytes]:
        """All files at or below a path in one stream, which `api.changes.read_changes` reads.

        They come as `PutFile`, by path; paths are relative to the directory (of a file: its name).
        """

    @operation("GET", "/repos/{repo}/tar/{commit}/{path}", READER)
    def read_tar(self, repo: str, commit: str, path: str) -> Iterator[bytes]:
        """The same as a tar archive (pax); the same bytes whenever it is asked for.

        Files have mode 644, no owner and the time of the commit. There are no directories in it.
        """

    @operation("GET", "/repos/{repo}/paths/{commit}/{path}", READER)
    def list_paths(self, repo: str, commit: str, path: str) -> Iterator[bytes]:
        """The paths of all files at or below a path, sorted, each with a newline behind it.

        No path has a newline in it. The quickest way to learn the names of a large tree.
        """

    @operation("GET", "/repos/{repo}/file/{commit}/{path}", READER)
    def inspect_file(self, repo: str, commit: str, path: str) -> FileInfo:
        """One file or directory (`path` "/" is the root), with the names of its children."""

    @operation("GET", "/repos/{repo}/list/{commit}/{path}", READER)
    def list_files(
        self, repo: str, commit: str, path: str, *, recursive: bool = False, after: str = ""
    ) -> Iterator[FileInfo]:
        """The entries of a directory by name (a file: itself); `recursive`: all files below.

        `after` leaves out the entries up to that path, which costs no more for a late one.
        """

    @operation("GET", "/repos/{repo}/glob/{commit}", READER)
    def glob_files(
        self, repo: str, commit: str, pattern: str, *, after: str = ""
    ) -> Iterator[FileInfo]:
        """The files and directories that match a glob, by path; those up to `after` left out."""

    @operation("GET", "/repos/{repo}/diff/{commit}/{path}", READER)
    def diff_files(
        self,
        repo: str,
        commit: str,
        path: str,
        *,
        old_repo: str | None = None,
        old_commit: str | None = None,
        old_path: str | None = None,
        shallow: bool = False,
        after: str = "",
    ) -> Iterator[FileDifference]:
        """What differs below two paths; the old side defaults to the same path in the parent.

        `shallow` compares the entries of the two directories instead of all files below them.
        `after` leaves out what differs up to that path below them, which is relative; going on
        behind it costs no more for a late one.
        """

    @operation("GET", "/repos/{repo}/content-diff/{commit}/{path}", READER)
    def diff_contents(
        self,
        repo: str,
        commit: str,
        path: str,
        *,
        old_repo: str | None = None,
        old_commit: str | None = None,
        old_path: str | None = None,
        kind: str | None = None,
        key: list[str] | None = None,
        most: int = 1000,
        files_max: int = 0,
    ) -> Iterator[ContentDifference]:
        """What differs inside of the files that `diff_files` names, by path.

        Text is compared by line, CSV, Parquet and JSON lines by row (paired by the columns of
        `key`, or by the first column where its values don't repeat), JSON by value; `kind` (a
        `ContentKind`) overrules what the name of a file says. At most `most` lines or rows of a
        file are listed, all are counted; after `files_max` files (0: no limit) it ends. Raises
        InvalidInput for an unknown kind or a key that rows can't be paired by.
        """

    @operation("GET", "/repos/{repo}/versions/{commit}/{path}", READER)
    def list_file_versions(
        self, repo: str, commit: str, path: str, *, number: int = 0
    ) -> Iterator[FileVersion]:
        """The finished commits on the way back from `commit` that changed a path, newest first.

        A directory changes with any file below it. `number` 0 means all. Raises
        FileNotFoundInCommit where the path never was there.
        """
