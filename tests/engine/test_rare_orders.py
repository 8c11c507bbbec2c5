"""What went wrong once: races between operations and the scheduler, stale ground to build on."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest

from trunkline.errors import InUse, TrunklineError
from trunkline.jobs import tables
from trunkline.jobs.active import active_of
from trunkline.jobs.clocks import Clocks
from trunkline.model.jobs import JobState, LogLine
from trunkline.pipelines import lifecycle


@pytest.fixture
def data(engine):
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "apple\n"})
    return engine


@contextmanager
def scheduler_held(driver) -> Iterator[None]:
    """Keeps the scheduler's thread from seeing what is done meanwhile, as a busy one would be."""
    entered, release = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        release.wait(30)

    driver.engine._services.scheduler._conductor.call(hold)
    assert entered.wait(30)
    try:
        yield
    finally:
        release.set()


def _until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


# --- what workers report --------------------------------------------------------------------------


def test_what_a_cancelled_lease_reports_is_not_taken_for_another_one(data) -> None:
    data.put("data", {name: name for name in "bcdefgh"})
    more = {"parallelism_spec": {"constant": 1}}
    data.pipeline("one", "[ $(basename $data) = a ] || sleep 600; cp $data /pfs/out/", **more)
    _until(lambda: any(w.datum for w in data.engine.jobs.list_workers(pipeline="one")))
    [old] = data.engine.jobs.list_workers(pipeline="one")
    os.kill(old.pid, signal.SIGSTOP)  # so that it hears late of the cancellation

    data.put("data", {"0": "zero"})
    data.pipeline("one", "sleep 0.3; echo new > /pfs/out/$(basename $data)", update=True, **more)
    _until(lambda: any(w.version == 2 and w.job for w in data.engine.jobs.list_workers()))
    os.kill(old.pid, signal.SIGCONT)
    done = data.job("one")

    assert (done.state, done.processed) == (JobState.SUCCESS, 9)
    assert data.tree("one") == dict.fromkeys("0abcdefgh", "new\n")


def test_a_pipeline_made_again_under_its_name_runs_its_new_command(data) -> None:
    data.pipeline("one", "echo old > /pfs/out/x")
    assert data.job("one").state is JobState.SUCCESS

    with scheduler_held(data):
        data.engine.pipelines.delete_pipeline("one")
        data.pipeline("one", "echo new > /pfs/out/x")
    data.job("one")

    assert data.tree("one") == {"x": "new\n"}


def test_a_job_that_gets_the_number_of_a_deleted_one_is_a_job_of_its_own(data) -> None:
    data.pipeline("slow", "sleep 600")
    _until(lambda: any(w.datum for w in data.engine.jobs.list_workers(pipeline="slow")))
    [old] = data.engine.jobs.list_jobs(pipeline="slow", number=1)

    with scheduler_held(data):
        data.engine.jobs.delete_job(f"slow@{old.id}")
        data.pipeline("fast", "echo $PACH_JOB_ID > /pfs/out/id")
    done = data.job("fast", timeout_s=15)

    assert data.tree("fast") == {"id": f"{done.id}\n"}


# --- what an output tree is built on --------------------------------------------------------------


def test_a_datum_that_was_recovered_and_then_succeeds_is_in_the_output(data, tmp_path) -> None:
    flag = tmp_path / "flag"
    data.put("data", {"b": "1", "c": "2", "d": "3"})
    more = {"transform": {"err_cmd": ["true"]}, "datum_tries": 1}
    script = f"[ $(basename $data) != a ] || [ -e {flag} ] || exit 1; cp $data /pfs/out/"
    data.pipeline("one", script, **more)
    first = data.job("one")
    flag.touch()
    data.put("data", {"e": "4"})
    second = data.job("one")

    assert (first.recovered, second.state) == (1, JobState.SUCCESS)
    assert second.recovered == 0
    assert sorted(data.tree("one")) == ["a", "b", "c", "d", "e"]


def test_outputs_that_were_concatenated_are_no_base_for_a_version_that_refuses_them(data) -> None:
    data.put("data", {"b": "bear\n"})
    data.pipeline("one", "cat $data > /pfs/out/all", output_merge="concat")
    assert data.job("one").state is JobState.SUCCESS

    data.pipeline("one", "cat $data > /pfs/out/all", output_merge="error", update=True)
    done = data.job("one")

    assert (done.state, done.skipped) == (JobState.FAILURE, 2)
    assert "/all" in done.reason or "'all'" in done.reason


def test_a_reprocessed_datum_that_is_recovered_leaves_no_old_output(data, tmp_path) -> None:
    flag = tmp_path / "flag"
    more = {"err_cmd": ["true"]}
    script = f"[ ! -e {flag} ] || exit 1; cp $data /pfs/out/"
    options = {"transform": more, "datum_tries": 1, "reprocess_spec": "every_job"}
    data.pipeline("one", script, **options)
    data.job("one")
    flag.touch()
    data.put("data", {"b": "1"})
    done = data.job("one")

    assert (done.state, done.recovered) == (JobState.SUCCESS, 2)
    assert data.tree("one") == {}


