"""Weights in safetensors files: the names, types and shapes in the header."""

import json
import struct
from math import prod

from trunkline.server.console.preview import Preview, Subject, Unsuitable

ORDER = 100
_HEADER_BYTES_MAX = 8 * 1024 * 1024
_ROWS = 1000


def suits(subject: Subject) -> bool:
    return subject.suffix == "safetensors"


def preview(subject: Subject) -> Preview:
    header = _header(subject)
    said = header.pop("__metadata__", {})
    tensors = []
    for name, one in header.items():
        if not isinstance(one, dict):
            raise Unsuitable("its header is none of safetensors")
        shape = one.get("shape")
        shape = shape if isinstance(shape, list) else []
        if not all(isinstance(length, int) for length in shape):
            raise Unsuitable("its header is none of safetensors")
        tensors.append((name, str(one.get("dtype", "")), shape, prod(shape)))
    context = {
        "tensors": tensors[:_ROWS],
        "total": len(tensors),
        "parameters": sum(count for *_, count in tensors),
        "types": sorted({kind for _, kind, *_ in tensors}),
        "metadata": [(key, str(value)) for key, value in said.items()][:50]
        if isinstance(said, dict)
        else [],
    }
    return Preview(template="files/safetensors.html", label="safetensors", context=context)


def _header(subject: Subject) -> dict[str, object]:
    if len(subject.start) < 8:
        raise Unsuitable("it is too short for safetensors")
    size_bytes = struct.unpack_from("<Q", subject.start)[0]
    if size_bytes > min(_HEADER_BYTES_MAX, subject.file.size_bytes - 8):
        raise Unsuitable("its header is longer than the file, or than what is read")
    try:
        header = json.loads(subject.read(8, size_bytes))
    except (ValueError, RecursionError) as error:
        raise Unsuitable("its header can't be read") from error
    if not isinstance(header, dict):
        raise Unsuitable("its header is none of safetensors")
    return header
