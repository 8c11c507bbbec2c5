"""Datums: the units of work that an input makes of the current heads, lazily enumerated.

Nothing here holds a job's datums: a pfs input streams its glob, a union is one stream after the
other, and a cross keeps at most REPLAY_MAX datums per member and enumerates larger members again. A
join or group sorts the datums of its members by key in a temporary file.
Cost: one walk over the matches of each glob, the sorting, and for a cross of members too large to
keep, one walk of a member per datum of the members behind it.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import assert_never

from trunkline.db.sorting import SortedRows
from trunkline.errors import DatumTooLarge, shown
from trunkline.files.glob import compile_glob
from trunkline.files.manifest import RootId
from trunkline.files.tree import Entry, Trees
from trunkline.model.pipelines import (
    CrossInput,
    GroupInput,
    Input,
    JoinInput,
    PfsInput,
    UnionInput,
)
from trunkline.model.versions import BranchName, FileType
from trunkline.pipelines.templates import compile_template, render

REPLAY_MAX = 10_000  # datums of a cross's member that are kept instead of enumerated again
DATUM_FILES_MAX = 100_000  # of a group; a datum is planned, handed out and staged as a whole


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
    content (`files.tree.Trees.digest`), so equal digests mean equal input; of a `reference`, whose
    content does not count, it is "". `join_on` and `group_by`
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
    reference: bool = False
    join_on: str | None = None
    group_by: str | None = None


def file_of_row(
    source: Sequence[str],
    path: str,
    kind: str,
    size_bytes: int,
    digest: str,
    join_on: str | None = None,
    group_by: str | None = None,
) -> DatumFile:
    """A file as it is written down, where `source` has its name, repo, commit and root."""
    name, repo, commit, root = source
    return DatumFile(
        name=name,
        repo=repo,
        commit=commit,
        root=RootId(root),
        path=path,
        type=FileType(kind),
        size_bytes=size_bytes,
        digest=digest,
        reference=not digest,
        join_on=join_on,
        group_by=group_by,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    """One unit of work: for each input that takes part, what its glob matched, in spec order.

    Several files may have one name, when inputs share it or a group takes all files of a key.
    """

    files: tuple[DatumFile, ...]

    def by_name(self) -> list[DatumFile]:
        """The files in the one order that does not depend on how the spec was written."""
        if len(self.files) == 1:  # as in most datums, of which there may be a million
            return [*self.files]
        return sorted(
            self.files, key=lambda file: (file.name, file.path, file.type.value, file.digest)
        )


_Files = tuple[DatumFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is read, and whether the digests are needed."""

    heads: Heads
    trees: Trees
    digest: bool = True

    def head(self, leaf: PfsInput) -> Head | None:
        """The commit to read, unless it has no files: then even the glob `/` makes no datum."""
        head = self.heads.get(BranchName(repo=leaf.repo, branch=leaf.branch))
        return head if head is not None and self.trees.totals(head.root)[0] else None

    def matches(
        self, leaf: PfsInput, *, beginning: str = "", wanted: Callable[[str], bool] | None = None
    ) -> Iterator[DatumFile]:
        """What the glob of a pfs input matches, by path; for the rest see `Trees.glob`."""
        head = self.head(leaf)
        if head is None:
            return
        key_of = _Keys(leaf)
        digest = self.digest and not leaf.reference
        for entry in self.trees.glob(
            head.root, leaf.glob, digest=digest, beginning=beginning, wanted=wanted
        ):
            yield _file(leaf, head, entry, key_of)

    def match_at(self, leaf: PfsInput, path: str) -> DatumFile | None:
        """What is at a path that the glob of a pfs input matches."""
        head = self.head(leaf)
        if head is None:
            return None
        entry = self.trees.entry(head.root, path, digest=self.digest and not leaf.reference)
        return _file(leaf, head, entry, _Keys(leaf)) if entry else None


