"""Workers start while what they request fits; others wait, and say so."""

import time

import pytest

from trunkline.errors import InvalidInput
from trunkline.model.jobs import JobState


@pytest.fixture
def data(open_engine):
    driver = open_engine(TRUNKLINE_CPUS="2", TRUNKLINE_GPUS="4,7")
    driver.engine.repos.create_repo("data")
    driver.put("data", {f"{n}": f"{n}\n" for n in range(4)})
    return driver


def until(found):
    deadline = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def test_no_more_workers_run_than_what_they_request_allows(data) -> None:
    data.pipeline(
        "made", "cp $data /pfs/out/", parallelism_spec={"constant": 4}, resource_requests={"cpu": 1}
    )

    assert data.job("made").state is JobState.SUCCESS
    assert len(data.engine.jobs.list_workers(pipeline="made")) == 2


def test_a_job_that_waits_for_another_says_so_and_gets_its_turn(data, tmp_path) -> None:
    gate = tmp_path / "gate"
    script = f"while [ ! -e {gate} ]; do sleep 0.05; done; cp $data/* /pfs/out/"
    data.pipeline("first", script, glob="/", resource_requests={"cpu": 2})
    until(lambda: any(w.job for w in data.engine.jobs.list_workers()))
    data.pipeline("second", "cp $data/* /pfs/out/", glob="/", resource_requests={"cpu": 1})
    [job] = data.engine.jobs.list_jobs(pipeline="second", number=1)

    reason = until(lambda: data.engine.jobs.inspect_job(f"second@{job.id}").reason)
    told = data.engine.pipelines.inspect_pipeline("second").reason
    gate.touch()

    assert reason == told
    assert reason.startswith("1 of 1 workers wait: each requests 1 CPU cores, and there are 0")
    assert data.job("first").state is JobState.SUCCESS
    done = data.job("second")
    assert (done.state, done.reason) == (JobState.SUCCESS, "")
    assert data.engine.pipelines.inspect_pipeline("second").reason == ""


def test_a_pipeline_made_anew_does_not_use_the_workers_of_the_deleted_one(data, tmp_path) -> None:
    wait = f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"
    script = f"trap '' TERM; touch {tmp_path}/begun; {wait}"
    data.pipeline("made", script, glob="/")
    until((tmp_path / "begun").exists)
    data.engine.pipelines.delete_pipeline("made")

    script = "echo gpus=$CUDA_VISIBLE_DEVICES > /pfs/out/g"
    wanted = {"gpu": {"type": "nvidia.com/gpu", "number": 1}}
    data.pipeline("made", script, glob="/", resource_requests=wanted)
    job = data.job("made")
    (tmp_path / "go").touch()

    assert job.state is JobState.SUCCESS, job.reason
    assert data.tree("made") == {"g": "gpus=4\n"}


def test_each_worker_has_gpus_of_its_own(data) -> None:
    data.pipeline(
        "made",
        "echo $CUDA_VISIBLE_DEVICES > /pfs/out/$(basename $data)",
        parallelism_spec={"constant": 2},
        resource_limits={"gpu": {"type": "nvidia.com/gpu", "number": 1}},
    )

    assert data.job("made").state is JobState.SUCCESS
    assert set(data.tree("made").values()) <= {"4\n", "7\n"}


def test_a_request_that_can_never_be_met_is_refused(data) -> None:
    with pytest.raises(InvalidInput) as refused:
        data.pipeline("made", "true", resource_requests={"cpu": 64})

    assert str(refused.value) == (
        "pipeline 'made' can't run here: a worker requests 64 CPU cores, and there are 2 on this "
        "machine"
    )
