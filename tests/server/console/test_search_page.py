"""Going to something by its name."""

import re

import pytest
from console_world import EVIL, ConsoleWorld


def hits(page: str) -> list[str]:
    return re.findall(r'<li><a href="([^"]+)">', page)


TRAINING = "/ui/projects/default/repos/training"


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("train", TRAINING),
        ("TRAIN", TRAINING),
        ("training@master", f"{TRAINING}@master"),
        ("training@master:/iris.csv", f"{TRAINING}@master/files/iris.csv"),
    ],
)
def test_what_has_the_name_is_found(world: ConsoleWorld, words: str, address: str) -> None:
    assert hits(world.page(f"/ui/search?q={words}")) == [address]


def test_a_commit_and_its_run_are_found_by_the_beginning_of_the_id(world: ConsoleWorld) -> None:
    head = world.engine.commits.inspect_commit("training", "master").id

    found = hits(world.page(f"/ui/search?q={head[:10]}"))

    assert found == [f"/ui/runs/{head}", f"{TRAINING}@{head}"]


def test_enter_goes_there_at_once_if_only_one_thing_is_meant(world: ConsoleWorld) -> None:
    world.engine.repos.create_repo("hostile-too")

    exact = world.get("/ui/search?q=hostile&go=1")
    several = world.get("/ui/search?q=host&go=1")

    assert (exact.status, exact.headers["location"]) == (303, "/ui/projects/default/repos/hostile")
    assert several.status == 200


@pytest.mark.parametrize("words", [EVIL, "a@b@c:/../d", "@", "@:", "%00", "x" * 5000])
def test_words_that_name_nothing_are_text(world: ConsoleWorld, words: str) -> None:
    page = world.page(f"/ui/search?q={words.replace('<', '%3C').replace(' ', '+')}")

    assert "Nothing has that name" in page
    assert EVIL not in page
