"""Cron inputs in a whole engine: ticks are commits, each comes once, and jobs run for them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trunkline.config import load
from trunkline.engine.crons import CronTicks
from trunkline.engine.engine import Engine
from trunkline.errors import CommitOpen, Conflict, InUse, InvalidInput, PipelineNotFound
from trunkline.model.jobs import JobState

T0 = datetime(2026, 3, 5, 10, 20, 30, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
COPY = "ls /pfs/tick > /pfs/out/$(basename $tick)"


class Timed:
    """An engine whose clock stands still until a test sets it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.now = T0
        self.start()

    def start(self) -> None:
        config = load({"HOME": str(self.home), "PATH": "/usr/bin:/bin"}, home=self.home / "home")
        self.engine = Engine(config, clock=lambda: self.now)
        self.ticks = CronTicks(self.engine._services)

    def create(self, name: str = "clock", script: str = COPY, *, update: bool = False, **cron):
        given = cron.pop("input", None) or {"cron": {"name": "tick", "spec": "@hourly", **cron}}
        self.engine.pipelines.create_pipeline(
            {
                "pipeline": {"name": name},
                "transform": {"cmd": ["/bin/sh"], "stdin": [script]},
                "input": given,
            },
            update=update,
        )

    def at(self, now: datetime) -> None:
        """Set the clock, and make what is due; the thread of the engine may have been first."""
        self.now = now
        while (following := self.ticks.attend(now)) is not None and following <= now:
            pass

    def files(self, repo: str = "clock_tick", commit: str = "master") -> list[str]:
        found = self.engine.files.list_files(repo, commit, "/")
        return [info.path for info in found]

    def commits(self, repo: str = "clock_tick") -> list[list[str]]:
        """The ticks of each commit, oldest first."""
        found = list(self.engine.commits.list_commits(repo))
        trees = [self.files(repo, commit.id) for commit in reversed(found)]
        befores = [[], *trees]
        return [
            [f for f in tree if f not in before]
            for before, tree in zip(befores, trees, strict=False)
        ]

    def jobs(self, pipeline: str = "clock") -> list[JobState]:
        found = list(self.engine.jobs.list_jobs(pipeline=pipeline))
        names = [f"{job.pipeline}@{job.id}" for job in reversed(found)]
        return [self.engine.jobs.inspect_job(n, wait=True, timeout_s=60).state for n in names]


@pytest.fixture
def timed(tmp_path: Path) -> Iterator[Timed]:
    made = Timed(tmp_path)
    yield made
    made.engine.close()


def test_each_tick_is_a_commit_with_a_job_of_the_same_run(timed: Timed) -> None:
    timed.create()
    before = timed.engine.repos.inspect_repo("clock_tick")
    timed.at(T0 + HOUR)
    timed.at(T0 + 2 * HOUR)

    assert before.description == "Ticks of pipeline clock."
    assert timed.commits() == [["2026-03-05T11:00:00Z"], ["2026-03-05T12:00:00Z"]]
    assert timed.jobs() == [JobState.SUCCESS] * 2
    [job, _] = timed.engine.jobs.list_jobs(pipeline="clock")
    run = timed.engine.commits.inspect_run(job.id)
    assert [str(name).split("@")[0] for name in run.commits] == ["clock_tick", "clock"]
    assert timed.files("clock") == timed.files()
    assert timed.engine.admin.fsck().damages == ()


def test_the_spec_of_a_job_tells_the_commit_of_its_ticks(timed: Timed) -> None:
    timed.create()
    timed.at(T0 + HOUR)
    timed.jobs()

    [job] = timed.engine.jobs.list_jobs(pipeline="clock")
    head = timed.engine.branches.inspect_branch("clock_tick", "master").head

    assert job.spec["input"]["cron"]["commit"] == head


def test_ticks_that_were_missed_come_together_at_the_next_start(timed: Timed) -> None:
    timed.create(spec="@every 10m")
    timed.at(T0 + timedelta(minutes=10))
    timed.engine.close()
    timed.now += HOUR
    timed.start()
    timed.at(timed.now)
    timed.at(timed.now)

    names = [
        f"2026-03-05T{at}:30Z" for at in ("10:30", "10:40", "10:50", "11:00", "11:10", "11:20")
    ]
    assert timed.commits() == [names[:1], [*names[1:], "2026-03-05T11:30:30Z"]]
    assert timed.jobs() == [JobState.SUCCESS] * 2


