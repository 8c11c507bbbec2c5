"""A file of each kind that the console shows in a way of its own."""

import base64
import gzip
import io
import json
import pickle
import struct
import tarfile
import wave
import zipfile
from pathlib import PurePath

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
from console_world import picture

YAML = b"""\
image: {name: nginx, ports: [80, 443]}
base: &base {a: 1}
derived: {<<: *base, b: 2024-01-01}
nothing: ~
"""
TOML = b'[tool]\nname = "trunkline"\nsince = 2026-01-01\n'


def parquet() -> bytes:
    table = pa.table({"id": list(range(1000)), "species": ["setosa", None] * 500})
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file, row_group_size=400)
    return file.getvalue()


def feather() -> bytes:
    file = io.BytesIO()
    pyarrow.feather.write_feather(pa.table({"petal": [1.5, 2.5]}), file)
    return file.getvalue()


def arrow_stream() -> bytes:
    table = pa.table({"petal": [1.5, 2.5]})
    file = io.BytesIO()
    with pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def notebook() -> bytes:
    drawn = base64.b64encode(picture()).decode()
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["150 rows\n"]},
        {"output_type": "display_data", "data": {"image/png": drawn}},
        {"output_type": "error", "traceback": ["\x1b[0;31mValueError\x1b[0m: no petals"]},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Petals\n", "by **species**"]},
        {"cell_type": "code", "execution_count": 7, "source": "df.plot()", "outputs": outputs},
    ]
    return json.dumps({"cells": cells, "nbformat": 4}).encode()


def safetensors() -> bytes:
    tensor = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "layer.weight": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(24)


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def sound() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 1, 8000, 0, "NONE", "not compressed"))
        written.writeframes(bytes(range(256)) * 8)
    return file.getvalue()


def file_kinds() -> dict[str, bytes]:
    """Contents by path."""
    pickled = pickle.dumps(PurePath("a/b"))
    return {
        "t.parquet": parquet(),
        "t.feather": feather(),
        "t.arrows": arrow_stream(),
        "d.json": b'{"name": "iris", "sizes": [1, 2.5, null, true]}',
        "d.yaml": YAML,
        "d.toml": TOML,
        "docs/d.md": b"# Notes\n\nsee [the table](../t.parquet)\n",
        "n.ipynb": notebook(),
        "p.png": picture(),
        "s.wav": sound(),
        "f.pdf": b"%PDF-1.7\n\x00",
        "w.safetensors": safetensors(),
        "m.pkl": pickled,
        "m.pt": zipped({"archive/data.pkl": pickled, "archive/data/0": bytes(8)}),
        "a.zip": zipped({"in/zip.txt": b"12345"}),
        "a.tar": tarred({"in/tar.txt": b"12345"}),
        "a.tar.gz": gzip.compress(tarred({"in/tgz.txt": b"12345"})),
        "b.bin": bytes(range(256)) * 8,
    }
