"""Collects garbage: when somebody asks, and by itself from time to time.

One cycle: names that leave the catalog are written down from here on; file sets and results without
use are forgotten; all names of the catalog are read at one moment, and everything that they need is
found; chunks that are not needed are given up (if they were condemned in an earlier cycle, their
grace is over, and nobody is at work any more who was then) or condemned; packs that hold much that
is dead are compacted. Each step may be the last one: what is left is garbage for the next cycle.

The protocol, with the interleavings that it is made for: docs/decisions/0011-garbage-collection.md.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from collections.abc import Collection as Collection_
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from trunkline.config import Config
from trunkline.db.database import Database
from trunkline.engine import liveness
from trunkline.errors import Conflict, Corrupt, StorageFull, TrunklineError, Unavailable
from trunkline.jobs.liveness import Plans, forget_results, oldest_result
from trunkline.model.admin import GcReport
from trunkline.pipelines.liveness import newest_locks
from trunkline.runtimes.environments import Environments, environments_below
from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.collect import Collection, Sifted
from trunkline.store.compact import Compacted
from trunkline.store.digests import raw
from trunkline.store.live import LiveSet
from trunkline.versions import liveness as versions
from trunkline.versions import purges, trash

_CYCLES_MAX = 3
_ERASING_MAX = 6  # cycles; in three it is done if nobody is at work for long
_DRAIN_S = 10.0  # how long a collection without grace waits for those who are at work
_DRAIN_TICK_S = 0.02
_WORK_S = 0.05  # after so much work in the background, a pause as long as it was
_PAUSE_MAX_S = 1.0

_log = logging.getLogger("trunkline.collector")


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What `Collector.erase` came to."""

    whole: bool
    report: GcReport


