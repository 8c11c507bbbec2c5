"""What workers do ahead of the turn of its job, and what becomes of it. See `jobs.ahead`.

Used by the scheduler's thread only.
"""

from collections import deque
from dataclasses import replace

from trunkline.db.database import Database
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.ahead import Prospect
from trunkline.jobs.held import Held
from trunkline.jobs.logs import LiveLogs
from trunkline.jobs.pool import Worker, WorkerPool
from trunkline.jobs.tables import LeaseRecord
from trunkline.model.jobs import JobState
from trunkline.versions.counter import next_number


class WorkAhead:
    """The prospects there are, and the leases of their datums."""

    def __init__(
        self,
        database: Database,
        trees: Trees,
        pool: WorkerPool,
        live: LiveLogs,
    ) -> None:
        self._database = database
        self._trees = trees
        self._pool = pool
        self._live = live
        self.prospects: dict[int, Prospect] = {}  # of jobs whose turn has not come, by number
        self.said: deque[Held] = deque()  # by workers, of jobs that run now: to be recorded

    def offer(self, prospect: Prospect) -> None:
        """Idle workers may have its datums from now on, if its job still waits for its turn."""
        with self._database.read() as tx:
            job = tables.job_by_number(tx, prospect.job.number)
            if job is None or job.state is not JobState.STARTING:
                return
        self.prospects[job.number] = prospect

    def lease(self, prospect: Prospect, worker: Worker) -> Held:
        """The next datum of a prospect that was offered, for a worker.

        The catalog only gives a number to the lease, one that no other ever had.
        """
        job = prospect.job.number
        with self._database.write() as tx:
            number = next_number(tx)
        hold = self._trees.chunks.epochs.begin()
        record = LeaseRecord(id=number, job=job, first=0, until=1, worker=worker.name)
        datum = prospect.left.popleft()
        held = Held(record=record, worker=worker, datums={0: datum}, hold=hold, ahead=True)
        prospect.held[datum.key] = held
        return held

    def wants(self, held: Held) -> bool:
        """Whether what comes of a lease ahead may count."""
        prospect = self.prospects.get(held.record.job)
        return prospect is not None and prospect.has(held)

    def release(self, held: Held) -> None:
        """Its worker is done with it, or gone; what was not done is left to the job's turn."""
        held.with_worker = False
        wanted = self.wants(held)
        if held.said is None or not wanted:
            held.hold.end()
        if held.said is None and wanted:
            del self.prospects[held.record.job].held[held.datums[0].key]

    def give_up(self, number: int) -> None:
        """Begin no more of a job ahead, nor of those behind it."""
        if (prospect := self.prospects.get(number)) is not None:
            prospect.give_up()

    def drop(self, number: int) -> None:
        """Nothing that was done of a job counts."""
        if (prospect := self.prospects.pop(number, None)) is not None:
            for held in prospect.held.values():
                self._let_go(held)

    def take_over(self, number: int) -> None:
        """A job runs now: of what was done ahead that counts which it has to process.

        It is recorded as leases that the workers hold; some have said already what comes of it.
        """
        prospect = self.prospects.pop(number, None)
        if prospect is None:
            return
        counts: dict[int, Held] = {}
        for key, held in prospect.held.items():
            if key in prospect.places:
                counts[prospect.places[key]] = held
            else:
                self._let_go(held)
        if not counts:
            return
        for position, held in counts.items():
            held.take_place(replace(held.record, first=position, until=position + 1))
            if held.said is not None:
                self.said.append(held)
            worker = held.worker
            if worker.lease == held.record.id and worker.position is not None:
                worker.position = position
                self._live.begin(number, position, key=worker.datum, worker=worker.name)
        with self._database.write() as tx:
            job = tables.job_by_number(tx, number)
            if job is not None and job.state is JobState.RUNNING:
                tables.record_leases(tx, [held.record for held in counts.values()])

    def forget_said(self, number: int) -> None:
        """What was said of a job that runs does not count."""
        for held in [held for held in self.said if held.record.job == number]:
            held.hold.end()
            self.said.remove(held)

    def forget_all(self) -> None:
        """All workers go, and everything begins anew."""
        ahead = [held for prospect in self.prospects.values() for held in prospect.held.values()]
        for held in (*ahead, *self.said):
            held.hold.end()
        self.prospects.clear()
        self.said.clear()

    def _let_go(self, held: Held) -> None:
        if held.with_worker:
            self._pool.send(held.worker, {"type": "cancel", "lease": held.record.id})
        else:
            held.hold.end()
