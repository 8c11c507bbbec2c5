"""What the pictures of the console show: a team's server with a bit of everything in it.

`fill` runs the tutorial by its commands, and then makes through a connection what it lacks: files
of each kind, a job whose datums fail in several ways, others that run, wait, are paused, follow a
clock or serve, branches, tags and triggers, a second project, things left open.
"""

import json
import math
import os
import shutil
import socket
import struct
import sys
import time
import zlib
from pathlib import Path

from trunkline.api.changes import DeleteFile, FileChange, PutFile
from trunkline.connect.connection import Connection
from trunkline.model.jobs import JobInfo
from trunkline.model.versions import BranchTrigger

ROOT = Path(__file__).resolve().parents[1]
for shared in ("examples/iris", "tests/harness", "tests/models", "tests/makers"):
    sys.path.insert(0, str(ROOT / shared))

import demo  # noqa: E402
import file_kinds  # noqa: E402

LEAVES, BATCHES = 60, 40
README = """# Leaves

Scans of leaves from the greenhouse, **one directory a week**. Ask before you delete anything:
`check` and `summary` read every file.

![a leaf](pictures/leaf.png)

| column | unit | meaning |
|---|---|---|
| `length` | cm | from stem to tip |
| `width` | cm | at the widest place |

1. Scan at 300 dpi.
2. Name files after the plant.

> Weeks 14 and 15 were scanned with the old lamp, see [the notes](notes/lamp.md).
"""
CODE = '''"""Measures a leaf."""

import csv
import sys


def area(length: float, width: float) -> float:
    """An ellipse is close enough."""
    return 3.14159 / 4 * length * width


for row in csv.reader(sys.stdin):
    print(area(float(row[0]), float(row[1])))
'''
CHECK = r"""
for f in /pfs/leaves/*; do
  n=$((10#$(basename $f .txt)))
  printf '\033[32mINFO\033[0m  looking at leaf %s\n' $n
  if [ $((n % 20)) = 7 ]; then
    echo "Traceback (most recent call last):" >&2
    echo "  File \"/code/check.py\", line 41, in <module>" >&2
    echo "    petals = measure(leaf)" >&2
    printf '\033[1;31mValueError\033[0m: leaf %s has no stem\n' $n >&2
    exit 3
  fi
  if [ $n = 31 ]; then echo "scan.tif: no such file or directory" >&2; exit 127; fi
  if [ $n = 44 ]; then kill -9 $$; fi
  if [ $n = 52 ]; then sleep 30; fi
  [ $((n % 9)) = 4 ] && printf '\033[33mWARN\033[0m  the lamp flickers\n'
  echo "leaf $n: $(wc -c < $f) bytes, area $((n * 37 % 100)).$((n % 10)) cm2"
  sleep 0.0$((n % 7))
  cp $f /pfs/out/
done
"""
SLOW = """
for f in /pfs/batches/*; do
  n=$((10#$(basename $f .csv)))
  for step in $(seq 1 20); do echo "batch $n: step $step, loss 0.$((900 / (n + step)))"; done
  if [ $n -ge 23 ]; then
    for step in $(seq 21 20000); do echo "batch $n: step $step"; sleep 3; done
  fi
  cp $f /pfs/out/
done
"""


def fill(place: Path, c: Connection) -> None:
    """All of it; the server is that of the environment, `place` for what is only passing."""
    print("the tutorial", flush=True)
    _tutorial(place)
    print("more than the tutorial has", flush=True)
    _leaves(c)
    _kinds(c)
    _versions(c)
    _vision(c)
    _pipelines(c)


def _tutorial(place: Path) -> None:
    example = shutil.copytree(demo.EXAMPLE, place / "iris")
    told = demo.Demo(folder=Path(example), environment=dict(os.environ))
    demo.tutorial(told)
    if told.problems:
        sys.exit("\n".join(told.problems))