def test_a_clock_that_is_set_back_gives_no_tick_twice(timed: Timed) -> None:
    timed.create()
    for hours in (3, 1, 2, 3, 4):
        timed.at(T0 + hours * HOUR)

    assert [len(ticks) for ticks in timed.commits()] == [3, 1]


def test_only_the_last_tick_stays_where_it_is_asked_for(timed: Timed) -> None:
    timed.create(overwrite=True)
    timed.at(T0 + HOUR)
    timed.at(T0 + 3 * HOUR)
    jobs = timed.jobs()

    assert timed.files() == ["2026-03-05T13:00:00Z"]
    assert timed.files("clock") == ["2026-03-05T13:00:00Z"]
    assert jobs == [JobState.SUCCESS] * 2


def test_ticks_since_a_start_that_is_over_make_one_job(timed: Timed) -> None:
    timed.create(spec="@daily", start="2026-03-01T12:00:00Z")
    timed.at(T0)

    assert timed.commits() == [[f"2026-03-0{day}T00:00:00Z" for day in (2, 3, 4, 5)]]
    assert timed.jobs() == [JobState.SUCCESS]


def test_a_start_that_is_too_long_ago_makes_nothing(timed: Timed) -> None:
    with pytest.raises(InvalidInput, match="give a later start"):
        timed.create(spec="@every 1s", start="2020-01-01T00:00:00Z")

    assert timed.engine.repos.list_repos() == []
    assert timed.engine.pipelines.list_pipelines() == []


def test_the_clocks_of_a_pipeline_that_tick_together_make_one_job(timed: Timed) -> None:
    timed.create(
        script="echo $even $all > /pfs/out/$(basename $even)",
        input={
            "cross": [
                {"cron": {"name": "even", "spec": "0 */2 * * *", "overwrite": True}},
                {"cron": {"name": "all", "spec": "@hourly", "overwrite": True}},
            ]
        },
    )
    timed.at(T0 + HOUR)
    timed.at(T0 + 2 * HOUR)

    assert timed.jobs() == [JobState.SUCCESS] * 2
    [both, _] = timed.engine.jobs.list_jobs(pipeline="clock")
    run = timed.engine.commits.inspect_run(both.id)
    assert {name.repo for name in run.commits} == {"clock_even", "clock_all", "clock"}


def test_clocks_tick_together_though_two_branches_of_one_repo_follow_them(timed: Timed) -> None:
    clocks = [{"cron": {"name": name, "spec": "@hourly"}} for name in ("a", "b")]
    timed.create(script="true", input={"union": clocks})
    timed.engine.repos.create_repo("view")
    for name in ("a", "b"):
        source = [f"clock_{name}@master"]
        timed.engine.branches.create_branch("view", name, provenance=source)

    timed.at(T0 + HOUR)

    heads = [timed.engine.branches.inspect_branch("view", name).head for name in ("a", "b")]
    runs = {info.id for info in timed.engine.commits.list_commits("view")}
    assert set(heads) == runs
    assert len(runs) == 2
    assert timed.jobs() == [JobState.SUCCESS]
    timed.engine.commits.finish_commit("view", "a")
    timed.engine.commits.finish_commit("view", "b")
    timed.engine.pipelines.run_cron("clock")
    assert len(list(timed.engine.commits.list_commits("view"))) == 4


def test_ticks_of_an_update_go_on_where_the_old_ones_ended(timed: Timed) -> None:
    timed.create()
    timed.at(T0 + HOUR)
    timed.create(update=True, script=COPY + "; true")
    timed.at(T0 + 2 * HOUR)
    timed.create(update=True, spec="30 * * * *", start="2026-03-05T00:00:00Z")
    timed.at(T0 + 3 * HOUR)

    hours = [tick for ticks in timed.commits() for tick in ticks]
    assert [hour[11:16] for hour in hours] == ["11:00", "12:00", "12:30"]


def test_a_clock_that_an_update_takes_out_stands_still(timed: Timed) -> None:
    timed.create()
    timed.at(T0 + HOUR)
    timed.engine.repos.create_repo("data")
    timed.create(update=True, input={"pfs": {"repo": "data", "glob": "/"}})
    timed.at(T0 + 5 * HOUR)

    assert len(timed.files()) == 1
    timed.engine.pipelines.delete_pipeline("clock")
    assert {repo.name for repo in timed.engine.repos.list_repos()} == {"clock_tick", "data"}


