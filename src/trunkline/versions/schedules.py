"""When a schedule has its next tick; pure, the clock is an argument.

A schedule is a cron expression (five fields, or six with seconds in front; in UTC), one of its
names (`@hourly`, `@daily` …), or `@every 10s`, whose ticks are counted from when it was set.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from trunkline.errors import InvalidInput, shown

# A clock that was set back by less than this is waited for, so that no tick comes twice. One that
# was set back by more had been wrong, and waiting for it might take years.
SET_BACK_MAX = timedelta(days=1)

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


def _after(schedule: str, tick: datetime, now: datetime) -> datetime:
    """The first tick after now; `tick` is one that `@every` counts from."""
    every = _every(schedule)
    if every is not None:
        return tick + ((now - tick) // every + 1) * every
    from cronsim import CronSim, CronSimError  # late: few commands need it

    try:
        return next(CronSim(_NAMES.get(schedule.strip(), schedule.strip()), now))
    except (CronSimError, ValueError) as error:
        raise InvalidInput(
            f"{shown(schedule)} is not a schedule: write a cron expression like '0 3 * * *', "
            "@hourly, @daily, @weekly, @monthly, @yearly or '@every 10m'"
        ) from error
    except (StopIteration, OverflowError) as error:
        raise InvalidInput(f"{shown(schedule)} is a schedule that never comes") from error


def _every(schedule: str) -> timedelta | None:
    match = _EVERY.fullmatch(schedule.strip())
    if match is None:
        return None
    parts = _PART.findall(match[1])
    total = sum(float(amount) * _UNITS[unit] for amount, unit in parts)
    if not _EVERY_MIN.total_seconds() <= total <= _EVERY_MAX.total_seconds():
        raise InvalidInput(f"{shown(schedule)} is not a schedule: @every takes 1s to 36500d")
    return timedelta(seconds=total)
