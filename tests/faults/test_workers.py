"""Workers that die, freeze or come back late: every datum's effect is there exactly once."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.model.jobs import JobInfo, JobState, WorkerInfo


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "TRUNKLINE_LEASE_S": "5"}
    opened = Engine(load(environment, home=tmp_path / "home"))
    opened.repos.create_repo("data")
    changes = [PutFile(path=f"{n:02}", content=[f"{n}\n".encode()]) for n in range(20)]
    opened.files.modify_files("data", "master", changes)
    yield opened
    opened.close()


def run(engine: Engine, script: str, **more: object) -> str:
    engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": "copy"},
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "transform": {"cmd": ["sh"], "stdin": [script]},
            "parallelism_spec": {"constant": 2},
            **more,
        }
    )
    [job] = engine.jobs.list_jobs(pipeline="copy", number=1)
    return f"copy@{job.id}"


def busy_worker(engine: Engine) -> WorkerInfo:
    return until(lambda: next((w for w in engine.jobs.list_workers() if w.job), None))


def until(found: Callable[[], object]):
    deadline = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


def ended(engine: Engine, job: str) -> JobInfo:
    return engine.jobs.inspect_job(job, wait=True, timeout_s=90)


def output(engine: Engine) -> dict[str, bytes]:
    return {
        info.path: b"".join(engine.files.read_file("copy", "master", info.path))
        for info in engine.files.list_files("copy", "master", "/")
    }


EXPECTED = {f"{n:02}": f"{n}\n".encode() for n in range(20)}
SLOW_COPY = "sleep 0.1; cp $data /pfs/out/"


def test_killed_workers_lose_nothing_and_do_nothing_twice(engine: Engine) -> None:
    job = run(engine, SLOW_COPY)

    for _ in range(3):
        os.kill(busy_worker(engine).pid, signal.SIGKILL)
        time.sleep(0.15)
    done = ended(engine, job)

    assert (done.state, done.processed, done.total) == (JobState.SUCCESS, 20, 20), done.reason
    assert output(engine) == EXPECTED
    assert engine.admin.fsck().damages == ()


def test_what_a_killed_worker_started_dies_with_it(engine: Engine) -> None:
    job = run(engine, "exec sleep 981")
    worker = busy_worker(engine)

    os.kill(worker.pid, signal.SIGKILL)
    until(lambda: worker.name not in {w.name for w in engine.jobs.list_workers()})
    engine.jobs.stop_job(job)

    until(lambda: not sleeping("981"))


def test_a_frozen_worker_is_given_up_and_its_datums_run_elsewhere(engine: Engine) -> None:
    job = run(engine, SLOW_COPY)

    frozen = busy_worker(engine)
    os.kill(frozen.pid, signal.SIGSTOP)
    done = ended(engine, job)

    assert (done.state, done.processed) == (JobState.SUCCESS, 20), done.reason
    assert output(engine) == EXPECTED
    until(lambda: frozen.name not in {w.name for w in engine.jobs.list_workers()})


def test_a_datum_that_kills_its_worker_each_time_fails_in_the_end(engine: Engine) -> None:
    script = "if [ $data = /pfs/data/07 ]; then kill -9 $PPID; sleep 60; fi; cp $data /pfs/out/"
    job = run(engine, script)

    done = ended(engine, job)

    assert (done.state, done.processed, done.failed) == (JobState.FAILURE, 19, 1)
    assert "its worker was killed or fell silent 8 times" in done.reason


def test_the_worker_host_can_die_too(engine: Engine) -> None:
    job = run(engine, SLOW_COPY)
    worker = busy_worker(engine)

    os.kill(parent(worker.pid), signal.SIGKILL)
    done = ended(engine, job)

    assert (done.state, done.processed) == (JobState.SUCCESS, 20), done.reason
    assert output(engine) == EXPECTED


def sleeping(seconds: str) -> list[Path]:
    def is_it(process: Path) -> bool:
        try:
            return (process / "cmdline").read_bytes() == f"sleep\0{seconds}\0".encode()
        except OSError:
            return False

    return [process for process in Path("/proc").glob("[0-9]*") if is_it(process)]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
