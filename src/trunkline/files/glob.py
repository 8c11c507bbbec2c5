"""The glob language of Pachyderm: one reading of a pattern, for commands and for datums.

`*` a run without `/` · `**` a run of anything · `?` one character but `/` · `[abc] [a-z] [!a] [^a]
[[:alpha:]]` · `{a,b}` alternatives · `\\x` the character itself · `(p|q)` and `@(p|q)` one of,
`*(…)` any number of, `+(…)` at least one of, `?(…)` at most one of, `!(…)` a run without `/` that
is none of. Everything in round brackets is captured. A pattern matches the whole path of a file or
directory; leading and trailing slashes don't count.

Time is bounded for hostile patterns too. A pattern without round brackets becomes a regular
expression in which a `*` never tries again what it has passed (its first fit is as good as any).
One with them is matched by following all possibilities at once, behind a regular expression that
lets through whatever could match; unless it is simple enough for an expression that captures.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product

from trunkline.errors import InvalidGlob
from trunkline.files import globmatch
from trunkline.files.globmatch import (
    Alternatives,
    CharacterSet,
    Group,
    Literal,
    Node,
    Nodes,
    OneCharacter,
    Star,
    StarStar,
)

PATTERN_LENGTH_MAX = 1024
_NESTING_MAX = 8
_GROUPS_MAX = 16
_EXPANSIONS_MAX = 256
_STARS_MAX = 3

_POSIX = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x01-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": " \\t\\n\\r\\f\\v",
    "upper": "A-Z",
    "word": "a-zA-Z0-9_",
    "xdigit": "a-fA-F0-9",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Glob:
    """A pattern that was understood."""

    pattern: str  # cleaned: no slashes at its ends; "" matches the root directory alone
    literal: str  # what every match begins with
    depth_min: int  # parts of a path that can match
    depth_max: int | None  # None: any number
    captures: int  # how many pairs of round brackets there are
    nodes: Nodes = field(repr=False)
    filter: re.Pattern[str] = field(repr=False)
    exact: bool = field(repr=False)  # the filter alone decides
    capturing: re.Pattern[str] | None = field(repr=False)  # captures quickly, where it is there

    @property
    def is_root(self) -> bool:
        return not self.pattern

    def matches(self, path: str) -> bool:
        """Whether the pattern matches a path (without slashes at its ends)."""
        return bool(self.select([path]))

    def select(self, paths: Iterable[str]) -> list[str]:
        """The paths that the pattern matches, in the same order."""
        passed = filter(self.filter.fullmatch, paths)
        if self.exact:
            return list(passed)
        return [path for path in passed if globmatch.matches(self.nodes, path)]

    def captured(self, path: str) -> tuple[str, ...] | None:
        """What each pair of round brackets matched, by opening bracket; None without a match."""
        if not self.filter.fullmatch(path):
            return None
        if self.capturing is not None:
            found = self.capturing.fullmatch(path)
            return found.groups() if found is not None else None
        return globmatch.captures(self.nodes, path, self.captures)

    def beginning(self, taken: Mapping[int, str]) -> tuple[str, bool]:
        """What a path begins with if these pairs of round brackets (from 0) match these texts.

        And whether that is all of the path.
        """
        found = ""
        for node in self.nodes:
            if isinstance(node, Literal):
                found += node.text
            elif isinstance(node, Group) and node.number in taken:
                found += taken[node.number]
            else:
                return found, False
        return found, True


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> Glob:
    """Read a pattern; raises InvalidGlob."""
    if len(pattern) > PATTERN_LENGTH_MAX:
        raise InvalidGlob(pattern, f"it is longer than {PATTERN_LENGTH_MAX} characters")
    cleaned = "" if pattern == "." else re.sub("/+", "/", pattern).strip("/")
    parser = _Parser(cleaned, pattern)
    nodes = parser.parse()
    slashes_min, slashes_max = _slashes(nodes)
    wide = tuple(_widened(node) for node in nodes)
    expanded = _expand(wide)
    if expanded is None:
        expanded = [tuple(_run(node) if isinstance(node, Alternatives) else node for node in wide)]
    capturing = _capturing(nodes) if parser.groups else None
    return Glob(
        pattern=cleaned,
        literal=nodes[0].text if nodes and isinstance(nodes[0], Literal) else "",
        depth_min=slashes_min + 1,
        depth_max=None if slashes_max is None else slashes_max + 1,
        captures=parser.groups,
        nodes=nodes,
        filter=re.compile("|".join(map(_regex, expanded)), re.DOTALL),
        exact=capturing is not None or (parser.groups == 0 and _expand(nodes) is not None),
        capturing=capturing,
    )


class _Parser:
    """Recursive descent over the characters of a pattern."""

    def __init__(self, text: str, shown: str) -> None:
        self._text = text
        self._shown = shown
        self._at = 0
        self._depth = 0
        self.groups = 0

    def parse(self) -> Nodes:
        nodes = self._nodes("")
        if self._at < len(self._text):
            raise self._wrong(f"there is a '{self._text[self._at]}' that closes nothing")
        return nodes

    def _wrong(self, rule: str) -> InvalidGlob:
        return InvalidGlob(self._shown, rule)

    def _nodes(self, stops: str) -> Nodes:
        """The parts up to one of the stops, which is not consumed."""
        nodes: list[Node] = []
        while self._at < len(self._text) and self._text[self._at] not in stops:
            if self._text[self._at] in ")}":
                break
            node = self._node()
            if isinstance(node, Literal) and nodes and isinstance(nodes[-1], Literal):
                node = Literal(text=nodes.pop().text + node.text)  # type: ignore[union-attr]
            nodes.append(node)
        return tuple(nodes)

    def _node(self) -> Node:
        text, at = self._text, self._at
        char = text[at]
        if char == "(" or (char in "@*+?!" and text.startswith("(", at + 1)):
            return self._group("@" if char == "(" else char, at + 1 + (char != "("))
        self._at = at + 1
        match char:
            case "\\":
                if self._at >= len(text):
                    raise self._wrong("it ends with a backslash")
                self._at += 1
                return Literal(text=text[at + 1])
            case "*":
                if text.startswith("*", self._at):
                    self._at += 1
                    return StarStar()
                return Star()
            case "?":
                return OneCharacter()
            case "[":
                return self._set()
            case "{":
                return Alternatives(branches=self._branches(",", "}", "{"))
            case _:
                return Literal(text=char)

    def _group(self, kind: str, inside: int) -> Group:
        if self.groups == _GROUPS_MAX:
            raise self._wrong(f"it has more than {_GROUPS_MAX} pairs of round brackets")
        number = self.groups
        self.groups += 1
        self._at = inside
        return Group(kind=kind, number=number, branches=self._branches("|", ")", "("))

    def _branches(self, between: str, close: str, opened: str) -> tuple[Nodes, ...]:
        self._depth += 1
        if self._depth > _NESTING_MAX:
            raise self._wrong(f"its brackets are nested more than {_NESTING_MAX} deep")
        branches: list[Nodes] = []
        while True:
            branches.append(self._nodes(between + close))
            if self._at >= len(self._text) or self._text[self._at] not in between + close:
                raise self._wrong(f"a '{opened}' is not closed")
            self._at += 1
            if self._text[self._at - 1] == close:
                self._depth -= 1
                return tuple(branches)

    def _set(self) -> CharacterSet:
        negated = self._text[self._at : self._at + 1] in ("!", "^")
        self._at += negated
        body = ""
        while True:
            if self._at >= len(self._text):
                raise self._wrong("a '[' is not closed")
            if self._text[self._at] == "]" and body:
                self._at += 1
                return CharacterSet(body=body, negated=negated)
            body += self._set_item()

    def _set_item(self) -> str:
        text = self._text
        if text.startswith("[:", self._at):
            end = text.find(":]", self._at + 2)
            name = text[self._at + 2 : end] if end >= 0 else ""
            if name not in _POSIX:
                raise self._wrong("it has a '[:' without one of the known class names")
            self._at = end + 2
            return _POSIX[name]
        low = self._set_character()
        if text.startswith("-", self._at) and text[self._at + 1 : self._at + 2] not in ("", "]"):
            self._at += 1
            high = self._set_character()
            if high < low:
                raise self._wrong(f"the range {low}-{high} is backwards")
            return f"{_in_set(low)}-{_in_set(high)}"
        return _in_set(low)

    def _set_character(self) -> str:
        if self._text[self._at] == "\\":
            self._at += 1
        if self._at >= len(self._text):
            raise self._wrong("a '[' is not closed")
        self._at += 1
        return self._text[self._at - 1]


def _in_set(char: str) -> str:
    return char if char.isalnum() else "\\" + char


def _slashes(nodes: Nodes) -> tuple[int, int | None]:
    """The least and the most slashes that can be matched (None: any number)."""
    least, most = 0, 0
    endless = False
    for node in nodes:
        low, high = _slashes_of(node)
        least += low
        endless = endless or high is None
        most += high or 0
    return least, None if endless else most


def _slashes_of(node: Node) -> tuple[int, int | None]:
    if isinstance(node, Literal):
        return node.text.count("/"), node.text.count("/")
    if isinstance(node, StarStar):
        return 0, None
    if not isinstance(node, Alternatives | Group):
        return 0, 0
    each = [_slashes(branch) for branch in node.branches]
    least = min(low for low, _ in each)
    most: int | None = None
    if all(high is not None for _, high in each):
        most = max(high or 0 for _, high in each)
    if isinstance(node, Group):
        if node.kind == "!":
            return 0, 0
        if node.kind in "*?":
            least = 0
        if node.kind in "*+" and most != 0:
            most = None
    return least, most


def _widened(node: Node) -> Node:
    """A part without round brackets that matches whatever the given one matches, or more."""
    if isinstance(node, Alternatives):
        return Alternatives(branches=tuple(tuple(map(_widened, b)) for b in node.branches))
    if not isinstance(node, Group):
        return node
    if node.kind in "@?":
        branches = tuple(tuple(map(_widened, branch)) for branch in node.branches)
        return Alternatives(branches=branches if node.kind == "@" else (*branches, ()))
    return _run(node)


def _run(node: Node) -> Node:
    return Star() if _slashes_of(node)[1] == 0 else StarStar()


def _expand(nodes: Nodes) -> list[Nodes] | None:
    """All ways to choose among alternatives, each without any; None if there are too many."""
    choices: list[list[Nodes]] = []
    total = 1
    for node in nodes:
        if isinstance(node, Alternatives):
            ways: list[Nodes] = []
            for branch in node.branches:
                inner = _expand(branch)
                if inner is None:
                    return None
                ways += inner
        else:
            ways = [(node,)]
        total *= len(ways)
        if total > _EXPANSIONS_MAX:
            return None
        choices.append(ways)
    return [tuple(node for part in way for node in part) for way in product(*choices)]


def _regex(nodes: Nodes) -> str:
    """A regular expression for a pattern without brackets; its time is bounded (see above).

    Behind a `*` or `**` the shortest fit of the fixed characters that follow is as good as any
    other, as long as another star of at least the same kind follows: that one can take the rest.
    """
    units = list(_split(_simplified(nodes), StarStar))
    first, *others = [[_fixed(part) for part in _split(unit, Star)] for unit in units]
    if not others:
        return _anchored(first)
    *middle, last = others
    return (
        _shortest(first)
        + "".join(f"(?>.*?{_shortest(unit)})" for unit in middle)
        + ".*"
        + _anchored(last)
    )


def _simplified(nodes: Nodes) -> list[Node]:
    """Neighbouring stars as one: the strongest of them."""
    kept: list[Node] = []
    for node in nodes:
        before = kept[-1] if kept else None
        if isinstance(node, Star) and isinstance(before, Star | StarStar):
            continue
        if isinstance(node, StarStar) and isinstance(before, Star | StarStar):
            kept.pop()
        kept.append(node)
    return kept


def _capturing(nodes: Nodes) -> re.Pattern[str] | None:
    """A regular expression that captures what `globmatch.captures` does, for simple patterns.

    Simple is what has one reading, but for how much each star takes: no alternatives, no
    repetition, at most one star in each pair of brackets. The greedy stars of the expression then
    take as much as they can from left to right as well. At most _STARS_MAX of them are between two
    slashes, which bounds how often they try again.
    """
    parts = []
    stars = 0
    for node in nodes:
        inside: Nodes = (node,)
        if isinstance(node, Group):
            if node.kind != "@" or len(node.branches) != 1:
                return None
            inside = node.branches[0]
            if sum(isinstance(part, Star) for part in inside) > 1:
                return None
        for part in inside:
            if not isinstance(part, Literal | OneCharacter | CharacterSet | Star):
                return None
            stars += isinstance(part, Star)
            if isinstance(part, Literal) and "/" in part.text:
                stars = 0
            if stars > _STARS_MAX:
                return None
        text = "".join("[^/]*" if isinstance(part, Star) else _fixed([part]) for part in inside)
        parts.append(f"({text})" if isinstance(node, Group) else text)
    return re.compile("".join(parts), re.DOTALL)


def _split(nodes: Iterable[Node], at: type[Star] | type[StarStar]) -> Iterator[list[Node]]:
    part: list[Node] = []
    for node in nodes:
        if isinstance(node, at):
            yield part
            part = []
        else:
            part.append(node)
    yield part


def _fixed(nodes: Iterable[Node]) -> str:
    parts: list[str] = []
    for node in nodes:
        match node:
            case Literal(text=text):
                parts.append(re.escape(text))
            case CharacterSet(regex=regex):
                parts.append(regex)
            case _:
                parts.append("[^/]")
    return "".join(parts)


def _shortest(parts: list[str]) -> str:
    """Fixed parts with `*` between them, where anything may follow."""
    return parts[0] + "".join(f"(?>[^/]*?{part})" for part in parts[1:])


def _anchored(parts: list[str]) -> str:
    """Fixed parts with `*` between them, up to the end of the path."""
    if len(parts) == 1:
        return parts[0]
    return f"{_shortest(parts[:-1])}[^/]*{parts[-1]}"
