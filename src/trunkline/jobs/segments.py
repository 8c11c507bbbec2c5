"""How the datums of a job are written down: in segments of bounded size, each one chunk.

Format page: docs/formats/datum-segment.md (version 1). What all datums of a segment share (the
commits and roots of the inputs) is written once; a datum is its key, whether it is fresh (has to be
processed), and what each input gave to it.
"""

import json
from dataclasses import dataclass

from trunkline.errors import Corrupt
from trunkline.files.manifest import RootId
from trunkline.model.versions import FileType
from trunkline.pipelines.datums import Datum, DatumFile

SEGMENT_DATUMS = 1000
_MAGIC = "trunkline-datums"
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDatum:
    key: str
    fresh: bool  # no remembered result: has to be processed
    datum: Datum


def encode_segment(datums: list[PlannedDatum]) -> bytes:
    """The bytes of a segment."""
    inputs: dict[tuple[str, str, str, str], int] = {}
    rows = []
    for planned in datums:
        files = []
        for file in planned.datum.files:
            source = (file.name, file.repo, file.commit, file.root)
            number = inputs.setdefault(source, len(inputs))
            files.append([number, file.path, file.type, file.size_bytes, file.digest])
        rows.append([planned.key, int(planned.fresh), files])
    return json.dumps(
        {"format": _MAGIC, "version": _VERSION, "inputs": list(inputs), "datums": rows},
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode("utf-8")


def decode_segment(data: bytes) -> list[PlannedDatum]:
    """The datums of a segment, in order; raises Corrupt for anything else."""
    try:
        document = json.loads(data)
        if document["format"] != _MAGIC or document["version"] != _VERSION:
            raise ValueError(document["version"])
        inputs = document["inputs"]
        return [
            PlannedDatum(
                key=key,
                fresh=bool(fresh),
                datum=Datum(
                    files=tuple(
                        DatumFile(
                            name=inputs[number][0],
                            repo=inputs[number][1],
                            commit=inputs[number][2],
                            root=RootId(inputs[number][3]),
                            path=path,
                            type=FileType(kind),
                            size_bytes=size,
                            digest=digest,
                        )
                        for number, path, kind, size, digest in files
                    )
                ),
            )
            for key, fresh, files in document["datums"]
        ]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise Corrupt("a datum segment", f"{_MAGIC} version {_VERSION}", str(error)) from error
