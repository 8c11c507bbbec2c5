"""When workers were at work, as bars: what began close to each other is one of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trunkline.model.jobs import JobInfo, WorkSpan
from trunkline.server.console.words import clock, count, span

WIDTH = 1000  # units from the begin of a job to its end
_ROWS = 40
_GAP = 2.0  # units: bars that are closer to each other are one
_LEAST = 2.0  # units of the shortest bar
_TICKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar; `failed` is the share of it that failed."""

    x: float
    width: float
    failed: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one worker did."""

    worker: str
    datums: int
    failed: int
    busy_s: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The workers of a job, those first that began first, and times along the way."""

    rows: tuple[Row, ...]
    more: int  # workers that are not shown
    ticks: tuple[str, ...]  # evenly spaced, from the begin to the end


def timeline_of(job: JobInfo, spans: Sequence[WorkSpan], now: datetime) -> Timeline | None:
    """None before anything was done."""
    if job.started is None or not spans:
        return None
    end = max(job.finished or now, *(one.finished for one in spans))
    whole_s = max((end - job.started).total_seconds(), 1e-3)
    by_worker: dict[str, list[WorkSpan]] = {}
    for one in spans:
        by_worker.setdefault(one.worker, []).append(one)
    ordered = sorted(by_worker.items(), key=lambda item: item[1][0].started)
    return Timeline(
        rows=tuple(_row(name, own, job.started, whole_s) for name, own in ordered[:_ROWS]),
        more=max(0, len(ordered) - _ROWS),
        ticks=tuple(span(whole_s * n / _TICKS) if n else "0" for n in range(_TICKS + 1)),
    )


def _row(worker: str, spans: list[WorkSpan], begin: datetime, whole_s: float) -> Row:
    scale = WIDTH / whole_s
    bars: list[Bar] = []
    joined: list[WorkSpan] = []
    for one in spans:
        gap_s = (one.started - joined[-1].finished).total_seconds() if joined else 0.0
        if joined and (gap_s * scale > _GAP or bool(one.failed) != bool(joined[-1].failed)):
            bars.append(_bar(joined, begin, scale))
            joined = []
        joined.append(one)
    bars.append(_bar(joined, begin, scale))
    return Row(
        worker=worker,
        datums=sum(one.datums for one in spans),
        failed=sum(one.failed for one in spans),
        busy_s=sum(one.busy_s for one in spans),
        bars=tuple(bars),
    )


def _bar(spans: list[WorkSpan], begin: datetime, scale: float) -> Bar:
    started, finished = spans[0].started, max(one.finished for one in spans)
    datums, failed = sum(one.datums for one in spans), sum(one.failed for one in spans)
    x = max(0.0, min((started - begin).total_seconds() * scale, WIDTH - _LEAST))
    width = max(_LEAST, (finished - started).total_seconds() * scale)
    said = f"{count(datums)} datum{'' if datums == 1 else 's'}"
    if failed:
        said += f", {count(failed)} failed"
    return Bar(
        x=round(x, 1),
        width=round(min(width, WIDTH - x), 1),
        failed=failed / datums,
        title=f"{said}, {clock(started)} to {clock(finished)}",
    )
