"""Looks after the objects of a cluster between the workers that order them.

One thread. What nobody wants any more is deleted: that of a job that was stopped or deleted, or of
a pipeline that is stopped, deleted or another one by now. What stays is made again if somebody
deleted it, and how it is gets into the state of its pipeline. Objects that a worker acts on are
left to that one.
"""

import logging
import threading
from collections.abc import Callable

from trunkline.config import Config
from trunkline.db.database import Database, Transaction
from trunkline.errors import TrunklineError
from trunkline.jobs import tables
from trunkline.jobs.stages import holdings_of
from trunkline.model.conditions import parse_question
from trunkline.model.pipelines import ClusterStage, PipelineState
from trunkline.pipelines import lifecycle
from trunkline.runtimes.kubernetes.connection import ApiFailed
from trunkline.runtimes.kubernetes.holdings import Holding, Holdings, Note
from trunkline.runtimes.kubernetes.objects import ObjectApi
from trunkline.store.claims import is_shared

LOOK_S = 15.0  # between two looks, unless the catalog changes
_LEAST_S = 1.0  # between two looks anyway

_log = logging.getLogger("trunkline.kubernetes")


class StageKeeper:
    """Start once."""

    def __init__(
        self, config: Config, database: Database, open_api: Callable[[], ObjectApi]
    ) -> None:
        self._config = config
        self._holdings: Holdings | None = None  # once they are looked at
        self._database = database
        self._open_api = open_api
        self._api: ObjectApi | None = None
        self._stopping = threading.Event()
        self._troubles: dict[str, tuple[PipelineState, str]] = {}  # replaced as a whole
        self._thread = threading.Thread(target=self._loop, name="trunkline-stages", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """All objects stay as they are; the next server finds them."""
        self._stopping.set()
        self._database.notify()
        if self._thread.is_alive():
            self._thread.join()
        if self._api is not None:
            self._api.close()

    def trouble(self, pipeline: str) -> tuple[PipelineState, str] | None:
        """What is to be told of what a pipeline serves, if anything; any thread may ask."""
        return self._troubles.get(pipeline)

    def _loop(self) -> None:
        seen = -1
        while not self._stopping.is_set():
            try:
                seen = self._database.revision
                self._look()
            except (ApiFailed, TrunklineError, OSError) as error:
                _log.warning("objects of the cluster can't be looked after now: %s", error)
            except Exception:  # whatever it is, the next look may fare better
                _log.exception("looking after objects of the cluster failed")
            self._stopping.wait(_LEAST_S)
            self._database.wait_for_change(seen, LOOK_S)

    def _look(self) -> None:
        troubles: dict[str, tuple[PipelineState, str]] = {}
        if self._holdings is None:
            self._holdings = holdings_of(self._config.home, shared=is_shared(self._config))
        for holding in self._holdings.all():
            if self._stopping.is_set():
                return
            if not holding.lock(make=False):
                if (note := holding.note()) and note.pipeline in self._troubles:
                    troubles[note.pipeline] = self._troubles[note.pipeline]
                continue
            try:
                note = holding.note()
                if note is None:
                    holding.remove()
                else:
                    self._see_to(holding, note, troubles)
            finally:
                holding.let_go()
        if troubles != self._troubles:
            self._troubles = troubles
            self._database.notify()

    def _see_to(
        self, holding: Holding, note: Note, troubles: dict[str, tuple[PipelineState, str]]
    ) -> None:
        with self._database.read() as tx:
            stage = _wanted(tx, note)
        if self._api is None:
            self._api = self._open_api()
        if stage is None:
            self._api.delete(note.object)
            _log.info("%s is nobody's and was deleted", note.object)
            holding.remove()
            return
        healthy = holding.healthy()
        if not note.stays or healthy is None:  # a worker will come for it
            return
        there = self._api.get(note.object)
        if there is None:
            self._api.apply(healthy)
            _log.info("%s was deleted by somebody else, and made again", note.object)
            return
        questions = [parse_question(text) for text in stage.failure]
        failed = next((asked.text for asked in questions if asked.holds(there)), "")
        open_ones = [
            asked.text for asked in map(parse_question, stage.success) if not asked.holds(there)
        ]
        if failed or open_ones:
            reason = f"{note.object} is not healthy: " + (failed or f"not {open_ones[0]}")
            troubles[note.pipeline] = PipelineState.CRASHING, reason
        elif refused := holding.refused():
            reason = f"what was healthy before is served, as the newest is not: {refused}"
            troubles[note.pipeline] = PipelineState.RUNNING, reason


def _wanted(tx: Transaction, note: Note) -> ClusterStage | None:
    """How the object of a note is to be; None if it is not to be at all."""
    record = lifecycle.find(tx, note.pipeline)
    if record is None or record.state is PipelineState.PAUSED:
        return None
    if note.stays:
        stage = lifecycle.spec_of(record).stage
        return stage if stage is not None and stage.stays else None
    job = tables.job_by_name(tx, note.pipeline, note.job)
    if job is None or job.state.ended or note.ended:
        return None
    return lifecycle.spec_of(lifecycle.get(tx, note.pipeline, version=job.version)).stage
