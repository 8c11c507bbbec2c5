"""A full disk: one clear sentence, nothing lost, nothing half-written, and all well afterwards."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stored_bytes import places_of

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import StorageFull
from trunkline.model.jobs import JobState

SIZE = 24 * 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB; needs the right to mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], capture_output=True
    )
    if made.returncode:
        pytest.skip("a small file system can't be mounted here (needs root)")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def engine(small_disk: Path) -> Iterator[Engine]:
    opened = Engine(load(home=small_disk / "home"))
    opened.repos.create_repo("data")
    yield opened
    opened.close()


def put(engine: Engine, path: str, size: int) -> str:
    content = [os.urandom(65536) for _ in range(size // 65536)]
    return engine.files.modify_files("data", "master", [PutFile(path=path, content=content)]).id


def test_a_put_that_does_not_fit_is_refused_and_changes_nothing(engine: Engine) -> None:
    kept = put(engine, "fits", 4 * 1024 * 1024)

    with pytest.raises(StorageFull, match="no space is left"):
        put(engine, "too-large", 64 * 1024 * 1024)

    head = engine.commits.inspect_commit("data", "master")
    assert head.id == kept
    assert [info.path for info in engine.files.list_files("data", "master", "/")] == ["fits"]
    assert sum(map(len, engine.files.read_file("data", "master", "fits"))) == 4 * 1024 * 1024
    assert engine.admin.fsck().damages == ()


def test_puts_work_again_once_there_is_room(engine: Engine, small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(b"\1" * (SIZE - 8 * 1024 * 1024))
    with pytest.raises(StorageFull):
        put(engine, "a", 16 * 1024 * 1024)

    filler.unlink()
    put(engine, "b", 4 * 1024 * 1024)

    assert [info.path for info in engine.files.list_files("data", "master", "/")] == ["b"]
    assert engine.admin.fsck().damages == ()


def test_a_purge_that_meets_a_full_disk_ends_once_there_is_room(
    engine: Engine, small_disk: Path
) -> None:
    """Wherever that happens: it needs some room to begin, and as much as the catalog at its end."""
    refused = 0
    for number, room in enumerate(range(0, 1024 * 1024, 128 * 1024)):
        secret = f"secret-of-jane-{number}"
        changes = [PutFile(path=p, content=[p.encode()]) for p in (secret, f"keep-{number}")]
        engine.files.modify_files("data", "master", changes)
        filler = fill(small_disk)
        os.truncate(filler, filler.stat().st_size - room)
        try:
            engine.purges.purge([f"data:/{secret}"], forget_names=True)
        except StorageFull:
            refused += 1
        paths = [info.path for info in engine.files.list_files("data", "master", "/")]
        assert f"keep-{number}" in paths

        filler.unlink()
        until(lambda: all(purge.state == "done" for purge in engine.purges.list_purges()))
        if len(engine.purges.list_purges()) == number:  # it never began
            engine.purges.purge([f"data:/{secret}"], forget_names=True)

        assert places_of(small_disk / "home", secret) == []
    assert refused
    assert engine.admin.fsck().damages == ()


def test_a_job_whose_output_does_not_fit_fails_with_the_reason(engine: Engine) -> None:
    put(engine, "seed", 65536)
    engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": "large"},
            "transform": {
                "cmd": ["sh"],
                "stdin": ["head -c 60000000 /dev/urandom > /pfs/out/large"],
            },
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "datum_tries": 1,
        }
    )
    [job] = engine.jobs.list_jobs()

    ended = engine.jobs.inspect_job(f"large@{job.id}", wait=True, timeout_s=60)

    assert ended.state is JobState.FAILURE
    assert engine.admin.fsck().damages == ()
    put(engine, "after", 65536)


def test_a_job_that_meets_a_full_disk_goes_on_once_there_is_room(
    engine: Engine, small_disk: Path
) -> None:
    put(engine, "seed", 65536)
    gate = small_disk / "gate"
    engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": "copy"},
            "transform": {
                "cmd": ["sh"],
                "stdin": [f"while [ ! -e {gate} ]; do sleep 0.05; done; cp $data /pfs/out/"],
            },
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "datum_tries": 1000,
        }
    )
    [job] = engine.jobs.list_jobs()
    until(lambda: engine.jobs.list_workers() and engine.jobs.list_workers()[0].datum)
    filler = fill(small_disk)
    gate.touch()  # an empty file takes no space

    for _ in range(20):  # the job can't be finished while nothing can be written
        time.sleep(0.1)
        assert not engine.jobs.inspect_job(f"copy@{job.id}").state.ended
    filler.unlink()

    ended = engine.jobs.inspect_job(f"copy@{job.id}", wait=True, timeout_s=60)
    assert ended.state is JobState.SUCCESS, ended.reason
    assert engine.admin.fsck().damages == ()


def fill(disk: Path) -> Path:
    """Take every byte that is left, in pieces down to the smallest."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 65536, 4096, 1):
            while True:
                try:
                    file.write(b"\1" * size)
                except OSError:
                    break
    return filler


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)
