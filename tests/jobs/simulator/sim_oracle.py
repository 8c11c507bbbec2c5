"""What a job's output must be, found the slow and obvious way from its input commits alone."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sim_code
from sim_code import Given, Ran

from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY, RootId
from trunkline.files.tree import Trees

Document = dict[str, Any]
Repos = dict[str, dict[str, bytes]]  # the files of each repo, by path


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the datums of a job come to; `states` counts them by how they end."""

    datums: int
    states: Counter[str]
    files: dict[str, bytes]
    clash: bool  # two datums write one path, and the spec does not join


class Contents:
    """The files of trees, each read once. Roots name contents, so this may outlive a world."""

    def __init__(self, trees: Trees) -> None:
        self._trees = trees
        self._known: dict[str, dict[str, bytes]] = {EMPTY: {}}

    def of(self, root: str) -> dict[str, bytes]:
        """Path → content of all files of a tree."""
        if root not in self._known:
            rows = self._trees.walk(RootId(root))
            self._known[root] = {row.path: b"".join(self._trees.read(row)) for row in rows}
        return self._known[root]

    def made_anew(self, root: str) -> str:
        """The root of the same rows, written into an empty tree."""
        writer = DeltaWriter(self._trees)
        for row in self._trees.walk(RootId(root)):
            writer.put_row(row)
        return self._trees.apply(EMPTY, writer.finish())


def given_at(name: str, path: str, files: dict[str, bytes]) -> tuple[str, str, dict[str, bytes]]:
    """One input of a datum: the file or directory at a path of a tree."""
    inside = {p: c for p, c in files.items() if not path or p == path or p.startswith(f"{path}/")}
    return name, path, inside


Identity = tuple[tuple[str, str], ...]  # of a datum in its job: name and path per input


def expected(spec: Document, repos: Repos, luck: Mapping[Identity, str] | None = None) -> Expected:
    """What a spec makes of the files of its input repos.

    `luck` tells how datums ended without output where that is no matter of what they were given.
    """
    transform = spec["transform"]
    joined = spec.get("output_merge") == "concat"
    states: Counter[str] = Counter()
    files: dict[str, bytes] = {}
    clash = False
    found = list(dict.fromkeys(map(_frozen, _datums(spec["input"], repos))))
    for datum in found:
        ran = sim_code.run(transform["cmd"], transform.get("err_cmd", ()), _given(datum))
        ended = (luck or {}).get(tuple((name, path) for name, path, _ in datum))
        if ended is not None:
            ran = Ran(state=ended, files={})
        states[ran.state] += 1
        for path, content in ran.files.items():
            clash = clash or (path in files and not joined)
            files[path] = files.get(path, b"") + content
    return Expected(datums=len(found), states=states, files=files, clash=clash)


def _datums(node: Document, repos: Repos) -> list[Given]:
    [(kind, inside)] = node.items()
    if kind == "union":
        return [datum for member in inside for datum in _datums(member, repos)]
    if kind == "cross":
        product: list[Given] = [()]
        for member in inside:  # the first varies fastest
            datums = _datums(member, repos)
            product = [earlier + later for later in datums for earlier in product]
        return product
    if kind in ("join", "group"):
        return _matched(kind, inside, repos)
    files = repos.get(inside["repo"], {})
    if not files:
        return []
    if inside["glob"] == "/":
        paths = [""]
    else:
        assert inside["glob"] in ("/*", "/(*)")
        paths = sorted({path.partition("/")[0] for path in files})
    return [(given_at(inside["name"], path, files),) for path in paths]


def _matched(kind: str, members: list[Document], repos: Repos) -> list[Given]:
    """A datum for each name at the top: of all members for a join, of any for a group."""
    entries = [datum for member in members for datum in _datums(member, repos)]
    names = Counter(path for [(_, path, _)] in entries)
    return [
        tuple(given for [given] in entries if given[1] == name)
        for name in sorted(names)
        if kind == "group" or names[name] == len(members)
    ]


def _frozen(given: Given) -> tuple[tuple[str, str, tuple[tuple[str, bytes], ...]], ...]:
    return tuple((name, path, tuple(sorted(files.items()))) for name, path, files in given)


def _given(frozen: tuple[tuple[str, str, tuple[tuple[str, bytes], ...]], ...]) -> Given:
    return tuple((name, path, dict(files)) for name, path, files in frozen)
