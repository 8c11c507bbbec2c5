"""Records what workers report of the datums of a job: many reports in one transaction.

A disk, or a database behind a network, takes as long for one report as for a hundred; and workers
by the hundred report at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trunkline.db.database import Transaction
from trunkline.jobs import tables
from trunkline.jobs.active import Active
from trunkline.jobs.channel import Message
from trunkline.jobs.clocks import Clocks
from trunkline.jobs.held import Held
from trunkline.jobs.increments import note_result
from trunkline.jobs.outcomes import add_usage, datum_record, event_of, result_of
from trunkline.jobs.records import apply_to
from trunkline.jobs.state import Action, Broken
from trunkline.jobs.tables import DatumRecord
from trunkline.model.jobs import DatumState

_OUTCOMES_AT_ONCE = 2000  # in one transaction, while which nobody else writes
_REPORTS_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the holder of a lease said came of some of its datums, at their places in the job."""

    held: Held
    outcomes: list[Message]
    output: tuple[str, ...]  # the deltas with what they wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    actions: tuple[Action, ...]  # what is to be done for the job
    counted: list[DatumRecord]  # of leases that were active; some had an outcome before
    over: list[Held]  # whose datums have all ended
    fresh: int  # how many outcomes are new


def report_of(held: Held, message: Message) -> Report:
    """What an `ended` message says."""
    told = held.in_job(message)
    return Report(held=held, outcomes=told["outcomes"], output=tuple(told["output"]))


def portions(reports: Iterable[Report]) -> Iterator[list[Report]]:
    """As many reports as are recorded together."""
    portion: list[Report] = []
    outcomes = 0
    for report in reports:
        outcomes += len(report.outcomes)
        if portion and (outcomes > _OUTCOMES_AT_ONCE or len(portion) == _REPORTS_AT_ONCE):
            yield portion
            portion, outcomes = [], len(report.outcomes)
        portion.append(report)
    if portion:
        yield portion


def record_reports(
    tx: Transaction,
    number: int,
    reports: Sequence[Report],
    *,
    active: Active | None,
    clash: str,
    clocks: Clocks,
) -> Recorded:
    """Record outcomes, each once, with what follows for the job.

    `clash` says which path was written twice, if one was; `active` is the job while it runs.
    """
    active_soon = tables.active_among_soon(tx, {report.held.record.id for report in reports})
    positions = {outcome["position"] for report in reports for outcome in report.outcomes}
    ended_soon = tables.ended_among_soon(tx, number, sorted(positions))
    job_soon = tables.job_by_number_soon(tx, number)
    valid = active_soon()
    reports = [report for report in reports if report.held.record.id in valid]
    told: dict[int, tuple[Message, Report]] = {}
    for report in reports:
        for outcome in report.outcomes:
            told.setdefault(outcome["position"], (outcome, report))
    records = [
        datum_record(outcome, job=number, worker=report.held.worker.name)
        for outcome, report in told.values()
    ]
    fresh = tables.insert_fresh(tx, records, ended_soon())
    good = [record for record in fresh if record.state is DatumState.SUCCESS]
    results = []
    for record in good:
        outcome, report = told[record.position]
        results.append(result_of(record, outcome, report.output))
        if active is not None and active.increments:
            planned = report.held.datums[record.position]
            place = {"job": number, "position": record.position}
            note_result(tx, active.job.pipeline, active.increments, planned, **place)
    tables.insert_results(tx, results, job=number, now=clocks.now())
    for record in fresh:
        if record.state is DatumState.RECOVERED:  # what it made before counts no more
            tables.delete_result(tx, record.key)
    actions: tuple[Action, ...] = ()
    job = job_soon()
    if fresh and job is not None:
        add_usage(tx, number, fresh)
        last_words = {at: outcome["last_words"] for at, (outcome, _) in told.items()}
        event = Broken(reason=clash) if clash else event_of(fresh, last_words)
        actions = apply_to(tx, job, event, now=clocks.now())
    over = _over(reports)
    if over:
        tables.end_leases(tx, [held.record.id for held in over])
    return Recorded(actions=actions, counted=records, over=over, fresh=len(fresh))


def _over(reports: Iterable[Report]) -> list[Held]:
    """The leases all of whose datums have ended."""
    ended: dict[Held, set[int]] = {}
    for report in reports:
        positions = {outcome["position"] for outcome in report.outcomes}
        ended.setdefault(report.held, set()).update(positions)
    return [held for held, positions in ended.items() if held.datums.keys() <= positions]
