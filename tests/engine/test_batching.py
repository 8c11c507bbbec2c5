"""Pipelines whose command asks for one datum after the other (`datum_batching`)."""

import sys
from pathlib import Path
from typing import Any

import pytest

from trunkline.model.jobs import DatumState, JobState

BATCHING = {"datum_batching": True}
SHELL = """
echo started
while pachctl next datum; do
  . /pfs/.env
  echo "at $data"
  cp "$data" /pfs/out/
done
"""
# Asks as the command does, without paying for a command line each time.
PYTHON = """
import json, os, pathlib, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect(os.environ["TRUNKLINE_NEXT_DATUM"])
talk = line.makefile("rw")
def ask(error=""):
    talk.write(json.dumps({"error": error}) + "\\n")
    talk.flush()
    found = json.loads(talk.readline())["env"]
    path = pathlib.Path(found["data"])
    return path.name, path.read_text(), pathlib.Path("/pfs/out", path.name)
"""


@pytest.fixture
def data(engine):
    engine.engine.repos.create_repo("data")
    engine.put("data", {name: f"{name}\n" for name in "abcdef"})
    return engine


def batching(driver: Any, name: str, script: str, **more: Any) -> None:
    """A pipeline with one Python process for all its datums."""
    cmd = [sys.executable, "-c", PYTHON + script]
    transform = {"cmd": cmd, "stdin": [], **BATCHING, **more.pop("transform", {})}
    driver.pipeline(name, "", transform=transform, **more)


def datums(driver: Any, job: Any) -> dict[str, Any]:
    found = driver.engine.datums.list_datums(f"{job.pipeline}@{job.id}")
    return {info.inputs[0].path: info for info in found}


def logs_of(driver: Any, job: Any) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {path: [] for path in datums(driver, job)}
    names = {info.id: path for path, info in datums(driver, job).items()}
    for line in driver.engine.datums.get_logs(job=f"{job.pipeline}@{job.id}"):
        said[names[line.datum]].append(line.message)
    return said


def test_a_shell_script_that_asks_for_each_datum_works_as_in_pachyderm(data) -> None:
    data.pipeline("made", SHELL, transform=BATCHING)

    job = data.job("made")

    assert (job.state, job.processed, job.reason) == (JobState.SUCCESS, 6, "")
    assert data.tree("made") == {name: f"{name}\n" for name in "abcdef"}
    said = logs_of(data, job)
    assert all(said[name][-1] == f"at /pfs/data/{name}" for name in "abcdef")


def test_outputs_and_logs_belong_to_their_datum(data) -> None:
    batching(
        data,
        "made",
        "while True:\n name, text, out = ask(); print(name, flush=True); out.write_text(text * 2)",
    )

    job = data.job("made")

    assert data.tree("made") == {name: f"{name}\n{name}\n" for name in "abcdef"}
    assert logs_of(data, job) == {name: [name] for name in "abcdef"}
    assert {info.state for info in datums(data, job).values()} == {DatumState.SUCCESS}


def test_results_are_remembered_and_vanish_with_their_inputs(data) -> None:
    batching(data, "made", "while True: name, text, out = ask(); out.write_text(text)")
    data.job("made")

    data.put("data", {"a": "new\n"})
    changed = data.job("made")
    data.delete("data", "b")
    gone = data.job("made")

    assert (changed.processed, changed.skipped) == (1, 5)
    assert (gone.processed, gone.skipped) == (0, 5)
    assert data.tree("made") == {"a": "new\n"} | {name: f"{name}\n" for name in "cdef"}


def test_a_crash_costs_its_datum_a_try_and_the_others_nothing(data) -> None:
    script = """
while True:
    name, text, out = ask()
    out.write_text(text)
    print("at", name, flush=True)
    if name == "c": os._exit(9)
"""
    batching(data, "made", script, datum_tries=2)

    job = data.job("made")

    assert (job.state, job.processed, job.failed) == (JobState.FAILURE, 5, 1)
    assert "the command exited with code 9" in job.reason
    found = datums(data, job)
    assert {name: info.tries for name, info in found.items()} == dict.fromkeys("abdef", 1) | {
        "c": 2
    }
    assert logs_of(data, job)["c"].count("at c") == 2


def test_an_error_that_is_told_is_the_reason_and_may_be_recovered_from(data) -> None:
    script = """
error = ""
while True:
    name, text, out = ask(error)
    out.write_text(text)
    error = "no header" if name == "c" else ""
"""
    batching(data, "made", script, datum_tries=1)
    failed = data.job("made")
    recovering = {"err_cmd": ["true"]}
    batching(data, "mild", script, datum_tries=1, transform=recovering)
    recovered = data.job("mild")

    assert (failed.state, failed.failed) == (JobState.FAILURE, 1)
    assert "no header" in failed.reason
    assert (recovered.state, recovered.recovered) == (JobState.SUCCESS, 1)
    assert "c" not in data.tree("mild")


def test_a_command_that_never_asks_fails_with_what_to_do(data) -> None:
    data.pipeline("made", "true", transform=BATCHING, datum_tries=1)

    assert "pachctl next datum" in data.job("made").reason


def test_few_processes_serve_many_datums(engine) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {f"{number:03}": "x" for number in range(300)})
    batching(
        engine,
        "made",
        "pid = os.getpid()\nwhile True: name, text, out = ask(); out.write_text(str(pid))",
    )

    job = engine.job("made")

    assert (job.state, job.processed) == (JobState.SUCCESS, 300)
    assert len(set(engine.tree("made").values())) < 30


def test_a_killed_worker_takes_its_process_along_and_each_datum_counts_once(data, tmp_path) -> None:
    script = f"""
first = pathlib.Path({str(tmp_path / "killed")!r})
while True:
    name, text, out = ask()
    out.write_text(text)
    if name == "c" and not first.exists():
        first.touch()
        os.kill(os.getppid(), 9)
"""
    batching(data, "made", script)

    job = data.job("made")

    assert (job.state, job.processed) == (JobState.SUCCESS, 6)
    assert data.tree("made") == {name: f"{name}\n" for name in "abcdef"}
    assert {info.tries for info in datums(data, job).values()} == {1}


def test_nothing_is_alive_once_the_job_has_ended(data) -> None:
    script = """
import subprocess
subprocess.Popen(["sleep", "979"], start_new_session=True)
while True: name, text, out = ask(); out.write_text(text)
"""
    batching(data, "made", script)

    assert data.job("made").state is JobState.SUCCESS
    assert not [
        entry for entry in Path("/proc").glob("[0-9]*/cmdline") if b"sleep\x00979" in _read(entry)
    ]


def test_a_spec_with_datum_batching_has_no_warning(data) -> None:
    batching(data, "made", "while True: ask()")

    assert data.engine.pipelines.inspect_pipeline("made").warnings == ()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("spec", "sizes"),
    [
        ({"datum_set_spec": {"number": 4}}, [4, 2]),
        ({"datum_set_spec": {"size_bytes": 3}}, [2, 2, 2]),
        ({"datum_set_spec": {"per_worker": 2}}, [3, 3]),
        ({"chunk_spec": {"number": "5"}, "max_queue_size": 3}, [3, 3]),
    ],
)
def test_the_spec_sizes_the_batches_that_a_process_serves(data, spec, sizes) -> None:
    script = "while True:\n  name, text, out = ask()\n  out.write_text(str(os.getpid()))\n"
    batching(data, "made", script, **spec)

    assert data.job("made").state is JobState.SUCCESS
    written = data.tree("made")
    processes = [written[name] for name in sorted(written)]
    assert [processes.count(pid) for pid in dict.fromkeys(processes)] == sizes
