"""How the datums of a job are written down: in segments of bounded size, each one chunk.

Format page: docs/formats/datum-segment.md (versions 1 and 2). What all datums of a segment share
(the commits and roots of the inputs) is written once; a datum is its key, whether it is fresh (has
to be processed), and what each input gave to it. Version 2 is written where files have keys of a
join or group, so that an older Trunkline reads whatever it could have planned itself.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from trunkline.errors import Corrupt
from trunkline.pipelines.datums import Datum, Head, file_of_row

SEGMENT_DATUMS = 1000
SEGMENT_FILES = 10_000  # a datum with more of them has a segment of its own
SEGMENT_BYTES_MAX = 48 * 1024 * 1024
_KEPT_BYTES_MAX = 1024 * 1024  # larger segments are decoded each time
_MAGIC = "trunkline-datums"
_VERSION, _MATCHED_VERSION = 1, 2
_MALFORMED = (ValueError, KeyError, TypeError, IndexError, RecursionError)
_PLAIN = 5  # what is said of a file without keys: input, path, type, size, digest
_INPUTS, _DATUMS = '"inputs":', '"datums":['  # what stands before the inputs, the first datum
_DECODER = json.JSONDecoder()


_Source = tuple[str, str, str, str]  # name, repo, commit and root of an input
# Name of the input, path, type and digest of a file, and its keys in a join and in a group.
Given = tuple[str, str, str, str, str | None, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDatum:
    key: str
    fresh: bool  # no remembered result: has to be processed
    datum: Datum

    @property
    def file_count(self) -> int:
        return len(self.datum.files)

    def row(self, inputs: dict[_Source, int]) -> list[Any]:
        """How a segment with these inputs, to which it adds its own, has it."""
        files = []
        for file in self.datum.files:
            source = (file.name, file.repo, file.commit, file.root)
            number = inputs.setdefault(source, len(inputs))
            row = [number, file.path, file.type, file.size_bytes, file.digest]
            if file.join_on is not None or file.group_by is not None:
                row += [file.join_on, file.group_by]
            files.append(row)
        return [self.key, int(self.fresh), files]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDatum:
    """A remembered datum as a segment has it, not decoded: what it says goes into the next one."""

    inputs: list[_Source]  # of the segment that it is in
    key: str
    files: list[list[Any]]

    fresh: ClassVar[bool] = False

    @property
    def file_count(self) -> int:
        return len(self.files)

    def row(self, inputs: dict[_Source, int]) -> list[Any]:
        """See `PlannedDatum.row`."""
        numbered = inputs.setdefault
        files = [[numbered(self.inputs[n], len(inputs)), *said] for n, *said in self.files]
        return [self.key, 0, files]


class StoredDatums:
    """The datums of a segment as remembered ones of a job that reads `sources`, in order.

    Each is decoded when somebody looks at it; of a segment that is written again with one datum
    changed, that are a dozen. Raises Corrupt.
    """

    def __init__(self, data: bytes, sources: Mapping[str, Head]) -> None:
        try:
            document = _document(data)
            self._inputs = [_of_source(*row, sources=sources) for row in document["inputs"]]
            self._rows: list[list[Any]] = document["datums"]
        except _MALFORMED as error:
            raise _corrupt(error) from error
        self._decoded: dict[int, PlannedDatum] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i: int) -> PlannedDatum:
        known = self._decoded.get(i)
        if known is None:
            try:
                key, _, files = self._rows[i]
                known = PlannedDatum(key=key, fresh=False, datum=_datum(self._inputs, files))
            except _MALFORMED as error:
                raise _corrupt(error) from error
            self._decoded[i] = known
        return known

    def stored(self, i: int) -> StoredDatum:
        key, _, files = self._rows[i]
        return StoredDatum(inputs=self._inputs, key=key, files=files)


def encode_segment(datums: Sequence[PlannedDatum | StoredDatum]) -> bytes:
    """The bytes of a segment."""
    inputs: dict[_Source, int] = {}
    rows = [one.row(inputs) for one in datums]
    matched = any(len(file) > _PLAIN for _, _, files in rows for file in files)
    version = _MATCHED_VERSION if matched else _VERSION
    return json.dumps(
        {"format": _MAGIC, "version": version, "inputs": list(inputs), "datums": rows},
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode("utf-8")


def decode_segment(data: bytes) -> list[PlannedDatum]:
    """The datums of a segment, in order; raises Corrupt for anything else."""
    return _decoded(data, only_fresh=False)


def segment_in_job(data: bytes, *, fresh: int, sources: Mapping[str, Head]) -> list[PlannedDatum]:
    """The datums of a segment as they are meant in a job that has so many fresh ones of them.

    `sources` has what the job reads, by repo, of those repos that it reads one commit of; what it
    has not is as it was. A segment without fresh datums may have been written for an earlier job:
    see `jobs.replanning`. The content is the same in both. Raises Corrupt.
    """
    return _decoded(data, only_fresh=False, sources=None if fresh else sources)


def fresh_of_segment(data: bytes) -> list[PlannedDatum]:
    """Those of its datums that are to be processed, in order of their positions; raises Corrupt.

    The list must not be changed: what was asked for last stays at hand, as leases go through a
    segment one after the other.
    """
    if len(data) <= _KEPT_BYTES_MAX:
        return _kept(data)
    return _decoded(data, only_fresh=True)


@lru_cache(maxsize=8)  # of two jobs at once, where datums go on from what those of one came to
def _kept(data: bytes) -> list[PlannedDatum]:
    return _decoded(data, only_fresh=True)


def _decoded(
    data: bytes, *, only_fresh: bool, sources: Mapping[str, Head] | None = None
) -> list[PlannedDatum]:
    """With `sources`, all are remembered, and files are of these commits."""
    try:
        document = _document(data)
        inputs = document["inputs"]
        if sources is not None:
            inputs = [_of_source(*row, sources=sources) for row in inputs]
        remembered = sources is not None
        return [
            PlannedDatum(key=key, fresh=bool(fresh) and not remembered, datum=_datum(inputs, files))
            for key, fresh, files in document["datums"]
            if fresh or not only_fresh
        ]
    except _MALFORMED as error:
        raise _corrupt(error) from error


def _of_source(
    name: str, repo: str, commit: str, root: str, *, sources: Mapping[str, Head]
) -> _Source:
    head = sources.get(repo)
    return (name, repo, commit, root) if head is None else (name, repo, head.commit, head.root)


def keys_of_segment(data: bytes) -> list[str]:
    """The keys of its datums, in order; a fraction of the cost of decoding it."""
    try:
        return [str(key) for key, _, _ in _document(data)["datums"]]
    except _MALFORMED as error:
        raise _corrupt(error) from error


def outlines_of_segment(data: bytes) -> Iterator[tuple[str, bool, list[Given]]]:
    """Key, freshness and files of its datums, in order; a fifth of the cost of decoding it.

    Freshness is as it was written: see `segment_in_job`. Raises Corrupt.
    """
    try:
        document = _document(data)
        names = [name for name, *_ in document["inputs"]]
        for key, fresh, files in document["datums"]:
            yield key, bool(fresh), [_given(names, *file) for file in files]
    except _MALFORMED as error:
        raise _corrupt(error) from error


def _given(
    names: list[str],
    number: int,
    path: str,
    kind: str,
    _: int,
    digest: str,
    join_on: str | None = None,
    group_by: str | None = None,
) -> Given:
    return names[number], path, kind, digest, join_on, group_by


def first_datum(data: bytes) -> Datum:
    """Its first datum; the others are not decoded."""
    try:
        text = data.decode("utf-8")
        # Inside of a string the quotes would be escaped.
        inputs, end = _DECODER.raw_decode(text, text.index(_INPUTS) + len(_INPUTS))
        (_, _, files), _ = _DECODER.raw_decode(text, text.index(_DATUMS, end) + len(_DATUMS))
        return _datum(inputs, files)
    except _MALFORMED as error:
        raise _corrupt(error) from error


def _datum(inputs: Sequence[Sequence[str]], files: list[list[Any]]) -> Datum:
    return Datum(files=tuple(file_of_row(inputs[number], *row) for number, *row in files))


def _document(data: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(data)
    version = document["version"]
    if document["format"] != _MAGIC or version not in (_VERSION, _MATCHED_VERSION):
        raise ValueError(version)
    return document


def _corrupt(error: Exception) -> Corrupt:
    return Corrupt("a datum segment", f"{_MAGIC} version 1 or 2", str(error))


def as_stored(path: str) -> bytes:
    """How a path stands in the bytes of a segment whose datums have it."""
    return json.dumps(path, ensure_ascii=False).encode("utf-8")


def with_positions(
    planned: Iterable[PlannedDatum], first: int
) -> Iterator[tuple[PlannedDatum, int | None]]:
    """Datums with their positions among those that the job has to process, counted from `first`.

    A remembered one has no position.
    """
    position = first
    for datum in planned:
        yield datum, position if datum.fresh else None
        position += datum.fresh
