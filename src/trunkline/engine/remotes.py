"""What was seen of git remotes, by whoever looked last; kept in memory, and seen again after a
start.
"""

import threading
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from trunkline.model.pipelines import Git


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One look at a branch of a remote."""

    looked: datetime
    problem: str = ""  # a sentence; empty: all was well
    failures: int = 0  # looks that failed, one after the other


class Remotes:
    """The last look at each remote; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sights: dict[Git, Sight] = {}

    def get(self, git: Git) -> Sight | None:
        with self._lock:
            return self._sights.get(git)

    def note(self, git: Git, looked: datetime, problem: str) -> Sight:
        """Remember a look; the sight of it."""
        with self._lock:
            before = self._sights.get(git)
            failures = 0 if not problem else 1 + (0 if before is None else before.failures)
            sight = Sight(looked=looked, problem=problem, failures=failures)
            self._sights[git] = sight
        return sight

    def keep(self, gits: Collection[Git]) -> None:
        """Forget all but these."""
        with self._lock:
            self._sights = {git: sight for git, sight in self._sights.items() if git in gits}
