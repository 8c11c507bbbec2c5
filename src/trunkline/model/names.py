"""Names, ids and references: parse, validate, print.

Accepted spellings of a commit are `repo@ref` (2.x) and `repo/ref` or `repo ref` (1.7), where `ref`
is a branch or a commit id, with any number of ancestry steps behind it: `^` and `~` go to the
parent, `^3` and `~3` three parents up, `.3` to the third commit from the root of the branch.

Repos and pipelines live in projects. The full name of one is `name` in the project `default` and
`project/name` in every other, and has no second spelling: it is what operations take and give, and
what names a thing everywhere inside.
"""

import re
from typing import NewType

from trunkline.errors import InvalidInput, InvalidName, InvalidPath, InvalidReference
from trunkline.values import dataclass

RunId = NewType("RunId", str)  # 32 lowercase hex digits in uuid4 shape; also a commit's id

DEFAULT_PROJECT = "default"
NAME_LENGTH_MAX = 128
PROJECT_LENGTH_MAX = 51  # as in 2.x
PATH_BYTES_MAX = 4096
CHECKOUT_RECORD = ".trunkline-checkout"  # in a checked-out directory; never put with its files
PATH_PART_BYTES_MAX = 255

# Patterns are compiled when a text may have what they look for: most commands name no such thing.
_STEP = r"\^(\d*)|~(\d*)|\.(\d+)"
_CONTROL = r"[\x00-\x1f\x7f\u2028\u2029\x80-\x9f]"
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_HEX = frozenset("0123456789abcdef")


def check_name(kind: str, name: str) -> str:
    """The name itself, if it can name a repo, branch or pipeline (`kind` is for the sentence).

    Raises InvalidName. The alphabet is Pachyderm's: letters, digits, `_` and `-`.
    """
    if len(name) > NAME_LENGTH_MAX:
        raise InvalidName(kind, name, f"it is longer than {NAME_LENGTH_MAX} characters")
    if not _is_word(name):
        raise InvalidName(kind, name, "use letters, digits, '_' and '-' only")
    return name


def check_project(name: str) -> str:
    """The name, if it can name a project: like any name, but shorter, beginning like a word."""
    check_name("project", name)
    if len(name) > PROJECT_LENGTH_MAX:
        raise InvalidName("project", name, f"it is longer than {PROJECT_LENGTH_MAX} characters")
    if name[0] in "_-":
        raise InvalidName("project", name, "it must begin with a letter or digit")
    return name


def full_name(project: str, name: str) -> str:
    """The full name of a repo or pipeline that is called `name` in a project."""
    return name if project == DEFAULT_PROJECT else f"{project}/{name}"


def project_of(name: str) -> str:
    """The project in a full name."""
    project, slash, _ = name.partition("/")
    return project if slash else DEFAULT_PROJECT


def bare_name(name: str) -> str:
    """A full name without its project: what the thing is called there."""
    return name.partition("/")[2] or name


def check_full_name(kind: str, name: str) -> str:
    """The full name itself, if it can name a repo or pipeline; raises InvalidName."""
    project, slash, bare = name.partition("/")
    if not slash:
        return check_name(kind, name)
    if project == DEFAULT_PROJECT:
        raise InvalidName(kind, name, f"in the project 'default' it is called '{bare}' alone")
    check_project(project)
    check_name(kind, bare)
    return name


def check_branch(name: str, *, kind: str = "branch") -> str:
    """The name, if it can name a branch or tag: like any name, but no shape of a commit id."""
    check_name(kind, name)
    if is_commit_id(name):
        raise InvalidName(kind, name, "it looks like a commit id")
    return name


def is_commit_id(text: str) -> bool:
    """Whether the text has the shape of a commit (and run) id."""
    return len(text) == 32 and text[12] == "4" and _HEX.issuperset(text)


def _is_word(text: str) -> bool:
    """Whether a text is made of the letters of names alone."""
    return text != "" and _LETTERS.issuperset(text)