def test_a_pipeline_that_is_stopped_misses_no_tick_and_has_one_job_for_all(timed: Timed) -> None:
    timed.create()
    timed.engine.pipelines.stop_pipeline("clock")
    timed.at(T0 + HOUR)
    timed.at(T0 + 2 * HOUR)
    stopped = timed.jobs()
    timed.engine.pipelines.start_pipeline("clock")

    assert stopped == []
    assert timed.jobs() == [JobState.SUCCESS]
    assert timed.files("clock") == timed.files()


def test_an_open_commit_is_waited_for_and_the_clocks_of_others_go_on(timed: Timed) -> None:
    timed.create()
    timed.create("other", "true")
    timed.engine.commits.start_commit("clock_tick", branch="master")
    timed.at(T0 + HOUR)
    meanwhile = (timed.files("other_tick"), timed.ticks.attend(timed.now))
    timed.engine.commits.finish_commit("clock_tick", "master")
    timed.at(timed.now)

    assert meanwhile == (["2026-03-05T11:00:00Z"], datetime(2026, 3, 5, 12, tzinfo=UTC))
    assert timed.files() == ["2026-03-05T11:00:00Z"]


def test_the_catalog_is_asked_only_when_it_may_have_an_answer(timed: Timed) -> None:
    timed.create()
    timed.at(T0 + HOUR)
    timed.jobs()
    database = _Counting(timed.engine._services.database)
    ticks = CronTicks(replace(timed.engine._services, database=database))
    first = ticks.attend(timed.now)
    asked = database.reads
    for seconds in range(1, 60):
        ticks.attend(timed.now + seconds * SECOND)

    assert first == datetime(2026, 3, 5, 12, tzinfo=UTC)
    assert database.reads == asked


class _Counting:
    """A database that counts how often it is asked."""

    def __init__(self, database) -> None:
        self._database = database
        self.reads = 0

    @property
    def revision(self) -> int:
        return self._database.revision

    def read(self):
        self.reads += 1
        return self._database.read()


# --- run cron -------------------------------------------------------------------------------------


def test_a_tick_can_be_asked_for_and_the_schedule_goes_on(timed: Timed) -> None:
    timed.create(spec="@never")
    timed.at(T0 + DAY)
    first = timed.engine.pipelines.run_cron("clock")
    again = timed.engine.pipelines.run_cron("clock")

    assert timed.commits() == [
        ["2026-03-06T10:20:30Z"],
        ["2026-03-06T10:20:30.000000Z"],  # in the same second
    ]
    assert (first.jobs, again.jobs) == (("clock",), ("clock",))
    assert {name.repo for name in first.commits} == {"clock_tick", "clock"}
    assert timed.jobs() == [JobState.SUCCESS] * 2


def test_only_a_pipeline_with_a_clock_that_runs_can_be_asked_for_a_tick(timed: Timed) -> None:
    timed.create()
    timed.engine.repos.create_repo("data")
    timed.create("plain", input={"pfs": {"repo": "data", "glob": "/"}})
    run_cron = timed.engine.pipelines.run_cron

    with pytest.raises(PipelineNotFound, match="no pipeline 'clok'.*'clock'"):
        run_cron("clok")
    with pytest.raises(Conflict, match="'plain' has no cron input; `rerun pipeline plain`"):
        run_cron("plain")
    timed.engine.commits.start_commit("clock_tick", branch="master")
    with pytest.raises(CommitOpen, match="finish it with `finish commit clock_tick@"):
        run_cron("clock")
    timed.engine.pipelines.stop_pipeline("clock")
    with pytest.raises(Conflict, match="'clock' is stopped"):
        run_cron("clock")


# --- what becomes of the repo ---------------------------------------------------------------------


def test_the_repo_of_ticks_goes_and_comes_back_with_its_pipeline(timed: Timed) -> None:
    timed.create()
    timed.at(T0 + HOUR)
    timed.jobs()
    timed.engine.pipelines.delete_pipeline("clock")
    gone = timed.engine.repos.list_repos()
    timed.at(T0 + 2 * HOUR)
    timed.engine.trash.undelete("pipeline", "clock")
    timed.at(T0 + 3 * HOUR)

    assert gone == []
    assert [len(ticks) for ticks in timed.commits()] == [1, 2]  # none is lost
    assert timed.jobs() == [JobState.SUCCESS] * 2
    assert timed.files("clock") == timed.files()
    assert timed.engine.admin.fsck().damages == ()


