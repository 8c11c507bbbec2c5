"""The audit log: who had what changed."""

from datetime import datetime

from trunkline.values import dataclass

OK = "ok"  # the outcome of what succeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """A change that somebody asked for over TCP or in the console."""

    number: int  # grows
    time: datetime  # when it had ended
    token: str  # name of a token; empty: the server's own, or this machine's user in the console
    door: str  # http or console
    operation: str
    target: str  # names and paths that it was about
    outcome: str  # ok, the code of the error, or failed for one without
