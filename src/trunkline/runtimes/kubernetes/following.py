"""An object of a cluster from its making to what it came to.

It is asked for again and again rather than watched: there is no version that can be too old, and
no stream that is silent though it is dead. Whatever fails for a reason that may pass is tried
again, as long as the datum may take.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from trunkline.model.conditions import Question
from trunkline.runtimes.kubernetes.connection import REFUSED, ApiFailed, pause_s
from trunkline.runtimes.kubernetes.objects import Named, ObjectApi

T = TypeVar("T")

OF = "trunkline/datum"  # annotation: what an object stands for
_LOOK_S, _LOOK_MOST_S = 0.5, 5.0  # between two looks at an object, at first and after a while
REFUSED_S = 30.0  # until it counts that an object can't be asked for any more
SETTLE_S = 3.0  # what can't say which version its status is of has to be healthy for so long
_GROWTH = 1.1
_TICK_S = 0.1
_MESSAGE_MAX = 500


class StageFailed(Exception):
    """The object did not come to a good end; the text says why."""


class StageCancelled(Exception):
    """Nobody wants it any more."""


class StageTimedOut(StageFailed):
    """It took longer than it may."""


@dataclass(slots=True, kw_only=True)
class Follower:
    """Acts on one object for one datum."""

    api: ObjectApi
    say: Callable[[str], None]  # a line of the datum's log
    cancelled: Callable[[], bool]
    tick: Callable[[], None]
    deadline: float | None  # of `clock`
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _said: set[str] = field(default_factory=set)
    _pause_s: float = _LOOK_S

    def begin(self, manifest: Mapping[str, Any], judged: set[str]) -> dict[str, Any]:
        """The object, made unless it is there already; `judged` are uids of earlier tries'.

        Raises StageFailed, StageCancelled.
        """
        one, of = Named.of(manifest), _annotation(manifest)
        while True:
            there = self._ask(lambda: self.api.get(one))
            if there is None:
                try:
                    made = self._ask(lambda: self.api.create(manifest), conflicts=True)
                except ApiFailed:  # by now it is there, as when the answer to this was lost
                    self.wait(_LOOK_S)
                    continue
                self.say(f"{one} was made")
                return made
            metadata = there["metadata"]
            if not _annotation(there):
                raise StageFailed(
                    f"there is a {one} already, which no pipeline made; choose another "
                    "metadata.name, or none"
                )
            leaves = bool(metadata.get("deletionTimestamp"))
            if _annotation(there) == of and not leaves:
                if str(metadata.get("uid")) not in judged:
                    self.say(f"{one} is there already")
                    return there
                self._ask(lambda: self.api.delete(one))
            else:
                self._say_once(f"{one} waits for an earlier one of its name to be gone")
            self.wait(_LOOK_S)

    def to_end(
        self, one: Named, success: tuple[Question, ...], failure: tuple[Question, ...]
    ) -> dict[str, Any]:
        """The object as it is once all of `success` holds.

        Raises StageFailed, StageCancelled.
        """
        while True:
            there = self._still_there(one)
            if self._succeeded(one, there, success, failure):
                return there
            self._wait_longer()

    def to_health(
        self,
        manifest: Mapping[str, Any],
        success: tuple[Question, ...],
        failure: tuple[Question, ...],
    ) -> dict[str, Any]:
        """Apply a manifest; gives the object once it is healthy as that says.

        Raises StageFailed, StageCancelled.
        """
        one = Named.of(manifest)
        there = self._ask(lambda: self.api.get(one))
        if there is not None and not _annotation(there):
            raise StageFailed(
                f"there is a {one} already, which no pipeline made; choose another metadata.name"
            )
        applied = self._ask(lambda: self.api.apply(manifest))
        generation = applied["metadata"].get("generation")
        self.say(f"{one} was applied")
        since = self.clock()
        while True:
            there = self._still_there(one)
            observed = (there.get("status") or {}).get("observedGeneration")
            told = isinstance(observed, int) and isinstance(generation, int)
            current = observed >= generation if told else self.clock() - since >= SETTLE_S
            if current and self._succeeded(one, there, success, failure):
                return there
            self._wait_longer()

    def _still_there(self, one: Named) -> dict[str, Any]:
        there = self._ask(lambda: self.api.get(one), refused_s=REFUSED_S)
        if there is None:
            raise StageFailed(f"{one} was deleted by somebody else")
        return there

    def _succeeded(
        self,
        one: Named,
        there: dict[str, Any],
        success: tuple[Question, ...],
        failure: tuple[Question, ...],
    ) -> bool:
        """Tell what its status says; raises StageFailed if that it failed."""
        self._tell(there)
        if failed := next((asked for asked in failure if asked.holds(there)), None):
            raise StageFailed(f"{one} failed: {_reason(there, failed)}")
        return all(asked.holds(there) for asked in success)

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Have an object as a manifest says, whatever becomes of it."""
        self._ask(lambda: self.api.apply(manifest))

    def _wait_longer(self) -> None:
        """Until the next look; who works for hours is not asked each second."""
        self.wait(self._pause_s)
        self._pause_s = min(_LOOK_MOST_S, self._pause_s * _GROWTH)

    def wait(self, seconds: float) -> None:
        """Raises StageCancelled, StageTimedOut."""
        until = self.clock() + seconds
        while True:
            self.tick()
            if self.cancelled():
                raise StageCancelled
            now = self.clock()
            if self.deadline is not None and now >= self.deadline:
                raise StageTimedOut("it took longer than datum_timeout allows")
            if now >= until:
                return
            self.sleep(min(_TICK_S, until - now))

    def _ask(self, call: Callable[[], T], *, conflicts: bool = False, refused_s: float = 0.0) -> T:
        """What a call gives, once the cluster answers.

        Raises StageFailed for what it refuses (for so long: one that starts refuses at random), and
        ApiFailed for `conflicts`.
        """
        failures, began = 0, self.clock()
        while True:
            try:
                return call()
            except ApiFailed as error:
                if conflicts and error.code == 409:
                    raise
                if error.code in REFUSED and self.clock() - began >= refused_s:
                    raise StageFailed(_refusal(error)) from error
                failures += 1
                self._say_once(f"the cluster does not answer well ({error.code}): {error}")
                self.wait(pause_s(failures, error.retry_s))

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.say(text)

    def _tell(self, there: Mapping[str, Any]) -> None:
        """Log what is new in the status."""
        for line in _told(there):
            self._say_once(line)


