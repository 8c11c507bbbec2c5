"""Changes that arrive in the body of a request, and which of them a caller may send."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

from trunkline.api.changes import (
    CopyFile,
    DeleteFile,
    FileChange,
    PutFile,
    PutLocal,
    PutUrl,
    read_changes,
)
from trunkline.errors import InvalidInput, LocalPathDiffers, NotAllowed, shown
from trunkline.fetch.urls import SCHEMES, scheme_of


def received_changes(
    body: Iterable[bytes], *, private: bool, repo: str | None = None
) -> Iterator[FileChange]:
    """The changes in a body, each checked; `private` says that it came over the own socket.

    Who has the token of one `repo` copies out of no other one.
    """
    for change in read_changes(body):
        if isinstance(change, PutLocal):
            _check_local(change, private=private)
        elif isinstance(change, PutUrl):
            _check_url(change.url)
        elif isinstance(change, CopyFile) and repo not in (None, change.source_repo):
            raise NotAllowed(f"this token is good for the files and commits of repo '{repo}' alone")
        yield change


def brief_changes(body: bytes) -> list[FileChange] | None:
    """The changes in a whole body if carrying them out can't last: small files, and deletions.

    None for all others: directories, archives, URLs, copies, and what is malformed.
    """
    found: list[FileChange] = []
    try:
        for change in read_changes([body]):
            match change:
                case PutFile(unpack=None, split=None):
                    found.append(replace(change, content=list(change.content)))
                case DeleteFile():
                    found.append(change)
                case _:
                    return None
    except InvalidInput:
        return None
    return found


def _check_local(change: PutLocal, *, private: bool) -> None:
    if not private:
        # Over TCP this would read any file of the server for whoever has the token.
        raise NotAllowed(
            "the server reads files by itself only for callers on its private socket; "
            "send the content instead"
        )
    if not os.path.isabs(change.source):
        raise InvalidInput(f"{shown(change.source)} is not an absolute path")
    try:
        seen = os.stat(change.source)
    except (OSError, ValueError) as error:
        raise LocalPathDiffers(change.source) from error
    if (seen.st_dev, seen.st_ino) != (change.device, change.inode):
        # The caller lives in another mount namespace: same name, other file.
        raise LocalPathDiffers(change.source)
    if change.links == "follow":
        # The directory is the same, but what its links lead to need not be.
        raise LocalPathDiffers(change.source)


def _check_url(url: str) -> None:
    # Whether it may be fetched is the engine's to say; this is no URL at all.
    if scheme_of(url) not in SCHEMES:
        raise InvalidInput(f"{shown(url)} can't be fetched: only http, https and object stores can")
