"""Idle workers begin with the datums of later commits while a job waits for its slow ones.

A datum writes its name to the file `ran` when it begins, and waits while there is a file
`wait-NAME`; so tests see what was at work when, and end it.
"""

import time

import pytest

from trunkline.errors import TrunklineError
from trunkline.model.jobs import JobState

SCRIPT = """
name=$(basename $data)
echo $name >> {place}/ran
while [ -e {place}/wait-$name ]; do sleep 0.02; done
echo "$name is done"
cp $data /pfs/out/
{end}
"""


def until(found):
    deadline = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


class Stage:
    def __init__(self, open_engine, place) -> None:
        self._open = open_engine
        self.place = place
        self.begin()
        self.driver.engine.repos.create_repo("data")

    def begin(self) -> None:
        self.driver = self._open()
        self.jobs = self.driver.engine.jobs

    def hold(self, *names: str) -> None:
        for name in names:
            (self.place / f"wait-{name}").touch()

    def let(self, *names: str) -> None:
        for name in names:
            (self.place / f"wait-{name}").unlink()

    def ran(self) -> list[str]:
        path = self.place / "ran"
        return path.read_text().split() if path.exists() else []

    def pipeline(self, end: str = "", **spec: object) -> None:
        script = SCRIPT.format(place=self.place, end=end)
        spec = {"parallelism_spec": {"constant": 2}, **spec}
        self.driver.pipeline("made", script, **spec)

    def put(self, *names: str) -> str:
        """Commits files, and returns the job that this gives."""
        run = self.driver.put("data", {name: f"{name}\n" for name in names}).id
        return f"made@{run}"

    def at_work_ahead(self, later: str, *names: str) -> None:
        """Returns once these datums have begun, and the job that they are of has not."""
        until(lambda: set(names) <= set(self.ran()))
        assert self.jobs.inspect_job(later).state is JobState.STARTING

    def end(self, name: str):
        return self.jobs.inspect_job(name, wait=True, timeout_s=60)


@pytest.fixture
def world(open_engine, tmp_path):
    return Stage(open_engine, tmp_path)


def counts(job) -> tuple[int, int, int, int]:
    return job.processed, job.skipped, job.failed, job.total


def test_an_idle_worker_begins_with_the_next_commit(world) -> None:
    world.hold("slow")
    world.pipeline()
    first, second, third = world.put("slow"), world.put("b", "c"), world.put("d")

    world.at_work_ahead(third, "b", "c", "d")
    still = world.jobs.inspect_job(first).state
    world.let("slow")
    ended = [world.end(name) for name in (first, second, third)]

    assert still is JobState.RUNNING
    assert [job.state for job in ended] == [JobState.SUCCESS] * 3
    assert [counts(job) for job in ended] == [(1, 0, 0, 1), (2, 1, 0, 3), (1, 3, 0, 4)]
    assert sorted(world.ran()) == ["b", "c", "d", "slow"]  # each once
    assert sorted(world.driver.tree("made")) == ["b", "c", "d", "slow"]
    assert sorted(world.driver.tree("made", second.partition("@")[2])) == ["b", "c", "slow"]
    assert ended[0].finished <= ended[1].started <= ended[1].finished <= ended[2].started


def test_a_datum_at_work_goes_on_when_the_turn_of_its_job_comes(world) -> None:
    world.hold("slow", "b")
    world.pipeline()
    first, second = world.put("slow"), world.put("b")

    world.at_work_ahead(second, "b")
    world.let("slow")
    done = world.end(first)
    until(lambda: world.jobs.inspect_job(second).state is JobState.RUNNING)
    world.let("b")
    job = world.end(second)

    assert done.state is JobState.SUCCESS
    assert counts(job) == (1, 1, 0, 2)
    assert sorted(world.ran()) == ["b", "slow"]
    assert "b is done" in world.driver.logs("made")


def test_what_fails_in_the_job_before_is_run_by_the_next_one_as_well(world) -> None:
    world.hold("slow")
    world.pipeline(end="[ $name != slow ]", datum_tries=1)
    first, second = world.put("slow"), world.put("b")

    world.at_work_ahead(second, "b")
    world.let("slow")
    failed, also = world.end(first), world.end(second)

    assert (failed.state, counts(failed)) == (JobState.FAILURE, (0, 0, 1, 1))
    assert (also.state, counts(also)) == (JobState.FAILURE, (1, 0, 1, 2))
    assert sorted(world.ran()) == ["b", "slow", "slow"]


def test_a_datum_that_fails_ahead_fails_its_job_alone(world) -> None:
    world.hold("slow")
    world.pipeline(end="[ $name != bad ]", datum_tries=1)
    first, second = world.put("slow"), world.put("bad")
    third = world.put("c")

    world.at_work_ahead(third, "bad")
    world.let("slow")
    good, bad, same = (world.end(name) for name in (first, second, third))

    assert good.state is JobState.SUCCESS
    assert (bad.state, counts(bad)) == (JobState.FAILURE, (0, 1, 1, 2))
    assert "exit code 1" in bad.reason or "failed" in bad.reason
    assert same.state is JobState.FAILURE