class Collector:
    """The collector of one engine. One cycle at a time, over all threads and processes."""

    def __init__(
        self,
        config: Config,
        database: Database,
        chunks: ChunkStore,
        plans: Plans,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._config = config
        self._database = database
        self._chunks = chunks
        self._plans = plans
        self._clock = clock
        self._environments = Environments(environments_below(config.home))
        self.last: tuple[datetime, GcReport] | None = None  # that came to its end, and when
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="trunkline-collector", daemon=True)

    def start(self) -> None:
        """Collect from time to time, if the settings say so."""
        if self._config.gc_interval_s > 0:
            self._thread.start()

    def close(self) -> None:
        """End the cycle that is under way at its next step."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def collect(self, *, dry_run: bool = False, grace_s: float | None = None) -> GcReport:
        """One cycle; without grace, as many as it takes to remove what is not needed now.

        Raises Conflict while another one is under way, Corrupt if what is needed can't be told.
        """
        grace = self._config.gc_grace_s if grace_s is None else grace_s
        collection = self._chunks.collection()
        with collection.exclusive():
            if dry_run:
                return self._survey(collection)
            if grace == 0:
                with suppress(StorageFull):  # of the active pack: what is in it waits then
                    self._chunks.seal()  # only what is sealed can be compacted
            reports: list[GcReport] = []
            again = True
            # Without grace: what left the catalog just now counts as needed once, then it is
            # condemned, then removed.
            while again and len(reports) < _CYCLES_MAX:
                if reports:
                    self._wait_until_drained(collection)
                report, again, _ = self._cycle(collection, grace, self._pace)
                reports.append(report)
                again = again and grace == 0
        return self._done(_together(reports))

    def erase(self, doomed: Iterable[bytes]) -> Erased:
        """Remove all that nothing needs, until none of these chunks is left but what is needed.

        Grace or none, and out of the packs. Not whole as long as somebody is at work who was when
        it began. Raises Conflict while another collection is under way.
        """
        collection = self._chunks.collection()
        reports: list[GcReport] = []
        waiting = set(doomed)
        with collection.exclusive():
            while len(reports) < _ERASING_MAX:
                self._chunks.seal(abandoned=True)
                report, _, needed = self._cycle(collection, 0.0, self._pace, doomed=waiting)
                reports.append(report)
                there = {raw(c) for c in self._chunks.has_many([ChunkId(d.hex()) for d in waiting])}
                # To the first cycle, what left the catalog just before it counts as needed.
                if len(reports) > 1 and there <= needed:
                    report, _, _ = self._cycle(collection, 0.0, self._pace, thorough=True)
                    reports.append(report)
                    return Erased(whole=True, report=self._done(_together(reports)))
                self._wait_until_drained(collection)
        return Erased(whole=False, report=_together(reports))

    def _done(self, report: GcReport) -> GcReport:
        self.last = (self._clock(), report)
        return report

    # --- one cycle --------------------------------------------------------------------------------

    def _cycle(
        self,
        collection: Collection,
        grace_s: float,
        pace: Callable[[], None],
        *,
        thorough: bool = False,
        doomed: Collection_[bytes] = (),
    ) -> tuple[GcReport, bool, set[bytes]]:
        """One cycle; says whether another one would find more to do, grace apart.

        Also which of the doomed chunks are needed.
        """
        now = self._clock()
        with self._database.write() as tx:
            kept_s = timedelta(seconds=self._config.file_sets_kept_s)
            sets = versions.forget_file_sets(tx, before=now - kept_s)
            trash.expire(tx, before=now - timedelta(seconds=self._config.trash_s))
            purges.forget_tombstones(tx)
        with collection.live_set() as needed:
            results = forget_results(
                self._database,
                self._chunks,
                self._plans,
                needed,
                made_before=now - timedelta(seconds=self._config.results_kept_s),
                pace=pace,
            )
        swept = self._pass(collection, grace_s=grace_s, pace=pace, thorough=thorough, doomed=doomed)
        sifted, compacted = swept.sifted, swept.compacted
        remarks = list(compacted.skipped)
        waiting = sifted.waiting.plus(sifted.condemned.objects, sifted.condemned.stored_bytes)
        if waiting.objects and not collection.drained():
            remarks.append(
                "somebody has been at work since before this; the next time removes more"
            )
        report = GcReport(
            dry_run=False,
            needed_objects=sifted.needed.objects,
            needed_bytes=sifted.needed.stored_bytes,
            waiting_objects=waiting.objects,
            waiting_bytes=waiting.stored_bytes,
            grace_s=grace_s,
            removed_objects=sifted.given_up.objects,
            removed_bytes=sifted.given_up.stored_bytes,
            packs_removed=compacted.packs_removed,
            packs_written=compacted.packs_written,
            freed_bytes=compacted.bytes_freed,
            results_forgotten=results,
            file_sets_forgotten=sets,
            remarks=tuple(remarks),
        )
        return report, swept.more, swept.needed

    def _pass(
        self,
        collection: Collection,
        *,
        grace_s: float,
        pace: Callable[[], None],
        thorough: bool,
        doomed: Collection_[bytes],
    ) -> "_Swept":
        """Mark, sift, compact."""
        now = self._clock()
        drained = collection.drained()  # asked before the catalog is read: who ended has named all
        with self._database.write() as tx:
            watched = versions.watch(tx, now=now)
        with collection.live_set() as live:
            until = self._mark(live, pace)
            sifted = collection.sift(
                live,
                drained=drained,
                watched=watched,
                grace_from=now - timedelta(seconds=grace_s),
                now=now,
                pace=pace,
            )
            with self._database.write() as tx:
                condemned = collection.condemned_before()
                versions.end_watch(tx, until=until, watching=condemned)
            needed = live.among(list(doomed)) if doomed else set()
            compacted = collection.compact(live, thorough=thorough, pace=pace)
        self._chunks.let_go(cached=True)
        with self._database.read() as tx:
            self._environments.remove_unused(newest_locks(tx))
        more = until >= 0 or sifted.waiting.objects > 0 or sifted.condemned.objects > 0
        return _Swept(sifted=sifted, compacted=compacted, more=more, needed=needed)

    def _survey(self, collection: Collection) -> GcReport:
        with collection.live_set() as live:
            self._mark(live, self._pace)
            sifted = collection.survey(live, pace=self._pace)
        return GcReport(
            dry_run=True,
            needed_objects=sifted.needed.objects,
            needed_bytes=sifted.needed.stored_bytes,
            waiting_objects=sifted.condemned.objects,
            waiting_bytes=sifted.condemned.stored_bytes,
            grace_s=self._config.gc_grace_s,
            removed_objects=0,
            removed_bytes=0,
            packs_removed=0,
            packs_written=0,
            freed_bytes=0,
            results_forgotten=0,
            file_sets_forgotten=0,
            remarks=(),
        )

    def _mark(self, live: LiveSet, pace: Callable[[], None]) -> int:
        try:
            return liveness.mark(self._database, self._chunks, live, pace=pace)
        except Corrupt as error:
            raise Corrupt(
                "what is needed can't be told, so nothing was removed: the store",
                "everything that is named to be readable",
                str(error),
            ) from error

    def _wait_until_drained(self, collection: Collection) -> None:
        deadline = time.monotonic() + _DRAIN_S
        while not collection.drained() and time.monotonic() < deadline:
            self._pace()
            self._closing.wait(_DRAIN_TICK_S)

    # --- by itself --------------------------------------------------------------------------------

    def _loop(self) -> None:
        seen = -1
        due: datetime | None = None
        while not self._closing.wait(self._config.gc_interval_s):
            try:
                collection = self._chunks.collection()
                revision = self._database.revision
                began = self._clock()
                over = due is not None and began >= due
                if revision == seen and not over and not collection.condemned_before():
                    continue
                with collection.exclusive():
                    report, more, _ = self._cycle(
                        collection, self._config.gc_grace_s, _Gentle(self._pace)
                    )
                due = self._next_due(began)
                # What left the catalog in it is condemned by the next one, whatever else happens.
                seen = -1 if more else self._database.revision
                self._done(report)
            except Conflict:
                continue
            except Unavailable:
                if not self._closing.is_set():
                    _log.exception("garbage was not collected")
                continue
            except TrunklineError as error:
                _log.error("garbage was not collected: %s", error)
                continue
            except Exception:
                _log.exception("garbage was not collected")
                continue
            _log.info(
                "collected garbage: %d objects removed, %d bytes given back",
                report.removed_objects,
                report.freed_bytes,
            )

    def _next_due(self, began: datetime) -> datetime | None:
        """When the next thing has been kept long enough, if nothing is changed until then.

        Results that were old when the latest cycle began are left out: jobs need them.
        """
        config = self._config
        results_s = timedelta(seconds=config.results_kept_s)
        with self._database.read() as tx:
            ends = (
                (versions.oldest_deletion(tx), timedelta(seconds=config.trash_s)),
                (versions.oldest_file_set(tx), timedelta(seconds=config.file_sets_kept_s)),
                (oldest_result(tx, since=began - results_s), results_s),
            )
        return min((since + kept for since, kept in ends if since is not None), default=None)

    def _pace(self) -> None:
        if self._closing.is_set():
            raise Unavailable("the server is shutting down")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Swept:
    """What one pass over the store came to."""

    sifted: Sifted
    compacted: Compacted
    more: bool  # whether there is something left that another pass may remove
    needed: set[bytes]  # of the doomed chunks


def _together(reports: list[GcReport]) -> GcReport:
    """Several cycles as one: the last one's view of the store, and all that was removed."""
    return replace(
        reports[-1],
        **{
            name: sum(getattr(report, name) for report in reports)
            for name in (
                *("results_forgotten", "file_sets_forgotten", "removed_objects"),
                *("removed_bytes", "packs_removed", "packs_written", "freed_bytes"),
            )
        },
        remarks=tuple(dict.fromkeys(remark for report in reports for remark in report.remarks)),
    )


class _Gentle:
    """Leaves half of the time to others."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._since = time.monotonic()

    def __call__(self) -> None:
        self._check()
        worked = time.monotonic() - self._since
        if worked >= _WORK_S:
            time.sleep(min(worked, _PAUSE_MAX_S))
            self._since = time.monotonic()
