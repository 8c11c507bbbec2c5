"""Images that take long to get here: who makes a pipeline need not wait, its jobs do."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from registries import Registry, busybox, registry

from trunkline.errors import Conflict, NotFound
from trunkline.jobs import arrivals
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import PipelineInfo, PipelineState

LARGE_BYTES = 6_000_000  # that can't be compressed: enough for the engine to tell how far it is


@pytest.fixture
def shelf() -> Iterator[Registry]:
    with registry() as served:
        served.slow = threading.Event()
        yield served
        served.slow.set()


@pytest.fixture
def opened(open_engine: Callable[..., Any], docker: str) -> Callable[..., Any]:
    def run(runtime: str = "auto") -> Any:
        driver = open_engine(TRUNKLINE_CONTAINER_HOST=docker, TRUNKLINE_RUNTIME=runtime)
        if not list(driver.engine.repos.list_repos()):
            driver.engine.repos.create_repo("data")
            driver.put("data", {"a": "apple"})
        return driver

    return run


def large(shelf: Registry, **config: object) -> str:
    return shelf.put("tool", busybox(rest=random.randbytes(LARGE_BYTES)), tag="1", **config)


def make(driver: Any, image: str, *, update: bool = False, **transform: Any) -> PipelineInfo:
    made = {"image": image, "env": {"PATH": "/bin"}, **transform}
    driver.pipeline("made", "cp $data /pfs/out/", transform=made, update=update)
    return inspect(driver)


def inspect(driver: Any) -> PipelineInfo:
    return driver.engine.pipelines.inspect_pipeline("made")


def until(driver: Any, wanted: Callable[[PipelineInfo], bool]) -> PipelineInfo:
    deadline = time.monotonic() + 60
    while not wanted(info := inspect(driver)):
        assert time.monotonic() < deadline, info
        time.sleep(0.02)
    return info


def test_a_long_pull_is_the_state_of_its_pipeline_and_its_jobs_wait(opened, shelf) -> None:
    name = large(shelf)
    first = opened()

    made = make(first, name)
    far = until(first, lambda info: " of " in info.reason)
    [waiting] = first.engine.jobs.list_jobs(pipeline="made", number=1)
    told = first.engine.jobs.inspect_job(f"made@{waiting.id}").reason
    with pytest.raises(Conflict, match="waits for its image"):
        first.engine.pipelines.create_pipeline(made.spec, update=True, keep_results=True)
    first.engine.close()
    again = opened()
    resumed = until(again, lambda info: info.reason != "")
    shelf.slow.set()
    job = again.job("made")
    ready = inspect(again)
    make(again, name, update=True)
    second = again.job("made")

    assert (made.state, made.runtime, made.salt) == (PipelineState.STARTING, "docker", "")
    assert (far.state, far.image.known) == (PipelineState.STARTING, False)
    assert far.reason.startswith(f"pulling image {name}: ")
    assert far.reason.endswith("MiB")
    assert (waiting.state, told[:13]) == (JobState.STARTING, "pulling image")
    assert resumed.state is PipelineState.STARTING
    assert (job.state, again.tree("made")) == (JobState.SUCCESS, {"a": "apple"})
    assert ready.image.id.startswith("sha256:")
    assert ready.salt
    assert (second.processed, second.skipped) == (0, 1)


def test_a_pull_that_fails_is_told_as_a_state_and_tried_again(
    opened, shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "_FIRST_PAUSE_S", 0.05)
    shelf.slow.set()
    driver = opened("docker")
    name = large(shelf)
    shelf.refuses = 429

    make(driver, name)
    failed = until(driver, lambda info: "times in a row" in info.reason)
    shelf.refuses = 0
    job = driver.job("made")

    assert failed.state is PipelineState.CRASHING
    assert f"image '{name}': its registry gives no more for now (rate limit)" in failed.reason
    assert "it is tried again" in failed.reason
    assert job.state is JobState.SUCCESS
    assert inspect(driver).state is PipelineState.RUNNING


def test_what_can_not_run_in_its_image_is_told_once_that_is_here(opened, shelf) -> None:
    driver = opened()

    with pytest.raises(NotFound, match="there is no such image"):  # at once
        make(driver, f"{shelf.address}/{uuid4().hex}:1", runtime="docker")
    make(driver, large(shelf), cmd=[])
    shelf.slow.set()
    info = until(driver, lambda info: info.state is PipelineState.FAILURE)

    assert "has no entry point either" in info.reason
