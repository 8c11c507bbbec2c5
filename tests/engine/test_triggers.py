"""Triggers in a whole engine: jobs run for what they move, and schedules are followed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from trunkline.engine.clockwork import TriggerTicks
from trunkline.model.jobs import JobState
from trunkline.model.versions import BranchTrigger

HOUR = timedelta(hours=1)


def follow(driver, target: str, source: str, repo: str = "data", **conditions) -> None:
    trigger = BranchTrigger(source=source, **conditions)
    driver.engine.branches.create_branch(repo, target, trigger=trigger)


def test_a_pipeline_runs_when_a_commit_or_a_job_has_moved_its_branch(engine) -> None:
    engine.engine.repos.create_repo("data")
    follow(engine, "master", "staging", commits=2)
    engine.pipeline("copy", "cp /pfs/data/* /pfs/out/")
    follow(engine, "release", "master", repo="copy", commits=1)
    engine.pipeline(
        "count", "ls /pfs/copy | wc -l > /pfs/out/n", input=_input("copy", "release", "/")
    )

    engine.put("data", {"a": "1"}, branch="staging")
    quiet = list(engine.engine.jobs.list_jobs())
    last = engine.put("data", {"b": "2"}, branch="staging")
    run = engine.engine.commits.inspect_run(last.id, wait=True)

    assert quiet == []
    assert {engine.job(name).state for name in ("copy", "count")} == {JobState.SUCCESS}
    assert sorted(run.jobs) == ["copy", "count"]
    assert engine.read("count", "n").strip() == "2"
    assert engine.engine.admin.fsck().damages == ()


def _input(repo: str, branch: str, glob: str) -> dict:
    return {"pfs": {"repo": repo, "branch": branch, "glob": glob}}


def test_an_open_commit_that_is_finished_moves_the_branch(engine) -> None:
    engine.engine.repos.create_repo("data")
    follow(engine, "master", "staging", size="3B")
    started = engine.engine.commits.start_commit("data", branch="staging")
    engine.put("data", {"a": "123"}, branch="staging")
    before = engine.head("data")
    engine.engine.commits.finish_commit("data", "staging")

    assert before is None
    assert engine.head("data") == started.id


def test_the_server_follows_a_schedule_by_itself(engine) -> None:
    engine.engine.repos.create_repo("data")
    follow(engine, "master", "staging", cron="@every 1s")
    put = engine.put("data", {"a": "1"}, branch="staging")

    moved = next(engine.engine.commits.subscribe_commits("data", "master"))

    assert moved.id == put.id


def test_the_other_side_of_the_wire_sets_triggers_too(remote) -> None:
    remote.engine.repos.create_repo("data")
    follow(remote, "master", "staging", commits=1, cron="@daily")

    info = remote.engine.branches.inspect_branch("data", "master")

    assert info.trigger == BranchTrigger(source="staging", commits=1, cron="@daily")
    assert info.next_tick is not None


def test_a_clock_is_asked_and_the_catalog_only_when_it_may_have_an_answer(engine) -> None:
    """The duty by itself, with a clock of its own: no tick is lost, none comes twice."""
    engine.engine.repos.create_repo("data")
    follow(engine, "master", "staging", cron="@hourly")
    database = _Counting(engine.engine._services.database)
    ticks = TriggerTicks(database, lambda: f"{len(database.writes):012x}4{0:019x}")
    now = datetime.now(UTC) + timedelta(hours=20)  # the engine itself follows the real clock

    first = ticks.attend(now)
    commit = engine.put("data", {"a": "1"}, branch="staging").id
    same_hour = ticks.attend(now)
    reads = database.reads
    for second in range(1, 60):
        ticks.attend(now + timedelta(milliseconds=second))
    idle_reads = database.reads - reads
    moved_at = ticks.attend(first)

    assert now < first <= now + HOUR
    assert (same_hour, idle_reads) == (first, 0)
    assert moved_at == first + HOUR
    assert engine.head("data") == commit


class _Counting:
    """A database that counts how often it is asked."""

    def __init__(self, database) -> None:
        self._database = database
        self.reads = 0
        self.writes: list[int] = []

    @property
    def revision(self) -> int:
        return self._database.revision

    def read(self):
        self.reads += 1
        return self._database.read()

    def write(self):
        self.writes.append(1)
        return self._database.write()


def test_what_became_due_while_no_server_ran_is_done_at_the_next_start(
    open_engine: Callable,
) -> None:
    first = open_engine()
    first.engine.repos.create_repo("data")
    follow(first, "master", "staging", cron="@every 3s")
    put = first.put("data", {"a": "1"}, branch="staging")
    tick = first.engine.branches.inspect_branch("data", "master").next_tick
    first.engine.close()

    second = open_engine(first.home)
    moved = next(second.engine.commits.subscribe_commits("data", "master"))

    assert moved.id == put.id
    assert second.engine.branches.inspect_branch("data", "master").next_tick > tick


def test_a_deleted_branch_comes_back_with_its_trigger(engine) -> None:
    engine.engine.repos.create_repo("data")
    follow(engine, "master", "staging", commits=2)
    for name in ("staging", "master"):
        engine.engine.branches.delete_branch("data", name, force=True)

    engine.engine.trash.undelete("branch", "data@master")
    alone = engine.engine.branches.inspect_branch("data", "master").trigger
    engine.engine.trash.undelete("branch", "data@staging")

    assert alone is None  # what it looked at was not there yet
    assert engine.engine.branches.inspect_branch("data", "master").trigger == BranchTrigger(
        source="staging", commits=2
    )


def test_a_deleted_repo_comes_back_with_its_triggers(engine) -> None:
    engine.engine.repos.create_repo("data")
    follow(engine, "master", "staging", cron="@daily", size="1MB", all=True)
    before = engine.engine.branches.list_branches("data")

    engine.engine.repos.delete_repo("data")
    engine.engine.trash.undelete("repo", "data")

    assert engine.engine.branches.list_branches("data") == before
