"""What is to be there of a service or a spout: the pure decisions, under a clock of the test."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.jobs.resident_state import (
    BACKOFF_MOST_S,
    BACKOFF_S,
    STEADY_S,
    Action,
    End,
    Event,
    Failed,
    Gone,
    House,
    Kept,
    Looked,
    NoRoom,
    Point,
    Ready,
    Served,
    Start,
    Unwanted,
    Wanted,
    state_of,
    step,
)
from trunkline.model.pipelines import PipelineState


class Clockwork:
    """A house with a clock; what it asked for, in order."""

    def __init__(self, **house: object) -> None:
        self.house = House(**house)  # type: ignore[arg-type]
        self.now = 1000.0

    def tell(self, *events: Event, after: float = 0.0) -> list[Action]:
        self.now += after
        done: list[Action] = []
        for event in events:
            self.house, actions = step(self.house, event, now=self.now)
            done += actions
        return done

    @property
    def state(self) -> PipelineState:
        return state_of(self.house)[0]


def serving(target: str, *, alone: bool = False) -> Clockwork:
    found = Clockwork()
    found.tell(Wanted(target=target), Ready(number=1, alone=alone))
    return found


def test_what_is_wanted_is_started_and_served_once_it_is_ready() -> None:
    one = Clockwork()

    assert one.tell(Wanted(target="a")) == [Start(number=1, target="a")]
    assert one.state is PipelineState.STARTING
    assert one.tell(Looked()) == []
    ready = one.tell(Ready(number=1, alone=False))

    assert ready == [Point(number=1), Served(target="a")]
    assert one.state is PipelineState.RUNNING


def test_the_next_one_starts_beside_the_one_that_serves_and_takes_over_when_it_is_ready() -> None:
    one = serving("a")

    assert one.tell(Wanted(target="b")) == [Start(number=2, target="b")]
    assert one.state is PipelineState.RUNNING
    assert one.tell(Ready(number=2, alone=False)) == [
        Point(number=2),
        End(number=1),
        Served(target="b"),
    ]


def test_one_that_holds_a_fixed_port_ends_before_the_next_one_starts() -> None:
    one = serving("a", alone=True)

    assert one.tell(Wanted(target="b")) == [Point(number=None), End(number=1)]
    assert one.tell(Looked(), after=5) == []
    assert one.tell(Gone(number=1, reason="")) == [Start(number=2, target="b")]


def test_a_next_one_that_fails_leaves_the_one_that_serves_alone_and_says_so() -> None:
    one = serving("a")
    one.tell(Wanted(target="b"))

    failed = one.tell(Gone(number=2, reason="no"))

    assert failed == [Failed(target="b", reason="no")]
    assert state_of(one.house) == (PipelineState.RUNNING, "no")
    assert one.tell(Looked(), after=100) == []


def test_where_the_one_before_had_to_end_it_comes_back_when_the_next_one_fails() -> None:
    one = serving("a", alone=True)
    one.tell(Wanted(target="b"), Gone(number=1, reason=""))

    assert one.tell(Gone(number=2, reason="no")) == [Failed(target="b", reason="no")]
    assert one.state is PipelineState.CRASHING
    assert one.tell(Looked(), after=BACKOFF_S) == [Start(number=3, target="a")]


def test_a_target_is_tried_as_often_as_was_asked() -> None:
    one = Clockwork(tries=3)
    one.tell(Wanted(target="a"))

    assert one.tell(Gone(number=1, reason="x")) == []
    assert one.tell(Looked(), after=BACKOFF_S) == [Start(number=2, target="a")]
    assert one.tell(Gone(number=2, reason="y")) == []
    assert one.tell(Looked(), after=2 * BACKOFF_S) == [Start(number=3, target="a")]
    assert one.tell(Gone(number=3, reason="z")) == [Failed(target="a", reason="z")]


def test_what_never_served_is_tried_on_where_there_is_nothing_else() -> None:
    one = Clockwork()
    one.tell(Wanted(target="a"), Gone(number=1, reason="no database"))

    assert state_of(one.house) == (PipelineState.CRASHING, "no database")
    assert one.tell(Looked(), after=BACKOFF_S) == [Start(number=2, target="a")]
    assert one.tell(Ready(number=2, alone=False)) == [Point(number=2)]
    assert state_of(one.house) == (PipelineState.RUNNING, "")


def test_one_that_dies_comes_back_later_each_time_but_not_after_it_was_steady() -> None:
    one = serving("a")
    pauses = []
    for number in range(1, 10):
        one.tell(Gone(number=number, reason="died"), after=1)
        assert one.state is PipelineState.CRASHING
        pauses.append(one.house.not_before - one.now)
        one.tell(Looked(), after=pauses[-1])
        one.tell(Ready(number=number + 1, alone=False))

    assert pauses[:3] == [BACKOFF_S, 2 * BACKOFF_S, 4 * BACKOFF_S]
    assert pauses[-1] == BACKOFF_MOST_S
    one.tell(Gone(number=10, reason="died"), after=STEADY_S)
    assert one.house.not_before - one.now == BACKOFF_S


def test_a_new_target_does_not_wait_for_the_pause_of_the_old_one() -> None:
    one = serving("a")
    for number in (1, 2, 3):
        one.tell(Gone(number=number, reason="died"))
        one.tell(Looked(), after=BACKOFF_MOST_S)
    one.tell(Gone(number=4, reason="died"))

    assert one.tell(Wanted(target="b")) == [Start(number=5, target="b")]
    one.tell(Ready(number=5, alone=False))
    assert one.house.ends == 0


def test_what_nobody_wants_any_more_ends_whether_it_serves_or_comes() -> None:
    one = serving("a")
    one.tell(Wanted(target="b"))

    assert one.tell(Unwanted(), Kept(target="")) == [
        End(number=2),
        Point(number=None),
        End(number=1),
    ]
    one.tell(Gone(number=1, reason=""), Gone(number=2, reason=""))
    assert one.house.empty
    assert one.tell(Looked(), after=100) == []


def test_one_that_is_ready_after_it_was_told_to_end_takes_over_nothing() -> None:
    one = serving("a")
    one.tell(Wanted(target="b"), Wanted(target="c"))

    assert one.tell(Ready(number=2, alone=False)) == []
    assert one.house.serving is not None
    assert one.house.serving.target == "a"


def test_where_there_is_no_room_for_two_the_old_one_makes_it() -> None:
    one = serving("a")
    one.tell(Wanted(target="b"))

    assert one.tell(NoRoom(reason="2 cores")) == [Point(number=None), End(number=1)]
    assert one.tell(Looked(), after=10) == [Start(number=3, target="b")]


def test_a_spout_is_never_there_twice() -> None:
    one = Clockwork(alone=True)
    one.tell(Kept(target="v1"), Ready(number=1, alone=True))

    assert one.tell(Kept(target="v2")) == [Point(number=None), End(number=1)]
    assert one.tell(Looked(), after=100) == []
    assert one.tell(Gone(number=1, reason="")) == [Start(number=2, target="v2")]


WORDS = st.lists(
    st.tuples(
        st.sampled_from(
            ["want", "unwant", "keep", "stop", "ready", "fixed", "die", "full", "wait"]
        ),
        st.integers(0, 3),
    ),
    max_size=40,
)


@pytest.mark.parametrize("alone", [False, True])
@given(words=WORDS)
def test_whatever_happens_no_two_share_a_port_and_the_wanted_one_serves_in_the_end(
    alone: bool, words: Sequence[tuple[str, int]]
) -> None:
    one = Clockwork(alone=alone, tries=2)
    there: dict[int, str] = {}  # residents that run, as the world knows it
    fixed: set[int] = set()
    waits: set[str] = set()

    def carry_out(actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Start(number=number, target=target):
                    assert not fixed & there.keys()
                    assert not (alone and there)
                    there[number] = target
                case End(number=number):
                    assert number in there
                case Point(number=number):
                    assert number is None or number in there
                case Served(target=target) | Failed(target=target):
                    assert target in waits
                    waits.discard(target)

    def tell(event: Event) -> None:
        carry_out(one.tell(event, after=0.1))

    for word, number in words:
        coming = one.house.coming
        match word:
            case "want":
                target = f"{one.now}"
                waits = {target}
                tell(Wanted(target=target))
            case "unwant":
                waits.clear()
                tell(Unwanted())
            case "keep":
                tell(Kept(target=f"kept {number}"))
            case "stop":
                waits.clear()
                tell(Unwanted())
                tell(Kept(target=""))
            case "ready" | "fixed" if coming is not None:
                if word == "fixed":
                    fixed.add(coming.number)
                tell(Ready(number=coming.number, alone=word == "fixed"))
            case "die" if there:
                gone = sorted(there)[number % len(there)]
                del there[gone]
                tell(Gone(number=gone, reason="died"))
            case "full" if coming is not None:
                del there[coming.number]
                tell(NoRoom(reason="full"))
            case _:
                carry_out(one.tell(Looked(), after=float(number)))
    waits = {"last"}
    tell(Wanted(target="last"))
    for _ in range(200):
        for resident in one.house.leaving:
            there.pop(resident.number, None)
            tell(Gone(number=resident.number, reason=""))
        if one.house.coming is not None:
            tell(Ready(number=one.house.coming.number, alone=False))
        carry_out(one.tell(Looked(), after=BACKOFF_MOST_S))
    assert list(there.values()) == ["last"]
    assert (waits, one.state) == (set(), PipelineState.RUNNING)
