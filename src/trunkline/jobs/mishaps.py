"""What it means for a job when a step that the server does on its behalf fails. Pure.

Damage of what the job reads, and defects of ours, end that job. What the machine lacks for a while
(room on the disk, a catalog that nobody else has locked) is waited for: the job is let go as in a
crash, and taken up again after a pause, until it moves on or its time is over.
"""

from dataclasses import dataclass

from trunkline.errors import StorageFull, TrunklineError, Unavailable
from trunkline.jobs.state import Progress

_FIRST_PAUSE_S = 1.0  # then doubled
_LAST_PAUSE_S = 15.0

_PASSING = (OSError, MemoryError, StorageFull, Unavailable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A job that was let go. Times are monotonic, in seconds."""

    stands: Progress  # the job as it is recorded: when it moves on the trouble is over
    since_s: float
    tries: int
    again_s: float  # when it is taken up again, unless it fails
    fails: bool  # at once, for that reason
    reason: str


def meet(
    before: Trouble | None,
    error: Exception,
    *,
    doing: str,
    stands: Progress,
    now_s: float,
    patience_s: float,
) -> Trouble:
    """What follows from a step that failed; `doing` is what it was to do, as a gerund.

    `before` is the last trouble of the job; one at the same point of its life goes on.
    """
    goes_on = before is not None and before.stands == stands
    since_s = before.since_s if before is not None and goes_on else now_s
    tries = before.tries + 1 if before is not None and goes_on else 1
    fails = True
    if is_defect(error):
        said = f"{type(error).__name__}: {error}"
        reason = f"an internal error while {doing}: {said}; it is in the server's log"
    elif not passes(error):
        reason = str(error)
    elif now_s - since_s >= patience_s:
        reason = f"{doing} was not possible for {patience_s:g} s: {_said(error)}"
    else:
        fails = False
        reason = f"{doing} is not possible now, and is tried again: {_said(error)}"
    pause_s = min(_FIRST_PAUSE_S * 2 ** min(tries - 1, 10), _LAST_PAUSE_S)
    return Trouble(
        stands=stands,
        since_s=since_s,
        tries=tries,
        again_s=now_s + pause_s,
        fails=fails,
        reason=reason,
    )


def passes(error: Exception) -> bool:
    """Whether the same step may succeed later: the machine failed it, not what it worked on."""
    cause = error.__cause__ if isinstance(error, TrunklineError) else error
    return isinstance(error, _PASSING) or (
        isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
    )


def is_defect(error: Exception) -> bool:
    """Whether nobody foresaw this."""
    return not passes(error) and not isinstance(error, TrunklineError)


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__
