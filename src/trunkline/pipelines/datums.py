"""Datums: the units of work that an input makes of the current heads, lazily enumerated.

Nothing here holds a job's datums: a pfs input streams its glob, a union is one stream after the
other, and a cross keeps at most REPLAY_MAX datums per member and enumerates larger members again.
Cost: one walk over the matches of each glob, and for a cross of members too large to keep, one walk
of a member per datum of the members behind it.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import assert_never

from trunkline.files.manifest import RootId
from trunkline.files.tree import Trees
from trunkline.model.pipelines import CrossInput, Input, PfsInput, UnionInput
from trunkline.model.versions import BranchName, FileType

REPLAY_MAX = 10_000  # datums of a cross's member that are kept instead of enumerated again


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The commit that a job reads from a branch, and the root of its tree."""

    commit: str
    root: RootId


Heads = Mapping[BranchName, Head | None]  # None (or absent): the branch has nothing to read yet


@dataclass(frozen=True, slots=True, kw_only=True)
class DatumFile:
    """The file or directory that one input gives to a datum.

    `path` has no leading slash and is "" for the whole tree. Invariant: `digest` is that of the
    content (`files.tree.Trees.digest`), so equal digests mean equal input. `join_on` and `group_by`
    are its keys in a join and in a group; None where it is in none.
    """

    name: str
    repo: str
    commit: str
    root: RootId
    path: str
    type: FileType
    size_bytes: int
    digest: str
    join_on: str | None = None
    group_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    """One unit of work: for each input that takes part, what its glob matched, in spec order.

    Several files may have one name, when inputs share it or a group takes all files of a key.
    """

    files: tuple[DatumFile, ...]

    def by_name(self) -> list[DatumFile]:
        """The files in the one order that does not depend on how the spec was written."""
        return sorted(
            self.files, key=lambda file: (file.name, file.path, file.type.value, file.digest)
        )


def count(root: Input, heads: Heads, trees: Trees) -> int:
    """How many datums `enumerate_datums` would yield, without forming any combination.

    A cross multiplies, so the number may be far larger than anything that could be enumerated.
    """
    match root:
        case PfsInput():
            head = heads.get(_branch(root))
            if head is None or _is_empty(head, trees):
                return 0
            return sum(1 for _ in trees.glob(head.root, root.glob))
        case CrossInput():
            product = 1
            for member in root.members:
                product *= count(member, heads, trees)
                if not product:
                    break
            return product
        case UnionInput():
            return sum(count(member, heads, trees) for member in root.members)
        case _:
            assert_never(root)


def enumerate_datums(root: Input, heads: Heads, trees: Trees) -> Iterator[Datum]:
    """The datums, in the one order that every enumeration of equal heads has.

    A pfs input goes by path, a union member by member; in a cross the first member varies fastest.
    Lazy: ask `count` before, a cross can be endless in practice.
    """
    for files in _files(root, heads, trees):
        yield Datum(files=files)


_Files = tuple[DatumFile, ...]


def _files(root: Input, heads: Heads, trees: Trees) -> Iterator[_Files]:
    match root:
        case PfsInput():
            yield from _matches(root, heads.get(_branch(root)), trees)
        case UnionInput():
            for member in root.members:
                yield from _files(member, heads, trees)
        case CrossInput():
            members = [_Replay(member, heads, trees) for member in root.members]
            # Without this, an empty first member would have all combinations of the rest walked.
            if all(member.any() for member in members):
                yield from _product(members)
        case _:
            assert_never(root)


def _matches(leaf: PfsInput, head: Head | None, trees: Trees) -> Iterator[_Files]:
    if head is None or _is_empty(head, trees):
        return
    for entry in trees.glob(head.root, leaf.glob, digest=True):
        file = DatumFile(
            name=leaf.name,
            repo=leaf.repo,
            commit=head.commit,
            root=head.root,
            path=entry.path,
            type=entry.type,
            size_bytes=entry.size_bytes,
            digest=entry.digest,
        )
        yield (file,)


def _product(members: "list[_Replay]") -> Iterator[_Files]:
    if not members:
        yield ()
        return
    first, slower = members[0], members[1:]
    for rest in _product(slower):
        for files in first:
            yield files + rest


class _Replay:
    """A member of a cross that can be gone through again and again."""

    def __init__(self, root: Input, heads: Heads, trees: Trees) -> None:
        self._root = root
        self._heads = heads
        self._trees = trees
        self._kept: list[_Files] | None = None

    def any(self) -> bool:
        return next(iter(self), None) is not None

    def __iter__(self) -> Iterator[_Files]:
        if self._kept is not None:
            return iter(self._kept)
        return self._walk()

    def _walk(self) -> Iterator[_Files]:
        rest = _files(self._root, self._heads, self._trees)
        start = list(itertools.islice(rest, REPLAY_MAX + 1))
        if len(start) <= REPLAY_MAX:
            self._kept = start
        yield from start
        yield from rest


def _branch(leaf: PfsInput) -> BranchName:
    return BranchName(repo=leaf.repo, branch=leaf.branch)


def _is_empty(head: Head, trees: Trees) -> bool:
    """Whether the tree has no files: then even the glob `/` makes no datum."""
    files, _ = trees.totals(head.root)
    return files == 0
