"""Reading what a user typed behind a command: addresses, lengths of time, documents."""

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from trunkline.cli.command import option
from trunkline.cli.output import note
from trunkline.cli.session import current
from trunkline.errors import InvalidInput, LocalFileNotFound, OperationFailed
from trunkline.model.names import (
    DEFAULT_PROJECT,
    Address,
    in_project,
    job_in_project,
    parse_address,
    parse_reference,
)

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_SPAN = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FETCH_TIMEOUT_S = 60.0
WILD = frozenset("*?[{(")
NUMBER_MAX = 2**31 - 1


def full_name(name: str) -> str:
    """The full name of the repo or pipeline that a user calls so, in the project that is in force.

    A project in front of the name counts more than any other.
    """
    return in_project(current().project, name)


def version_of(text: str) -> tuple[str, int | None]:
    """The full name in `name`, `name^2` or `name.3`, and the version: None, -2 or 3.

    Raises InvalidReference for other steps, and InvalidInput for those that lead to no version.
    """
    project, slash, bare = text.rpartition("/")
    if not any(mark in bare for mark in "^~."):
        return full_name(text), None
    reference = parse_reference(bare)
    version, absolute = 0, False
    for step in reference.steps:
        version = step.nth if step.nth is not None else version - step.up
        absolute = absolute or step.nth is not None
    if absolute and version < 1:
        raise InvalidInput(f"{text!r} names no version; the first one is {reference.base}.1")
    return full_name(f"{project}{slash}{reference.base}"), version


def full_names(names: Sequence[str]) -> list[str] | None:
    """The full names of some; None for none at all, which operations take for no limit."""
    return [full_name(name) for name in names] or None


def of_project() -> str:
    """For a sentence on all that is in the project: nothing where there is only `default`."""
    project = current().project
    return "" if project == DEFAULT_PROJECT else f" of project '{project}'"


all_projects = option("-A", "--all-projects", "everywhere", is_flag=True, help="Of all projects.")


def job_name(text: str) -> str:
    """A job as the operations take it, `pipeline@ref`; an id alone stays as it is."""
    return job_in_project(current().project, text)


def _address(text: str, project: str | None = None) -> Address:
    return parse_address(text, project=project or current().project, classic=True)


def commit_of(text: str) -> tuple[str, str]:
    """Repo and reference of `repo@ref` (or `repo/ref`)."""
    address = _address(text)
    if address.ref is None or address.path is not None:
        raise InvalidInput(f"{text!r} does not name a commit; write repo@branch or repo@id")
    return address.repo, address.ref


def branch_of(text: str) -> tuple[str, str]:
    """Repo and name of the branch `repo@branch` (or `repo/branch`)."""
    address = _address(text)
    if address.ref is None or address.path is not None:
        raise InvalidInput(f"{text!r} does not name a branch; write repo@branch")
    return address.repo, address.ref


def file_of(text: str, project: str | None = None) -> tuple[str, str, str | None]:
    """Repo, reference and path (None: not given) of `repo@ref[:/path]`.

    `project` is one that an option of the command chose for this address.
    """
    address = _address(text, project)
    if address.ref is None:
        raise InvalidInput(f"{text!r} does not say which branch or commit; write repo@branch:/path")
    return address.repo, address.ref, address.path


def repo_of(text: str) -> Address:
    """`repo` or `repo@ref`, without a path; a slash without an `@` is behind a project here."""
    if "/" in text and not {"@", ":"} & set(text):
        return Address(repo=full_name(text))
    address = _address(text)
    if address.path is not None:
        raise InvalidInput(f"{text!r} names a file; write repo or repo@branch")
    return address


def commit_name(text: str) -> str:
    """A commit as the operations take it: `repo@ref`, whichever way it was typed."""
    return "@".join(commit_of(text))


def seconds(text: str) -> float:
    """A length of time: `10s`, `5m`, `1h30m`, or a plain number of seconds."""
    total, rest = 0.0, text if re.match(_SPAN, text) else f"{text}s"
    while rest:
        match = re.match(_SPAN, rest)
        if match is None:
            raise InvalidInput(f"{text!r} is not a length of time; write 30s, 5m or 1h30m")
        total += float(match[1]) * _SECONDS[match[2]]
        rest = rest[match.end() :]
    return total


def at_most(number: int) -> int:
    """The value of --number; what no listing reaches is as good as the largest number there is."""
    if number < 0:
        raise InvalidInput(f"--number is {number}; it must be 0 (all) or more")
    return min(number, NUMBER_MAX)


def local_files(_: click.Context, __: click.Parameter, incomplete: str) -> list["CompletionItem"]:
    """Lets the shell complete the name of a file of this machine."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def may_be_pattern(path: str) -> bool:
    """Whether a path has a wild card; it may still be a name that has one."""
    return not WILD.isdisjoint(path)


def is_url(text: str) -> bool:
    return re.match(r"[a-z][a-z0-9]*://", text, re.IGNORECASE) is not None


def read_document(source: str, *, bytes_max: int) -> str:
    """The text of a file, of a URL, or (`-`) of standard input.

    Raises InvalidInput when it is longer than `bytes_max` or not UTF-8.
    """
    data = _read_bytes(source, bytes_max + 1)
    if len(data) > bytes_max:
        raise InvalidInput(f"{source} is longer than the {bytes_max:,} bytes that are allowed")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{source} is not UTF-8 text (byte {error.start})") from error


def _read_bytes(source: str, most: int) -> bytes:
    if source == "-":
        note("Reading from stdin.")
        return sys.stdin.buffer.read(most)
    if is_url(source):
        return _fetch(source, most)
    try:
        with open(source, "rb") as file:
            return file.read(most)
    except FileNotFoundError as error:
        raise LocalFileNotFound(source) from error
    except OSError as error:
        raise OperationFailed(f"{source} could not be read: {error.strerror}") from error


def reason(error: OSError) -> str:
    """Why an address could not be fetched, without the names of Python's classes."""
    inner = getattr(error, "reason", error)
    return getattr(inner, "strerror", None) or str(inner)


def _fetch(url: str, most: int) -> bytes:
    from http.client import HTTPException
    from urllib.error import URLError
    from urllib.request import urlopen

    if not url.lower().startswith(("http://", "https://")):
        raise InvalidInput(f"{url} can't be fetched: only http and https addresses can")
    try:
        with urlopen(url, timeout=_FETCH_TIMEOUT_S) as answer:  # noqa: S310 - scheme checked
            data: bytes = answer.read(most)
            if len(data) < most and answer.length:  # what is still to come, where it was told
                raise OperationFailed(f"{url} could not be fetched: the answer broke off")
            return data
    except (URLError, OSError) as error:
        raise OperationFailed(f"{url} could not be fetched: {reason(error)}") from error
    except (HTTPException, ValueError) as error:  # no answer that can be read; no address
        raise OperationFailed(f"{url} could not be fetched: {error}") from error