def count(root: Input, heads: Heads, trees: Trees, *, most: int | None = None) -> int:
    """How many datums `enumerate_datums` would yield, without forming any combination.

    A cross multiplies, so the number may be far larger than anything that could be enumerated. A
    join or group goes through the combinations that a cross inside of it makes: where these are
    more than `most`, their number is the answer.
    """
    return _count(root, Reading(heads=heads, trees=trees, digest=False), most)


def at_most(root: Input, heads: Heads, trees: Trees) -> float:
    """More datums than this there can't be, told by the sizes of the trees; may be infinite.

    A glob matches, of each file, as many directories above it as it has depths, or the file itself.
    """
    match root:
        case PfsInput():
            head = heads.get(BranchName(repo=root.repo, branch=root.branch))
            glob = compile_glob(root.glob)
            files = trees.totals(head.root)[0] if head is not None else 0
            depths = math.inf if glob.depth_max is None else glob.depth_max - glob.depth_min + 1
            return files * depths if files else 0
        case CrossInput(members=members):
            most = [at_most(member, heads, trees) for member in members]
            return math.prod(most) if all(most) else 0
        case UnionInput(members=members):
            return sum(at_most(member, heads, trees) for member in members)
        case _:
            return math.inf


def enumerate_datums(root: Input, heads: Heads, trees: Trees) -> Iterator[Datum]:
    """The datums, in the one order that every enumeration of equal heads has.

    A pfs input goes by path, a union member by member; in a cross the first member varies fastest.
    A join and a group go by key, inside of one as a cross and as a union. Lazy: ask `count` before,
    a cross can be endless in practice. Raises DatumTooLarge when it comes to such a group.
    """
    for files in _files(root, Reading(heads=heads, trees=trees)):
        yield Datum(files=files)


@contextmanager
def counted_datums(
    root: Input, heads: Heads, trees: Trees, *, most: int
) -> Iterator[tuple[int, Iterator[Datum]]]:
    """What `count` and `enumerate_datums` give; a join or group is sorted once for both.

    The datums are of no use where there are more than `most`.
    """
    reading = Reading(heads=heads, trees=trees)
    if not isinstance(root, (JoinInput, GroupInput)):
        yield count(root, heads, trees, most=most), enumerate_datums(root, heads, trees)
        return
    inside = _combinations_inside(root, reading, most)
    if inside > most:
        yield inside, iter(())
        return
    with closing(_Sorted(root, reading, only_keys=False)) as matched:
        yield matched.count(), (Datum(files=files) for files in matched.datums())


def touched(leaf: PfsInput, new: Head, old: Head, trees: Trees, *, most: int) -> set[str] | None:
    """The paths at which a pfs input may have another datum than before, or one more or less.

    Cost: what differs between the trees. None if more than `most` files do, seen by the glob or
    not. The glob `/` sees everything.
    """
    glob = compile_glob(leaf.glob)
    directory = glob.literal.rpartition("/")[0]
    found: set[str] = set()
    for seen, (_, row) in enumerate(trees.diff(new.root, directory, old.root, directory)):
        if seen >= most:
            return None
        if glob.is_root:
            return {""}
        parts = row.path.split("/")
        depths = range(glob.depth_min, min(glob.depth_max or len(parts), len(parts)) + 1)
        found.update(glob.select("/".join(parts[:depth]) for depth in depths))
    return found


def _count(root: Input, reading: Reading, most: int | None) -> int:
    match root:
        case PfsInput():
            head = reading.head(root)
            return sum(1 for _ in reading.trees.glob(head.root, root.glob)) if head else 0
        case CrossInput():
            product = 1
            for member in root.members:
                product *= _count(member, reading, most)
                if not product:
                    break
            return product
        case UnionInput():
            return sum(_count(member, reading, most) for member in root.members)
        case JoinInput() | GroupInput():
            if most is not None:
                inside = _combinations_inside(root, reading, most)
                if inside > most:
                    return inside
            with closing(_Sorted(root, reading, only_keys=True)) as matched:
                return matched.count()
        case _:
            assert_never(root)


