"""A lease in the hands of a worker, as the scheduler knows it."""

from dataclasses import dataclass

from trunkline.jobs.channel import Message
from trunkline.jobs.pool import Worker
from trunkline.jobs.segments import PlannedDatum
from trunkline.jobs.tables import LeaseRecord
from trunkline.store.epochs import Hold


@dataclass(slots=True, kw_only=True, eq=False)
class Held:
    """What a worker was given, until it has reported.

    One that is `ahead` is of a job whose turn has not come (see `jobs.ahead`): it has one datum,
    and no record in the catalog.
    """

    record: LeaseRecord
    worker: Worker
    datums: dict[int, PlannedDatum]  # without outcome yet, by position
    hold: Hold  # on what its worker reads and stores, until the outcomes are recorded
    over: bool = False  # all outcomes are recorded, and its end with them
    with_worker: bool = True  # else its worker is done with it, or gone
    ahead: bool = False
    said: Message | None = None  # what its worker reported of a datum ahead
    shift: int = 0  # what the positions that its worker knows are short of those in the job

    def take_place(self, record: LeaseRecord) -> None:
        """The turn of its job has come: from now on it is a lease like any other."""
        [datum] = self.datums.values()
        self.record, self.ahead, self.shift = record, False, record.first
        self.datums = {record.first: datum}

    def in_job(self, message: Message) -> Message:
        """What its worker reports, with the positions that its datums have in the job."""
        if not self.shift:
            return message
        outcomes = [
            {**outcome, "position": outcome["position"] + self.shift}
            for outcome in message["outcomes"]
        ]
        return {**message, "outcomes": outcomes}
