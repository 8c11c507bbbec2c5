"""User code that does what it should not: its own datum may suffer, nothing else does."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from memory_groups import memory_group

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.model.jobs import JobInfo, JobState

FILES = {"a": b"apple\n", "b": b"bear\n", "c": b"cat\n"}
SMALL_BYTES = 8 * 1024 * 1024
SMALL_MEMORY_BYTES = 256 * 1024 * 1024


@pytest.fixture
def open_engine(tmp_path: Path) -> Iterator[Callable[[], Engine]]:
    opened: list[Engine] = []

    def open_it() -> Engine:
        environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        opened.append(Engine(load(environment, home=tmp_path / "home")))
        opened[-1].repos.create_repo("data")
        changes = [PutFile(path=path, content=[text]) for path, text in FILES.items()]
        opened[-1].files.modify_files("data", "master", changes)
        return opened[-1]

    yield open_it
    for engine in opened:
        engine.close()


@pytest.fixture
def engine(open_engine: Callable[[], Engine]) -> Engine:
    return open_engine()


def run(engine: Engine, script: str, name: str = "made", **more: object) -> JobInfo:
    """The ended job of a pipeline with one worker, so that all datums have the same slot."""
    engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "transform": {"cmd": ["sh"], "stdin": [script]},
            "datum_tries": 1,
            **more,
        }
    )
    [job] = engine.jobs.list_jobs(pipeline=name, number=1)
    return engine.jobs.inspect_job(f"{name}@{job.id}", wait=True, timeout_s=90)


def files(engine: Engine, repo: str) -> dict[str, bytes]:
    return {
        info.path: b"".join(engine.files.read_file(repo, "master", info.path))
        for info in engine.files.list_files(repo, "master", "/", recursive=True)
    }


def all_well(engine: Engine) -> bool:
    """Whether a pipeline made now copies everything as it was put."""
    job = run(engine, "cp $data /pfs/out/", name="after")
    found = files(engine, "after")
    return job.state is JobState.SUCCESS and found == FILES and not engine.admin.fsck().damages


WRITERS = {
    "appends": "echo x >> $data",
    "takes the permission first": "chmod -R u+w /pfs/data; echo x >> $data",
    "deletes": "rm -rf $data /pfs/data",
    "puts others in their place": "mv /pfs/data /pfs/old; mkdir /pfs/data; echo x > $data",
    "mounts over them": "mount -t tmpfs tmpfs /pfs/data; mount -o remount,rw /pfs; echo x > $data",
    "writes through a link": "ln -s $data /pfs/out/link; echo x >> /pfs/out/link; rm /pfs/out/link",
}


@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_done_to_inputs_is_seen_by_nobody_else(engine: Engine, kind: str) -> None:
    """Not by the datums that come after it on the same worker, nor in the commit."""
    script = f"cp $data /pfs/out/; ( {WRITERS[kind]} ) 2>/dev/null; exit 0"

    job = run(engine, script)

    assert job.state is JobState.SUCCESS, job.reason
    assert files(engine, "made") == FILES
    assert all_well(engine)


def test_code_that_closes_its_output_runs_to_its_end(engine: Engine) -> None:
    job = run(engine, "exec >&- 2>&- <&-; sleep 0.3; cp $data /pfs/out/")

    assert job.state is JobState.SUCCESS, job.reason
    assert files(engine, "made") == FILES


def test_a_daemon_writes_into_no_later_datum(engine: Engine) -> None:
    """It forks twice, leaves the session, ignores signals, and holds /pfs/out open."""
    daemon = "trap '' TERM HUP INT; cd /pfs/out; while :; do echo x > daemon; sleep 0.01; done"
    script = f"cp $data /pfs/out/; (setsid sh -c '(setsid sh -c \"{daemon}\" &) &' &) & exit 0"

    job = run(engine, script)

    assert job.state in (JobState.SUCCESS, JobState.FAILURE)
    assert all_well(engine)


def test_stopping_a_job_ends_code_that_ignores_signals(engine: Engine) -> None:
    engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": "made"},
            "input": {"pfs": {"repo": "data", "glob": "/"}},
            "transform": {"cmd": ["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 975; done"]},
        }
    )
    [job] = engine.jobs.list_jobs(pipeline="made")
    name = f"made@{job.id}"
    until(lambda: any(worker.datum for worker in engine.jobs.list_workers()))

    engine.jobs.stop_job(name)

    assert engine.jobs.inspect_job(name, wait=True, timeout_s=60).state is JobState.KILLED
    assert all_well(engine)
    until(lambda: not _running("sleep\0975\0"))


def test_code_that_fills_memory_fails_its_datum_alone(engine: Engine) -> None:
    greedy = 'exec python3 -c "x = bytearray(3 << 30)"'
    with memory_group(SMALL_MEMORY_BYTES) as group:
        joined = f"echo $$ > {group}/cgroup.procs"
        script = f"if [ $data = /pfs/data/b ]; then {joined}; {greedy}; fi; cp $data /pfs/out/"

        job = run(engine, script)

    assert (job.state, job.processed, job.failed) == (JobState.FAILURE, 2, 1)
    assert "SIGKILL" in job.reason
    assert all_well(engine)


def test_code_that_fills_the_scratch_directory_fails_its_datum_alone(
    tmp_path: Path, open_engine: Callable[[], Engine]
) -> None:
    scratch = tmp_path / "home" / "scratch"
    engine = open_engine()
    scratch.mkdir(exist_ok=True)
    options = f"size={SMALL_BYTES}"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", scratch], check=False)
    if made.returncode:
        pytest.skip("a small file system can't be mounted here (needs root)")
    try:
        fill = "if [ $data = /pfs/data/b ]; then yes > /pfs/out/full || exit 7; fi; "
        job = run(engine, fill + "cp $data /pfs/out/")

        assert (job.state, job.processed, job.failed) == (JobState.FAILURE, 2, 1), job.reason
        assert "No space left on device" in job.reason
        assert all_well(engine)
    finally:
        engine.close()
        subprocess.run(["umount", "-l", scratch], check=True)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _running(command: str) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes() == command.encode():
                return True
        except OSError:
            continue
    return False
