"""What is to be there of a service or a spout, and what is to be done for it. Pure.

A *resident* is a process that stays: an instance of the pipeline's code, for one *target*: the job
whose input it sees, or the version of a spout. At most one serves. Another one may be coming, to
take its place once it is ready, so that there is always one that works; those that were replaced
are leaving. A resident that may not run beside another one of its pipeline is `alone`: that is
known of spouts, and of a service once it listens on a port that another instance would need too.
"""

from dataclasses import dataclass, replace
from typing import assert_never

from trunkline.model.pipelines import PipelineState

BACKOFF_S = 0.5  # before the first restart; then doubled
BACKOFF_MOST_S = 60.0
STEADY_S = 60.0  # who served so long has left earlier ends behind
_ROOM_S = 1.0  # how often room is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    number: int
    target: str
    since: float  # when it began; once it serves, when it got ready
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """One pipeline's residents. Times in monotonic seconds; a target is empty where there is none.

    Invariants: an `alone` resident is the only one; `wanted` is never what serves.
    """

    alone: bool = False  # its residents may not run side by side, whatever they say
    tries: int = 1  # of a wanted target, before who waits for it is told that it failed
    wanted: str = ""  # somebody waits for this one to serve
    kept: str = ""  # what is to serve where nothing is wanted, or that failed
    serving: Resident | None = None
    coming: Resident | None = None
    leaving: tuple[Resident, ...] = ()
    tried: int = 0  # so often the wanted one
    ends: int = 0  # that nobody asked for, one after the other
    not_before: float = 0.0
    number: int = 0  # of the last resident
    reason: str = ""  # why nothing serves, or not what was wanted

    @property
    def target(self) -> str:
        """What should serve now."""
        return self.wanted or self.kept

    @property
    def empty(self) -> bool:
        """Whether nothing of it is left."""
        return not (self.serving or self.coming or self.leaving)


# --- what happens ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Somebody waits for a target to serve."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwanted:
    """Nobody waits any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is to serve where nothing is wanted; "": nothing."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A resident can serve."""

    number: int
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A resident has ended, whether it was to or not."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRoom:
    """The one that is coming could not be started: something is missing on this machine."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Time has passed."""


Event = Wanted | Unwanted | Kept | Ready | Gone | NoRoom | Looked


# --- what is to be done ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    number: int
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Let a resident go once nobody is connected to it, and see to it that it goes."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Send callers to this resident; None: let them wait."""

    number: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Tell who waits that a target serves."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Tell who waits that a target will not serve."""

    target: str
    reason: str


Action = Start | End | Point | Served | Failed


def step(house: House, event: Event, *, now: float) -> tuple[House, tuple[Action, ...]]:
    """The house after an event, and what the caller must now do, in this order."""
    actions: list[Action] = []
    match event:
        case Wanted(target=target):
            if target != house.wanted:
                house = replace(house, wanted=target, tried=0, not_before=now)
        case Unwanted():
            house = replace(house, wanted="", tried=0)
        case Kept(target=target):
            house = replace(house, kept=target)
        case Ready():
            house = _ready(house, event, now, actions)
        case Gone():
            house = _gone(house, event, now, actions)
        case NoRoom(reason=reason):
            house = _no_room(house, reason, now, actions)
        case Looked():
            pass
        case _:
            assert_never(event)
    return _go_on(house, now, actions), tuple(actions)


def state_of(house: House) -> tuple[PipelineState, str]:
    """What its pipeline is doing, and why."""
    if house.serving is not None:
        return PipelineState.RUNNING, house.reason
    if not house.target:
        return PipelineState.STANDBY, "there is no commit yet that it could stand for"
    if house.ends:
        return PipelineState.CRASHING, house.reason
    return PipelineState.STARTING, house.reason


def _ready(house: House, event: Ready, now: float, actions: list[Action]) -> House:
    coming, before = house.coming, house.serving
    if coming is None or coming.number != event.number:
        return house  # it is leaving already
    serving = replace(coming, since=now, alone=coming.alone or event.alone)
    actions.append(Point(number=serving.number))
    # Another target has no part in how often the last one ended.
    ends = house.ends if coming.target == house.kept else 0
    house = replace(house, coming=None, serving=serving, kept=coming.target, reason="", ends=ends)
    if before is not None:
        house = _let_go(house, before, actions)
    if house.wanted == coming.target:
        actions.append(Served(target=coming.target))
        house = replace(house, wanted="", tried=0)
    return house


def _gone(house: House, event: Gone, now: float, actions: list[Action]) -> House:
    if house.coming is not None and house.coming.number == event.number:
        return _start_failed(replace(house, coming=None), house.coming.target, event, now, actions)
    if house.serving is not None and house.serving.number == event.number:
        steady = now - house.serving.since >= STEADY_S
        house = replace(house, serving=None, ends=0 if steady else house.ends)
        actions.append(Point(number=None))
        return _wait(replace(house, reason=event.reason), now)
    left = tuple(resident for resident in house.leaving if resident.number != event.number)
    return replace(house, leaving=left)


def _start_failed(
    house: House, target: str, event: Gone, now: float, actions: list[Action]
) -> House:
    house = replace(_wait(house, now), reason=event.reason)
    if target != house.wanted:
        return house
    house = replace(house, tried=house.tried + 1)
    if house.tried < house.tries:
        return house
    actions.append(Failed(target=target, reason=event.reason))
    # Where nothing ever served it is tried on: what it lacks may come.
    return replace(house, wanted="", tried=0, kept=house.kept or target)


def _wait(house: House, now: float) -> House:
    """Not at once again, and later each time."""
    ends = house.ends + 1
    pause = min(BACKOFF_MOST_S, BACKOFF_S * 2 ** min(ends - 1, 16))
    return replace(house, ends=ends, not_before=now + pause)


def _no_room(house: House, reason: str, now: float, actions: list[Action]) -> House:
    house = replace(house, coming=None, not_before=now + _ROOM_S, reason=reason)
    if house.serving is not None:  # it has what the next one needs
        actions.append(Point(number=None))
        house = _let_go(replace(house, serving=None), house.serving, actions)
    return house


def _go_on(house: House, now: float, actions: list[Action]) -> House:
    """Take the next step towards what should be there."""
    target, serving = house.target, house.serving
    if house.coming is not None and house.coming.target != target:
        house = _let_go(replace(house, coming=None), house.coming, actions)
    if not target:
        house = replace(house, reason="", ends=0)
    if serving is not None and not target:
        actions.append(Point(number=None))
        return _let_go(replace(house, serving=None), serving, actions)
    done = not target or house.coming is not None
    if done or (serving is not None and serving.target == target) or now < house.not_before:
        return house
    if serving is not None and (serving.alone or house.alone):
        actions.append(Point(number=None))
        return _let_go(replace(house, serving=None), serving, actions)
    if any(resident.alone for resident in house.leaving):
        return house
    coming = Resident(number=house.number + 1, target=target, since=now, alone=house.alone)
    actions.append(Start(number=coming.number, target=target))
    return replace(house, coming=coming, number=coming.number)


def _let_go(house: House, resident: Resident, actions: list[Action]) -> House:
    actions.append(End(number=resident.number))
    return replace(house, leaving=(*house.leaving, resident))
