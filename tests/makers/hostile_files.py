"""Names and contents that would run, load or send something if they were not taken for text."""

import base64
import io
import json
import pickle
import struct
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.parquet

TEXTS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</pre></script></title></textarea><iframe srcdoc='<script>alert(1)</script>'>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "<style>*{display:none}</style><base href=//evil.example/>",
    "<form action=//evil.example><meta http-equiv=refresh content=0;url=//evil.example>",
    "\u202egpj.exe\u2066 &lt;b&gt; \x1b[31m\x07",
)
ALL = " ".join(TEXTS)
NAMES = tuple(text.replace("/", "∕").replace("\x1b", "").replace("\x07", "") for text in TEXTS)
MARKDOWN = f"""{ALL}

[one](javascript:alert(1)) [two](data:text/html,<script>alert(1)</script>) [three](//evil.example)
[four](\\\\evil.example) [five](vbscript:x) [six](http://[) [seven](java&#10;script:alert(1))
![a](//evil.example/a.png) ![b](javascript:alert(1)) ![c](http://[) ![d](x.svg" onerror="alert(1))
<javascript:alert(1)> <http://[> [eight]: javascript:alert(1)

[nine][eight] `{ALL}`

```{ALL}
{ALL}
```

| {ALL} |
|---|
| {ALL} |
"""


def csv() -> bytes:
    cells = ",".join('"' + text.replace('"', '""') + '"' for text in TEXTS)
    return f"{cells}\n{cells}\n".encode()


def parquet() -> bytes:
    table = pa.table({text: [text] for text in TEXTS})
    file = io.BytesIO()
    pyarrow.parquet.write_table(table.replace_schema_metadata({ALL: ALL}), file)
    return file.getvalue()


def notebook() -> bytes:
    data = {"text/html": ALL, "text/plain": ALL, "application/javascript": ALL}
    svg = base64.b64encode(b"<svg onload='alert(1)'/>").decode()
    outputs = [
        {"output_type": "display_data", "data": data},
        {"output_type": "display_data", "data": {"image/png": f'{svg}" onerror="alert(1)'}},
        {"output_type": "display_data", "data": {"image/svg+xml": ALL, "image/png": ALL}},
        {"output_type": "error", "traceback": [ALL], "evalue": ALL},
        {"output_type": "stream", "name": ALL, "text": ALL},
    ]
    cells = [
        {"cell_type": "markdown", "source": MARKDOWN},
        {"cell_type": "code", "execution_count": ALL, "source": ALL, "outputs": outputs},
        {"cell_type": ALL, "source": [ALL, 7, None], "outputs": {"a": 1}},
        {"cell_type": "code", "source": {"a": 1}, "outputs": [7, {"data": 7}, {"text": 7}]},
        7,
    ]
    language = {"language_info": {"name": ALL}}
    return json.dumps({"cells": cells, "metadata": language}).encode()


def safetensors() -> bytes:
    header = json.dumps({"__metadata__": {ALL: ALL}, ALL: {"dtype": ALL, "shape": [1]}}).encode()
    return struct.pack("<Q", len(header)) + header


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for text in TEXTS:
            archive.writestr(text, b"x")
        archive.writestr("archive/data.pkl", pickled())
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for text in TEXTS:
            archive.addfile(tarfile.TarInfo(text))
    return file.getvalue()


class Runner:
    """What would run if anybody loaded it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it was loaded')",)


def pickled() -> bytes:
    return (
        b"c"
        + ALL.replace("\n", " ").encode()
        + b"\n"
        + ALL.encode()
        + b"\n"
        + pickle.dumps([Runner(), ALL])
    )


CONTENTS = {
    "a.csv": csv(),
    "a.tsv": csv().replace(b",", b"\t"),
    "a.jsonl": json.dumps(dict.fromkeys(TEXTS, ALL)).encode() + b"\n" + ALL.encode(),
    "a.parquet": parquet(),
    "a.json": json.dumps({text: [text, {text: text}] for text in TEXTS}).encode(),
    "a.yaml": json.dumps({text: [text] for text in TEXTS}).encode() + b"\n",
    "a.toml": f"{json.dumps(ALL)} = {json.dumps(ALL)}\n".encode(),
    "broken.json": b"{" + ALL.encode(),
    "broken.yaml": b"a: [" + ALL.encode(),
    "broken.parquet": ALL.encode(),
    "a.txt": ALL.encode(),
    "a.html": ALL.encode(),
    "a.log": ALL.encode() * 2000,
    "README.md": MARKDOWN.encode(),
    "a.ipynb": notebook(),
    "a.safetensors": safetensors(),
    "a.pkl": pickled(),
    "a.pt": zipped(),
    "a.zip": zipped(),
    "a.tar": tarred(),
    "a.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "a.png": ALL.encode(),
    "a.pdf": b"%PDF-1.7 " + ALL.encode(),
    "a.mp4": ALL.encode(),
    "a.bin": b"\0" + ALL.encode(),
}
