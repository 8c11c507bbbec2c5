"""Places: where the datums of an input stand among each other, told by their paths alone.

A place is what an enumeration goes by: the path of a pfs input, behind the number of the member of
a union; in a cross those of the members, the last one, which varies slowest, first. In a group it
is the key; in a join the key and then as in a cross, each member behind a 1, or 0 for one that
takes no part. So what a change touches can be named, and found in the plan of an earlier job,
without an enumeration.

It is named by stems: what places begin with. Who has a key may change with every path that has it,
and with that who takes part; so all that had a key goes, and what has it now comes.

That needs inputs of different names, but for those of one group: then a datum shows which of them
it is made of, and none comes twice. And in joins and groups, members that are pfs inputs or unions
of them: of other ones a datum with one key may depend on files with other keys.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import lru_cache
from itertools import chain, product
from typing import TypeVar

from trunkline.files.tree import Trees
from trunkline.model.pipelines import (
    CrossInput,
    GroupInput,
    Input,
    JoinInput,
    PfsInput,
    UnionInput,
)
from trunkline.pipelines import datums
from trunkline.pipelines.datums import DATUM_FILES_MAX, Datum, DatumFile, Heads, Reading
from trunkline.pipelines.keyed import Keyed

Place = tuple[int | str, ...]
Touched = Mapping[PfsInput, Set[str]]  # the paths at which an input may have changed

_FILES_AT_HAND = 4096

_Found = TypeVar("_Found")
_Files = tuple[DatumFile, ...]
_Holders = dict[str, list[dict[Place, DatumFile]]]  # by key: what each member has with it


def leaves_of(root: Input) -> list[PfsInput]:
    """The pfs inputs that an input is made of, in the order of the spec."""
    if isinstance(root, PfsInput):
        return [root]
    return [leaf for member in root.members for leaf in leaves_of(member)]


def has_places(root: Input) -> bool:
    """Whether the datums of an input have places."""
    names = list(_names(root))
    return len(set(names)) == len(names) and _is_placed(root)


def _names(root: Input) -> Iterator[str]:
    """Names by which it is told what a file is of; a group takes its files together."""
    match root:
        case PfsInput(name=name):
            yield name
        case GroupInput():
            yield from {leaf.name for leaf in leaves_of(root)}
        case _:
            for member in root.members:
                yield from _names(member)


def _is_placed(root: Input) -> bool:
    match root:
        case CrossInput(members=members) | UnionInput(members=members):
            return all(map(_is_placed, members))
        case JoinInput(members=members) | GroupInput(members=members):
            return all(map(_is_plain, members))
        case _:
            return True


def _is_plain(member: Input) -> bool:
    if isinstance(member, UnionInput):
        return all(map(_is_plain, member.members))
    return isinstance(member, PfsInput)


def place_of(root: Input, datum: Datum) -> Place:
    """Where a datum stands."""
    return _place(root, list(reversed(datum.files)))


def _place(root: Input, files: list[DatumFile]) -> Place:
    """The place of the files of one input; they are taken from the end of the list."""
    match root:
        case UnionInput(members=members):
            number = next(n for n, member in enumerate(members) if _comes(member, files))
            return (number, *_place(members[number], files))
        case CrossInput(members=members):
            found = [_place(member, files) for member in members]
            return tuple(chain.from_iterable(reversed(found)))
        case JoinInput(members=members):
            key = files[-1].join_on
            found = [
                (1, *_place(member, files)) if _comes(member, files) else (0,) for member in members
            ]
            assert key is not None, "whoever is in a join has a key"
            return (key, *chain.from_iterable(reversed(found)))
        case GroupInput():
            key = files[-1].group_by
            assert key is not None, "whoever is in a group has a key"
            names = {leaf.name for leaf in leaves_of(root)}
            while files and files[-1].name in names:
                files.pop()
            return (key,)
        case _:
            return (files.pop().path,)


def _comes(root: Input, files: list[DatumFile]) -> bool:
    """Whether the next of some files is of an input."""
    return bool(files) and any(leaf.name == files[-1].name for leaf in leaves_of(root))


class Affected:
    """What a change touches, and what is there now; see `affected`."""

    def __init__(self, now: "_Now", stems: Set[Place], places: Iterable[Place]) -> None:
        self._now = now
        self.stems = sorted(stems)  # a datum that was at a place with one goes, or is replaced
        self.places = sorted(places)  # with one of the stems: where there may be a datum now

    def datum(self, place: Place) -> Datum | None:
        """The datum that is at one of the places now."""
        files = self._now.files(iter(place))
        return None if files is None else Datum(files=files)


def affected(
    root: Input, heads: Heads, trees: Trees, touched: Touched, *, most: int
) -> Affected | None:
    """The places at which there may be another datum than before, or one more or less.

    `heads` are those of now. Cost: that of as many places; in a cross also one walk over the
    matches of other members, for as many of them; in a join or group that of finding who has the
    keys (`pipelines.keyed`). None if there are more than `most`, in groups with more than
    DATUM_FILES_MAX files, or if something changed of an input whose datums have no places.
    """
    now = _Now(root, heads, trees, touched, most)
    if not any(touched.values()):
        return Affected(now, frozenset(), [])
    if not has_places(root):
        return None
    stems: set[Place] = set()
    places: set[Place] = set()
    try:
        for stem, there in now.changes(root):
            stems.add(stem)
            places.update(there)
            if max(len(stems), len(places)) > most:
                return None
    except _TooMany:
        return None
    return Affected(now, stems, places)


class _TooMany(Exception):
    """More would have to be looked at than is worth it."""


class _Now:
    """What is at places now."""

    def __init__(
        self, root: Input, heads: Heads, trees: Trees, touched: Touched, most: int
    ) -> None:
        self._root = root
        self._reading = Reading(heads=heads, trees=trees)
        self._paths = Reading(heads=heads, trees=trees, digest=False)
        self._touched = touched
        self._most = most
        self._groups: dict[GroupInput, dict[str, _Files]] = {}  # of all places that were named
        # A cross and a join meet each again.
        self._match_at = lru_cache(maxsize=_FILES_AT_HAND)(self._reading.match_at)

    def changes(self, root: Input) -> Iterator[tuple[Place, list[Place]]]:
        """The stems of what may differ, with the places now that begin so; some more than once."""
        match root:
            case PfsInput():
                for path in self._touched[root]:
                    yield (path,), [(path,)]
            case UnionInput(members=members):
                for number, member in enumerate(members):
                    for stem, places in self.changes(member):
                        yield (number, *stem), [(number, *place) for place in places]
            case CrossInput(members=members):
                for number, member in enumerate(members):
                    yield from self._of_side(member, members[:number], members[number + 1 :])
            case JoinInput() | GroupInput():
                keys = self._touched_keys(root)
                found = self._by_key(root, keys)
                yield from (((key,), found.get(key, [])) for key in keys)

    def _of_side(
        self, changed: Input, faster: Sequence[Input], slower: Sequence[Input]
    ) -> Iterator[tuple[Place, list[Place]]]:
        """What changes in a cross with one of its members.

        Where a slower one had something that is gone, its own stems tell.
        """
        here = self._kept(self.changes(changed))
        if here:
            behind = self._kept(self._crossed(faster))
            for before in self._kept(self._crossed(slower)):
                for stem, places in here:
                    inside = (before + place + after for place in places for after in behind)
                    yield before + stem, self._kept(inside)

    def _crossed(self, members: Sequence[Input]) -> Iterator[Place]:
        return _product(self._kept(self._all(member)) for member in members)

    def _all(self, root: Input) -> Iterator[Place]:
        """Those of all datums that there are."""
        match root:
            case PfsInput():
                yield from ((file.path,) for file in self._paths.matches(root))
            case UnionInput(members=members):
                for number, member in enumerate(members):
                    yield from ((number, *place) for place in self._all(member))
            case CrossInput(members=members):
                yield from self._crossed(members)
            case JoinInput() | GroupInput():
                yield from chain.from_iterable(self._by_key(root, None).values())

    def _kept(self, found: Iterable[_Found]) -> list[_Found]:
        kept: list[_Found] = []
        for one in found:
            if len(kept) == self._most:
                raise _TooMany
            kept.append(one)
        return kept

    # --- by key -----------------------------------------------------------------------------------

    def _touched_keys(self, root: JoinInput | GroupInput) -> set[str]:
        keys: set[str] = set()
        for leaf in leaves_of(root):
            keyed = Keyed(root, leaf)
            keys.update(keyed.key(path) for path in self._touched[leaf])
        return keys

    def _by_key(
        self, root: JoinInput | GroupInput, keys: Set[str] | None
    ) -> dict[str, list[Place]]:
        """The places of all datums that there are with some keys (None: any)."""
        if isinstance(root, JoinInput):
            outward = datums.outward_members(root)
            joined = self._holders(root, keys, self._paths, self._most * len(leaves_of(root)))
            return {
                key: self._kept(_joined(key, holders, outward)) for key, holders in joined.items()
            }
        grouped = self._holders(root, keys, self._reading, DATUM_FILES_MAX)
        for key, holders in grouped.items():
            files = dict.fromkeys(chain.from_iterable(held.values() for held in holders))
            self._groups.setdefault(root, {})[key] = tuple(files)
        return {key: [(key,)] for key in grouped}

    def _holders(
        self, root: JoinInput | GroupInput, keys: Set[str] | None, reading: Reading, most: int
    ) -> _Holders:
        found: _Holders = {}
        count = 0
        for number, member in enumerate(root.members):
            for key, place, file in _keyed(root, member, reading, keys):
                count += 1
                if count > most:
                    raise _TooMany
                found.setdefault(key, [{} for _ in root.members])[number][place] = file
        return found

    # --- what is there ----------------------------------------------------------------------------

    def files(self, place: Iterator[int | str]) -> _Files | None:
        """Those of the datum at a place."""
        return self._files(self._root, place)

    def _files(self, root: Input, place: Iterator[int | str]) -> _Files | None:
        match root:
            case PfsInput():
                file = self._match_at(root, str(next(place)))
                return None if file is None else (file,)
            case UnionInput(members=members):
                return self._files(members[int(next(place))], place)
            case CrossInput(members=members):
                return self._together(members, place)
            case JoinInput(members=members):
                next(place)  # the key, which the paths of the members say as well
                return self._together(members, place, joined=True)
            case GroupInput():
                return self._groups[root].get(str(next(place)))

    def _together(
        self, members: Sequence[Input], place: Iterator[int | str], *, joined: bool = False
    ) -> _Files | None:
        """The files of members, in the order of the spec; the slowest one's place comes first."""
        found: _Files = ()
        for member in reversed(members):
            if joined and not next(place):
                continue
            files = self._files(member, place)
            if files is None:
                return None
            found = files + found
        return found


