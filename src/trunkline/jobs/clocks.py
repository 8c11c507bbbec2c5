"""The clocks that the scheduler goes by, as an argument: tests turn them by hand."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    now: Callable[[], datetime]  # for the record, and for deadlines that outlive the process
    monotonic: Callable[[], float]  # seconds, for silence and idleness


MACHINE = Clocks(now=lambda: datetime.now(UTC), monotonic=time.monotonic)
