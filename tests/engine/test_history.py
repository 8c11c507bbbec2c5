"""Lists of commits, moved branches, and waits, through the operations."""

import threading
from itertools import chain

import pytest

from trunkline.errors import InvalidInput, NotFound, TimedOut
from trunkline.model.jobs import JobState

COPY = 'for f in /pfs/data/*; do cat "$f" > "/pfs/out/$(basename "$f")"; done'


def ids(found) -> list[str]:
    return [commit.id for commit in found]


@pytest.fixture
def commits(engine):
    return engine.engine.commits


# --- lists ----------------------------------------------------------------------------------------


def test_a_range_leaves_out_what_both_ends_share(engine, commits) -> None:
    engine.engine.repos.create_repo("data")
    runs = [engine.put("data", {"f": str(n)}).id for n in range(4)]
    engine.engine.branches.create_branch("data", "dev", head=runs[1])
    side = engine.put("data", {"g": "x"}, branch="dev").id

    assert ids(commits.list_commits("data", to="master", after=runs[1])) == runs[:1:-1]
    assert ids(commits.list_commits("data", to="master", after="dev")) == runs[:1:-1]
    assert ids(commits.list_commits("data", to="dev", after="master")) == [side]
    assert ids(commits.list_commits("data", to="master", after="master")) == []
    assert ids(commits.list_commits("data", to="master~1", number=2)) == [runs[2], runs[1]]


def test_a_list_longer_than_a_page_is_whole(engine, commits) -> None:
    engine.engine.repos.create_repo("data")
    runs = []
    for _ in range(203):
        commit = commits.start_commit("data", branch="master")
        commits.finish_commit("data", commit.id)
        runs.append(commit.id)

    assert ids(commits.list_commits("data")) == runs[::-1]
    assert ids(commits.list_commits("data", to="master")) == runs[::-1]
    assert ids(commits.list_commits("data", to="master", after="master.2")) == runs[:1:-1]
    assert ids(commits.list_commits("data", number=201)) == runs[:1:-1]
    assert ids(commits.list_all_commits()) == runs[::-1]


def test_lists_tell_what_users_made_from_what_pipelines_made(engine, commits) -> None:
    engine.engine.repos.create_repo("data")
    run = engine.put("data", {"f": "x"}).id
    engine.pipeline("copy", COPY)
    made = engine.job("copy").id

    everywhere = [(c.repo, c.id) for c in commits.list_all_commits()]
    assert everywhere == [("copy", made), ("data", run)]
    assert ids(commits.list_all_commits(origin="auto")) == [made]
    assert ids(commits.list_commits("copy", origin="user")) == []
    assert {c.repo for c in commits.list_all_commits(system=True)} == {"copy", "data", "__spec__"}


def test_a_start_without_an_end_is_refused(engine, commits) -> None:
    engine.engine.repos.create_repo("data")

    with pytest.raises(InvalidInput, match="without `to` commit"):
        commits.list_commits("data", after="master")
    with pytest.raises(InvalidInput, match="user or auto, not 'fsck'"):
        commits.list_commits("data", origin="fsck")


# --- deferred processing --------------------------------------------------------------------------


def test_a_moved_branch_sets_off_one_run_and_back_again_none_of_the_work(engine, commits) -> None:
    engine.engine.repos.create_repo("data")
    engine.engine.branches.create_branch("data", "master")
    engine.pipeline("copy", COPY)
    engine.pipeline("second", COPY.replace("/pfs/data", "/pfs/copy"), source="copy")
    for number in range(3):
        engine.put("data", {f"f{number}": "x"}, branch="staging")
    assert list(engine.engine.jobs.list_jobs()) == []

    engine.engine.branches.create_branch("data", "master", head="staging")

    first, second = engine.job("copy"), engine.job("second")
    assert (first.id, first.state, first.processed) == (second.id, JobState.SUCCESS, 3)
    assert len(list(engine.engine.jobs.list_jobs())) == 2
    engine.engine.branches.create_branch("data", "master", head="staging^")
    back = engine.job("copy")
    assert (back.state, back.processed, back.skipped) == (JobState.SUCCESS, 0, 2)
    engine.job("second")
    assert set(engine.tree("second")) == {"f0", "f1"}
    engine.engine.branches.create_branch("data", "master", head="master")
    assert engine.job("copy").id == back.id  # nothing moved


def test_a_branch_at_its_place_sets_nothing_off_again(engine, commits) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"f": "x"})
    engine.pipeline("copy", COPY)
    engine.job("copy")

    engine.engine.branches.create_branch("data", "master", head="master")

    assert len(list(engine.engine.jobs.list_jobs())) == 1


# --- waits ----------------------------------------------------------------------------------------


def test_waits_end_when_the_time_is_over(engine, commits) -> None:
    engine.engine.repos.create_repo("data")
    engine.pipeline("copy", "sleep 600")
    run = engine.put("data", {"f": "x"}).id

    with pytest.raises(TimedOut):
        commits.inspect_run(run, wait=True, timeout_s=0.05)
    with pytest.raises(TimedOut):
        list(commits.flush_commits([f"data@{run}"], timeout_s=0.05))
    with pytest.raises(TimedOut):
        list(engine.engine.jobs.flush_jobs([f"data@{run}"], timeout_s=0.05))
    with pytest.raises(NotFound):
        commits.inspect_run("0" * 12 + "4" + "0" * 19, wait=True)


def test_a_subscription_with_a_limit_ends_behind_what_came(engine, commits) -> None:
    engine.engine.repos.create_repo("data")
    first = engine.put("data", {"f": "0"}).id
    seen: list[str] = []

    with pytest.raises(TimedOut, match="waited 0 s for commits of data@master; more may come"):
        seen.extend(
            commit.id for commit in commits.subscribe_commits("data", "master", timeout_s=0.01)
        )

    with pytest.raises(TimedOut):
        next(commits.subscribe_commits("data", "master", new=True, timeout_s=0))
    assert seen == [first]


def test_a_subscriber_sees_each_commit_once_and_in_order(engine, commits) -> None:
    engine.engine.repos.create_repo("data")
    first = engine.put("data", {"f": "0"}).id
    stream = commits.subscribe_commits("data", "master")
    seen = [next(stream).id]
    more: list[str] = []
    writer = threading.Thread(
        target=lambda: more.extend(engine.put("data", {"f": str(n)}).id for n in range(5))
    )
    writer.start()
    seen += [next(stream).id for _ in range(5)]
    writer.join()

    assert seen == [first, *more]


# --- many writers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("branches", [1, 16])
def test_sixteen_writers_lose_nothing(engine, commits, branches: int) -> None:
    engine.engine.repos.create_repo("data")
    acknowledged: list[list[str]] = [[] for _ in range(16)]

    def write(writer: int) -> None:
        for number in range(4):
            branch = f"b{writer % branches}"
            done = engine.put("data", {f"w{writer}-{number}": str(number)}, branch=branch)
            acknowledged[writer].append(done.id)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    history = {
        f"b{b}": ids(commits.list_commits("data", to=f"b{b}"))[::-1] for b in range(branches)
    }
    assert sorted(chain(*history.values())) == sorted(chain(*acknowledged))
    for writer, done in enumerate(acknowledged):
        line = history[f"b{writer % branches}"]
        assert [run for run in line if run in done] == done  # each in the order it was answered
    files = {path for b in history for path in engine.tree("data", b)}
    assert files == {f"w{writer}-{number}" for writer in range(16) for number in range(4)}
