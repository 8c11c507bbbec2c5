"""Pipelines with Python packages of their own: what code finds, and what stays as it was."""

import json
import os
import shutil
import signal
import sqlite3
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stage_images
from wheels import offline, sdist, wheel

from trunkline.api.changes import PutFile
from trunkline.errors import (
    InvalidInput,
    InvalidSpec,
    NotSupported,
    OperationFailed,
    PipelineNotFound,
)
from trunkline.model.jobs import JobState

ASKS = (
    'python3 -c "import alpha; print(alpha.VERSION)" > /pfs/out/$(basename $data) && '
    'say-alpha && echo "env $VIRTUAL_ENV"'
)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "wheels"
    wheel(place, "alpha", "1.0", needs=("beta",))
    wheel(place, "beta", "1.0")
    for name, value in offline(place, tmp_path / "uv-cache").items():
        monkeypatch.setenv(name, value)
    return place


@pytest.fixture
def data(wheels: Path, engine: Any) -> Any:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "apple\n", "b": "bear\n"})
    return engine


def asks(driver: Any, requirements: str, script: str = ASKS, **more: Any) -> Any:
    driver.pipeline("made", script, transform={"requirements": requirements}, **more)
    return driver.job("made")


def with_code(driver: Any, files: dict[str, str], requirements: str, **more: Any) -> Any:
    changes = [PutFile(path=path, content=[text.encode()]) for path, text in files.items()]
    spec = {
        "pipeline": {"name": "made"},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
        "transform": {
            "cmd": ["python3", "/code/run.py"],
            "code": "src",
            "requirements": requirements,
        },
    }
    root = driver.engine.files.create_file_set(changes).root
    driver.engine.pipelines.create_pipeline(spec, code=root, **more)
    return driver.job("made")


def test_code_runs_with_the_packages_that_it_asks_for(data) -> None:
    job = asks(data, "alpha")
    info = data.engine.pipelines.inspect_pipeline("made")

    assert job.state is JobState.SUCCESS, job.reason
    assert data.tree("made") == {"a": "1.0\n", "b": "1.0\n"}
    assert "alpha 1.0" in data.logs("made")
    assert info.packages == job.packages == ("alpha==1.0", "beta==1.0")
    assert not [warning for warning in info.warnings if "requirements" in warning]
    lock = data.read("__spec__", "requirements.lock", info.spec_commit)
    assert "alpha==1.0 \\\n    --hash=sha256:" in lock


def test_an_environment_is_shared_by_workers_pipelines_and_lives_of_the_server(
    data, open_engine
) -> None:
    asks(data, "alpha", parallelism_spec={"constant": 2})
    data.pipeline("other", ASKS, transform={"requirements": "alpha"})
    data.job("other")
    data.engine.close()
    [built] = (data.home / "cache" / "environments").glob("[!.]*")
    before = built.stat().st_ino

    again = open_engine(data.home)
    again.put("data", {"c": "cat\n"})

    assert again.job("made").state is JobState.SUCCESS
    [found] = (data.home / "cache" / "environments").glob("[!.]*")
    assert (found, found.stat().st_ino) == (built, before)


def test_an_update_keeps_the_locked_versions_until_they_are_renewed(data, wheels) -> None:
    asks(data, "alpha")
    wheel(wheels, "alpha", "2.0", needs=("beta",))

    kept = asks(data, "alpha", update=True)
    renewed = data.engine.pipelines.create_pipeline(
        data.engine.pipelines.inspect_pipeline("made").spec, update=True, renew_packages=True
    )
    job = data.job("made")

    assert (kept.packages, kept.skipped) == (("alpha==1.0", "beta==1.0"), 2)
    assert renewed.packages == ("alpha==2.0", "beta==1.0")
    assert (job.state, job.processed) == (JobState.SUCCESS, 2)
    assert data.tree("made") == {"a": "2.0\n", "b": "2.0\n"}
    first = data.engine.pipelines.inspect_pipeline("made", version=1)
    assert first.packages == ("alpha==1.0", "beta==1.0")


