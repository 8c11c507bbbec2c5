"""Places: where the datums of an input stand among each other, told by their paths alone.

A place is what an enumeration goes by: the path of a pfs input, behind the number of the member of
a union, and in a cross those of the members, the last one, which varies slowest, first. So what a
change touches can be named, and found in the plan of an earlier job, without an enumeration.

That needs inputs of different names: then a datum shows which of them it is made of, and none comes
twice. Datums of joins and groups have no places: who else has a key is only known from all files.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain, product

from trunkline.files.tree import Trees
from trunkline.model.pipelines import CrossInput, Input, PfsInput, UnionInput
from trunkline.model.versions import BranchName
from trunkline.pipelines import datums
from trunkline.pipelines.datums import Datum, DatumFile, Heads

Place = tuple[int | str, ...]
Touched = Mapping[str, frozenset[str]]  # by the name of an input: where it may have changed

_FILES_AT_HAND = 4096


def leaves_of(root: Input) -> list[PfsInput]:
    """The pfs inputs that an input is made of, in the order of the spec."""
    if isinstance(root, PfsInput):
        return [root]
    return [leaf for member in root.members for leaf in leaves_of(member)]


def has_places(root: Input) -> bool:
    """Whether the datums of an input have places."""
    names = [leaf.name for leaf in leaves_of(root)]
    return len(set(names)) == len(names) and not _is_matched(root)


def _is_matched(root: Input) -> bool:
    match root:
        case CrossInput(members=members) | UnionInput(members=members):
            return any(_is_matched(member) for member in members)
        case _:
            return not isinstance(root, PfsInput)


def place_of(root: Input, datum: Datum) -> Place:
    """Where a datum stands."""
    return _place(root, list(reversed(datum.files)))


def _place(root: Input, files: list[DatumFile]) -> Place:
    """The place of the files of one input; they are taken from the end of the list."""
    match root:
        case UnionInput(members=members):
            name = files[-1].name
            number = next(n for n, member in enumerate(members) if _has(member, name))
            return (number, *_place(members[number], files))
        case CrossInput(members=members):
            found = [_place(member, files) for member in members]
            return tuple(chain.from_iterable(reversed(found)))
        case _:
            return (files.pop().path,)


def _has(root: Input, name: str) -> bool:
    return any(leaf.name == name for leaf in leaves_of(root))


def affected(
    root: Input, heads: Heads, trees: Trees, touched: Touched, *, most: int
) -> set[Place] | None:
    """The places at which there may be another datum than before, or one more or less.

    `heads` are those of now. Cost: that of as many places, in a cross also one walk over the
    matches of a member, for as many of them. None if there are more than `most`.
    """
    search = _Affected(heads, trees, touched, most)
    found = search.kept(search.places(root))
    return set(found) if len(found) <= most else None


class _Affected:
    def __init__(self, heads: Heads, trees: Trees, touched: Touched, most: int) -> None:
        self._heads = heads
        self._trees = trees
        self._touched = touched
        self._most = most

    def places(self, root: Input) -> Iterator[Place]:
        """Those where something may differ; some more than once."""
        match root:
            case PfsInput():
                yield from ((path,) for path in self._touched[root.name])
            case UnionInput(members=members):
                for number, member in enumerate(members):
                    yield from ((number, *place) for place in self.places(member))
            case CrossInput(members=members):
                for changed, member in enumerate(members):
                    here = self.kept(self.places(member))
                    if here:
                        yield from _crossed(
                            here if number == changed else self.kept(self._all(other))
                            for number, other in enumerate(members)
                        )

    def _all(self, root: Input) -> Iterator[Place]:
        """Those of all datums that there were before, or are now."""
        match root:
            case PfsInput():
                touched = self._touched[root.name]
                yield from ((path,) for path in touched)
                head = self._heads[BranchName(repo=root.repo, branch=root.branch)]
                if head is not None:
                    for entry in self._trees.glob(head.root, root.glob):
                        if entry.path not in touched:
                            yield (entry.path,)
            case UnionInput(members=members):
                for number, member in enumerate(members):
                    yield from ((number, *place) for place in self._all(member))
            case CrossInput(members=members):
                yield from _crossed(self.kept(self._all(member)) for member in members)

    def kept(self, places: Iterator[Place]) -> list[Place]:
        """Each once, up to one more than `most`: no cross makes too many few again."""
        found: dict[Place, None] = {}
        for place in places:
            found[place] = None
            if len(found) > self._most:
                break
        return list(found)


def _crossed(members: Iterator[list[Place]]) -> Iterator[Place]:
    slowest_first = list(members)[::-1]
    return (tuple(chain.from_iterable(places)) for places in product(*slowest_first))


class DatumsAt:
    """The datums of an input over some heads, by place."""

    def __init__(self, root: Input, heads: Heads, trees: Trees) -> None:
        self._root = root
        self._heads = heads
        self._trees = trees
        self._file = lru_cache(maxsize=_FILES_AT_HAND)(self._read)  # a cross meets each again

    def get(self, place: Place) -> Datum | None:
        files = self._files(self._root, iter(place))
        return None if files is None else Datum(files=files)

    def _files(self, root: Input, place: Iterator[int | str]) -> tuple[DatumFile, ...] | None:
        match root:
            case PfsInput():
                datum = self._file(root, str(next(place)))
                return None if datum is None else datum.files
            case UnionInput(members=members):
                return self._files(members[int(next(place))], place)
            case CrossInput(members=members):
                found: tuple[DatumFile, ...] = ()
                for member in reversed(members):
                    files = self._files(member, place)
                    if files is None:
                        return None
                    found = files + found
                return found
            case _:
                raise AssertionError("datums of joins and groups have no places")

    def _read(self, leaf: PfsInput, path: str) -> Datum | None:
        return datums.datum_at(leaf, self._heads, self._trees, path)
