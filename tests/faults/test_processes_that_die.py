"""A server, a worker or a user's command that is killed or frozen in the middle of a job."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from process_ends import has_ended

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.model.jobs import DatumInfo, DatumState, JobInfo, JobState, WorkerInfo

LEASE_S = 3
FILES = 6
EXPECTED = {f"{n}": f"{n}\n".encode() for n in range(FILES)}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    environment = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "TRUNKLINE_LEASE_S": str(LEASE_S),
    }
    opened = Engine(load(environment, home=tmp_path / "home"))
    opened.repos.create_repo("data")
    changes = [PutFile(path=path, content=[text]) for path, text in EXPECTED.items()]
    opened.files.modify_files("data", "master", changes)
    yield opened
    opened.close()


def spec(script: str, **more: object) -> dict[str, object]:
    return {
        "pipeline": {"name": "copy"},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": [script]},
        **more,
    }


def start(engine: Engine, script: str, **more: object) -> str:
    engine.pipelines.create_pipeline(spec(script, **more))
    [job] = engine.jobs.list_jobs(pipeline="copy", number=1)
    return f"copy@{job.id}"


def ended(engine: Engine, job: str) -> JobInfo:
    return engine.jobs.inspect_job(job, wait=True, timeout_s=90)


def output(engine: Engine) -> dict[str, bytes]:
    return {
        info.path: b"".join(engine.files.read_file("copy", "master", info.path))
        for info in engine.files.list_files("copy", "master", "/")
    }


def until(found: Callable[[], object]):
    deadline = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


def written(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text()
    return ""


# --- the user's command ---------------------------------------------------------------------------


def test_a_command_that_was_killed_is_tried_again(engine: Engine, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"[ -e {pid} ] || {{ echo $$ > {pid}; exec sleep 971; }}; cp $data /pfs/out/"
    job = start(engine, script)

    os.kill(int(until(lambda: written(pid).strip())), signal.SIGKILL)
    done = ended(engine, job)

    assert (done.state, done.processed) == (JobState.SUCCESS, FILES), done.reason
    assert output(engine) == EXPECTED


def test_a_command_that_is_killed_each_time_fails_its_datum_alone(engine: Engine) -> None:
    job = start(engine, "[ $data = /pfs/data/3 ] && kill -9 $$; cp $data /pfs/out/", datum_tries=2)

    done = ended(engine, job)

    assert (done.state, done.processed, done.failed) == (JobState.FAILURE, FILES - 1, 1)
    assert "the command was killed by signal SIGKILL (9)" in done.reason
    [failed] = by_state(engine, job)[DatumState.FAILED]
    assert [file.path.strip("/") for file in failed.inputs] == ["3"]


def test_a_frozen_command_is_ended_by_its_timeout(engine: Engine) -> None:
    script = "[ $data = /pfs/data/3 ] && kill -STOP $$; cp $data /pfs/out/"
    job = start(engine, script, datum_tries=1, datum_timeout="1s")

    done = ended(engine, job)

    assert (done.state, done.processed, done.failed) == (JobState.FAILURE, FILES - 1, 1)
    assert "the command timed out after 1 s" in done.reason


# --- a worker -------------------------------------------------------------------------------------


def test_a_worker_that_wakes_up_after_its_lease_changes_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    """Frozen with its datum; another one does the work; then the first one is let go on."""
    began, gate = tmp_path / "began", tmp_path / "gate"
    script = f"echo $$ >> {began}; while [ ! -e {gate} ]; do sleep 0.05; done; cp $data /pfs/out/"
    job = start(engine, script)
    frozen = until(lambda: next((w for w in engine.jobs.list_workers() if w.job), None))
    command = int(until(lambda: written(began).split())[0])

    os.kill(frozen.pid, signal.SIGSTOP)
    until(lambda: frozen.name not in {w.name for w in engine.jobs.list_workers()})
    with contextlib.suppress(ProcessLookupError):
        os.kill(frozen.pid, signal.SIGCONT)
    until(lambda: has_ended(command))  # what a lost worker ran is not left behind
    gate.touch()
    done = ended(engine, job)

    assert (done.state, done.processed) == (JobState.SUCCESS, FILES), done.reason
    assert output(engine) == EXPECTED
    assert {datum.worker for datum in by_state(engine, job)[DatumState.SUCCESS]}.isdisjoint(
        {frozen.name}
    )


def test_a_frozen_worker_with_much_to_take_holds_up_nobody(tmp_path: Path) -> None:
    """It is silent, like one with little to take, and nothing else."""
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "TRUNKLINE_LEASE_S": "600"}
    engine = Engine(load(environment, home=tmp_path / "home"))
    try:
        for repo in ("data", "other"):
            engine.repos.create_repo(repo)
        batches = {"datum_set_spec": {"number": 4000}, "parallelism_spec": {"constant": 1}}
        engine.pipelines.create_pipeline(spec("true", **batches))
        [frozen] = until(lambda: ready(engine))
        os.kill(frozen.pid, signal.SIGSTOP)
        many = [PutFile(path=f"{n:0200}", content=[b"x"]) for n in range(4000)]
        engine.files.modify_files("data", "master", many)
        [waits] = engine.jobs.list_jobs(pipeline="copy", number=1)
        until(lambda: engine.jobs.list_workers(pipeline="copy")[0].job)

        beside = spec("cp $other/a /pfs/out/")
        beside |= {"pipeline": {"name": "beside"}, "input": {"pfs": {"repo": "other", "glob": "/"}}}
        engine.pipelines.create_pipeline(beside)
        engine.files.modify_files("other", "master", [PutFile(path="a", content=[b"a"])])
        [quick] = engine.jobs.list_jobs(pipeline="beside", number=1)
        assert ended(engine, f"beside@{quick.id}").state is JobState.SUCCESS
        assert [w.pid for w in engine.jobs.list_workers(pipeline="copy")] == [frozen.pid]
        os.kill(frozen.pid, signal.SIGCONT)

        done = ended(engine, f"copy@{waits.id}")
        assert (done.state, done.processed) == (JobState.SUCCESS, 4000)
        assert [w.pid for w in engine.jobs.list_workers(pipeline="copy")] == [frozen.pid]
    finally:
        engine.close()


def ready(engine: Engine) -> list[WorkerInfo]:
    return [worker for worker in engine.jobs.list_workers() if worker.status == "Running"]


def by_state(engine: Engine, job: str) -> dict[DatumState, list[DatumInfo]]:
    found: dict[DatumState, list[DatumInfo]] = {}
    for datum in engine.datums.list_datums(job):
        found.setdefault(datum.state, []).append(datum)
    return found


# --- the server -----------------------------------------------------------------------------------


@pytest.fixture
def served(home: Path, tmp_path: Path, command: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server of its own with a job at work: each datum waits for a file named `gate`."""
    monkeypatch.setenv("TRUNKLINE_LEASE_S", str(LEASE_S))
    source = tmp_path / "source"
    source.mkdir()
    for name, text in EXPECTED.items():
        (source / name).write_bytes(text)
    gate, began = tmp_path / "gate", tmp_path / "began"
    script = f"echo $$ >> {began}; while [ ! -e {gate} ]; do sleep 0.05; done; cp $data /pfs/out/"
    (tmp_path / "copy.json").write_text(json.dumps(spec(script)))
    command("trunkline", "create", "repo", "data")
    command("trunkline", "put", "file", "-r", "data@master:/", "-f", str(source))
    command("trunkline", "create", "pipeline", "-f", str(tmp_path / "copy.json"))
    until(lambda: written(began))
    return tmp_path


