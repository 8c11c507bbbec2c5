"""The life of a job as a pure step: event → (job, actions).

No clock, no I/O. Every action may be carried out twice: after a crash the scheduler derives the
same action again from the recorded job. Events for a job that has ended are late messages, and
change nothing.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from trunkline.model.jobs import JOB_MOVES, JobState

REASON_LENGTH_MAX = 2000  # characters; the record of a job stays small


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What decides the next step of a job.

    Invariant: ``skipped + processed + failed + recovered <= total``. Up to `tolerated` failed
    datums don't fail the job: they are quarantined.
    """

    state: JobState
    reason: str = ""
    total: int = 0
    skipped: int = 0
    processed: int = 0
    failed: int = 0
    recovered: int = 0
    tolerated: int = 0

    @property
    def complete(self) -> bool:
        """Whether every datum has an outcome."""
        return self.skipped + self.processed + self.failed + self.recovered >= self.total


class Action(Enum):
    PLAN = "enumerate the datums, look up remembered results"
    LEASE = "hand out datums to workers"
    ASSEMBLE = "make the output tree of the outputs of all datums"
    FINISH_COMMIT = "finish the output commit with the assembled tree"
    FAIL_COMMIT = "finish the output commit empty, with the reason"
    EGRESS = "copy the output elsewhere; its commit is finished"
    CANCEL_LEASES = "tell the workers of this job to stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsFinished:
    """Every input commit is finished and whole, and it is this job's turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsFailed:
    """Input commits that their own jobs could not make."""

    repos: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Of `total` datums, `skipped` have results, and `failed` a failure that is taken over."""

    total: int
    skipped: int
    failed: int = 0
    failure: str = ""  # of the first of those


@dataclass(frozen=True, slots=True, kw_only=True)
class DatumsEnded:
    """Datums that got their outcome, each counted once in the life of a job."""

    processed: int = 0
    failed: int = 0
    recovered: int = 0
    failure: str = ""  # of the first failed one
    last_words: str = ""  # the end of what that one printed to stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The job can't succeed: no plan can be made, or its outputs clash."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """The output tree is stored; `egress`: it is to be copied elsewhere."""

    egress: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Egressed:
    """The output is where it was to be copied to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedTree:
    """A tree that a job made."""

    root: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    reason: str


Event = (
    InputsFinished | InputsFailed | Planned | DatumsEnded | Broken | Assembled | Egressed | Stopped
)


def step(job: Progress, event: Event) -> tuple[Progress, tuple[Action, ...]]:
    """The job after `event`, and what the caller must now do."""
    if job.state.ended:
        return job, ()
    match event:
        case InputsFinished():
            return job, (Action.PLAN,) if job.state is JobState.STARTING else ()
        case InputsFailed(repos=repos):
            if job.state is not JobState.STARTING:
                return job, ()
            reason = (
                "unrunnable because the following upstream pipelines failed: "
                f"{', '.join(sorted(repos))}"
            )
            return _move(job, JobState.UNRUNNABLE, reason), (Action.FAIL_COMMIT,)
        case Planned():
            if job.state is not JobState.STARTING:
                return job, ()
            planned = replace(job, total=event.total, skipped=event.skipped, failed=event.failed)
            return _after_outcome(_move(planned, JobState.RUNNING, event.failure))
        case DatumsEnded():
            return _count(job, event)
        case Broken(reason=reason):
            return _move(job, JobState.FAILURE, reason), _given_up(job)
        case Assembled(egress=egress):
            if job.state is not JobState.FINISHING:
                return job, ()
            if egress:
                return _move(job, JobState.EGRESSING, job.reason), (
                    Action.FINISH_COMMIT,
                    Action.EGRESS,
                )
            return _move(job, JobState.SUCCESS, job.reason), (Action.FINISH_COMMIT,)
        case Egressed():
            if job.state is not JobState.EGRESSING:
                return job, ()
            return _move(job, JobState.SUCCESS, job.reason), ()
        case Stopped(reason=reason):
            return _move(job, JobState.KILLED, reason), _given_up(job)
        case _:
            assert_never(event)


def resume(job: Progress) -> tuple[Action, ...]:
    """What a scheduler that just started must do for a job, as it was recorded."""
    if job.state is JobState.RUNNING:
        return (Action.LEASE,)
    if job.state is JobState.FINISHING:
        return (Action.ASSEMBLE,)
    if job.state is JobState.EGRESSING:
        return (Action.EGRESS,)
    return ()


def _given_up(job: Progress) -> tuple[Action, ...]:
    """What is left to do for a job that ends before its time; a finished commit stays."""
    if job.state is JobState.EGRESSING:
        return ()
    return (Action.CANCEL_LEASES, Action.FAIL_COMMIT)


def _count(job: Progress, event: DatumsEnded) -> tuple[Progress, tuple[Action, ...]]:
    if job.state is not JobState.RUNNING:
        return job, ()
    counted = replace(
        job,
        processed=job.processed + event.processed,
        failed=job.failed + event.failed,
        recovered=job.recovered + event.recovered,
        reason=job.reason or _failure(event),
    )
    assert counted.skipped + counted.processed + counted.failed + counted.recovered <= job.total
    return _after_outcome(counted)


def _after_outcome(job: Progress) -> tuple[Progress, tuple[Action, ...]]:
    if not job.complete:
        return job, (Action.LEASE,)
    reason = _with_count(job) if job.failed else ""
    if job.failed > job.tolerated:
        return _move(job, JobState.FAILURE, reason), (Action.FAIL_COMMIT,)
    return _move(job, JobState.FINISHING, reason), (Action.ASSEMBLE,)


def _failure(event: DatumsEnded) -> str:
    """The sentence for the first failed datum, and below it what that printed last."""
    sentence = event.failure[: REASON_LENGTH_MAX // 2]
    if not event.last_words:
        return sentence
    words = "\n".join(f"  {line}" for line in event.last_words.splitlines())
    return f"{sentence}\nthe last lines of its stderr:\n{words}"[: REASON_LENGTH_MAX - 100]


def _with_count(job: Progress) -> str:
    """The reason of a job whose datums failed, with how many did and what that means."""
    sentence, below, words = job.reason.partition("\n")
    noun = "datum" if job.total == 1 else "datums"
    verb = "failed"
    if job.tolerated:
        well = job.failed <= job.tolerated
        verb = "quarantined" if well else f"failed, and at most {job.tolerated:,} may"
    return f"{sentence}; {job.failed:,} of {job.total:,} {noun} {verb}{below}{words}"


def _move(job: Progress, state: JobState, reason: str = "") -> Progress:
    assert state in JOB_MOVES[job.state], f"a job can't go from {job.state} to {state}"
    return replace(job, state=state, reason=reason[:REASON_LENGTH_MAX])
