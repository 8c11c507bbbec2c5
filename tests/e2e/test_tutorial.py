"""The tutorial through the real command line, in the spellings of both generations."""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import stage_images
from s3_objects import new_bucket

ROOT = Path(__file__).resolve().parents[2]
ID = r"[0-9a-f]{12}4[0-9a-f]{19}"
JOB_ROW = re.compile(
    rf"^(?P<id>{ID}) (?P<pipeline>[\w-]+)/(?P<commit>{ID}) +"
    r"(?P<started>\S.*?ago|-) +(?P<duration>\S.*?) +(?P<restart>\d+) +"
    r"(?P<progress>\d+ \+ \d+ / \d+) +(?P<down>\S+) +(?P<up>\S+) +(?P<state>[a-z]+) *$"
)
JOB_HEADER = "ID OUTPUT COMMIT STARTED DURATION RESTART PROGRESS DL UL STATE"
SEVEN_JOBS = [
    ("inference", "2 + 0 / 2"),
    ("train", "1 + 0 / 1"),
    ("pre_process", "1 + 0 / 1"),
    ("inference", "0 + 2 / 2"),
    ("inference", "2 + 0 / 2"),
    ("train", "1 + 0 / 1"),
    ("pre_process", "1 + 0 / 1"),
]

CLASSIC = {
    "version": "pachctl version",
    "create repo": "pachctl create-repo {0}",
    "list repo": "pachctl list-repo",
    "put": "pachctl put-file {0} master {1} -f {2}",
    "overwrite": "pachctl put-file {0} master {1} -c -o -f {2}",
    "list file": "pachctl list-file {0} master",
    "get": "pachctl get-file {0} {1} {2}",
    "create pipeline": "pachctl create-pipeline -f {0}",
    "update pipeline": "pachctl update-pipeline -f {0}",
    "list pipeline": "pachctl list-pipeline",
    "list job": "pachctl list-job",
    "list worker": "pachctl list worker",
    "wait": "pachctl flush-commit {0}/master",
    "inspect commit": "pachctl inspect-commit {0} {1}",
    "inspect json": "pachctl inspect-commit {0} {1} --raw",
    "fsck": "pachctl fsck",
}
SPACED = {
    "version": "trunkline version",
    "create repo": "trunkline create repo {0}",
    "list repo": "trunkline list repo",
    "put": "trunkline put file {0}@master:/{1} -f {2}",
    "overwrite": "trunkline put file {0}@master:/{1} -f {2}",
    "list file": "trunkline list file {0}@master",
    "get": "trunkline get file {0}@{1}:/{2}",
    "create pipeline": "trunkline create pipeline -f {0}",
    "update pipeline": "trunkline update pipeline -f {0}",
    "list pipeline": "trunkline list pipeline",
    "list job": "trunkline list job",
    "list worker": "trunkline list worker",
    "wait": "trunkline flush commit {0}@master",
    "inspect commit": "trunkline inspect commit {0}@{1}",
    "inspect json": "trunkline inspect commit {0}@{1} -o json",
    "fsck": "trunkline fsck",
}


@dataclass
class Finished:
    """The tutorial after its last step, and what its commands printed on the way."""

    say: Callable[..., str]
    classic: bool
    printed: dict[str, str] = field(default_factory=dict)

    def jobs(self, step: str) -> list[dict[str, str]]:
        return read_jobs(self.printed[step])


def read_jobs(table: str) -> list[dict[str, str]]:
    header, *rows = table.splitlines()
    assert header.split() == JOB_HEADER.split()
    matches = [JOB_ROW.match(row) for row in rows]
    assert all(matches), table
    return [match.groupdict() for match in matches if match]


