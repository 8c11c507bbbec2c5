"""What the operations share."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trunkline.api.waiting import check_wanted
from trunkline.config import Config
from trunkline.db.database import Database
from trunkline.engine.collector import Collector
from trunkline.engine.heads import Heads
from trunkline.engine.remotes import Remotes
from trunkline.errors import TimedOut, Unavailable
from trunkline.files.intake import Counts
from trunkline.files.tree import Trees
from trunkline.jobs.logs import LiveLogs
from trunkline.jobs.scheduler import Scheduler
from trunkline.model.names import RunId
from trunkline.store.chunks import ChunkStore
from trunkline.store.servers import Servers

SECRETS = "secret"  # kind of what servers that share a store keep
_WAIT_S = 0.5  # a waiter looks at least this often whether its caller still wants it

Clock = Callable[[], datetime]


def wall_clock() -> datetime:
    return datetime.now(UTC)


def random_id() -> RunId:
    return RunId(uuid.uuid4().hex)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The open parts of an installation, handed to every operation."""

    config: Config
    database: Database
    chunks: ChunkStore
    trees: Trees
    live: LiveLogs
    scheduler: Scheduler
    collector: Collector
    closing: threading.Event
    started: float  # monotonic seconds
    servers: Servers | None = None  # among which this one is, where they share a store
    heads: Heads = field(default_factory=Heads)
    remotes: Remotes = field(default_factory=Remotes)
    clock: Clock = wall_clock
    ids: Callable[[], RunId] = random_id
    puts: dict[str, Counts] = field(default_factory=dict)  # by the words their callers chose
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _locks_lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> datetime:
        return self.clock()

    def new_id(self) -> RunId:
        return self.ids()

    def waits(
        self, timeout_s: float | None, what: str, *, still: str = ", which has not ended yet"
    ) -> Iterator[None]:
        """Yield at once and then after each change of the catalog, for a caller that waits.

        Raises TimedOut naming `what` and how it `still` is, and Unavailable when the engine closes.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            seen = self.database.revision
            yield
            left = _WAIT_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimedOut(f"waited {round(timeout_s or 0.0, 1):g} s for {what}{still}")
            self.database.wait_for_change(seen, min(left, _WAIT_S))
            check_wanted()
            if self.closing.is_set():
                raise Unavailable("the server is shutting down")

    @contextmanager
    def turn(self, repo: str) -> Iterator[None]:
        """One writer at a time for the atomic commits of a repo, so that none has to start over."""
        with self._locks_lock:
            lock = self._locks.setdefault(repo, threading.Lock())
        with lock:
            yield
