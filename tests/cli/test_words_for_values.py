"""Sizes, ages and durations in words."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.cli.arguments import seconds
from trunkline.cli.output import Table, ago, lasted, short_age, size, span, timestamp
from trunkline.errors import InvalidInput

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0B"),
        (870, "870B"),
        (1023, "1023B"),
        (1024, "1KiB"),
        (4411, "4.308KiB"),
        (11151, "10.89KiB"),
        (144 * 1024**2, "144MiB"),
        (156 * 10**9, "145.3GiB"),
        (3 * 1024**4, "3TiB"),
        (2**70, "1024EiB"),
    ],
)
def test_a_size_has_four_significant_digits(size_bytes, text):
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("length_s", "text"),
    [
        (-3, "Less than a second"),
        (0.4, "Less than a second"),
        (1.9, "1 second"),
        (59.9, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (13 * 86400, "13 days"),
        (14 * 86400, "2 weeks"),
        (59 * 86400, "8 weeks"),
        (60 * 86400, "2 months"),
        (729 * 86400, "24 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_a_length_of_time_is_in_its_largest_sensible_unit(length_s, text):
    assert span(length_s) == text


def test_an_age_counts_back_from_now():
    assert ago(NOON - timedelta(seconds=5), NOON) == "5 seconds ago"
    assert ago(NOON, NOON) == "Less than a second ago"


def test_what_is_not_over_has_no_duration():
    assert lasted(NOON, None) == "-"
    assert lasted(None, None) == "-"
    assert lasted(NOON, NOON + timedelta(seconds=13)) == "13 seconds"


def test_a_moment_is_printed_in_utc():
    assert timestamp(NOON) == "2026-03-04T12:00:00Z"


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (-1, "0s"),
        (14.7, "14s"),
        (119, "119s"),
        (120, "2m"),
        (185, "3m5s"),
        (660, "11m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 600, "3h10m"),
        (9 * 3600, "9h"),
        (49 * 3600, "2d1h"),
        (9 * 86400, "9d"),
    ],
)
def test_workers_have_ages_as_kubectl_prints_them(age_s, text):
    assert short_age(age_s) == text


@pytest.mark.parametrize(
    ("text", "length_s"), [("30", 30), ("1.5", 1.5), ("90s", 90), ("1h30m", 5400), ("250ms", 0.25)]
)
def test_a_length_of_time_is_read(text, length_s):
    assert seconds(text) == length_s


@pytest.mark.parametrize("text", ["", "s", "5x", "1h 30m", "-5s", "-5", "nan", "inf"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(InvalidInput, match="is not a length of time"):
        seconds(text)


@given(
    st.lists(st.lists(st.text("ab ⨯", max_size=30), min_size=3, max_size=3), max_size=8),
    st.sampled_from([(20, 3), (0, 1)]),
)
def test_columns_of_a_table_stand_below_each_other(rows, widths):
    width, padding = widths
    table = Table(titles=("A", "B", "C"), cells=lambda row: row, width=width, padding=padding)
    used = [0, 0, 0]

    lines = list(table.lines(rows, used, header=True))

    assert all(len(line) == sum(used) for line in lines)
    assert min(used) >= max(width, padding + 1)
    starts = [0, used[0], used[0] + used[1]]
    for line, row in zip(lines[1:], rows, strict=True):
        for start, cell in zip(starts, row, strict=True):
            assert line[start:].startswith(cell)
