"""The scheduler in simulated worlds: every rule of jobs holds, whatever goes wrong.

`TRUNKLINE_SIM_SEEDS=20000 TRUNKLINE_SIM_SEED=5000` tries 20,000 seeds from 5000 on. What a seed
that fails did is shown by `python tests/jobs/simulator/simulate.py SEED`.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from simulate import Life, Stage, replay_of, stage

SEEDS = int(os.environ.get("TRUNKLINE_SIM_SEEDS", "200"))
FIRST = int(os.environ.get("TRUNKLINE_SIM_SEED", "1"))
_RARE = (118, 163, 171)  # quarantines; steps of a job that fail for as long as one is patient
_PART = 25  # seeds of one test, so that tests may run side by side


@pytest.fixture(scope="module")
def place() -> Iterator[Stage]:
    with stage() as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, _PART))
def test_every_job_ends_as_it_must(
    first: int, place: Stage, tally: Callable[[str, int], None]
) -> None:
    lives = [place.run(seed) for seed in range(first, min(first + _PART, FIRST + SEEDS))]

    tally("simulated worlds", len(lives))
    tally("outputs of simulated jobs", sum(life.outputs for life in lives))
    tally("restarts of simulated servers", sum(life.restarts for life in lives))
    tally("datums ahead of their simulated jobs", sum(life.ahead for life in lives))
    broken = [life for life in lives if life.violation]
    assert not broken, "\n".join(map(told, broken))


def test_a_world_is_the_same_each_time(place: Stage) -> None:
    one, other = place.run(7), place.run(7)

    assert one == other


def test_much_happens_in_a_few_worlds(place: Stage) -> None:
    lives = [place.run(seed) for seed in (*range(1, 61), *_RARE)]

    ends = sum((life.jobs for life in lives), Counter())
    assert {"success", "failure", "killed", "unrunnable"} <= ends.keys()
    assert sum(life.restarts for life in lives) > 5
    assert sum(life.ahead for life in lives) > 20
    said = "\n".join(line for life in lives for line in life.trace)
    for words in ("freezes", "dies before", "dies after", "recovered", "quarantined", "undeletes"):
        assert words in said, words
    for words in (
        "there is no space",
        "can't be reached",
        "an internal error while",
        "was not possible for",
    ):
        assert words in said, words


def told(life: Life) -> str:
    return f"seed {life.seed}: {life.violation}\nto see all of it: {replay_of(life.seed)}"