def put(
    c: Connection, repo: str, files: dict[str, bytes], said: str, branch: str = "master"
) -> str:
    """Commit files, to a repo that is made if there is none."""
    if repo not in [known.name for known in c.repos.list_repos()]:
        c.repos.create_repo(repo, description="")
    changes: list[FileChange] = [PutFile(path=path, content=[it]) for path, it in files.items()]
    return c.files.modify_files(repo, branch, changes, description=said).id


def newest(c: Connection, pipeline: str) -> JobInfo:
    """The job of a pipeline that was made last."""
    return next(iter(c.jobs.list_jobs(pipeline=pipeline, number=1)))


def picture(width: int, height: int, turn: float = 0.0) -> bytes:
    """A PNG of a leaf on a light ground."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            u, v = 2 * x / width - 1, 2 * y / height - 1
            u, v = u * math.cos(turn) - v * math.sin(turn), u * math.sin(turn) + v * math.cos(turn)
            inside = abs(v) < 0.55 * (1 - u * u) * (1 - 0.25 * u)
            vein = abs(v) < 0.012 or abs(abs(v) - (u + 1) % 0.25) < 0.012
            rows += bytes(
                (118, 158, 84)
                if inside and vein
                else (62 + int(30 * u), 122 + int(24 * v), 58)
                if inside
                else (238, 236, 226)
            )
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(bytes(rows)),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts.items()
    )


def pdf() -> bytes:
    """A document of one page."""
    drawn = b"BT /F1 28 Tf 72 740 Td (Leaves, week 14) Tj 0 -40 Td /F1 14 Tf (60 scans) Tj ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(drawn), drawn),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    written, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj%s\nendobj\n" % (number, content)
    table = len(written)
    written += b"xref\n0 6\n0000000000 65535 f \n"
    written += b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(written + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % table)


def table(rows: int, seed: int = 0) -> bytes:
    """A CSV of leaves."""
    lines = ["plant,scanned,length,width,species,healthy,note"]
    for n in range(rows):
        length = 7 + 2 * math.sin(n * 12.9898 + seed)
        width = 3 + 0.7 * math.sin(n * 78.233 + seed)
        kind = ("Ficus benjamina", "Monstera deliciosa", "Calathea orbifolia")[n % 3]
        note = "" if n % 5 else f"seen twice, by A{n % 4}"
        day = f"2026-04-{1 + n % 28:02}T08:{n % 60:02}:00Z"
        lines.append(f'P-{n:05},{day},{length:.2f},{width:.2f},{kind},{n % 7 != 3},"{note}"')
    return ("\n".join(lines) + "\n").encode()


def log() -> bytes:
    levels = ("INFO ", "INFO ", "DEBUG", "INFO ", "WARN ")
    return "".join(
        f"2026-04-14T02:{n // 60 % 60:02}:{n % 60:02}Z {levels[n % 5]} trainer step={n} "
        f"loss={1 / (1 + n / 500):.4f} rate=0.001\n"
        for n in range(20_000)
    ).encode()


def _leaves(c: Connection) -> None:
    c.repos.create_repo("leaves", description="Scans of leaves from the greenhouse")
    scans = {f"{n:03}.txt": b"leaf\n" * (n * 7 % 50 + 1) for n in range(LEAVES)}
    put(c, "leaves", scans, "the scans of week 14")
    c.repos.create_repo("batches", description="Batches that a model is tuned on")
    put(c, "batches", {f"{n:03}.csv": table(20, n) for n in range(BATCHES)}, "forty batches")


def _kinds(c: Connection) -> None:
    """The repo `greenhouse`: one file of each kind, in several commits."""
    c.repos.create_repo("greenhouse", description="What we know about our plants")
    kinds = file_kinds.file_kinds()
    first = {
        "README.md": README.encode(),
        "notes/lamp.md": b"# The lamp\n\nIt was replaced in week 16.\n",
        "pictures/leaf.png": picture(320, 220),
        "measurements.csv": table(5000),
        "config.json": b'{"lamp": {"watts": 40, "kelvin": 5000}, "dpi": 300, "plants": ["ficus"]}',
        "code/measure.py": CODE.encode(),
        "notebooks/look.ipynb": _notebook("df.plot()", 7),
        "model/leaf.safetensors": kinds["w.safetensors"],
    }
    put(c, "greenhouse", first, "what there was")
    more = {
        "measurements.parquet": kinds["t.parquet"],
        "measurements.feather": kinds["t.feather"],
        "pipeline.yaml": kinds["d.yaml"],
        "pyproject.toml": kinds["d.toml"],
        "logs/train.log": log(),
        "logs/colours.log": b"\x1b[32mINFO\x1b[0m  begun\n\x1b[1;31mERROR\x1b[0m no stem\n",
        "sounds/fan.wav": kinds["s.wav"],
        "report.pdf": pdf(),
        "model/old.pkl": kinds["m.pkl"],
        "archive/week-13.zip": kinds["a.zip"],
        "archive/week-12.tar.gz": kinds["a.tar.gz"],
        "raw/sensor.bin": kinds["b.bin"],
        "events.jsonl": b"".join(
            json.dumps(
                {"at": f"2026-04-14T02:00:{n % 60:02}Z", "lamp": n % 3, "ok": n % 4 != 0}
            ).encode()
            + b"\n"
            for n in range(300)
        ),
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 90 60'>"
        b"<ellipse cx='45' cy='30' rx='40' ry='18' fill='#5c9a4e'/></svg>",
        "page.html": b"<h1>A page</h1>\n<script>alert(1)</script>\n",
        **{
            f"scans/week-{w:02}/{n:03}.txt": b"leaf\n" * n for w in range(10, 14) for n in range(40)
        },
    }
    put(c, "greenhouse", more, "everything else that lay around")
    changed = table(5000).replace(b"Ficus benjamina,True", b"Ficus elastica,True", 40).split(b"\n")
    del changed[100:104]
    latest: list[FileChange] = [
        PutFile(path="measurements.csv", content=[b"\n".join(changed)]),
        PutFile(path="pictures/leaf.png", content=[picture(320, 220, 0.5)]),
        PutFile(
            path="config.json", content=[b'{"lamp": {"watts": 36, "kelvin": 5000}, "dpi": 600}']
        ),
        PutFile(path="code/measure.py", content=[CODE.replace("row[0]", "row[2]").encode()]),
        PutFile(path="notebooks/look.ipynb", content=[_notebook("df.hist(bins=40)", 9)]),
        PutFile(path="raw/sensor.bin", content=[bytes(range(255, -1, -1)) * 8]),
        DeleteFile(path="events.jsonl"),
    ]
    c.files.modify_files("greenhouse", "master", latest, description="the new lamp, measured again")


def _notebook(source: str, number: int) -> bytes:
    document = json.loads(file_kinds.notebook())
    document["cells"][1].update(source=source, execution_count=number)
    document["cells"].insert(
        1,
        {
            "cell_type": "code",
            "execution_count": 1,
            "outputs": [],
            "source": "import pandas as pd\ndf = pd.read_csv('x.csv')",
        },
    )
    return json.dumps(document).encode()


def _versions(c: Connection) -> None:
    """Branches, tags, a trigger, an open commit, an empty repo."""
    c.tags.create_tag("greenhouse", "week-14", commit="master")
    c.tags.create_tag("greenhouse", "before-the-lamp", commit="master^")
    c.branches.create_branch("greenhouse", "experiment", head="master^")
    put(c, "greenhouse", {"notes/idea.md": b"# Blue light\n"}, "an idea", "experiment")
    trigger = BranchTrigger(source="experiment", commits=10)
    c.branches.create_branch("greenhouse", "reviewed", trigger=trigger)
    put(c, "drafts", {"plan.txt": b"to do\n"}, "a draft")
    c.commits.start_commit("drafts", branch="master", description="being written")
    c.repos.create_repo("incoming", description="Nothing yet")


def _vision(c: Connection) -> None:
    """Another project."""
    c.projects.create_project("vision", description="Pictures of plants, and what we see in them")
    pictures = {f"plant-{n:02}.png": picture(160, 110, n / 4) for n in range(8)}
    put(c, "vision/photos", pictures, "eight plants")
    _pipeline(c, "vision/outlines", "vision/photos", "cp /pfs/photos/* /pfs/out/", "/*")
    _pipeline(c, "vision/montage", "vision/outlines", "ls /pfs/outlines > /pfs/out/list", "/")
    c.jobs.inspect_job("vision/montage", wait=True)
    put(c, "vision/photos", {"plant-08.png": picture(160, 110, 3)}, "one more plant")
    c.jobs.inspect_job("vision/montage", wait=True)


def _pipeline(c: Connection, name: str, repo: str, script: str, glob: str, **more: object) -> None:
    project, _, bare = name.rpartition("/")
    spec: dict[str, object] = {
        "pipeline": {"name": bare, **({"project": {"name": project}} if project else {})},
        "transform": {"cmd": ["bash"], "stdin": [script]},
        "input": {"pfs": {"repo": repo.rpartition("/")[2], "glob": glob}},
        **more,
    }
    c.pipelines.create_pipeline(spec)


def _pipelines(c: Connection) -> None:
    """One of each state."""
    c.secrets.create_secret("lamp-api", data={"token": "YSBzZWNyZXQ=", "user": "Z3JlZW4="})
    check: dict[str, object] = {
        "datum_timeout": "2s",
        "datum_tries": 2,
        "description": "Leaves that can be measured",
    }
    _pipeline(c, "check", "leaves", CHECK, "/*", parallelism_spec={"constant": 2}, **check)
    _pipeline(c, "summary", "check", "ls /pfs/check > /pfs/out/names", "/")
    c.jobs.inspect_job("check", wait=True)
    c.jobs.inspect_job("summary", wait=True)
    _pipeline(c, "count-rows", "greenhouse", "wc -l /pfs/greenhouse/*.csv > /pfs/out/rows", "/")
    for week in range(3):
        rows = {"measurements.csv": table(5000 + week, week)}
        put(c, "greenhouse", rows, f"rows of week {15 + week}")
        c.jobs.inspect_job("count-rows", wait=True)
    _pipeline(c, "archive-scans", "leaves", "true", "/")
    c.jobs.inspect_job("archive-scans", wait=True)
    c.pipelines.stop_pipeline("archive-scans")
    clock = {"cron": {"name": "tick", "spec": "TZ=Europe/Berlin 0 3 * * *", "overwrite": True}}
    nightly = {
        "pipeline": {"name": "nightly-report"},
        "description": "A letter for the morning",
        "transform": {"cmd": ["bash"], "stdin": ["date > /pfs/out/date"]},
        "input": {"cross": [clock, {"pfs": {"repo": "count-rows", "glob": "/"}}]},
    }
    c.pipelines.create_pipeline(nightly)
    c.pipelines.run_cron("nightly-report")
    c.jobs.inspect_job("nightly-report", wait=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = "exec python3 -m http.server $PORT --bind 127.0.0.1 --directory /pfs/train"
    ports = {"internal_port": 8000, "external_port": port}
    _pipeline(c, "model-server", "train", serve, "/", service=ports)
    c.jobs.inspect_job("model-server", wait=True)
    _pipeline(
        c,
        "tune",
        "batches",
        SLOW,
        "/*",
        parallelism_spec={"constant": 2},
        description="Tunes the model on each batch",
    )
    until = time.monotonic() + 120
    while newest(c, "tune").processed < 20 and time.monotonic() < until:
        time.sleep(0.5)