@pytest.fixture(
    params=[
        *((CLASSIC, "files"), (SPACED, "files"), (SPACED, "bucket")),
        *((CLASSIC, "containers"), (SPACED, "containers")),
    ],
    ids=["classic", "spaced", "bucket", "classic in containers", "spaced in containers"],
)
def finished(
    request: pytest.FixtureRequest,
    iris: Path,
    command: Callable[..., subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> Finished:
    words: dict[str, str]
    words, place = request.param
    if place == "bucket":
        bucket = new_bucket()
        settings = {"TRUNKLINE_STORE": f"{bucket.url}/iris", **bucket.environment()}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
    if place == "containers":
        socket = request.getfixturevalue("docker")
        made = stage_images.python_image(socket, "USER worker", shell="/bin/bash")
        stage_images.also_called(socket, made, "trunkline-examples/iris", "1")
        monkeypatch.setenv("TRUNKLINE_RUNTIME", "docker")

    def say(step: str, *arguments: str) -> str:
        return command(*words[step].format(*arguments).split(), cwd=iris).stdout

    done = Finished(say=say, classic=words is CLASSIC)
    keep = done.printed
    keep["version"] = say("version")
    say("create repo", "training")
    say("create repo", "attributes")
    keep["empty repos"] = say("list repo")
    say("put", "training", "iris.csv", "data/iris.csv")
    keep["training files"] = say("list file", "training")
    say("create pipeline", "pre-process.json")
    say("wait", "training")
    keep["first job"] = say("list job")
    keep["prepared files"] = say("list file", "pre_process")
    say("create pipeline", "train.json")
    say("wait", "training")
    keep["first model"] = say("get", "train", "master", "model")
    say("put", "attributes", "test1.csv", "data/test1.csv")
    say("put", "attributes", "test2.csv", "data/test2.csv")
    say("create pipeline", "infer.json")
    say("wait", "attributes")
    keep["three jobs"] = say("list job")
    keep["species"] = say("get", "inference", "master", "test1.csv")
    wider = (iris / "infer.json").read_text().replace('"constant": "1"', '"constant": "3"')
    (iris / "infer3.json").write_text(wider)
    say("update pipeline", "infer3.json")
    say("wait", "attributes")
    keep["four jobs"] = say("list job")
    keep["workers"] = say("list worker")
    begun = time.monotonic()
    say("overwrite", "training", "iris.csv", "data/iris-changed.csv")
    keep["cascade"] = say("list job")
    keep["waited"] = say("wait", "training")
    keep["seconds"] = str(time.monotonic() - begun)
    keep["seven jobs"] = say("list job")
    return done


def test_the_tutorial_ends_as_it_does_in_the_book(finished: Finished) -> None:
    """One long test: each part of it needs all the steps before."""
    check_tables(finished)
    check_jobs(finished)
    check_cascade(finished)
    check_provenance(finished)

    finished.say("fsck")


def check_tables(finished: Finished) -> None:
    check_classic_tables(finished) if finished.classic else check_spaced_tables(finished)


def check_classic_tables(finished: Finished) -> None:
    component, client, server = rows_of(finished.printed["version"])
    assert component == ["COMPONENT", "VERSION"]
    assert [client[0], server[0]] == ["pachctl", "pachd"]
    header, *repos = rows_of(finished.printed["empty repos"])
    assert header == ["NAME", "CREATED", "SIZE"]
    assert [(row[0], row[-1]) for row in repos] == [("attributes", "0B"), ("training", "0B")]
    assert rows_of(finished.printed["training files"]) == [
        ["NAME", "TYPE", "SIZE"],
        ["iris.csv", "file", "4.443KiB"],
    ]
    prepared = rows_of(finished.printed["prepared files"])[1:]
    assert [row[0] for row in prepared] == ["x_train.csv", "y_train.csv"]


def check_spaced_tables(finished: Finished) -> None:
    component, client, server = rows_of(finished.printed["version"])
    assert component == ["COMPONENT", "VERSION"]
    assert [client[0], server[0]] == ["trunkline", "server"]
    header, *repos = rows_of(finished.printed["empty repos"])
    assert header[:3] == ["PROJECT", "NAME", "CREATED"]
    assert [row[1] for row in repos] == ["attributes", "training"]
    assert rows_of(finished.printed["training files"]) == [
        ["SIZE", "NAME"],
        ["4.443KiB", "/iris.csv"],
    ]
    prepared = rows_of(finished.printed["prepared files"])[1:]
    assert [row[-1] for row in prepared] == ["/x_train.csv", "/y_train.csv"]


def rows_of(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()]


def check_jobs(finished: Finished) -> None:
    (first,) = finished.jobs("first job")
    assert (first["pipeline"], first["progress"]) == ("pre_process", "1 + 0 / 1")
    assert (first["down"], first["state"]) == ("4.443KiB", "success")
    assert first["id"] == first["commit"]
    assert finished.printed["species"].split() == [
        "Iris-versicolor",
        *["Iris-virginica"] * 3,
        *["Iris-setosa"] * 2,
    ]
    shown = [(job["pipeline"], job["progress"]) for job in finished.jobs("seven jobs")]
    assert shown == SEVEN_JOBS
    assert {job["state"] for job in finished.jobs("seven jobs")} == {"success"}
    again = finished.jobs("four jobs")[0]
    assert (again["down"], again["up"]) == ("0B", "0B")
    header, *workers = rows_of(finished.printed["workers"])
    assert header == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert len([row for row in workers if row[0].startswith("pipeline-inference-v2-")]) == 3


def check_cascade(finished: Finished) -> None:
    newest = finished.jobs("cascade")[:3]
    assert [job["pipeline"] for job in newest] == ["inference", "train", "pre_process"]
    assert len({job["id"] for job in newest}) == 1
    assert {job["commit"] for job in newest} == {newest[0]["id"]}
    assert float(finished.printed["seconds"]) < 30
    model = finished.say("get", "train", "master", "model")
    assert model != finished.printed["first model"]
    run = newest[0]["id"]
    waited = re.findall(rf"^(\w+) +{run}", finished.printed["waited"], flags=re.MULTILINE)
    assert waited == ["pre_process", "train", "inference"]


def check_provenance(finished: Finished) -> None:
    run = finished.jobs("seven jobs")[0]["id"]
    text = finished.say("inspect commit", "inference", run)
    assert re.search(rf"^Commit: inference[/@]{run}$", text, flags=re.MULTILINE)
    names = ("Parent", "Started", "Finished", "Size", "Provenance")
    assert [n for n in names if not re.search(rf"^{n}: +\S", text, flags=re.MULTILINE)] == []
    sources = re.search(r"^Provenance: (.*)$", text, flags=re.MULTILINE)
    assert sources is not None
    commits = re.findall(rf"(\w+)[/@]({ID})", sources[1])
    assert sorted(repo for repo, _ in commits) == [
        *["__spec__"] * 3,
        "attributes",
        "pre_process",
        "train",
        "training",
    ]
    by_repo = dict(commits)
    old_model = finished.jobs("three jobs")[1]["commit"]
    assert finished.say("get", "train", old_model, "model") == finished.printed["first model"]
    model = finished.say("get", "train", by_repo["train"], "model")
    assert model == finished.say("get", "train", "master", "model")
    document: dict[str, Any] = json.loads(finished.say("inspect json", "inference", run))
    assert document


def test_the_demo_succeeds_and_leaves_nothing_behind(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A short name, so that the socket fits into the data directory.
    temporary = Path(tempfile.mkdtemp(prefix="demo-"))
    monkeypatch.setenv("TMPDIR", str(temporary))

    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "iris" / "demo.py")],
        capture_output=True,
        text=True,
        timeout=180,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "All results are right" in done.stdout
    temporary.rmdir()  # fails unless it is empty
    assert [path for path in (tmp_path / "person").rglob("*") if path.is_file()] == []
    assert not home.exists()


def test_the_three_things_to_try_next_are_commands_that_run(
    home: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    shown = command(sys.executable, str(ROOT / "examples" / "iris" / "demo.py")).stdout
    lines = shown.split("Try next, with data that stays:\n")[1].splitlines()

    printed = [command(*line.split()).stdout for line in lines]

    assert len(lines) == 3
    assert "iris.csv" in printed[-1]
