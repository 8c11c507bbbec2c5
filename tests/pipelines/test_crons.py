"""Which ticks of a cron input are due, however the clock runs; and how its spec is read."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidInput, InvalidSpec
from trunkline.model.pipelines import Cron, PipelineSpec
from trunkline.pipelines import crons
from trunkline.pipelines.crons import CronRow
from trunkline.pipelines.inputs import cron_leaves, shorthand
from trunkline.pipelines.spec import spec_from_document
from trunkline.versions import schedules

T0 = datetime(2026, 3, 5, 10, 20, 30, tzinfo=UTC)
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


def new(schedule: str, *, start: datetime = T0, now: datetime = T0) -> CronRow:
    row = CronRow(
        pipeline="clock",
        repo="clock_tick",
        schedule=schedule,
        overwrite=False,
        owned=True,
        start=start,
        evaluated=now,
        next=None,
    )
    return crons.begin(row, now)


def due(schedule: str, upto: datetime, *, start: datetime = T0) -> list[str]:
    """The ticks of one look, as they are named."""
    _, ticks = crons.advance(new(schedule, start=start), upto)
    return [crons.name_of(tick) for tick in ticks]


# --- ticks ----------------------------------------------------------------------------------------


def test_a_tick_is_a_file_named_by_its_time() -> None:
    assert due("@every 10s", T0 + 25 * SECOND) == ["2026-03-05T10:20:40Z", "2026-03-05T10:20:50Z"]


def test_nothing_ticks_before_its_start_nor_at_it() -> None:
    start = T0 + MINUTE

    assert due("@every 10s", start, start=start) == []
    assert due("@every 10s", start + 10 * SECOND, start=start) == ["2026-03-05T10:21:40Z"]


def test_ticks_since_a_start_that_is_over_are_due_at_once() -> None:
    assert due("@daily", T0, start=T0 - 3 * DAY) == [
        f"2026-03-0{day}T00:00:00Z" for day in (3, 4, 5)
    ]


def test_what_never_ticks_is_asked_for() -> None:
    row = new("@never")

    assert row.next is None
    assert crons.advance(row, T0 + 400 * DAY) == (row, [])


def test_a_start_that_is_too_long_ago_is_refused() -> None:
    with pytest.raises(InvalidInput, match="more than 100,000 ticks of '@every 1s'.*a later start"):
        new("@every 1s", start=T0 - 2 * DAY)


def test_very_many_ticks_come_in_pieces_and_all_of_them_come() -> None:
    row, seen = new("@every 1s"), []
    for _ in range(4):
        row, ticks = crons.advance(row, T0 + 25 * SECOND, most=10)
        seen.append(len(ticks))

    assert seen == [10, 10, 5, 0]
    assert row.next == T0 + 26 * SECOND


@pytest.mark.parametrize(
    ("schedule", "start", "ticks"),
    [
        # Clocks go forward on 29 March at 2, to 3: what would be at half past two comes at three.
        (
            "TZ=Europe/Berlin 30 2 * * *",
            datetime(2026, 3, 28, tzinfo=UTC),
            ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        ),
        # And back on 25 October at 3, to 2: half past two is there twice.
        (
            "CRON_TZ=Europe/Berlin 30 2 * * *",
            datetime(2026, 10, 24, tzinfo=UTC),
            ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        ),
        (
            "TZ=America/New_York @daily",
            datetime(2026, 7, 1, 12, tzinfo=UTC),
            ["2026-07-02T04:00:00Z", "2026-07-03T04:00:00Z", "2026-07-04T04:00:00Z"],
        ),
    ],
)
def test_a_schedule_has_the_clock_of_its_time_zone(
    schedule: str, start: datetime, ticks: list[str]
) -> None:
    found = islice(schedules.ticks(schedule, start), 3)

    assert [crons.name_of(tick) for tick in found] == ticks


# --- however the clock runs -----------------------------------------------------------------------


def _matching(fits: Callable[[datetime], bool]) -> Callable[[datetime], Iterator[datetime]]:
    """All whole minutes that fit, one by one."""

    def ticks(after: datetime) -> Iterator[datetime]:
        moment = after.replace(second=0, microsecond=0)
        while True:
            moment += MINUTE
            if fits(moment):
                yield moment

    return ticks


def _every(step: timedelta) -> Callable[[datetime], Iterator[datetime]]:
    def ticks(after: datetime) -> Iterator[datetime]:
        while True:
            after += step
            yield after

    return ticks


MODELS = {
    "@every 10m": _every(10 * MINUTE),
    "@every 90s": _every(90 * SECOND),
    "@hourly": _matching(lambda at: at.minute == 0),
    "*/5 * * * *": _matching(lambda at: at.minute % 5 == 0),
    "15 3,12 * * *": _matching(lambda at: (at.hour in (3, 12)) and at.minute == 15),
    "7 * * * MON": _matching(lambda at: at.weekday() == 0 and at.minute == 7),
}


@given(
    schedule=st.sampled_from(sorted(MODELS)),
    steps=st.lists(
        st.tuples(
            st.one_of(st.integers(-7200, 7200), st.integers(-3 * 86400, 3 * 86400)),
            st.sampled_from(["look", "look", "crash before it is recorded", "restart"]),
        ),
        max_size=25,
    ),
    most=st.sampled_from([3, 10_000]),
)
def test_every_tick_comes_once_whatever_happens(
    schedule: str, steps: list[tuple[int, str]], most: int
) -> None:
    """Against a list of all ticks that is gone through minute by minute.

    A crash loses what was not recorded, and the ticks with it: both are in one transaction.
    """
    row, made = new(schedule), []
    now = seen = T0
    expected: list[datetime] = []
    coming = MODELS[schedule](T0)
    following = next(coming)
    for seconds, what in steps:
        now += timedelta(seconds=seconds)
        after, ticks = crons.advance(row, now, most=most)
        if what == "crash before it is recorded":
            continue
        if what == "restart":
            after = replace(after)  # all that is known of it is what was recorded
        while ticks:
            made += ticks
            row = after
            after, ticks = crons.advance(row, now, most=most)
        row = after

        if now < seen - schedules.SET_BACK_MAX:  # it had been wrong: counted from now on
            coming = MODELS[schedule](now)
            following, seen = next(coming), now
        while following <= now:
            expected.append(following)
            following = next(coming)
            seen = now
        assert made == expected
        assert row.next == following


# --- the spec -------------------------------------------------------------------------------------


def spec_with(cron: dict[str, object], name: str = "clock", project: str = "") -> PipelineSpec:
    pipeline = {"name": name} | ({"project": {"name": project}} if project else {})
    return spec_from_document(
        {"pipeline": pipeline, "transform": {"cmd": ["true"]}, "input": {"cron": cron}}
    )


def test_a_cron_input_reads_the_repo_of_its_ticks() -> None:
    spec = spec_with(
        {
            "name": "tick",
            "spec": "@every 10s",
            "start": "2026-01-02T03:04:05+01:00",
            "overwrite": True,
        }
    )

    [(leaf, cron)] = cron_leaves(spec.input)
    assert (leaf.name, leaf.repo, leaf.branch, leaf.glob) == ("tick", "clock_tick", "master", "/*")
    assert cron == Cron(
        spec="@every 10s", start=datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC), overwrite=True
    )
    assert shorthand(spec.input) == "tick:@every 10s"
    assert spec_from_document(spec.document) == spec


def test_its_repo_is_in_the_project_of_the_pipeline_unless_another_is_named() -> None:
    plain = spec_with({"name": "tick", "spec": "@daily"}, project="p")
    other = spec_with({"name": "tick", "spec": "@daily", "project": "q", "repo": "r"}, project="p")

    assert [leaf.repo for s in (plain, other) for leaf, _ in cron_leaves(s.input)] == [
        "p/clock_tick",
        "q/r",
    ]
    assert [spec_from_document(s.document) for s in (plain, other)] == [plain, other]


@pytest.mark.parametrize(
    ("cron", "sentence"),
    [
        ({"spec": "@daily"}, "input must specify a name: 'input.cron' has none"),
        ({"name": "t"}, "input must specify a spec: 'input.cron' has none"),
        ({"name": "out", "spec": "@daily"}, 'input cannot be named "out"'),
        ({"name": "t", "spec": "often"}, "error parsing cron-spec: 'often' is not a schedule"),
        ({"name": "t", "spec": "0 0 30 2 *"}, "error parsing cron-spec"),
        ({"name": "t", "spec": "@every 10ms"}, "@every takes 1s to 36500d"),
        ({"name": "t", "spec": "TZ=Europe/Berln @daily"}, "no time zone 'Europe/Berln'"),
        ({"name": "t", "spec": "TZ=../../etc/passwd @daily"}, "no time zone"),
        ({"name": "t", "spec": "@daily", "start": "yesterday"}, "must be a time like 2026-01-31T"),
        ({"name": "t", "spec": "@daily", "start": "2026-01-31T00:00:00"}, "must be a time like"),
        ({"name": "t", "spec": "@daily", "repo": "clock"}, "the pipeline's own output repo"),
        ({"name": "t", "spec": "@daily", "commit": "x"}, "'input.cron.commit' is not supported"),
        ({"name": "t/t", "spec": "@daily"}, "name"),
    ],
)
def test_a_clock_that_can_not_be_is_refused(cron: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        spec_with(cron)

    assert sentence in str(caught.value)


def test_two_clocks_have_two_repos() -> None:
    one: dict[str, object] = {"cron": {"name": "t", "spec": "@daily"}}
    two: dict[str, object] = {"cron": {"name": "t", "spec": "@hourly"}}
    document: dict[str, object] = {"pipeline": {"name": "p"}, "transform": {"cmd": ["true"]}}

    with pytest.raises(InvalidSpec, match="two cron inputs have their ticks in repo 'p_t'"):
        spec_from_document(document | {"input": {"union": [one, two]}})