def test_with_the_output_the_ticks_are_kept_and_taken_over(timed: Timed) -> None:
    timed.create()
    timed.at(T0 + HOUR)
    timed.jobs()
    timed.engine.pipelines.delete_pipeline("clock", keep_repo=True)
    kept = {repo.name for repo in timed.engine.repos.list_repos()}
    timed.create()
    timed.at(T0 + 2 * HOUR)

    assert kept == {"clock", "clock_tick"}
    assert len(timed.files()) == 2


def test_a_repo_of_ticks_is_not_deleted_by_itself(timed: Timed) -> None:
    timed.create()

    with pytest.raises(InUse, match="holds the ticks of pipeline 'clock'; delete that first"):
        timed.engine.repos.delete_repo("clock_tick", force=True)


@pytest.mark.parametrize("force", [False, True])
def test_the_branch_of_ticks_is_not_deleted_by_itself(timed: Timed, force: bool) -> None:
    timed.create()

    with pytest.raises(InUse, match="branch clock_tick@master holds the ticks of pipeline 'clock'"):
        timed.engine.branches.delete_branch("clock_tick", "master", force=force)


def test_a_repo_that_a_user_made_stays_when_the_pipeline_goes(timed: Timed) -> None:
    timed.engine.repos.create_repo("mine")
    timed.create(repo="mine")
    timed.at(T0 + HOUR)
    timed.engine.pipelines.delete_pipeline("clock")

    assert [repo.name for repo in timed.engine.repos.list_repos()] == ["mine"]
    assert timed.files("mine") == ["2026-03-05T11:00:00Z"]


def test_ticks_that_another_pipeline_reads_are_not_deleted(timed: Timed) -> None:
    timed.create()
    timed.create("reader", "true", input={"pfs": {"repo": "clock_tick", "glob": "/"}})

    with pytest.raises(InUse, match="repo 'clock_tick' can't be deleted: reader@master"):
        timed.engine.pipelines.delete_pipeline("clock")
    timed.engine.pipelines.delete_pipeline("clock", force=True)

    assert {repo.name for repo in timed.engine.repos.list_repos()} == {"reader"}


def test_ticks_do_not_go_into_the_output_of_a_pipeline(timed: Timed) -> None:
    timed.create()

    with pytest.raises(Conflict, match="can't go to repo 'clock', which has the output"):
        timed.create("other", repo="clock")


def test_all_is_deleted_with_its_clocks(timed: Timed) -> None:
    timed.create()
    timed.engine.admin.delete_all()
    timed.at(T0 + HOUR)

    assert timed.engine.repos.list_repos() == []


# --- real time ------------------------------------------------------------------------------------


def test_a_server_ticks_by_itself(remote) -> None:
    remote.engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": "clock"},
            "transform": {"cmd": ["/bin/sh"], "stdin": ["cp $tick /pfs/out/"]},
            "input": {"cron": {"name": "tick", "spec": "@every 1s"}},
        }
    )
    coming = remote.engine.commits.subscribe_commits("clock", "master", timeout_s=60)
    first, second = next(coming), next(coming)
    asked = remote.engine.pipelines.run_cron("clock")

    times = [sorted(remote.tree("clock", commit.id)) for commit in (first, second)]
    assert len(times[1]) > len(times[0]) > 0
    assert all(datetime.fromisoformat(path.strip("/")).microsecond == 0 for path in times[1])
    assert asked.jobs == ("clock",)


def test_a_pipeline_in_a_transaction_has_its_clock_when_that_is_finished(
    open_engine: Callable,
) -> None:
    driver = open_engine()
    transactions = driver.engine.transactions
    batch = transactions.start_transaction().id
    spec = {
        "pipeline": {"name": "clock"},
        "transform": {"cmd": ["true"]},
        "input": {"cron": {"name": "tick", "spec": "@never"}},
    }
    transactions.add_step(batch, "create_pipeline", {"spec": spec})
    transactions.finish_transaction(batch)

    assert driver.engine.pipelines.run_cron("clock").jobs == ("clock",)