def check_path(path: str, *, root_allowed: bool = False) -> str:
    """The canonical form of a file path in a repo: no leading or trailing slash, root is "".

    Raises InvalidPath for empty, `.` and `..` parts, control characters, text that is not UTF-8,
    and names that no file system could hold (parts over 255 bytes, paths over 4096 bytes).
    """
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidPath(path, "it is not valid UTF-8") from error
    if not path.isprintable() and re.search(_CONTROL, path):
        raise InvalidPath(path, "it has a control character (newline, tab, NUL …)")
    canonical = path.strip("/")
    if not canonical:
        if root_allowed:
            return ""
        raise InvalidPath(path, "it names no file")
    if len(encoded) > PATH_BYTES_MAX:
        raise InvalidPath(path, f"it is longer than {PATH_BYTES_MAX} bytes")
    for part in canonical.split("/"):
        if part in ("", ".", ".."):
            raise InvalidPath(path, "it has an empty, '.' or '..' part")
        if len(part.encode("utf-8")) > PATH_PART_BYTES_MAX:
            raise InvalidPath(path, f"a part of it is longer than {PATH_PART_BYTES_MAX} bytes")
    return canonical


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestry:
    """One step of a reference: `up` parents towards the root, or the `nth` from the root."""

    up: int = 0
    nth: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A branch or commit id with ancestry steps, as written behind `repo@`."""

    base: str
    steps: tuple[Ancestry, ...] = ()


def parse_reference(text: str) -> Reference:
    """Read `master`, `master^2`, `<id>~`, `master.1`; raises InvalidReference."""
    cut = min((i for i in (text.find(c) for c in "^~.") if i >= 0), default=len(text))
    base, rest = text[:cut], text[cut:]
    if not base:
        raise InvalidReference(text, "it must begin with a branch or commit id")
    if not _is_word(base) or len(base) > NAME_LENGTH_MAX:
        raise InvalidReference(text, "use a branch or commit id, then ^, ~n or .n")
    steps: list[Ancestry] = []
    while rest:
        match = re.match(_STEP, rest)
        if match is None:
            raise InvalidReference(text, "behind the name only ^, ^n, ~, ~n and .n are known")
        caret, tilde, nth = match.groups()
        count = caret if caret is not None else tilde
        if len(count or nth or "") > 9:
            raise InvalidReference(text, "the number of steps is too large")
        if nth is not None:
            steps.append(Ancestry(nth=int(nth)))
        else:
            steps.append(Ancestry(up=int(count) if count else 1))
        rest = rest[match.end() :]
    return Reference(base=base, steps=tuple(steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """`[project/]repo[@ref][:/path]`, as the commands of the second generation write it.

    `repo` is a full name.
    """

    repo: str
    ref: str | None = None
    path: str | None = None


def parse_address(text: str, *, project: str = DEFAULT_PROJECT, classic: bool = False) -> Address:
    """Read `repo`, `repo@ref`, `repo@ref:/path`; `project` is the one of repos named without any.

    A slash is the one between a project and its repo. With `classic`, as on a command line, the
    last slash is 1.7's where there is no `@`, between a repo and a reference (`repo/ref`,
    `project/repo/ref`). Raises InvalidInput when the repo is missing; names themselves are checked
    where they are used.
    """
    head, colon, path = text.partition(":")
    name, at, ref = head.partition("@")
    if classic and not at and "/" in head:
        name, at, ref = head.rpartition("/")
    if not name.rpartition("/")[2] or name.startswith("/") or (at and not ref):
        raise InvalidInput(
            f"{text!r} does not name a repo or commit; write repo, repo@branch or repo@branch:/path"
        )
    return Address(repo=in_project(project, name), ref=ref or None, path=path if colon else None)


def in_project(project: str, name: str) -> str:
    """The full name of what a user called `name` in a project; one in the name itself counts."""
    own, slash, bare = name.partition("/")
    return full_name(own, bare) if slash else full_name(project, name)


def parse_job(text: str, *, project: str = DEFAULT_PROJECT) -> tuple[str, str]:
    """The full name of a job's pipeline, and its reference there, whichever way it was written.

    `pipeline@ref` (for ids also `pipeline/id`) is the job that made this commit of the output repo,
    `pipeline` alone (an empty reference) the newest one, and an id alone, which has no pipeline,
    the only job of its run. Raises InvalidInput for text that is none of them.
    """
    if is_commit_id(text):
        return "", text
    pipeline, at, ref = text.partition("@")
    front, _, last = pipeline.rpartition("/")
    if not at and front and is_commit_id(re.split(r"[\^~.]", last)[0]):
        pipeline, ref = front, last
    if not pipeline.rpartition("/")[2] or (at and not ref) or re.search(r"[\^~.:]", pipeline):
        raise InvalidInput(
            f"{text!r} does not name a job; write pipeline@id, pipeline@branch or pipeline@branch^,"
            " or pipeline alone for its newest one"
        )
    return in_project(project, pipeline), ref


def job_in_project(project: str, text: str) -> str:
    """A job as operations take it: with the full name of its pipeline, if it names one."""
    pipeline, ref = parse_job(text, project=project)
    return "@".join(part for part in (pipeline, ref) if part)