def _product(members: Iterable[Iterable[Place]]) -> Iterator[Place]:
    """Every combination of the places of members."""
    slowest_first = list(members)[::-1]
    return (tuple(chain.from_iterable(places)) for places in product(*slowest_first))


def _keyed(
    root: JoinInput | GroupInput, member: Input, reading: Reading, keys: Set[str] | None
) -> Iterator[tuple[str, Place, DatumFile]]:
    """What a member has with some keys (None: any): key, place in the member, file."""
    match member:
        case PfsInput():
            for key, file in Keyed(root, member).matches(reading, keys):
                yield key, (file.path,), file
        case UnionInput(members=members):
            for number, inner in enumerate(members):
                for key, place, file in _keyed(root, inner, reading, keys):
                    yield key, (number, *place), file
        case _:
            raise AssertionError("datums of such a join or group have no places")


def _joined(
    key: str, holders: list[dict[Place, DatumFile]], outward: Sequence[bool]
) -> Iterator[Place]:
    """The places of what a join makes of all who have a key."""
    present = [member for member, held in enumerate(holders) if held]
    partners = set(datums.taking_part(present, outward))
    if partners:
        sides: list[list[Place]] = [
            [(1, *place) for place in held] if member in partners else [(0,)]
            for member, held in enumerate(holders)
        ]
        yield from ((key, *place) for place in _product(sides))