def server_pid(home: Path) -> int:
    return int(json.loads((home / "server.json").read_text())["pid"])


def test_a_killed_server_takes_its_workers_along_and_the_next_one_goes_on(
    served: Path, home: Path, command: Run
) -> None:
    user_code = int(written(served / "began").split()[0])

    os.kill(server_pid(home), signal.SIGKILL)
    until(lambda: has_ended(user_code))
    (served / "gate").touch()
    command("trunkline", "flush", "commit", "data@master")

    assert_copied(command)


def test_a_server_that_was_frozen_for_longer_than_a_lease_loses_nothing(
    served: Path, home: Path, command: Run
) -> None:
    pid = server_pid(home)

    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(LEASE_S + 1)
    finally:
        os.kill(pid, signal.SIGCONT)
    (served / "gate").touch()
    command("trunkline", "flush", "commit", "data@master")

    assert_copied(command)


def assert_copied(command: Run) -> None:
    listed = json.loads(command("trunkline", "list", "job", "-o", "json").stdout)
    assert [(job["state"], job["reason"]) for job in listed] == [("success", "")]
    assert listed[0]["processed"] == FILES
    for name, text in EXPECTED.items():
        got = command("trunkline", "get", "file", f"copy@master:/{name}").stdout
        assert got.encode() == text
    command("trunkline", "fsck")
