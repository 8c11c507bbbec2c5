"""When a schedule has its next tick; pure, the clock is an argument.

A schedule is a cron expression (five fields, or six with seconds in front), one of its names
(`@hourly`, `@daily` …), or `@every 10s`, whose ticks are counted from when it was set. Expressions
and names are in UTC, or in the time zone that is put in front: `TZ=Europe/Berlin 0 3 * * *` (or
`CRON_TZ=`). There, as cron does it, what falls into the hour that a change of clocks leaves out
comes right after it, and what falls into the one that comes twice comes once.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count

from trunkline.errors import InvalidInput, shown

# A clock that was set back by less than this is waited for, so that no tick comes twice. One that
# was set back by more had been wrong, and waiting for it might take years.
SET_BACK_MAX = timedelta(days=1)

NEVER = "@never"  # what has no ticks by itself; not for triggers, which would be no use with it

_NAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = re.compile(r"@every\s+((?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+)")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.+)", re.DOTALL)
_EVERY_MIN = timedelta(seconds=1)
_EVERY_MAX = timedelta(days=36500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How far a schedule has been followed: no tick up to `evaluated` is outstanding."""

    evaluated: datetime
    next: datetime


def start(schedule: str, now: datetime) -> Clock:
    """A schedule that is set now; raises InvalidInput for one that can't be read or has no ticks.

    The first tick is the first one after now.
    """
    return Clock(evaluated=now, next=_after(schedule, now, now))


def look(schedule: str, clock: Clock, now: datetime) -> tuple[Clock, bool]:
    """The clock after a look at it, and whether there was a tick since the last one.

    Any number of ticks that were missed (the server was down, the clock was set forward) count as
    one. A clock that was set back gives no tick again, but see `SET_BACK_MAX`.
    """
    if now < clock.evaluated - SET_BACK_MAX:
        return start(schedule, now), False
    if now < clock.next:
        return clock, False
    return Clock(evaluated=now, next=_after(schedule, clock.next, now)), True


_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # schedules have no years


def check(schedule: str) -> None:
    """Raises InvalidInput for a schedule that can't be read or never comes."""
    ticks(schedule, _ANY_TIME)


def ticks(schedule: str, after: datetime) -> Iterator[datetime]:
    """All ticks after a moment, lazily, in UTC; `@every` is counted from that moment.

    Raises InvalidInput at once for what can't be read or never comes. It ends where the calendar
    does.
    """
    every = _every(schedule)
    if every is not None:
        return (after + number * every for number in count(1))
    zone, expression = _zone(schedule)
    from cronsim import CronSim, CronSimError  # late: few commands need it

    try:
        found = CronSim(_NAMES.get(expression, expression), after.astimezone(zone))
        first = next(found)
    except (CronSimError, ValueError) as error:
        raise InvalidInput(
            f"{shown(schedule)} is not a schedule: write a cron expression like '0 3 * * *', "
            "@hourly, @daily, @weekly, @monthly, @yearly or '@every 10m'"
        ) from error
    except (StopIteration, OverflowError) as error:
        raise InvalidInput(f"{shown(schedule)} is a schedule that never comes") from error
    return _in_utc(first, found)


def _in_utc(first: datetime, rest: Iterator[datetime]) -> Iterator[datetime]:
    yield first.astimezone(UTC)
    try:
        for tick in rest:
            yield tick.astimezone(UTC)
    except OverflowError:  # the last year that there is
        return


def _after(schedule: str, tick: datetime, now: datetime) -> datetime:
    """The first tick after now; `tick` is one that `@every` counts from."""
    every = _every(schedule)
    if every is not None:
        return tick + ((now - tick) // every + 1) * every
    return next(ticks(schedule, now))


def _zone(schedule: str) -> tuple[tzinfo, str]:
    """The time zone of a schedule, and the rest of it."""
    match = _ZONE.fullmatch(schedule.strip())
    if match is None:
        return UTC, schedule.strip()
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(match[1]), match[2].strip()
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"{shown(schedule)} is not a schedule: this machine knows no time zone "
            f"{shown(match[1])}; write one like TZ=Europe/Berlin"
        ) from error


def _every(schedule: str) -> timedelta | None:
    match = _EVERY.fullmatch(_ZONE.sub(r"\2", schedule.strip()))  # no zone changes a length
    if match is None:
        return None
    parts = _PART.findall(match[1])
    total = sum(float(amount) * _UNITS[unit] for amount, unit in parts)
    if not _EVERY_MIN.total_seconds() <= total <= _EVERY_MAX.total_seconds():
        raise InvalidInput(f"{shown(schedule)} is not a schedule: @every takes 1s to 36500d")
    return timedelta(seconds=total)