def test_quarantined_datums_are_those_of_jobs_one_by_one(world) -> None:
    world.hold("slow")
    world.pipeline(end="[ $name != bad ]", datum_tries=1, on_failure={"quarantine": {"max": 1}})
    first, second, third = world.put("slow"), world.put("bad"), world.put("c")

    world.at_work_ahead(third, "bad", "c")
    world.let("slow")
    ended = [world.end(name) for name in (first, second, third)]

    assert [job.state for job in ended] == [JobState.SUCCESS] * 3
    assert [counts(job) for job in ended] == [(1, 0, 0, 1), (0, 1, 1, 2), (1, 1, 1, 3)]
    assert sorted(world.ran()) == ["bad", "c", "slow"]


def test_many_datums_may_be_done_before_their_job_begins(world) -> None:
    names = [f"n{number:03}" for number in range(60)]
    world.hold("slow", names[40])
    world.pipeline()
    first, second = world.put("slow"), world.put(*names)

    world.at_work_ahead(second, *names[:41])
    world.let("slow", names[40])
    job = world.end(second)

    assert world.end(first).state is JobState.SUCCESS
    assert counts(job) == (60, 1, 0, 61)
    assert sorted(world.ran()) == sorted([*names, "slow"])
    assert sorted(world.driver.tree("made")) == sorted([*names, "slow"])


def test_stopping_a_job_stops_what_is_done_ahead_of_it(world) -> None:
    world.hold("slow", "b")
    world.pipeline()
    first, second = world.put("slow"), world.put("b")
    world.at_work_ahead(second, "b")

    world.jobs.stop_job(second)
    world.driver.delete("data", "b")
    last = world.put("c")
    world.at_work_ahead(last, "c")  # by the worker that had b
    world.let("slow")

    assert world.end(first).state is JobState.SUCCESS
    assert world.end(second).state is JobState.KILLED
    assert counts(world.end(last)) == (1, 1, 0, 2)
    assert sorted(world.ran()) == ["b", "c", "slow"]


def test_the_job_before_may_be_stopped(world) -> None:
    world.hold("slow")
    world.pipeline()
    first, second = world.put("slow"), world.put("b")
    world.at_work_ahead(second, "b")

    world.jobs.stop_job(first)
    world.let("slow")

    assert world.end(first).state is JobState.KILLED
    assert counts(world.end(second)) == (2, 0, 0, 2)
    assert sorted(world.ran()) == ["b", "slow", "slow"]


def test_a_file_that_is_gone_in_a_later_commit_is_no_part_of_it(world) -> None:
    world.hold("slow")
    world.pipeline()
    first, second = world.put("slow"), world.put("b")
    third = f"made@{world.driver.delete('data', 'b').id}"
    world.put("c")

    until(lambda: "c" in world.ran())
    world.let("slow")

    assert counts(world.end(first)) == (1, 0, 0, 1)
    assert counts(world.end(second)) == (1, 1, 0, 2)
    assert counts(world.end(third)) == (0, 1, 0, 1)
    assert world.driver.job("made").state is JobState.SUCCESS
    assert sorted(world.driver.tree("made")) == ["c", "slow"]


def test_clashing_outputs_fail_the_later_job_in_its_turn(world) -> None:
    world.hold("slow")
    world.pipeline(end="[ $name = slow ] || echo $name > /pfs/out/same")
    first, second = world.put("slow"), world.put("b", "c")
    third = world.put("d")

    world.at_work_ahead(third, "b", "c", "d")
    world.let("slow")

    assert world.end(first).state is JobState.SUCCESS
    failed = world.end(second)
    assert failed.state is JobState.FAILURE
    assert "duplicate path output by different datums: 'same'" in failed.reason


def test_an_update_kills_the_jobs_and_what_is_done_ahead_of_them(world) -> None:
    world.hold("slow", "b")
    world.pipeline()
    first, second = world.put("slow"), world.put("b")
    world.at_work_ahead(second, "b")

    world.let("slow", "b")
    world.pipeline(end="echo again >> /pfs/out/$name", update=True)
    job = world.driver.job("made")

    assert job.state is JobState.SUCCESS
    assert counts(job) == (2, 0, 0, 2)
    assert {world.end(name).state for name in (first, second)} <= {
        JobState.KILLED,
        JobState.SUCCESS,
    }
    assert world.driver.tree("made") == {"b": "b\nagain\n", "slow": "slow\nagain\n"}


def test_a_server_that_begins_again_does_it_in_the_jobs_turn(world) -> None:
    world.hold("slow")
    world.pipeline()
    first, second = world.put("slow"), world.put("b")
    world.at_work_ahead(second, "b")

    world.driver.engine.close()
    world.let("slow")
    world.begin()

    assert counts(world.end(first)) == (1, 0, 0, 1)
    assert counts(world.end(second)) == (1, 1, 0, 2)
    assert sorted(world.driver.tree("made")) == ["b", "slow"]


def test_a_deleted_pipeline_takes_what_is_done_ahead_along(world) -> None:
    world.hold("slow", "b")
    world.pipeline()
    first, second = world.put("slow"), world.put("b")
    world.at_work_ahead(second, "b")

    world.driver.engine.pipelines.delete_pipeline("made")
    world.let("slow", "b")

    for name in (first, second):
        with pytest.raises(TrunklineError):
            world.jobs.inspect_job(name)
    world.pipeline()
    assert world.driver.job("made").state is JobState.SUCCESS
    assert sorted(world.driver.tree("made")) == ["b", "slow"]