def test_asking_for_one_more_package_leaves_the_others_and_asking_for_the_same_skips_all(
    data, wheels
) -> None:
    asks(data, "alpha")
    wheel(wheels, "alpha", "2.0", needs=("beta",))
    wheel(wheels, "gamma", "5.0")

    remark = asks(data, "# what it needs\nalpha\n", update=True)
    more = asks(data, "alpha\ngamma", update=True)

    assert (remark.packages, remark.processed) == (("alpha==1.0", "beta==1.0"), 0)
    assert more.packages == ("alpha==1.0", "beta==1.0", "gamma==5.0")
    assert more.processed == 2


def test_a_rerun_has_the_same_packages(data, wheels) -> None:
    asks(data, "alpha")
    wheel(wheels, "alpha", "2.0", needs=("beta",))

    data.engine.pipelines.rerun_pipeline("made", reprocess=True)
    job = data.job("made")

    assert (job.state, job.processed, job.packages[0]) == (JobState.SUCCESS, 2, "alpha==1.0")


def test_requirements_may_be_a_file_of_the_code_that_includes_others(data, wheels) -> None:
    files = {
        "run.py": "import alpha, gamma, os\n"
        "name = os.path.basename(os.environ['data'])\n"
        "open('/pfs/out/' + name, 'w').write(alpha.VERSION + gamma.VERSION)\n",
        "needs/all.txt": "-r more.txt\nalpha\n",
        "needs/more.txt": "gamma\n",
    }
    wheel(wheels, "gamma", "5.0")

    job = with_code(data, files, "needs/all.txt")
    wheel(wheels, "gamma", "6.0")
    kept = with_code(data, {**files, "remark": "x"}, "needs/all.txt", update=True)
    other = with_code(data, {**files, "needs/more.txt": "gamma>5\n"}, "needs/all.txt", update=True)

    assert job.state is JobState.SUCCESS, job.reason
    assert data.tree("made", job.id) == {"a": "1.05.0", "b": "1.05.0"}
    assert kept.packages == ("alpha==1.0", "beta==1.0", "gamma==5.0")
    assert other.packages == ("alpha==1.0", "beta==1.0", "gamma==6.0")


def test_a_file_that_is_not_in_the_code_is_named(data) -> None:
    with pytest.raises(InvalidInput, match=r"'needs\.txt', but transform\.code has no such file"):
        with_code(data, {"run.py": ""}, "needs.txt")
    with pytest.raises(InvalidInput, match=r"'needs\.txt', but the spec has no transform\.code"):
        asks(data, "needs.txt")


def test_what_can_not_be_resolved_is_said_when_the_pipeline_is_created(data) -> None:
    with pytest.raises(OperationFailed, match=r"can't be resolved: .*delta"):
        asks(data, "delta>3")

    with pytest.raises(PipelineNotFound):
        data.engine.pipelines.inspect_pipeline("made")


@pytest.mark.parametrize("line", ["--find-links wheels", "-f wheels", "--find-links=./wheels"])
def test_a_relative_directory_of_packages_is_refused(data, line: str) -> None:
    with pytest.raises(InvalidInput, match="relative directory"):
        asks(data, f"{line}\nalpha")