def test_what_a_failed_reprocessing_wrote_anew_goes_with_its_input(data, tmp_path) -> None:
    flag = tmp_path / "flag"
    data.put("data", {n: n for n in "bcdef"})
    script = (
        f"[ ! -e {flag} ] || [ $(basename $data) != f ] || exit 1; "
        f"if [ -e {flag} ]; then cp $data /pfs/out/$(basename $data).new;"
        " else cp $data /pfs/out/; fi"
    )
    data.pipeline("one", script, datum_tries=1)
    data.job("one")
    flag.touch()
    data.pipeline("one", script, datum_tries=1, reprocess_spec="every_job", update=True)
    assert data.job("one").state is JobState.FAILURE
    data.pipeline("one", script, datum_tries=1, update=True)
    data.job("one")
    data.delete("data", "a")
    done = data.job("one")

    assert done.state is JobState.SUCCESS, done.reason
    assert sorted(data.tree("one")) == ["b.new", "c.new", "d.new", "e.new", "f"]


# --- stop, start, delete --------------------------------------------------------------------------


def test_starting_a_pipeline_again_does_the_job_that_stopping_it_killed(data, tmp_path) -> None:
    flag = tmp_path / "flag"
    data.pipeline("one", f"[ -e {flag} ] || sleep 600; cp $data /pfs/out/")
    data.pipeline("two", "cp $one /pfs/out/", source="one")
    _until(lambda: any(w.datum for w in data.engine.jobs.list_workers(pipeline="one")))
    data.engine.pipelines.stop_pipeline("one")
    flag.touch()
    data.engine.pipelines.start_pipeline("one")

    assert data.job("one").state is JobState.SUCCESS
    assert data.tree("one") == {"a": "apple\n"}
    assert data.job("two").state is JobState.SUCCESS


def test_deleting_the_repo_of_a_pipeline_by_force_leaves_the_rest_working(data) -> None:
    data.pipeline("one", "sleep 600")
    data.pipeline("other", "cp $data /pfs/out/")
    data.job("other")
    with suppress(InUse):
        data.engine.repos.delete_repo("one", force=True)
    data.put("data", {"b": "bear\n"})

    assert data.job("other", timeout_s=10).state is JobState.SUCCESS
    assert list(data.engine.jobs.list_jobs())
    assert data.engine.admin.status().isolation is not None
    data.engine.pipelines.delete_pipeline("one", force=True)
    assert [p.name for p in data.engine.pipelines.list_pipelines()] == ["other"]


def test_a_job_whose_input_repo_is_deleted_by_force_does_not_succeed_with_nothing(data) -> None:
    data.engine.commits.start_commit("data", branch="master")
    data.pipeline("one", "cp $data /pfs/out/")
    data.engine.repos.delete_repo("data", force=True)

    assert data.job("one").state is not JobState.SUCCESS


def test_the_system_repo_can_not_be_deleted(data) -> None:
    data.pipeline("one", "cp $data /pfs/out/")
    data.job("one")
    with pytest.raises(InUse):
        data.engine.repos.delete_repo("__spec__", force=True)
    with pytest.raises(InUse):
        data.engine.branches.delete_branch("__spec__", "one", force=True)
    data.engine.pipelines.delete_pipeline("one")


def test_what_is_derived_by_hand_is_written_and_finished_by_hand(data) -> None:
    data.engine.repos.create_repo("view")
    data.engine.branches.create_branch("view", "master", provenance=["data@master"])
    data.put("view", {"note": "made by a person\n"})

    finished = data.engine.commits.finish_commit("view", "master")

    assert data.tree("view") == {"note": "made by a person\n"}
    assert [str(name) for name in finished.provenance] == [f"data@{data.head('data')}"]


# --- logs -----------------------------------------------------------------------------------------


def _follow(driver, found: list[str]) -> threading.Thread:
    lines: Iterator[LogLine] = driver.engine.datums.get_logs(pipeline="one", follow=True)

    def read() -> None:
        with suppress(TrunklineError):  # the engine closes
            for line in lines:
                found.append(line.message)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def test_following_a_pipeline_gives_each_line_of_each_job_once(data) -> None:
    data.pipeline("one", "cat $data; sleep 0.5")
    data.job("one")
    found: list[str] = []
    _follow(data, found)
    _until(lambda: found == ["apple"])
    for word in ("bear", "cat"):
        time.sleep(0.7)
        data.put("data", {word: word + "\n"})
        data.job("one")
    time.sleep(1.5)

    assert found == ["apple", "bear", "cat"]


def test_following_a_datum_that_is_run_again_gives_all_lines_of_its_new_run(data) -> None:
    data.pipeline("one", "echo 1; echo 2; echo 3; sleep 600")
    found: list[str] = []
    _follow(data, found)
    _until(lambda: len(found) == 3)
    [worker] = data.engine.jobs.list_workers(pipeline="one")
    os.kill(worker.pid, signal.SIGKILL)
    _until(lambda: len(found) > 3)
    time.sleep(1.0)

    assert found == ["1", "2", "3"] * 2


def test_a_clock_that_is_set_forward_ends_no_running_job(data) -> None:
    data.pipeline("made", "exit 0", job_timeout="100s")
    ended = data.job("made")
    services = data.engine._services
    with services.database.read() as tx:
        [job] = tables.jobs_of_run(tx, ended.id)
        record = lifecycle.get(tx, "made")
    wall, passed = ended.started + timedelta(seconds=40), 1000.0
    clocks = Clocks(now=lambda: wall, monotonic=lambda: passed)

    active = active_of(job, record, services.config, workers=1, clocks=clocks)

    assert active.deadline == 1060.0  # of those 100 s it had 40 before this server began
