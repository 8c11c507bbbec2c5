"""Steps on behalf of one job: what goes wrong in them is the business of that job alone.

Whoever does such a step, in whichever thread, does it inside of `Steps.of_job`. Where it fails the
job is let go, as all of them are when the server dies, and taken up again from the catalog; how
often, and when it fails instead, is decided by `jobs.mishaps`.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trunkline.db.database import Database
from trunkline.jobs import tables
from trunkline.jobs.clocks import Clocks
from trunkline.jobs.mishaps import Trouble, is_defect, meet
from trunkline.jobs.records import apply_event, progress_of
from trunkline.jobs.state import Action, Broken, resume
from trunkline.jobs.tables import JobRecord

_log = logging.getLogger("trunkline.scheduler")


class Steps:
    """All that is in trouble. Used by the scheduler's thread, but where a method says otherwise."""

    def __init__(
        self,
        database: Database,
        clocks: Clocks,
        *,
        patience_s: float,
        call: Callable[[Callable[[], None]], None],
        let_go: Callable[[int], None],
        act: Callable[[int, tuple[Action, ...]], None],
    ) -> None:
        """`call` runs a function in the next turn, `let_go` forgets all of a job but its record,
        and `act` carries out what is to do for one.
        """
        self._database = database
        self._clocks = clocks
        self._patience_s = patience_s
        self._call = call
        self._let_go = let_go
        self._act = act
        self._troubles: dict[int, Trouble] = {}
        self._waiting: set[int] = set()  # let go, and not taken up again

    @contextmanager
    def of_job(self, number: int, doing: str) -> Iterator[None]:
        """A step for a job, `doing` something (as a gerund). Any thread may do one.

        What is behind it is done in any case; what follows from a failure is done in the next turn.
        """
        try:
            yield
        except Exception as error:
            failure = error
            self._call(lambda: self._failed(number, doing, failure))

    def fail(self, number: int, reason: str) -> None:
        """Record that a job has failed, and do what is left to do for it."""
        with self.of_job(number, "recording that it failed"):
            with self._database.write() as tx:
                actions = apply_event(tx, number, Broken(reason=reason), now=self._clocks.now())
            self._troubles.pop(number, None)
            self._waiting.discard(number)
            self._act(number, actions)

    def waits(self, number: int) -> bool:
        """Whether nothing is to be done for a job until it is taken up again."""
        return number in self._waiting

    def reason_of(self, job: JobRecord) -> str:
        """What an open job waits for, if it is in trouble; any thread may ask."""
        trouble = self._troubles.get(job.number)
        return trouble.reason if trouble is not None and trouble.stands == progress_of(job) else ""

    def take_up(self) -> None:
        """Go on with the jobs whose pause is over, as a new server would."""
        now_s = self._clocks.monotonic()
        for number, trouble in list(self._troubles.items()):
            if number in self._waiting and now_s < trouble.again_s:
                continue
            with self.of_job(number, "taking it up again"):
                waited = number in self._waiting
                self._waiting.discard(number)
                with self._database.read() as tx:
                    job = tables.job_by_number(tx, number)
                if job is None or job.state.ended or progress_of(job) != trouble.stands:
                    del self._troubles[number]
                if job is not None and waited:
                    with self._database.write() as tx:  # which has all jobs looked at, too
                        tables.lose_leases_of(tx, number)
                    self._act(number, resume(progress_of(job)))

    def reset(self) -> None:
        """All jobs begin again."""
        self._troubles.clear()
        self._waiting.clear()

    def _failed(self, number: int, doing: str, error: Exception) -> None:
        self._let_go(number)
        with self._database.read() as tx:
            job = tables.job_by_number(tx, number)
        trace = error if is_defect(error) else None
        name = job.name if job is not None else f"number {number}, which is gone"
        _log.error("job %s, %s: %s", name, doing, error, exc_info=trace)
        if job is None or job.state.ended:
            self._troubles.pop(number, None)
            self._waiting.discard(number)
        elif number not in self._waiting:  # else this is one more word of the same trouble
            trouble = self._troubles[number] = meet(
                self._troubles.get(number),
                error,
                doing=doing,
                stands=progress_of(job),
                now_s=self._clocks.monotonic(),
                patience_s=self._patience_s,
            )
            self._waiting.add(number)
            if trouble.fails:  # where that can't be recorded, all of it is tried again
                self.fail(number, trouble.reason)
