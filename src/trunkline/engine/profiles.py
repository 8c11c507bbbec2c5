"""How the datums of a job went, out of the record of those that have ended.

Cost: one pass over that record, which is all there is of a datum's time; so what was found out is
kept while nothing more has ended, and a while longer where it took long and the job goes on.
"""

import re
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.engine.services import Services
from trunkline.jobs import ledger
from trunkline.jobs.ledger import JobRecord
from trunkline.jobs.logs import last_words
from trunkline.model.jobs import FailureGroup, JobProfile, WorkSpan

_SLICES = 200  # of a worker's time
_SAMPLE = 20_000  # datums whose time is looked at, if there are more
_FAILURES_READ = 1000
_WORDS_SHOWN = 300
_GROUPS = 50
_KEPT = 64
_LAG = 10  # times what it took
_VARYING = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|\S*/\S*|\b[0-9a-f]{8,}\b|\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    profile: JobProfile
    seen: tuple[object, ...]  # how far the job was
    until: float  # monotonic seconds; good so long even if the job is further


class Profiles:
    """Finds them out, and keeps the last ones. Thread-safe."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def of_job(self, job: JobRecord) -> JobProfile:
        seen = (job.state, job.processed, job.failed, job.recovered)
        began = time.monotonic()
        with self._lock:
            kept = self._kept.get(job.number)
        if kept is not None and (kept.seen == seen or (not job.state.ended and began < kept.until)):
            return kept.profile
        with self._services.database.read() as tx:
            profile = _profile(tx, self._services, job)
        ended = time.monotonic()
        with self._lock:
            self._kept[job.number] = _Kept(
                profile=profile, seen=seen, until=ended + _LAG * (ended - began)
            )
            self._kept.move_to_end(job.number)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return profile


def _profile(tx: Transaction, services: Services, job: JobRecord) -> JobProfile:
    datums = job.processed + job.failed + job.recovered
    took = ledger.took_of(tx, job.number, one_of=max(1, datums // _SAMPLE))
    reasons = ledger.reasons_of(tx, job.number, _FAILURES_READ)
    last = len(took) - 1
    return JobProfile(
        job=job.name,
        datums=datums,
        quantiles_s=tuple(took[round(last * n / 20)] / 1e6 for n in range(21)) if took else (),
        failures=_groups(services, reasons),
        failures_read=len(reasons),
        spans=_spans(tx, job, services.now()),
    )


def _spans(tx: Transaction, job: JobRecord, now: datetime) -> tuple[WorkSpan, ...]:
    if job.started is None:
        return ()
    whole = (job.finished or now) - job.started
    width_us = int(whole.total_seconds() * 1e6) // _SLICES + 1
    slices = ledger.slices_of(tx, job.number, begin=job.started, width_us=width_us)
    return tuple(
        WorkSpan(
            worker=one.worker,
            started=one.started,
            finished=one.finished,
            datums=one.datums,
            failed=one.failed,
            busy_s=one.busy_us / 1e6,
        )
        for one in slices
    )


def _groups(services: Services, reasons: list[tuple[str, str, str]]) -> tuple[FailureGroup, ...]:
    found: dict[str, FailureGroup] = {}
    for reason, key, log in reasons:
        words = last_words(services.chunks, log)[:_WORDS_SHOWN] if log else ""
        message = f"{reason}\n{words}" if words else reason
        alike = _VARYING.sub("…", message)
        before = found.get(alike)
        found[alike] = FailureGroup(
            message=message if before is None else before.message,
            datums=1 if before is None else before.datums + 1,
            example=key if before is None else before.example,
        )
    return tuple(sorted(found.values(), key=lambda group: -group.datums)[:_GROUPS])
