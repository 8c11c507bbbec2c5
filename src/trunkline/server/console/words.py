"""The few words in which all pages say times, sizes and names."""

import re
from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from trunkline.model.admin import Setting
from trunkline.server.console.ansi import plain

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_STEPS = ((60, "second"), (60, "minute"), (24, "hour"), (7, "day"), (52, "week"))
_LONG_ID = re.compile(r"\b([0-9a-f]{32,64})\b")
_PLAIN = re.compile(r"[\w@%+=:,./^~-]+", re.ASCII)  # what a shell takes as it stands


def size(size_bytes: float) -> str:
    """Bytes as people say them: 1.4 MB, as steps of 1024."""
    step = 0
    while size_bytes >= 999.5 and step < len(_UNITS) - 1:
        size_bytes /= 1024
        step += 1
    digits = 1 if step and size_bytes < 9.95 else 0
    return f"{size_bytes:.{digits}f} {_UNITS[step]}"


def count(number: int) -> str:
    return f"{number:,}"


def span(seconds: float | timedelta) -> str:
    """How long something took, in at most two units."""
    s = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if s < 1:
        return f"{max(s, 0) * 1000:.0f} ms"
    if s < 60:
        return f"{s:.1f} s"
    minutes, rest = divmod(round(s), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def ago(moment: datetime | None, missing: str = "–") -> Markup | str:
    """How long ago, with the moment itself for who points at it."""
    if moment is None:
        return missing
    exact = moment.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact.isoformat(timespec="milliseconds"),
        exact.strftime("%Y-%m-%d %H:%M:%S UTC"),
        age((datetime.now(UTC) - exact).total_seconds()),
    )


def age(seconds: float) -> str:
    """How long ago something was, in words; `static/times.js` says the same."""
    if seconds < 10:
        return "just now"
    number, unit = seconds, "year"
    for step, name in _STEPS:
        if number < step:
            unit = name
            break
        number /= step
    number = int(number)
    return f"{number} {unit}{'' if number == 1 else 's'} ago"


def clock(moment: datetime) -> str:
    """The time of a day (UTC), exact enough to tell log lines apart."""
    return moment.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]


def short(name: str) -> str:
    """The beginning of an id, which is enough to tell it from others nearby."""
    return name[:8] if len(name) >= 32 else name


def brief(sentence: str) -> Markup:
    """A sentence whose long ids are shortened; each is there in full for who points at it.

    Of several lines, as those that end with what code printed, there are the first and the last.
    """
    lines = [line for line in plain(sentence).splitlines() if line.strip()]
    parts = _LONG_ID.split(" … ".join((lines[0], lines[-1].strip())) if lines[1:] else sentence)
    pieces = [
        Markup('<code title="{}">{}…</code>').format(part, part[:8]) if place % 2 else part
        for place, part in enumerate(parts)
    ]
    return Markup("").join(pieces)


def setting(shown: Setting) -> str:
    """The value of a setting as people say it; the end of its name has the unit."""
    if not shown.value or shown.value == "0":
        return shown.value or "–"
    if shown.variable.endswith(("_S", "_SECONDS_MAX")):
        return span(float(shown.value))
    if "_BYTES" in shown.variable:
        return size(float(shown.value))
    return count(int(shown.value)) if shown.value.isdecimal() else shown.value


def shell(word: str) -> str:
    """A word as it has to be typed for a shell."""
    return word if _PLAIN.fullmatch(word) else "'" + word.replace("'", "'\\''") + "'"
