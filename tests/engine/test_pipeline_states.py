"""The state of a pipeline is what its workers and jobs show, with the last event as its reason."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trunkline.model.jobs import JobState
from trunkline.model.pipelines import PipelineInfo, PipelineState


@pytest.fixture
def data(engine):
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "ant\n", "b": "bee\n"})
    return engine


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def inspect(data: Any, pipeline: str = "made") -> PipelineInfo:
    info: PipelineInfo = data.engine.pipelines.inspect_pipeline(pipeline)
    return info


def in_state(data: Any, state: PipelineState) -> PipelineInfo:
    info: PipelineInfo = until(lambda: found if (found := inspect(data)).state is state else None)
    return info


def test_a_pipeline_that_works_is_running_without_a_reason(data) -> None:
    data.pipeline("made", "cp $data /pfs/out/")

    assert data.job("made").state is JobState.SUCCESS
    info = inspect(data)
    assert (info.state, info.reason) == (PipelineState.RUNNING, "")


def test_a_stopped_pipeline_is_paused_until_it_is_started(data) -> None:
    data.pipeline("made", "cp $data /pfs/out/")
    data.job("made")

    data.engine.pipelines.stop_pipeline("made")
    stopped = inspect(data)
    [listed] = data.engine.pipelines.list_pipelines()
    data.engine.pipelines.start_pipeline("made")

    assert (stopped.state, stopped.reason) == (PipelineState.PAUSED, "")
    assert listed.state is PipelineState.PAUSED
    data.job("made")
    assert inspect(data).state is PipelineState.RUNNING


def test_an_autoscaling_pipeline_without_work_is_in_standby(open_engine) -> None:
    data = open_engine(TRUNKLINE_WORKER_IDLE_S="0.1")
    data.engine.repos.create_repo("data")
    data.pipeline("made", "cp $data /pfs/out/", autoscaling=True)
    before = inspect(data)
    data.put("data", {"a": "ant\n"})
    done = data.job("made")

    assert before.state is PipelineState.STANDBY
    assert done.state is JobState.SUCCESS
    assert in_state(data, PipelineState.STANDBY).reason == ""


def test_a_pipeline_whose_workers_can_not_start_is_crashing_until_they_can(data) -> None:
    scratch = data.home / "scratch"
    scratch.write_text("in the way\n")
    data.pipeline("made", "cp $data /pfs/out/")
    failed = data.job("made")
    crashing = inspect(data)
    why = data.engine.lineage.explain_pipeline("made")
    scratch.unlink()
    data.put("data", {"c": "cat\n"})
    good = data.job("made")

    assert failed.state is JobState.FAILURE
    assert crashing.state is PipelineState.CRASHING
    assert crashing.reason.startswith("its workers can't be started: ")
    assert "in a row" in crashing.reason
    assert why.state is PipelineState.CRASHING
    assert f"it is crashing: {crashing.reason}" in why.sentences
    assert good.state is JobState.SUCCESS
    assert (inspect(data).state, inspect(data).reason) == (PipelineState.RUNNING, "")


def test_workers_that_keep_dying_at_work_make_it_crashing(data, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    data.pipeline("made", f"until [ -e {gate} ]; do sleep 0.02; done; touch /pfs/out/x", glob="/")

    def kill_one_at_work() -> None:
        [at_work] = until(
            lambda: [w for w in data.engine.jobs.list_workers(pipeline="made") if w.datum]
        )
        os.kill(at_work.pid, signal.SIGKILL)
        until(
            lambda: (
                at_work.name not in {w.name for w in data.engine.jobs.list_workers(pipeline="made")}
            )
        )

    kill_one_at_work()
    [job] = data.engine.jobs.list_jobs(pipeline="made", number=1)
    once = data.engine.jobs.inspect_job(f"made@{job.id}").reason
    kill_one_at_work()
    crashing = in_state(data, PipelineState.CRASHING)
    gate.touch()

    assert once == "" or once.endswith("died at work")
    assert crashing.reason.endswith("died at work (2 times in a row)")
    assert data.job("made").state is JobState.SUCCESS
    assert (inspect(data).state, inspect(data).reason) == (PipelineState.RUNNING, "")


def test_a_pipeline_that_waits_for_a_worker_is_starting_and_says_for_what(
    open_engine, tmp_path: Path
) -> None:
    data = open_engine(TRUNKLINE_CPUS="1")
    gate = tmp_path / "gate"
    data.engine.repos.create_repo("data")
    data.put("data", {"a": "ant\n"})
    data.pipeline(
        "first", f"until [ -e {gate} ]; do sleep 0.02; done", resource_requests={"cpu": 1}
    )
    until(lambda: any(w.job for w in data.engine.jobs.list_workers(pipeline="first")))
    data.pipeline("made", "true", resource_requests={"cpu": 1})
    # Until the scheduler has looked for room, all that is known is that no worker is ready.
    waiting = until(lambda: found if "wait" in (found := inspect(data)).reason else None)
    gate.touch()

    assert waiting.state is PipelineState.STARTING
    assert waiting.reason.startswith("1 of 1 workers wait: each requests 1 CPU cores")
    assert data.job("made").state is JobState.SUCCESS
    assert inspect(data).state is PipelineState.RUNNING


def test_a_pipeline_that_this_machine_can_not_run_any_more_has_failed(open_engine) -> None:
    large = open_engine(TRUNKLINE_CPUS="4")
    large.engine.repos.create_repo("data")
    large.pipeline("made", "true", resource_requests={"cpu": 3})
    large.engine.close()

    small = open_engine(home=large.home, TRUNKLINE_CPUS="2")

    info = inspect(small)
    assert info.state is PipelineState.FAILURE
    assert info.reason == "a worker requests 3 CPU cores, and there are 2 on this machine"


def test_an_update_gives_a_crashing_pipeline_a_new_start(data) -> None:
    scratch = data.home / "scratch"
    scratch.write_text("in the way\n")
    data.pipeline("made", "cp $data /pfs/out/")
    data.job("made")
    scratch.unlink()

    data.pipeline("made", "cp $data /pfs/out/; true", update=True)

    assert data.job("made").state is JobState.SUCCESS
    assert inspect(data).state is PipelineState.RUNNING
