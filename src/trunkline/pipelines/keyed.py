"""Who has a key: the matches of a pfs input that have some of the keys of the join or group around.

A key says what round brackets took, and so what a path begins with, as a rule all of it: of
`/(*).csv` with `$1` the key a is that of a.csv. Then only this is looked up. Where a key says
nothing of how paths begin (`/*-(*).csv`), or there are very many keys, one walk goes over all
matches and compares their keys; still without digests and sorting.
"""

from collections.abc import Iterator, Set

from trunkline.files.glob import compile_glob
from trunkline.model.pipelines import GroupInput, JoinInput, PfsInput
from trunkline.pipelines.datums import DatumFile, Reading
from trunkline.pipelines.templates import compile_template, render, takings

_BRACKETS_MAX = 2  # of a template: with more there are too many ways to cut a key
_FILES_OF_A_LOOK_UP = 16  # that are walked over while one is looked up


class Keyed:
    """A pfs input in a join or group, by key."""

    def __init__(self, around: JoinInput | GroupInput, leaf: PfsInput) -> None:
        self._leaf = leaf
        self._glob = compile_glob(leaf.glob)
        text = leaf.join_on if isinstance(around, JoinInput) else leaf.group_by
        self._template = compile_template(text, self._glob)

    def key(self, path: str) -> str:
        """That of a path which the glob matches."""
        captured = self._glob.captured(path)
        assert captured is not None, "the path was found by this glob"
        return render(self._template, captured)

    def matches(self, reading: Reading, keys: Set[str] | None) -> Iterator[tuple[str, DatumFile]]:
        """What has one of some keys (None: any), with its key; by path."""
        for file in self._files(reading, keys):
            yield self.key(file.path), file

    def _files(self, reading: Reading, keys: Set[str] | None) -> Iterator[DatumFile]:
        if keys is None:
            yield from reading.matches(self._leaf)
            return

        def wanted(path: str) -> bool:
            return self.key(path) in keys

        beginnings = self._beginnings(reading, keys)
        if beginnings is None:
            yield from reading.matches(self._leaf, wanted=wanted)
            return
        last = None
        for beginning, is_whole in sorted(beginnings.items()):
            if is_whole:
                if self._glob.matches(beginning) and wanted(beginning):
                    file = reading.match_at(self._leaf, beginning)
                    yield from [file] if file is not None else []
            elif last is None or not beginning.startswith(last):
                last = beginning
                yield from reading.matches(self._leaf, beginning=beginning, wanted=wanted)

    def _beginnings(self, reading: Reading, keys: Set[str]) -> dict[str, bool] | None:
        """What paths with these keys begin with, and whether that is all of them.

        None where all matches are to be walked over instead.
        """
        head = reading.head(self._leaf)
        if head is None:
            return {}
        brackets = {part for part in self._template if isinstance(part, int)}
        if len(brackets) > _BRACKETS_MAX:
            return None
        files, _ = reading.trees.totals(head.root)
        found: dict[str, bool] = {}
        for key in keys:
            for taken in takings(self._template, key):
                beginning, is_whole = self._glob.beginning(taken)
                says_more = len(beginning) > len(self._glob.literal)
                found[beginning] = is_whole
                if not says_more or len(found) * _FILES_OF_A_LOOK_UP > files:
                    return None
        return found
