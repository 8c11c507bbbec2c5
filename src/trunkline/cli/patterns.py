"""Paths of commands that may be glob patterns: what they mean in one commit."""

import os
import re
import sys
from collections.abc import Iterator, Sequence

from trunkline.api.changes import DeleteFile
from trunkline.cli.arguments import WILD, may_be_pattern
from trunkline.cli.download import write_file, write_tree
from trunkline.cli.output import counted, note
from trunkline.cli.session import operations
from trunkline.errors import InvalidInput, NotFound, shown
from trunkline.model.names import check_path
from trunkline.model.versions import FileInfo, FileType


def matches(repo: str, ref: str, path: str | None) -> list[FileInfo] | None:
    """What a pattern matches, by path; None where the path is to be taken as it is written.

    That is so without wild cards, and where a file or directory has that very name.
    """
    if path is None or not may_be_pattern(path):
        return None
    files = operations().files
    try:
        files.inspect_file(repo, ref, path)
        return None
    except NotFound:
        return list(files.glob_files(repo, ref, path))


def outermost(found: Sequence[FileInfo]) -> list[FileInfo]:
    """The matches without those that lie in a directory that matches too."""
    kept: list[FileInfo] = []
    directory: str | None = None
    for info in sorted(found, key=lambda info: info.path + "/" * (info.type is FileType.DIR)):
        if directory is not None and info.path.startswith(directory):
            continue
        kept.append(info)
        if info.type is FileType.DIR:
            directory = f"{info.path}/" if info.path else ""
    return kept


def only_files(pattern: str, found: Sequence[FileInfo], *, recursive: bool) -> list[FileInfo]:
    """The matches that a command works on; raises InvalidInput for a directory without -r."""
    directories = [info for info in found if info.type is FileType.DIR]
    if directories and not recursive:
        raise InvalidInput(
            f"{shown(pattern)} matches a directory ('/{directories[0].path}'); add -r to take "
            "all that is in it, or write a pattern that matches files only"
        )
    return outermost(found)


def files_of(repo: str, found: Sequence[FileInfo]) -> Iterator[FileInfo]:
    """The files among the matches, and those below the directories among them."""
    for info in found:
        if info.type is FileType.FILE:
            yield info
        else:
            yield from operations().files.list_files(
                repo, info.commit, info.path or "/", recursive=True
            )


def get_matches(
    repo: str, pattern: str, found: Sequence[FileInfo], output: str | None, *, recursive: bool
) -> None:
    """Write what a pattern matches below a local directory, under paths from the first wild card.

    Raises InvalidInput without a directory to write to.
    """
    if not found:
        raise NotFound(f"{shown(pattern)} matches nothing")
    taken = only_files(pattern, found, recursive=recursive)
    if output is None or output == "-":
        raise InvalidInput(
            f"{shown(pattern)} matches {len(taken):,} files; say with -o into which directory"
        )
    above = _fixed(pattern).rpartition("/")[0]
    for info in taken:
        # Checked again: the paths come from a server and become paths of this machine.
        inside = check_path(info.path.removeprefix(above), root_allowed=info.type is FileType.DIR)
        target = os.path.join(output, inside)
        if info.type is FileType.DIR:
            write_tree(repo, info.commit, info.path or "/", target)
            continue
        os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
        write_file(repo, info.commit, info.path, target)


def _fixed(pattern: str) -> str:
    """What every path that a pattern matches begins with, up to the first wild card.

    A backslash is no part of it: it stands for the character behind it, wild or not.
    """
    before = re.match(rf"(?:\\.|[^\\{re.escape(''.join(WILD))}])*", pattern.lstrip("/"), re.DOTALL)
    assert before is not None, "it matches nothing, too"
    return re.sub(r"\\(.)", r"\1", before.group(), flags=re.DOTALL)


def delete_matches(
    repo: str,
    ref: str,
    path: str,
    *,
    recursive: bool,
    dry_run: bool,
    message: str,
) -> bool:
    """Delete what a pattern matches (or show it), as one commit; false for a plain path.

    What is deleted is what was seen: a file that somebody adds meanwhile stays, unless it is in one
    of the directories.
    """
    found = matches(repo, ref, path)
    if found is None and not dry_run:
        return False
    if found is None:
        recursive = True  # as a plain path is taken
        try:
            found = [operations().files.inspect_file(repo, ref, path)]
        except NotFound:
            found = []
    taken = only_files(path, found, recursive=recursive)
    count = 0
    for info in files_of(repo, taken):
        count += 1
        if dry_run:
            sys.stdout.write(f"/{info.path}\n")
    files = counted(count, "file")
    if dry_run:
        note(f"{files} would be deleted")
        return True
    if taken:
        changes = [DeleteFile(path=info.path or "/") for info in taken]
        operations().files.modify_files(repo, ref, changes, description=message)
    note(f"{files} deleted")
    return True