def _combinations_inside(root: JoinInput | GroupInput, reading: Reading, most: int) -> int:
    """How many combinations there are to go through in the members of a join or group."""
    return max(_combinations(member, reading, most) for member in root.members)


def _combinations(root: Input, reading: Reading, most: int) -> int:
    """How many combinations a member of a join or group makes; of plain files, none."""
    if isinstance(root, PfsInput):
        return 0
    if isinstance(root, UnionInput):
        return max(_combinations(member, reading, most) for member in root.members)
    return _count(root, reading, most)


def _files(root: Input, reading: Reading) -> Iterator[_Files]:
    match root:
        case PfsInput():
            yield from ((file,) for file in reading.matches(root))
        case UnionInput():
            for member in root.members:
                yield from _files(member, reading)
        case CrossInput():
            members = [_Replay(partial(_files, member, reading)) for member in root.members]
            # Without this, an empty first member would have all combinations of the rest walked.
            if all(member.any() for member in members):
                yield from _product(members)
        case JoinInput() | GroupInput():
            with closing(_Sorted(root, reading, only_keys=False)) as matched:
                yield from matched.datums()
        case _:
            assert_never(root)


def _file(leaf: PfsInput, head: Head, entry: Entry, key_of: "_Keys") -> DatumFile:
    join_on, group_by = key_of(entry.path)
    return DatumFile(
        name=leaf.name,
        repo=leaf.repo,
        commit=head.commit,
        root=head.root,
        path=entry.path,
        type=entry.type,
        size_bytes=entry.size_bytes,
        digest=entry.digest,
        join_on=join_on,
        group_by=group_by,
        reference=leaf.reference,
    )


class _Keys:
    """Makes the keys that files of an input have in the join and the group around it."""

    def __init__(self, leaf: PfsInput) -> None:
        self._glob = compile_glob(leaf.glob)
        self._templates = [
            compile_template(text, self._glob) if text else None
            for text in (leaf.join_on, leaf.group_by)
        ]

    def __call__(self, path: str) -> tuple[str | None, str | None]:
        if self._templates == [None, None]:
            return None, None
        captured = self._glob.captured(path)
        assert captured is not None, "the path was found by this glob"
        join_on, group_by = (
            None if template is None else render(template, captured) for template in self._templates
        )
        return join_on, group_by


# --- every combination ----------------------------------------------------------------------------


def _product(members: "Sequence[_Replay]") -> Iterator[_Files]:
    if not members:
        yield ()
        return
    first, slower = members[0], members[1:]
    for rest in _product(slower):
        for files in first:
            yield files + rest


class _Replay:
    """Datums that can be gone through again and again; `source` begins anew at each call."""

    def __init__(self, source: Callable[[], Iterator[_Files]]) -> None:
        self._source = source
        self._kept: list[_Files] | None = None

    def any(self) -> bool:
        return next(iter(self), None) is not None

    def __iter__(self) -> Iterator[_Files]:
        if self._kept is not None:
            return iter(self._kept)
        return self._walk()

    def _walk(self) -> Iterator[_Files]:
        rest = self._source()
        start = list(itertools.islice(rest, REPLAY_MAX + 1))
        if len(start) <= REPLAY_MAX:
            self._kept = start
        yield from start
        yield from rest


# --- by key ---------------------------------------------------------------------------------------