def test_places_in_the_requirements_are_used_for_the_environment_too(
    data, wheels, tmp_path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    wheel(elsewhere, "gamma", "5.0")

    job = asks(data, f"--find-links {elsewhere}\ngamma", "say-gamma > /pfs/out/$(basename $data)")

    assert job.state is JobState.SUCCESS, job.reason
    assert data.tree("made")["a"] == "gamma 5.0\n"


def test_a_package_without_fixed_content_is_refused(data, tmp_path) -> None:
    project = tmp_path / "project"
    (project / "loose").mkdir(parents=True)
    (project / "loose" / "__init__.py").touch()
    (project / "pyproject.toml").write_text("[project]\nname = 'loose'\nversion = '1'\n")

    with pytest.raises(InvalidInput, match="no fixed content"):
        asks(data, f"loose @ file://{project}")


def test_an_environment_that_can_not_be_built_fails_the_job_and_the_next_one_tries_again(
    data, wheels, tmp_path
) -> None:
    data.engine.repos.create_repo("late")
    script = ASKS.replace("$data", "$late")
    data.pipeline("made", script, source="late", transform={"requirements": "alpha"})
    lost = wheels / "beta-1.0-py3-none-any.whl"
    lost.rename(tmp_path / "aside")
    shutil.rmtree(tmp_path / "uv-cache", ignore_errors=True)

    data.put("late", {"a": "apple\n"})
    failed = data.job("made")
    (tmp_path / "aside").rename(lost)
    data.put("late", {"a": "apple\n"})
    job = data.job("made")

    assert failed.state is JobState.FAILURE
    assert failed.reason.startswith("its Python environment can't be built: ")
    assert "beta" in failed.reason
    assert job.state is JobState.SUCCESS, job.reason
    assert data.tree("made") == {"a": "1.0\n"}


def test_a_user_can_not_be_given_along(data) -> None:
    with pytest.raises(InvalidSpec, match="requirements and user"):
        data.pipeline("made", "true", transform={"requirements": "alpha", "user": "nobody"})


def test_without_uv_it_is_said_what_to_install(wheels, open_engine, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / name))
    driver = open_engine(PATH=str(tmp_path))
    driver.engine.repos.create_repo("data")

    with pytest.raises(NotSupported, match=r"pip install trunkline\[environments\]"):
        asks(driver, "alpha")


def test_a_transaction_takes_a_lock_that_is_there_and_makes_none(data) -> None:
    asks(data, "alpha")
    spec = data.engine.pipelines.inspect_pipeline("made").spec
    other = {**spec, "pipeline": {"name": "other"}}
    batch = data.engine.transactions.start_transaction().id

    with pytest.raises(NotSupported, match="within a transaction"):
        data.engine.transactions.add_step(batch, "create_pipeline", {"spec": other})
    data.engine.transactions.add_step(batch, "create_pipeline", {"spec": spec, "update": True})
    data.engine.transactions.finish_transaction(batch)

    assert data.engine.pipelines.inspect_pipeline("made").packages[0] == "alpha==1.0"


def test_the_lock_outlives_its_spec_commit_and_comes_back_with_the_pipeline(data) -> None:
    asks(data, "alpha")
    data.engine.pipelines.delete_pipeline("made")
    data.engine.admin.gc(grace_s=0)

    data.engine.trash.undelete("pipeline", "made")
    job = asks(data, "alpha", update=True)

    assert (job.state, job.skipped) == (JobState.SUCCESS, 2)


def test_environments_that_no_pipeline_needs_are_removed_with_the_garbage(
    data, wheels, open_engine
) -> None:
    asks(data, "alpha")
    asks(data, "beta", "say-beta", update=True)
    data.engine.close()  # workers keep what they use

    again = open_engine(data.home)
    again.engine.admin.gc()

    [left] = (data.home / "cache" / "environments").glob("[!.]*")
    assert (left / "bin" / "say-beta").exists()
    assert not (left / "bin" / "say-alpha").exists()


def test_a_pipeline_that_was_deleted_before_there_were_locks_comes_back(data, open_engine) -> None:
    data.pipeline("made", "true")
    data.job("made")
    data.engine.pipelines.delete_pipeline("made")
    data.engine.close()
    with sqlite3.connect(data.home / "catalog.db") as connection:
        rows = connection.execute(
            "SELECT rowid, content FROM trash_row WHERE place = 'pipeline_version'"
        ).fetchall()
        for rowid, content in rows:
            older = json.dumps(json.loads(content)[:-2])
            connection.execute("UPDATE trash_row SET content = ? WHERE rowid = ?", (older, rowid))
    connection.close()

    again = open_engine(data.home)
    again.engine.admin.gc(grace_s=0)
    again.engine.trash.undelete("pipeline", "made")

    assert again.engine.pipelines.inspect_pipeline("made").packages == ()


