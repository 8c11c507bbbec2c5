"""A branch with a trigger follows another one, no sooner and no later than its conditions say."""

import itertools
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import Conflict, InUse, InvalidInput, ProvenanceLoop
from trunkline.model.versions import BranchTrigger
from trunkline.versions import branches, commits, repos, schedules, triggers
from trunkline.versions.triggers import Grown, is_met, parse_size

T0 = datetime(2024, 2, 28, 22, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def follow(catalog, target: str, source: str, repo: str = "data", **conditions):
    trigger = BranchTrigger(source=source, **conditions)
    return catalog.branch(repo, target, trigger=trigger)


def head(catalog, branch: str, repo: str = "data") -> str | None:
    found = catalog.head(repo, branch)
    return None if found is None else found.id


def tick(catalog, now: datetime):
    return catalog.change(triggers.tick, **{**catalog.moment(), "now": now})


@pytest.fixture
def data(catalog):
    catalog.repo("data")
    return catalog


# --- conditions -----------------------------------------------------------------------------------


def test_after_so_many_commits_the_branch_moves_and_counts_anew(data) -> None:
    follow(data, "master", "staging", commits=3)

    seen = []
    for _ in range(7):
        newest = data.put("data", "staging").commit.id
        seen.append(head(data, "master") == newest)

    assert seen == [False, False, True, False, False, True, False]


def test_size_is_what_the_source_is_larger_by(data) -> None:
    follow(data, "master", "staging", size="1kB")
    data.put("data", "staging", size=999)
    before = head(data, "master")
    at_1000 = data.put("data", "staging", size=1000).commit.id
    first = head(data, "master")
    data.put("data", "staging", size=400)  # much was deleted
    data.put("data", "staging", size=1999)
    second = head(data, "master")
    at_2000 = data.put("data", "staging", size=2000).commit.id

    assert (before, first, second, head(data, "master")) == (None, at_1000, at_1000, at_2000)


@pytest.mark.parametrize(
    ("every", "expected"), [(False, [False, True, True]), (True, [False, False, True])]
)
def test_one_condition_is_enough_unless_all_are_wanted(data, every: bool, expected: list) -> None:
    follow(data, "master", "staging", commits=2, size="100", all=every)

    moved = []
    for size in (50, 60, 300):
        newest = data.put("data", "staging", size=size).commit.id
        moved.append(head(data, "master") == newest)

    # with `any`, the third commit is 240 bytes larger than the second, at which it fired
    assert moved == expected


@given(
    conditions=st.tuples(st.sampled_from(["", "100"]), st.integers(0, 2), st.booleans()),
    size=st.integers(-200, 200),
    count=st.integers(0, 4),
    ticked=st.booleans(),
    every=st.booleans(),
)
def test_any_is_or_and_all_is_and(conditions, size, count, ticked, every) -> None:
    wanted_size, wanted_commits, cron = conditions
    trigger = BranchTrigger(
        source="s",
        size=wanted_size,
        commits=wanted_commits,
        cron="@daily" if cron else "",
        all=every,
    )
    given_ones = [
        met
        for is_given, met in (
            (wanted_size, size >= 100),
            (wanted_commits, count >= wanted_commits),
            (cron, ticked),
        )
        if is_given
    ]

    result = is_met(trigger, Grown(size_bytes=size, commits=count, tick=ticked))

    assert result == (all(given_ones) if every else any(given_ones))


@pytest.mark.parametrize(
    ("text", "size"),
    [("100MB", 10**8), ("64MiB", 2**26), ("1.5k", 1500), ("7", 7), ("2 Gi", 2**31), ("3b", 3)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_only_the_newest_finished_commit_counts(data) -> None:
    follow(data, "master", "staging", commits=1)
    first = data.put("data", "staging").commit.id
    started = data.start("data", "staging").commit
    while_open = head(data, "master")
    data.finish("data", started.id)

    assert while_open == first
    assert head(data, "master") == started.id


def test_a_failed_commit_moves_nothing(data) -> None:
    data.repo("out")
    data.branch("out", of=["data"])
    follow(data, "good", "master", repo="out", commits=1)
    done = data.put("data").commit.id
    data.finish("out", done, output=True)
    failed = data.put("data").commit.id
    data.finish("out", failed, output=True, error="it broke")

    assert head(data, "good", "out") == done


def test_the_first_of_two_waiting_commits_counts_when_it_finishes(data) -> None:
    data.repo("out")
    data.branch("out", of=["data"])
    follow(data, "good", "master", repo="out", commits=1)
    first, second = data.put("data").commit.id, data.put("data").commit.id
    data.finish("out", first, output=True)
    between = head(data, "good", "out")
    data.finish("out", second, output=True)

    assert (between, head(data, "good", "out")) == (first, second)


def test_a_trigger_that_is_met_when_it_is_set_fires_at_once(data) -> None:
    newest = data.put("data", "staging").commit.id

    follow(data, "master", "staging", commits=1)

    assert head(data, "master") == newest


def test_moving_the_source_by_hand_counts_too(data) -> None:
    data.put("data", "other")
    newest = data.put("data", "other").commit
    follow(data, "master", "staging", commits=2)

    data.branch("data", "staging", head=newest)

    assert head(data, "master") == newest.id


def test_commits_are_counted_from_where_the_lines_part(data) -> None:
    shared = data.put("data", "staging").commit
    data.branch("data", "master", head=shared)
    data.put("data", "master")
    data.put("data", "master")
    follow(data, "master", "staging", commits=2)
    data.put("data", "staging")
    before = head(data, "master")
    second = data.put("data", "staging").commit.id

    assert before != second
    assert head(data, "master") == second


# --- what follows from it -------------------------------------------------------------------------


def test_downstream_commits_open_in_the_same_run(data) -> None:
    data.repo("out")
    data.branch("out", of=["data"])
    follow(data, "master", "staging", commits=1)

    put = data.put("data", "staging")

    assert [opened.commit.name for opened in put.opened] == [data.head("out").name]
    assert data.head("out").id == put.commit.id
    assert data.made_from("out@master") == [f"data@{put.commit.id}"]


def test_a_run_that_is_taken_downstream_gets_a_sister(data) -> None:
    data.repo("out")
    follow(data, "master", "staging", commits=1)
    data.branch("data", "master")
    data.change(
        branches.create_branch,
        "out",
        "master",
        head=None,
        provenance=[
            branches.BranchName(repo="data", branch="staging"),
            branches.BranchName(repo="data", branch="master"),
        ],
        **data.moment(),
    )

    put = data.put("data", "staging")

    first, second = [opened.commit for opened in put.opened]
    assert first.id == put.commit.id
    assert second.id != put.commit.id
    assert second.parent == first.id
    assert data.head("out").id == second.id


def test_chains_are_followed_to_the_end(data) -> None:
    follow(data, "c", "b", commits=2)
    follow(data, "b", "a", commits=1)
    follow(data, "d", "c", commits=1)

    first = data.put("data", "a").commit.id
    after_first = [head(data, name) for name in "bcd"]
    second = data.put("data", "a").commit.id

    assert after_first == [first, None, None]
    assert [head(data, name) for name in "bcd"] == [second, second, second]


# --- what is refused ------------------------------------------------------------------------------


def test_triggers_form_no_loop(data) -> None:
    follow(data, "b", "a", commits=1)
    follow(data, "c", "b", commits=1)

    with pytest.raises(Conflict, match="triggers can't form a loop: commits of data@a already"):
        follow(data, "a", "c", commits=1)
    with pytest.raises(InvalidInput, match="can't be triggered by itself"):
        follow(data, "a", "a", commits=1)


def test_triggers_and_provenance_form_no_loop_together(data) -> None:
    data.repo("out")
    data.branch("out", of=["data@master"])
    follow(data, "release", "master", repo="out", commits=1)

    with pytest.raises(ProvenanceLoop):
        data.branch("data", "master", of=["out@release"])
    data.branch("data", "raw", of=["out@release"])
    with pytest.raises(Conflict, match="can't form a loop"):
        follow(data, "master", "raw", commits=1)


def test_a_branch_has_provenance_or_a_trigger(data) -> None:
    data.repo("out")
    data.branch("out", of=["data"])
    follow(data, "release", "master", repo="out", commits=1)

    with pytest.raises(Conflict, match="can't have both provenance and a trigger"):
        follow(data, "master", "other", repo="out", commits=1)
    with pytest.raises(Conflict, match="can't have both provenance and a trigger"):
        data.branch("out", "release", of=["data"])


@pytest.mark.parametrize(
    ("conditions", "sentence"),
    [
        ({}, "no condition"),
        ({"size": "much"}, "not a size"),
        ({"size": "0"}, "not a size"),
        ({"commits": -1}, "-1 commits"),
        ({"cron": "often"}, "not a schedule"),
        ({"cron": "0 0 30 2 *"}, "schedule"),
        ({"cron": "@every 0s"}, "not a schedule"),
        ({"cron": "61 * * * *"}, "not a schedule"),
    ],
)
def test_what_can_never_be_met_is_refused(data, conditions: dict, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        follow(data, "master", "staging", **conditions)
    assert data.ask(branches.list_branches, "data") == []


def test_a_source_stays_while_something_follows_it(data) -> None:
    data.put("data", "staging")
    follow(data, "master", "staging", commits=5)

    with pytest.raises(InUse, match="data@master is triggered by it"):
        data.change(branches.delete_branch, "data", "staging", force=False)
    data.change(branches.delete_branch, "data", "staging", force=True)

    assert data.ask(branches.branch_info, "data", "master").trigger is None


def test_a_repo_goes_with_its_triggers(data) -> None:
    data.put("data", "staging")
    follow(data, "master", "staging", commits=5)

    data.change(repos.delete_repo, "data", force=False, now=data.now)
    data.repo("data")
    data.branch("data", "master")

    assert data.ask(branches.branch_info, "data", "master").trigger is None


def test_a_trigger_is_replaced_and_removed(data) -> None:
    follow(data, "master", "staging", commits=5)
    follow(data, "master", "staging", size="1kB", cron="@daily")
    replaced = data.ask(branches.branch_info, "data", "master")
    data.branch("data", "master", trigger=BranchTrigger(source=""))
    removed = data.ask(branches.branch_info, "data", "master")

    assert replaced.trigger == BranchTrigger(source="staging", size="1kB", cron="@daily")
    assert replaced.next_tick is not None
    assert (removed.trigger, removed.next_tick) == (None, None)


# --- schedules ------------------------------------------------------------------------------------


def every(catalog, cron: str, now: datetime, **more) -> None:
    catalog.branch(
        "data", "master", trigger=BranchTrigger(source="staging", cron=cron, **more), now=now
    )


def test_a_tick_moves_the_branch_once(data) -> None:
    every(data, "@hourly", T0)
    newest = data.put("data", "staging").commit.id

    seen = []
    for minutes in (29, 30, 31, 60):
        tick(data, T0 + timedelta(minutes=minutes))
        seen.append(head(data, "master"))

    assert seen == [None, newest, newest, newest]


def test_a_tick_that_finds_nothing_new_is_used_up(data) -> None:
    every(data, "@hourly", T0)
    tick(data, T0 + HOUR)
    later = data.put("data", "staging").commit.id
    before = head(data, "master")
    tick(data, T0 + 2 * HOUR)

    assert (before, head(data, "master")) == (None, later)


def test_where_all_conditions_count_a_tick_waits_for_the_others(data) -> None:
    every(data, "@hourly", T0, commits=2, all=True)
    tick(data, T0 + HOUR)
    data.put("data", "staging")
    before = head(data, "master")
    second = data.put("data", "staging").commit.id
    at_once = head(data, "master")
    data.put("data", "staging")
    data.put("data", "staging")

    assert (before, at_once, head(data, "master")) == (None, second, second)


def test_missed_ticks_are_made_up_for_by_one_move(data) -> None:
    data.repo("out")
    data.branch("out", of=["data"])
    every(data, "@every 10s", T0)
    newest = data.put("data", "staging").commit.id

    opened = tick(data, T0 + timedelta(days=400))
    again = tick(data, T0 + timedelta(days=400, seconds=1))

    assert len(opened) == 1
    assert again == []
    assert head(data, "master") == newest


def test_a_clock_that_is_set_back_gives_no_tick_twice(data) -> None:
    every(data, "@hourly", T0)
    data.put("data", "staging")
    tick(data, T0 + HOUR)
    later = data.put("data", "staging").commit.id

    tick(data, T0)  # summer time, say: the hour comes again
    tick(data, T0 + HOUR)
    between = head(data, "master")
    tick(data, T0 + 2 * HOUR)

    assert between != later
    assert head(data, "master") == later


def test_a_clock_that_was_years_ahead_does_not_stop_a_schedule_for_years(data) -> None:
    every(data, "@hourly", T0)
    tick(data, T0 + timedelta(days=3650))
    newest = data.put("data", "staging").commit.id

    tick(data, T0 + HOUR)
    tick(data, T0 + 2 * HOUR)

    assert head(data, "master") == newest


def test_how_far_a_schedule_was_followed_survives_a_restart(new_catalog, tmp_path: Path) -> None:
    first = new_catalog(tmp_path / "catalog.db")
    first.repo("data")
    every(first, "@hourly", T0)
    first.put("data", "staging")
    tick(first, T0 + HOUR)
    first.db.close()

    second = new_catalog(tmp_path / "catalog.db")
    second.count = 100
    newest = second.put("data", "staging").commit.id
    tick(second, T0 + HOUR + timedelta(minutes=20))
    same_hour = head(second, "master")
    tick(second, T0 + 30 * HOUR)
    second.db.close()

    assert same_hour not in (None, newest)


@given(
    steps=st.lists(st.integers(-7200, 7200), max_size=30),
    schedule=st.sampled_from(["@hourly", "*/5 * * * *", "@every 10m", "@every 90s", "15 3 * * *"]),
)
def test_however_the_clock_runs_every_tick_comes_once(steps: list[int], schedule: str) -> None:
    """Against the list of all ticks: one look gives a tick iff one lies in the new time."""
    clock = schedules.start(schedule, T0)
    ticks = []
    following = clock
    for _ in range(4000):
        if following.next > T0 + timedelta(seconds=7200 * 30):
            break
        ticks.append(following.next)
        following, _ = schedules.look(schedule, following, following.next)
    now = seen = T0
    for step in steps:
        now += timedelta(seconds=step)
        expected = any(seen < moment <= now for moment in ticks)

        clock, ticked = schedules.look(schedule, clock, now)

        if now >= T0 - schedules.SET_BACK_MAX:
            assert ticked == expected
        else:
            return
        seen = max(seen, now) if ticked else seen


# --- against a plain model ------------------------------------------------------------------------

NAMES = ["a", "b", "c", "d"]
step_strategy = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(NAMES), st.integers(0, 300)),
    st.tuples(st.just("move"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(
        st.just("follow"),
        st.sampled_from(NAMES),
        st.tuples(
            st.sampled_from(NAMES),
            st.sampled_from(["", "100", "250"]),
            st.integers(0, 3),
            st.booleans(),
        ),
    ),
    st.tuples(st.just("remove"), st.sampled_from(NAMES), st.none()),
)


class Model:
    """Branches as lists of (id, size), triggers as tuples; everything is looked at every time."""

    def __init__(self) -> None:
        self.lines: dict[str, list[tuple[str, int]]] = {}
        self.triggers: dict[str, tuple[str, str, int, bool]] = {}

    def upstream(self, name: str) -> list[str]:
        found = [name]
        while found[-1] in self.triggers:
            found.append(self.triggers[found[-1]][0])
        return found

    def changed(self, name: str) -> None:
        if name in self.triggers:
            self.look(name)
        for target in NAMES:
            if target in self.triggers and self.triggers[target][0] == name:
                self.look(target)

    def look(self, target: str) -> None:
        source, size, count, every_one = self.triggers[target]
        new, old = self.lines.get(source, []), self.lines.get(target, [])
        if not new or (old and old[-1] == new[-1]):
            return
        shared = sum(
            1
            for _ in itertools.takewhile(
                lambda pair: pair[0] == pair[1], zip(old, new, strict=False)
            )
        )
        met = []
        if size:
            met.append(new[-1][1] - (old[-1][1] if old else 0) >= int(size))
        if count:
            met.append(len(new) - shared >= count)
        if all(met) if every_one else any(met):
            self.lines[target] = list(new)
            self.changed(target)


@settings(max_examples=settings().max_examples * 2)
@given(steps=st.lists(step_strategy, max_size=40))
def test_any_sequence_of_changes_moves_branches_as_the_model_says(new_catalog, steps: list) -> None:
    with tempfile.TemporaryDirectory() as directory:
        catalog = new_catalog(Path(directory) / "catalog.db")
        catalog.repo("data", "out")
        catalog.branch("out", of=["data@d"])
        model = Model()
        for kind, name, argument in steps:
            _step(catalog, model, kind, name, argument)
            for branch in NAMES:
                line = model.lines.get(branch, [])
                found = catalog.ask(branches.branch_head, "data", branch)
                assert (found.id if found else None) == (line[-1][0] if line else None)
            if model.lines.get("d"):
                assert catalog.made_from("out@master") == [f"data@{model.lines['d'][-1][0]}"]
        catalog.db.close()


def _step(catalog, model: Model, kind: str, name: str, argument) -> None:
    if kind == "put":
        commit = catalog.put("data", name, size=argument).commit
        model.lines.setdefault(name, []).append((commit.id, argument))
    elif kind == "move":
        if not model.lines.get(argument):
            return
        catalog.branch("data", name, head=catalog.get(f"data@{argument}"))
        model.lines[name] = list(model.lines[argument])
    elif kind == "remove":
        catalog.branch("data", name, trigger=BranchTrigger(source=""))
        model.triggers.pop(name, None)
    else:
        source, size, count, every_one = argument
        try:
            follow(catalog, name, source, size=size, commits=count, all=every_one)
        except (Conflict, InvalidInput):
            assert name in model.upstream(source) or not (size or count)
            return
        assert name not in model.upstream(source)
        model.triggers[name] = (source, size, count, every_one)
    model.changed(name)


def test_finishing_tells_what_was_opened(data) -> None:
    data.repo("out")
    data.branch("out", of=["data"])
    follow(data, "master", "staging", commits=1)
    started = data.start("data", "staging").commit

    finished = data.change(
        commits.finish_commit, "data", started.id, root="r", files=0, size_bytes=0, now=data.now
    )

    assert [opened.commit.repo for opened in finished.opened] == ["out"]


@pytest.mark.parametrize("order", [("mid", "master"), ("master", "mid")])
def test_one_tick_moves_a_whole_chain_whichever_branch_was_made_first(data, order) -> None:
    for branch in order:
        follow(data, branch, {"mid": "staging", "master": "mid"}[branch], cron="@every 1h")
    newest = data.put("data", "staging").commit.id

    tick(data, data.now + 2 * HOUR)

    assert (head(data, "mid"), head(data, "master")) == (newest, newest)


def test_what_comes_back_is_looked_at_like_what_was_put(data) -> None:
    data.put("data", "staging")
    second = data.put("data", "staging").commit
    data.drop(f"data@{second.id}")
    follow(data, "master", "staging", commits=2)
    before = head(data, "master")

    data.undelete("commit", f"data@{second.id}")

    assert (before, head(data, "master")) == (None, second.id)