def _refusal(error: ApiFailed) -> str:
    text = f"the cluster refuses it ({error.code}): {error}"
    if error.code == 403:
        text += "; `trunkline deploy kubernetes --resource KINDS.GROUP` allows the server to"
    if error.code == 404:
        text += "; is the operator for this kind installed?"
    return text


def _annotation(document: Mapping[str, Any]) -> str:
    return str((document["metadata"].get("annotations") or {}).get(OF) or "")


def _told(there: Mapping[str, Any]) -> Iterator[str]:
    status = there.get("status")
    if not isinstance(status, Mapping):
        return
    for name in ("phase", "state"):
        if isinstance(status.get(name), str):
            yield f"status: {name} {status[name]}{_behind(status)}"
    for one in _conditions(status):
        reason = f" ({one['reason']})" if one.get("reason") else ""
        yield f"status: {one.get('type')} {one.get('status')}{reason}{_behind(one)}"


def _reason(there: Mapping[str, Any], failed: Question) -> str:
    """What an object says of a question that is true of it."""
    status = there.get("status")
    status = status if isinstance(status, Mapping) else {}
    kinds = [step[1] for step in failed.place if isinstance(step, tuple)]
    for one in _conditions(status):
        if one.get("type") in kinds and (one.get("message") or one.get("reason")):
            return f"{one.get('reason') or one.get('type')}{_behind(one)}"
    return f"{failed.text}{_behind(status)}"


def _conditions(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = status.get("conditions")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _behind(place: Mapping[str, Any]) -> str:
    for name in ("message", "description"):
        if isinstance(place.get(name), str) and place[name]:
            return f": {' '.join(place[name].split())[:_MESSAGE_MAX].rstrip('.')}"
    return ""
