"""Makes a store whole again from what is good in it.

A damaged chunk is pointed to another good copy where a pack has one; otherwise the index forgets
it, so that storing the same content again heals it. What is good in a damaged pack goes into a new
one; the damaged file is set aside under another name, and never read again. So a damaged pack is
read in full first, also where the check has not done so: what is not good in it is lost with it.
"""

from collections.abc import Iterable
from pathlib import Path

from trunkline.errors import Corrupt
from trunkline.store import packs, tables
from trunkline.store.compact import Compactor
from trunkline.store.depot import Depot
from trunkline.store.index import TableIndex
from trunkline.store.live import LiveSet
from trunkline.store.packs import Location

_MARK = "rebuild-index"  # beside the index: make it anew at the next opening


def must_rebuild(directory: Path) -> bool:
    """Whether a repair asked for a new index."""
    return (directory / _MARK).exists()


def rebuilt(directory: Path) -> None:
    """The index is new."""
    (directory / _MARK).unlink(missing_ok=True)


def repair(
    directory: Path,
    depot: Depot,
    index: TableIndex,
    needed: LiveSet,
    *,
    damaged: Iterable[bytes],
    damaged_packs: Iterable[str],
    writer: str,
) -> dict[bytes, str]:
    """Heal what can be healed; returns what became of each damaged chunk, "" if it is lost.

    The outcome also names chunks that were found damaged here, and as b"" why damaged packs were
    left as they are, if any were. Raises Corrupt when the index itself
    can't be used: it is made anew at the next opening.
    """
    aside = list(damaged_packs)
    try:
        with index.read() as tx:
            broken = index.problems(tx)
        if broken:
            raise Corrupt("the index", "a whole database", broken[0])
        depot.recover(index, rebuild=False)
        lost = _not_whole(depot, index, aside)
        outcome = _repoint(depot, index, lost.union(damaged))
    except Corrupt:
        (directory / _MARK).touch()
        raise
    left = Compactor(depot, index, needed, writer=writer).set_aside(aside)
    if left:
        outcome[b""] = "; ".join(left) + ": try again when it is not"
    return outcome


def _not_whole(depot: Depot, index: TableIndex, names: Iterable[str]) -> set[bytes]:
    """The chunks that the index has in these packs, and that can't be read there."""
    found: set[bytes] = set()
    for name in names:
        try:
            data, _ = depot.read_damaged(name)
        except FileNotFoundError:
            continue
        with index.read() as tx:
            places = tables.places_in(tx, name)
        found.update(place.digest for place in places if not _whole(data, place))
    return found


def _repoint(depot: Depot, index: TableIndex, damaged: set[bytes]) -> dict[bytes, str]:
    good: dict[bytes, Location] = {}
    if damaged:
        for name in depot.names():
            data, _ = depot.read_damaged(name)
            content = packs.read_content(data, name)
            for place in content.places:
                if place.digest in damaged and place.digest not in good and _whole(data, place):
                    good[place.digest] = place
    outcome: dict[bytes, str] = {}
    for digest in sorted(damaged):
        with index.write() as tx:
            if digest in good:
                tables.repoint(tx, good[digest])
                outcome[digest] = f"repaired: there is a whole copy in pack {good[digest].pack}"
            else:
                tables.forget_chunk(tx, digest)
                outcome[digest] = ""
    return outcome


def _whole(data: bytes, place: Location) -> bool:
    record = data[place.offset : place.offset + packs.RECORD_BYTES + place.stored]
    try:
        packs.decode(record, place)
    except Corrupt:
        return False
    return True
