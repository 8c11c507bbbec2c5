"""Two datums of one job that write the same path: seen as soon as the second one has ended.

Of each path 18 to 36 bytes are kept: a digest, and in which of the outputs it was. Only where a
digest comes again, which is a clash or a rare chance, that output is read once more.
"""

from array import array
from collections.abc import Iterable

from trunkline.files.delta import DeltaId, delta_places
from trunkline.files.tree import Trees

_PATHS_REMEMBERED_MAX = 2_000_000  # per job
_TABLES = 256  # each grows by itself, so that no path has to wait for all of them


class Writers:
    """Who wrote which path in a job, as far as is remembered here.

    Clashes with outputs of earlier jobs, or beyond the limit, are found when the output tree is
    made.
    """

    def __init__(self) -> None:
        self._outputs: list[str] = []  # those that were looked at
        self._tables = [_Table() for _ in range(_TABLES)]
        self._paths = 0
        self._read: tuple[str, dict[str, set[str]]] = ("", {})  # the output that was read last

    def clash(self, trees: Trees, output: Iterable[str]) -> str:
        """The sentence for a path in new outputs that another datum wrote before, or nothing."""
        if self._paths >= _PATHS_REMEMBERED_MAX:  # so there is no use in reading them
            return ""
        for delta in output:
            self._outputs.append(delta)
            for path, datum in delta_places(trees, DeltaId(delta), "", None):
                if self._paths >= _PATHS_REMEMBERED_MAX:
                    return ""
                digest = _digest(path)
                table = self._tables[digest % _TABLES]
                number = table.add(digest // _TABLES + 1, len(self._outputs) - 1)
                if number is None:
                    self._paths += 1
                elif others := self._writers(trees, self._outputs[number], path) - {datum}:
                    return (
                        f"duplicate path output by different datums: '{path}' from {min(others)} "
                        f"and from {datum}"
                    )
        return ""

    def _writers(self, trees: Trees, delta: str, path: str) -> set[str]:
        """The keys of the datums that wrote a path, by one output."""
        if self._read[0] != delta:
            found: dict[str, set[str]] = {}
            for place, datum in delta_places(trees, DeltaId(delta), "", None):
                found.setdefault(place, set()).add(datum)
            self._read = (delta, found)
        return self._read[1].get(path, set())


class _Table:
    """Numbers by digest, neither of which is an object."""

    def __init__(self) -> None:
        self._digests = array("Q", bytes(8 * 8))  # 0: nothing is there
        self._numbers = array("I", bytes(4 * 8))
        self._used = 0

    def add(self, digest: int, number: int) -> int | None:
        """The number that a digest has already, or else None, and it has this one from now on."""
        digests = self._digests
        last = len(digests) - 1  # there are a power of two of them
        at = digest & last
        while there := digests[at]:
            if there == digest:
                return self._numbers[at]
            at = (at + 1) & last
        digests[at], self._numbers[at] = digest, number
        self._used += 1
        if 3 * self._used > 2 * len(digests):
            self._grow()
        return None

    def _grow(self) -> None:
        before = zip(self._digests, self._numbers, strict=True)
        size = 2 * len(self._digests)
        self._digests, self._numbers = array("Q", bytes(8 * size)), array("I", bytes(4 * size))
        self._used = 0
        for digest, number in before:
            if digest:
                self.add(digest, number)


def _digest(path: str) -> int:
    """64 bits, which differ from one process to the next."""
    return hash(path) & (2**64 - 1)
