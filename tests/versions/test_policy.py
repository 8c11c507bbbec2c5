"""Rules keep what a plain reading of them keeps."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidInput
from trunkline.model.versions import Retention
from trunkline.versions import policy

START = datetime(2019, 12, 30, 22, 0, tzinfo=UTC)  # a Monday, in week 1 of 2020
COUNTS = st.one_of(st.just(0), st.integers(0, 6))
GAPS = st.one_of(
    st.integers(0, 7200),  # seconds
    st.integers(0, 40).map(lambda days: days * 86400),
    st.integers(-7200, 0),  # a clock that was set back
)
KEYS = {
    "hourly": "%Y-%m-%d %H",
    "daily": "%Y-%m-%d",
    "weekly": "%G-%V",
    "monthly": "%Y-%m",
    "yearly": "%Y",
}


def model(times: list[datetime], rules: Retention) -> list[set[str]]:
    """Rule by rule: group the whole line by period, then take the newest of the newest groups."""
    found: list[set[str]] = [set() for _ in times]
    for position in range(len(times)):
        if position < rules.last:
            found[position].add(f"last {rules.last}")
        if rules.within_s and (max(times) - times[position]).total_seconds() <= rules.within_s:
            found[position].add("within")
    for name, key in KEYS.items():
        groups: dict[str, int] = {}
        for position, at in enumerate(times):
            groups.setdefault(at.strftime(key), position)
        for position in list(groups.values())[: getattr(rules, name)]:
            found[position].add(name)
    return found


@given(
    gaps=st.lists(GAPS, max_size=40),
    last=COUNTS,
    within=st.one_of(st.just(0.0), st.floats(1, 1e7)),
    counts=st.tuples(*[COUNTS] * 5),
)
def test_rules_keep_what_a_plain_reading_keeps(
    gaps: list[int], last: int, within: float, counts: tuple[int, ...]
) -> None:
    at, oldest_first = START, []
    for gap in gaps:
        at += timedelta(seconds=gap)
        oldest_first.append(at)
    times = oldest_first[::-1]
    rules = Retention(last=last, within_s=within, **dict(zip(KEYS, counts, strict=True)))

    found = policy.reasons(times, rules)

    assert [set(why) for why in found] == model(times, rules)


def test_the_turn_of_a_year_is_judged_by_iso_weeks_and_utc() -> None:
    days = [datetime(2020, 1, day, 1, tzinfo=UTC) for day in (6, 5, 1)]
    days.append(datetime(2019, 12, 30, 1, tzinfo=UTC))
    days.append(datetime(2019, 12, 29, 23, tzinfo=UTC))

    kept = policy.reasons(days, Retention(weekly=3, yearly=2))

    assert kept == [["weekly", "yearly"], ["weekly"], [], ["yearly"], ["weekly"]]


def test_commits_that_rules_add_up_to_are_kept_for_every_reason() -> None:
    times = [START - timedelta(days=n) for n in range(5)]

    kept = policy.reasons(times, Retention(last=1, daily=2, within_s=3 * 86400))

    assert kept == [["last 1", "within", "daily"], ["within", "daily"], ["within"], ["within"], []]


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (Retention(), "no rule was given"),
        (Retention(derived=True), "no rule was given"),
        (Retention(last=-1), "--keep-last is -1; it must be 0 to 1,000,000"),
        (Retention(daily=10**7), "--keep-daily is 10000000"),
        (Retention(within_s=float("nan")), "--keep-within is nan"),
        (Retention(within_s=1e15), "--keep-within is"),
    ],
)
def test_rules_that_can_not_be_are_refused(rules: Retention, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        policy.check_rules(rules)
