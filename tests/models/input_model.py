"""Inputs done the obvious way: globs by trying every split, everything else with lists held.

A pattern is a tuple of parts: `("text", "ab")`, `("?",)`, `("*",)`, `("**",)`, `("{", branches)`,
and for round brackets `("@(", branches)`, with `*(`, `+(`, `?(` or `!(` in its place; a branch is a
pattern.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

Parts = tuple[Any, ...]
Document = Mapping[str, Any]


# --- globs ----------------------------------------------------------------------------------------


def written(parts: Parts) -> str:
    """The pattern as a user writes it."""
    return "".join(_written(part) for part in parts)


def _written(part: Parts) -> str:
    kind = part[0]
    if kind == "text":
        return part[1]
    if kind == "{":
        return "{" + ",".join(map(written, part[1])) + "}"
    if kind.endswith("("):
        return kind + "|".join(map(written, part[1])) + ")"
    return kind


@cache
def fits(parts: Parts, text: str) -> bool:
    """Whether a pattern matches all of a text."""
    if not parts:
        return not text
    return any(
        _fits(parts[0], text[:n]) and fits(parts[1:], text[n:]) for n in range(len(text) + 1)
    )


@cache
def _fits(part: Parts, text: str) -> bool:
    match part[0]:
        case "text":
            return text == part[1]
        case "?":
            return len(text) == 1 and text != "/"
        case "*":
            return "/" not in text
        case "**":
            return True
        case "{" | "@(":
            return _any(part[1], text)
        case "?(":
            return not text or _any(part[1], text)
        case "!(":
            return "/" not in text and not _any(part[1], text)
        case "+(":
            return _repeated(part[1], text)
        case "*(":
            return not text or _repeated(part[1], text)
    raise AssertionError(part)


def _any(branches: tuple[Parts, ...], text: str) -> bool:
    return any(fits(branch, text) for branch in branches)


def _repeated(branches: tuple[Parts, ...], text: str) -> bool:
    return _any(branches, text) or any(
        _any(branches, text[:n]) and _repeated(branches, text[n:]) for n in range(1, len(text))
    )


def brackets(parts: Parts) -> int:
    """How many pairs of round brackets a pattern has."""
    return sum(
        part[0].endswith("(") + sum(map(brackets, part[1]))
        for part in parts
        if part[0] == "{" or part[0].endswith("(")
    )


def captured(parts: Parts, text: str) -> list[str]:
    """What each pair took; the pattern matches. Each part takes as much as it can, in turn."""
    found: list[str] = []
    for n, part in enumerate(parts):
        rest = parts[n + 1 :]
        size = next(
            size
            for size in range(len(text), -1, -1)
            if _fits(part, text[:size]) and fits(rest, text[size:])
        )
        found += _captured(part, text[:size])
        text = text[size:]
    return found


def _captured(part: Parts, text: str) -> list[str]:
    if part[0] != "{" and not part[0].endswith("("):
        return []
    found = [text] if part[0] != "{" else []
    taken = part[0] not in ("{", "@(", "?(")  # nothing inside of a repetition is captured
    for branch in part[1]:
        if not taken and fits(branch, text):
            found += captured(branch, text)
            taken = True
        else:
            found += [""] * brackets(branch)
    return found


# --- inputs ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Given:
    """What an input gives to a datum."""

    name: str
    repo: str
    path: str
    join_on: str | None
    group_by: str | None


Repos = Mapping[str, Mapping[str, str]]  # repo: {path: text}
Patterns = Mapping[str, Parts]  # by how they are written


def datums(
    document: Document, repos: Repos, patterns: Patterns, around: frozenset[str] = frozenset()
) -> list[tuple[Given, ...]]:
    """The datums of the input of a canonical document, in their order."""
    [(kind, value)] = document.items()
    if kind == "pfs":
        return [(given,) for given in _given(value, repos, patterns, around)]
    members = [datums(member, repos, patterns, around | {kind}) for member in value]
    match kind:
        case "cross":
            return _combined(members)
        case "union":
            return [datum for member in members for datum in member]
        case "join":
            outer = [_is_outer(member) for member in value]
            return [d for found in _by_key(members, "join_on") for d in _joined(found, outer)]
        case "group":
            return [_grouped(found) for found in _by_key(members, "group_by")]
    raise AssertionError(kind)


def entries(files: Mapping[str, str]) -> list[str]:
    """The files and directories of a tree, by path."""
    found = set(files)
    for path in files:
        parts = path.split("/")
        found |= {"/".join(parts[:n]) for n in range(1, len(parts))}
    return sorted(found)


def _given(
    leaf: Document, repos: Repos, patterns: Patterns, around: frozenset[str]
) -> Iterator[Given]:
    parts = patterns[leaf["glob"]]
    files = repos[leaf["repo"]]
    for path in entries(files) if parts else [""] * bool(files):
        if fits(parts, path):
            taken = captured(parts, path)
            yield Given(
                name=leaf["name"],
                repo=leaf["repo"],
                path=path,
                join_on=_key(leaf.get("join_on"), taken) if "join" in around else None,
                group_by=_key(leaf.get("group_by"), taken) if "group" in around else None,
            )


def _key(template: str | None, taken: list[str]) -> str | None:
    if not template:
        return None
    return re.sub(r"\$\{?(\d+)\}?", lambda number: taken[int(number[1]) - 1], template)


def _combined(members: list[list[tuple[Given, ...]]]) -> list[tuple[Given, ...]]:
    """Every combination; the first member varies fastest."""
    if not members:
        return []
    return [sum(reversed(chosen), ()) for chosen in product(*reversed(members))]


def _by_key(
    members: list[list[tuple[Given, ...]]], field: str
) -> Iterator[list[list[tuple[Given, ...]]]]:
    """For each key in order: of each member, the datums with a file that has it.

    In a join all files of a datum with keys must agree; in a group each file is for itself, and
    one without key goes along with the others.
    """

    def parts_of(datum: tuple[Given, ...]) -> dict[str, tuple[Given, ...]]:
        keys = {getattr(given, field) for given in datum} - {None}
        if field == "join_on":
            return dict.fromkeys(keys, datum) if len(keys) == 1 else {}
        return {key: tuple(g for g in datum if g.group_by in (None, key)) for key in keys}

    split = [[parts_of(datum) for datum in member] for member in members]
    for key in sorted({key for member in split for parts in member for key in parts}):
        yield [[parts[key] for parts in member if key in parts] for member in split]


def _joined(found: list[list[tuple[Given, ...]]], outer: list[bool]) -> list[tuple[Given, ...]]:
    if not all(found):
        found = [member for member, kept in zip(found, outer, strict=True) if kept and member]
    return _combined(found)


def _grouped(found: list[list[tuple[Given, ...]]]) -> tuple[Given, ...]:
    return tuple(dict.fromkeys(g for member in found for datum in member for g in datum))


def _is_outer(document: Document) -> bool:
    [(kind, value)] = document.items()
    if kind == "pfs":
        return bool(value.get("outer_join"))
    return any(map(_is_outer, value))
