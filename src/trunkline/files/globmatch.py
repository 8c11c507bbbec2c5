"""The parts of a glob pattern, and a matcher that follows all possibilities at once.

The matcher computes, part by part, the set of places in a path that can be reached. Its time grows
with (parts x length of the path), and for `!(…)` with its square, but never exponentially.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCharacter:
    """`?`: any one character but `/`."""


@dataclass(frozen=True, kw_only=True)
class CharacterSet:
    """`[…]`: one character of a set, never `/`. `body` is written as `re` wants it."""

    body: str
    negated: bool

    @cached_property
    def regex(self) -> str:
        return f"[^/{self.body}]" if self.negated else f"(?!/)[{self.body}]"

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self.regex, re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Star:
    """`*`: any run without `/`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StarStar:
    """`**`: any run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternatives:
    """`{a,b}`"""

    branches: "tuple[tuple[Node, ...], ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """`@(a|b)` and its kin; `kind` is the character before the bracket."""

    kind: str  # one of @ * + ? !
    number: int  # from 0, by opening bracket
    branches: "tuple[tuple[Node, ...], ...]"


Node = Literal | OneCharacter | CharacterSet | Star | StarStar | Alternatives | Group
Nodes = tuple[Node, ...]


def matches(nodes: Nodes, path: str) -> bool:
    """Whether the pattern matches the whole path."""
    return len(path) in _Walk(path).ends(nodes, 0, {0})


def captures(nodes: Nodes, path: str, groups: int) -> tuple[str, ...] | None:
    """What each group matched ("" for one that took no part), or None if the path doesn't match.

    Where there is a choice, each part takes as much as it can, from left to right. Of a repeated
    group the whole run is captured, and groups inside of it stay empty.
    """
    if not matches(nodes, path):
        return None
    found = [""] * groups
    _Walk(path).assign(nodes, 0, len(path), found)
    return tuple(found)


class _Walk:
    """The matching of one path."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._memo: dict[tuple[int, int], frozenset[int]] = {}
        self._reach: dict[tuple[int, int, int], frozenset[int]] = {}

    def ends(self, nodes: Nodes, first: int, starts: set[int]) -> set[int]:
        """Where the parts from `first` on can end, beginning at any of the starts."""
        for n in range(first, len(nodes)):
            if not starts:
                break
            starts = self._step(nodes[n], starts)
        return starts

    def assign(self, nodes: Nodes, start: int, end: int, found: list[str]) -> None:
        """Decide what each part takes, and note what the groups among them took."""
        at = start
        for n, node in enumerate(nodes):
            possible = sorted(self._step(node, {at}), reverse=True)
            stop = next(e for e in possible if end in self._ends_from(nodes, n + 1, e))
            branches = node.branches if isinstance(node, Alternatives | Group) else ()
            if isinstance(node, Group):
                found[node.number] = self._path[at:stop]
            if not (isinstance(node, Group) and node.kind in "*+!"):
                for branch in branches:
                    if stop in self._ends_from(branch, 0, at):
                        self.assign(branch, at, stop, found)
                        break
            at = stop

    def _ends_from(self, nodes: Nodes, first: int, start: int) -> frozenset[int]:
        key = (id(nodes), first, start)
        known = self._reach.get(key)
        if known is None:
            known = self._reach[key] = frozenset(self.ends(nodes, first, {start}))
        return known

    def _step(self, node: Node, starts: set[int]) -> set[int]:
        path = self._path
        match node:
            case Literal(text=text):
                return {s + len(text) for s in starts if path.startswith(text, s)}
            case OneCharacter():
                return {s + 1 for s in starts if s < len(path) and path[s] != "/"}
            case CharacterSet(pattern=pattern):
                return {s + 1 for s in starts if pattern.match(path, s)}
            case Star():
                return set(self._runs(starts))
            case StarStar():
                return set(range(min(starts), len(path) + 1))
            case Alternatives(branches=branches):
                return self._any(branches, starts)
            case Group():
                return self._group(node, starts)

    def _runs(self, starts: set[int]) -> Iterator[int]:
        """Every end of a run without `/` from any of the starts."""
        done = -1
        for start in sorted(starts):
            slash = self._path.find("/", start)
            end = len(self._path) if slash < 0 else slash
            yield from range(max(start, done + 1), end + 1)
            done = end

    def _any(self, branches: tuple[Nodes, ...], starts: set[int]) -> set[int]:
        return set().union(*(self.ends(branch, 0, set(starts)) for branch in branches))

    def _group(self, group: Group, starts: set[int]) -> set[int]:
        match group.kind:
            case "@":
                return self._any(group.branches, starts)
            case "?":
                return starts | self._any(group.branches, starts)
            case "!":
                return set().union(*(self._but(group, start) for start in starts))
            case _:
                reached = set(starts) if group.kind == "*" else self._any(group.branches, starts)
                fresh = set(reached)
                while fresh:
                    fresh = self._any(group.branches, fresh) - reached
                    reached |= fresh
                return reached

    def _but(self, group: Group, start: int) -> frozenset[int]:
        key = (id(group), start)
        known = self._memo.get(key)
        if known is None:
            taken = self._any(group.branches, {start})
            known = self._memo[key] = frozenset(set(self._runs({start})) - taken)
        return known