@pytest.fixture
def slow(data, wheels, tmp_path) -> Iterator[tuple[Any, Path]]:
    """A pipeline whose environment is being built, as long as the file is there."""
    wait = tmp_path / "wait"
    wait.touch()
    sdist(wheels, "slow", "1.0", gate=tmp_path)
    script = 'python3 -c "import slow; print(slow.VERSION)" > /pfs/out/$(basename $data)'
    data.pipeline("made", script, transform={"requirements": "slow"})
    builds(tmp_path, 1)
    yield data, wait
    wait.unlink(missing_ok=True)


def builds(place: Path, wanted: int) -> None:
    """Wait until so many builds have begun."""
    deadline = time.monotonic() + 60
    begun = place / "builds"
    while not begun.exists() or len(begun.read_text()) < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_log_says_that_an_environment_is_being_built(slow) -> None:
    data, wait = slow

    said = next(iter(data.engine.datums.get_logs(pipeline="made", follow=True))).message
    wait.unlink()

    assert said == "building the Python environment, of 1 package"
    assert data.job("made").state is JobState.SUCCESS
    assert data.logs("made") == []


def test_a_job_is_stopped_while_its_environment_is_built(slow) -> None:
    data, wait = slow
    [job] = data.engine.jobs.list_jobs(pipeline="made")

    data.engine.jobs.stop_job(f"made@{job.id}")
    stopped = data.job("made")
    wait.unlink()
    data.put("data", {"c": "cat\n"})

    assert stopped.state is JobState.KILLED
    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {"a": "1.0\n", "b": "1.0\n", "c": "1.0\n"}


def test_a_worker_that_is_killed_while_it_builds_is_replaced_by_one_that_does(
    slow, tmp_path
) -> None:
    data, wait = slow
    killed = {worker.pid for worker in data.engine.jobs.list_workers()}

    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    builds(tmp_path, 2)
    wait.unlink()
    job = data.job("made")

    assert (job.state, job.processed) == (JobState.SUCCESS, 2), job.reason
    assert not killed & {worker.pid for worker in data.engine.jobs.list_workers()}


def test_a_server_that_ends_while_an_environment_is_built_goes_on_with_it(
    slow, open_engine, tmp_path
) -> None:
    data, wait = slow

    data.engine.close()
    again = open_engine(data.home)
    builds(tmp_path, 2)
    wait.unlink()

    assert again.job("made").state is JobState.SUCCESS
    [built] = (data.home / "cache" / "environments").glob("[!.]*")
    assert not list(built.parent.glob(".*.new"))


# --- in containers --------------------------------------------------------------------------------


def test_packages_are_installed_for_the_python_of_an_image_and_nothing_is_put_into_it(
    wheels, docker, open_engine
) -> None:
    driver = open_engine(TRUNKLINE_RUNTIME="process", TRUNKLINE_CONTAINER_HOST=docker)
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "apple\n"})
    on_machine = asks(driver, "alpha")
    image = stage_images.python_image(docker, "USER worker")
    script = f'{ASKS}; touch "$VIRTUAL_ENV/mark" 2> /dev/null && echo written; true'
    wheel(wheels, "alpha", "2.0", needs=("beta",))
    transform = {"requirements": "alpha", "image": image, "runtime": "docker"}
    driver.pipeline("made", script, transform=transform, update=True)

    job = driver.job("made")

    assert (job.state, job.reason) == (JobState.SUCCESS, "")
    assert job.packages == on_machine.packages == ("alpha==1.0", "beta==1.0")
    assert driver.tree("made") == {"a": "1.0\n"}
    told = driver.logs("made")
    assert "alpha 1.0" in told
    assert "written" not in told
    assert any(line.startswith("env /.trunkline-packages/") for line in told)


def test_an_image_without_python_is_told_to_who_asks_for_packages(
    wheels, docker, open_engine
) -> None:
    driver = open_engine(TRUNKLINE_RUNTIME="docker", TRUNKLINE_CONTAINER_HOST=docker)
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "apple\n"})
    transform = {"requirements": "alpha", "image": stage_images.shell_image(docker)}
    driver.pipeline("made", "true", transform=transform)

    job = driver.job("made")

    assert job.state is JobState.FAILURE
    assert "there is no python3 in its PATH; use an image that has one" in job.reason
