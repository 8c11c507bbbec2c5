"""Each state that a job or a datum can be seen in, with the exact reasons that the page has."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trunkline.model.jobs import DatumState, JobInfo, JobState
from trunkline.model.pipelines import PipelineState

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "states.md"


@pytest.fixture
def data(engine):
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "ant\n", "b": "bee\n"})
    return engine


def newest(data: Any, pipeline: str = "made") -> JobInfo:
    [job] = data.engine.jobs.list_jobs(pipeline=pipeline, number=1)
    info: JobInfo = data.engine.jobs.inspect_job(f"{pipeline}@{job.id}")
    return info


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def datums(data: Any, pipeline: str = "made") -> dict[str, DatumState]:
    job = newest(data, pipeline)
    found = data.engine.datums.list_datums(f"{pipeline}@{job.id}")
    return {info.inputs[0].path: info.state for info in found}


def gated(data: Any, gate: Path, **more: Any) -> None:
    data.pipeline("made", f"until [ -e {gate} ]; do sleep 0.02; done", glob="/", **more)
    until(lambda: newest(data).state is JobState.RUNNING)


def test_the_page_names_each_state() -> None:
    text = PAGE.read_text("utf-8")
    for title, states in (
        ("Pipelines", PipelineState),
        ("Jobs", JobState),
        ("Datums", DatumState),
    ):
        section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        named = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
        assert named == {state.value for state in states}


def test_a_job_is_starting_while_its_input_is_open(data) -> None:
    data.pipeline("made", "cp $data /pfs/out/")
    data.job("made")
    commit = data.engine.commits.start_commit("data", branch="master")

    waiting = newest(data)
    data.engine.commits.finish_commit("data", commit.id)

    assert (waiting.state, waiting.reason, waiting.started) == (JobState.STARTING, "", None)
    assert data.job("made").state is JobState.SUCCESS


def test_a_job_is_running_and_its_datum_starting_while_it_is_at_work(data, tmp_path) -> None:
    gated(data, tmp_path / "gate")

    at_work = newest(data)
    states = datums(data)
    (tmp_path / "gate").touch()

    assert at_work.state is JobState.RUNNING
    assert set(states.values()) <= {DatumState.STARTING}
    assert (data.job("made").state, data.job("made").reason) == (JobState.SUCCESS, "")
    assert set(datums(data).values()) == {DatumState.SUCCESS}


def test_a_remembered_datum_is_skipped(data) -> None:
    data.pipeline("made", "cp $data /pfs/out/")
    data.job("made")
    data.put("data", {"c": "cat\n"})
    data.job("made")

    assert datums(data) == {
        "a": DatumState.SKIPPED,
        "b": DatumState.SKIPPED,
        "c": DatumState.SUCCESS,
    }


def test_a_datum_whose_err_cmd_goes_well_is_recovered(data) -> None:
    data.pipeline("made", "cp $data /pfs/out/; [ $(basename $data) = a ]", datum_tries=1,
                  transform={"err_cmd": ["true"]})  # fmt: skip

    assert (data.job("made").state, data.job("made").recovered) == (JobState.SUCCESS, 1)
    assert datums(data) == {"a": DatumState.SUCCESS, "b": DatumState.RECOVERED}
    assert data.tree("made") == {"a": "ant\n"}


@pytest.mark.parametrize(
    ("script", "more", "why"),
    [
        ("exit 3", {}, "the command exited with code 3"),
        ("kill -9 $$", {}, r"the command was killed by signal SIGKILL \(9\)"),
        ("sleep 60", {"datum_timeout": "0.2s"}, r"the command timed out after 0\.2 s"),
        ("mkfifo /pfs/out/x", {}, "/pfs/out/x can't be committed: .*"),
    ],
)
def test_a_failed_datum_fails_the_job_and_says_why(data, script, more, why) -> None:
    data.pipeline("made", f"[ $(basename $data) = a ] && exit; {script}", datum_tries=1, **more)

    job = data.job("made")

    assert job.state is JobState.FAILURE
    assert datums(data)["b"] is DatumState.FAILED
    sentence = job.reason.partition("\n")[0]
    assert re.fullmatch(
        f"failed to process datum: [0-9a-f]{{64}}: {why}; 1 of 2 datums failed", sentence
    )


def test_two_datums_that_write_one_path_fail_the_job(data) -> None:
    data.pipeline("made", "echo $data > /pfs/out/same")

    job = data.job("made")

    assert job.state is JobState.FAILURE
    assert job.reason.startswith("duplicate path output by different datums")


def test_a_job_after_a_failed_one_is_unrunnable(data) -> None:
    for name in ("one", "two"):
        data.pipeline(name, "exit 1", datum_tries=1)
    cross = {"cross": [{"pfs": {"repo": name, "glob": "/"}} for name in ("one", "two")]}
    data.pipeline("made", "true", input=cross)

    job = data.job("made")

    assert job.state is JobState.UNRUNNABLE
    assert job.reason.startswith("unrunnable because the following upstream pipelines failed: ")
    assert set(job.reason.rpartition(": ")[2].split(", ")) <= {"one", "two"}


def _time_out(data: Any) -> None:
    data.pipeline("made", "sleep 60", glob="/", job_timeout="0.3s", update=True)


ENDINGS: list[tuple[str, Callable[[Any], object]]] = [
    (
        "stopped by a user",
        lambda data: data.engine.jobs.stop_job(f"made@{newest(data).id}"),
    ),
    ("pipeline 'made' was stopped", lambda data: data.engine.pipelines.stop_pipeline("made")),
    ("job timed out after 0.3 s", _time_out),
    (
        "its input repo 'data' was deleted",
        lambda data: data.engine.repos.delete_repo("data", force=True),
    ),
]


@pytest.mark.parametrize(("reason", "end"), ENDINGS)
def test_a_job_that_is_ended_before_its_time_is_killed(data, tmp_path, reason, end) -> None:
    gated(data, tmp_path / "gate")

    end(data)

    job = data.job("made")
    assert (job.state, job.reason) == (JobState.KILLED, reason)


def test_an_update_kills_the_job_of_the_version_before(data, tmp_path) -> None:
    gated(data, tmp_path / "gate")
    old = newest(data)

    data.pipeline("made", "true", glob="/", update=True)

    job = data.engine.jobs.inspect_job(f"made@{old.id}", wait=True, timeout_s=60)
    assert (job.state, job.reason) == (JobState.KILLED, "pipeline 'made' was updated")


def test_a_tolerated_datum_is_quarantined_and_the_job_says_how_many(data) -> None:
    data.pipeline("made", "[ $(basename $data) = a ]", datum_tries=1,
                  on_failure={"quarantine": {"max": 1}})  # fmt: skip

    job = data.job("made")

    assert job.state is JobState.SUCCESS
    assert "; 1 of 2 datums quarantined" in job.reason
    assert datums(data) == {"a": DatumState.SUCCESS, "b": DatumState.QUARANTINED}