class _Sorted:
    """The datums of the members of a join or group, sorted by key; to be closed.

    With `only_keys` they can be counted and no more.
    """

    def __init__(self, root: JoinInput | GroupInput, reading: Reading, *, only_keys: bool) -> None:
        self._root = root
        self._outward = outward_members(root)
        self._sources: dict[tuple[str, str, str, RootId], int] = {}
        self._source_of: list[tuple[str, str, str, RootId]] = []
        self._rows = SortedRows(self._keyed(reading, only_keys))

    def close(self) -> None:
        self._rows.close()

    def count(self) -> int:
        """How many datums there are."""
        if isinstance(self._root, GroupInput):
            return sum(1 for _ in self._rows.tallies())
        return sum(
            math.prod(counts[member] for member in partners)
            for _, counts in self._rows.tallies()
            if (partners := taking_part(counts, self._outward))
        )

    def datums(self) -> Iterator[_Files]:
        """The datums, by key."""
        for key, singles in self._rows.singles():
            if isinstance(self._root, GroupInput):
                yield self._group(key, singles)
            elif partners := taking_part(singles, self._outward):
                yield from _product(
                    [
                        _Replay(partial(self._of_member, key, member, singles[member]))
                        for member in partners
                    ]
                )

    def _of_member(self, key: str, member: int, single: str | None) -> Iterator[_Files]:
        return map(self._decoded, self._values(key, member, single))

    def _values(self, key: str, member: int, single: str | None) -> Iterable[str]:
        """What a member has for a key; `single` if that is one value, which needs no look-up."""
        return self._rows.values(key, member) if single is None else (single,)

    def _group(self, key: str, singles: Mapping[int, str | None]) -> _Files:
        """All files with a key, each once: several combinations may bring the same one."""
        found: dict[str, None] = {}
        for member, single in singles.items():
            for value in self._values(key, member, single):
                found[value] = None
                if len(found) > DATUM_FILES_MAX:
                    group = f"the group with the key {shown(key)}"
                    raise DatumTooLarge(group, f"{DATUM_FILES_MAX:,} files")
        return tuple(file for value in found for file in self._decoded(value))

    def _keyed(self, reading: Reading, only_keys: bool) -> Iterator[tuple[str, int, str]]:
        split = _group_keys if isinstance(self._root, GroupInput) else _join_keys
        for number, member in enumerate(self._root.members):
            for files in _files(member, reading):
                for key, part in split(files):
                    yield key, number, "" if only_keys else self._encoded(part)

    def _encoded(self, files: _Files) -> str:
        rows = []
        for file in files:
            source = (file.name, file.repo, file.commit, file.root)
            number = self._sources.get(source)
            if number is None:
                number = self._sources[source] = len(self._source_of)
                self._source_of.append(source)
            keys = (file.join_on, file.group_by)
            rows.append((number, file.path, file.type, file.size_bytes, file.digest, *keys))
        return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))

    def _decoded(self, value: str) -> _Files:
        rows = json.loads(value)
        return tuple(file_of_row(self._source_of[number], *row) for number, *row in rows)


def _join_keys(files: _Files) -> Iterator[tuple[str, _Files]]:
    """The key of a datum in a join: that of all its files that have one, or it has no partner."""
    keys = {file.join_on for file in files if file.join_on is not None}
    if len(keys) == 1:
        yield keys.pop(), files


def _group_keys(files: _Files) -> Iterator[tuple[str, _Files]]:
    """Each file of a datum with its key in a group; one without goes where the others go."""
    keys = dict.fromkeys(file.group_by for file in files if file.group_by is not None)
    for key in keys:
        for file in files:
            if file.group_by in (None, key):
                yield key, (file,)


def outward_members(root: JoinInput | GroupInput) -> list[bool]:
    """Which of the members join outward."""
    return [_joins_outward(member) for member in root.members]


def taking_part(present: Iterable[int], outward: Sequence[bool]) -> list[int]:
    """Which of the members of a join that have a key are combined."""
    members = list(present)
    if len(members) == len(outward):
        return members
    return [member for member in members if outward[member]]


def _joins_outward(root: Input) -> bool:
    if isinstance(root, PfsInput):
        return root.outer_join
    return any(_joins_outward(member) for member in root.members)
