"""Which commits of a line the rules of a retention keep; pure.

Time is that of the commits: how long ago something was is seen from the newest commit. So the same
history is always judged alike, and a branch on which nobody works loses nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta

from trunkline.errors import InvalidInput
from trunkline.model.versions import Retention

_COUNTS_MAX = 1_000_000
_WITHIN_MAX_S = 1000 * 366 * 86400.0
# In the order of restic and others; what tells two commits of one period from those of others.
_PERIODS: tuple[tuple[str, Callable[[datetime], object]], ...] = (
    ("hourly", lambda at: (at.date(), at.hour)),
    ("daily", lambda at: at.date()),
    ("weekly", lambda at: at.isocalendar()[:2]),
    ("monthly", lambda at: (at.year, at.month)),
    ("yearly", lambda at: at.year),
)


def check_rules(rules: Retention) -> None:
    """Raises InvalidInput for rules that keep nothing, or counts and times that can't be."""
    if rules.is_empty:
        raise InvalidInput(
            "no rule was given, so nothing but the head would stay; say what to keep, as in "
            "--keep-last 10 or --keep-daily 7"
        )
    for field in fields(rules):
        value = getattr(rules, field.name)
        if field.name in ("tagged", "derived"):
            continue
        most = _WITHIN_MAX_S if field.name == "within_s" else _COUNTS_MAX
        if not 0 <= value <= most:
            name = field.name.removesuffix("_s")
            raise InvalidInput(f"--keep-{name} is {value}; it must be 0 to {most:,.0f}")


def reasons(times: Sequence[datetime], rules: Retention) -> list[list[str]]:
    """Why each commit stays; `times` are those of a line, the newest commit first.

    The newest commit of a period is the first one met, whatever the clock said: a commit that says
    to be older than one before it is taken as it says.
    """
    found: list[list[str]] = [[] for _ in times]
    for position in range(min(rules.last, len(times))):
        found[position].append(f"last {rules.last}")
    if rules.within_s and times:
        oldest = max(times) - timedelta(seconds=rules.within_s)
        for position, at in enumerate(times):
            if at >= oldest:
                found[position].append("within")
    for name, period_of in _PERIODS:
        for position in _newest_of_each(times, period_of, getattr(rules, name)):
            found[position].append(name)
    return found


def _newest_of_each(
    times: Sequence[datetime], period_of: Callable[[datetime], object], most: int
) -> Iterable[int]:
    """The positions of the newest one in each of the first `most` periods."""
    seen: set[object] = set()
    for position, at in enumerate(times):
        if len(seen) >= most:
            return
        period = period_of(at.astimezone(UTC))
        if period not in seen:
            seen.add(period)
            yield position
