"""Provenance, runs and the graph, as people see them."""

from collections.abc import Callable

import pytest
from console_iris import correct_flowers, fill_with_flowers
from console_world import ConsoleWorld
from playwright.sync_api import Page, expect

Look = Callable[[str, str], Page]
REPOS = "/ui/projects/iris/repos"


@pytest.fixture(scope="module")
def flowers(world: ConsoleWorld) -> ConsoleWorld:
    """The example of the tutorial, after its correction."""
    fill_with_flowers(world)
    correct_flowers(world)
    return world


def test_from_a_wrong_result_to_the_commit_of_the_rows_it_was_made_of(
    flowers: ConsoleWorld, look: Look
) -> None:
    page = look(f"{REPOS}/inference@master/files/test1.csv", "result")
    page.get_by_role("link", name="Provenance").click()
    expect(page.get_by_role("heading", name="Where test1.csv is from")).to_be_visible()

    page.get_by_label("Made from").get_by_role("link", name="iris/train", exact=True).click()
    page.get_by_role("link", name="model").click()
    page.get_by_label("Made from").get_by_role("link", name="iris/pre_process", exact=True).click()
    page.get_by_role("link", name="x_train.csv").click()
    page.get_by_label("Made from").get_by_role("link", name="iris.csv", exact=True).click()
    expect(page.get_by_text("two rows corrected")).to_be_visible()
    put = flowers.engine.commits.inspect_commit("iris/training", "master")
    page.get_by_label("Made from").get_by_role("link", name=put.id[:8]).click()

    expect(page.get_by_role("heading", name="two rows corrected")).to_be_visible()
    expect(page.get_by_role("link", name="iris.csv", exact=True)).to_be_visible()


@pytest.mark.usefixtures("flowers")
def test_provenance(look: Look) -> None:
    look(f"{REPOS}/inference@master/provenance/test1.csv", "provenance-file")
    look(f"{REPOS}/training@master/provenance/iris.csv", "provenance-put")
    look(f"{REPOS}/pre_process@master/provenance/", "provenance-commit")


@pytest.mark.usefixtures("flowers")
def test_runs(look: Look) -> None:
    page = look("/ui/runs", "runs")
    page.get_by_role("row", name="two rows corrected").get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="two rows corrected")).to_be_visible()
    expect(page.get_by_role("img", name="iris/train: waited")).to_be_visible()

    look(page.url.removeprefix(page.url.partition("/ui/")[0]), "run")
    page.get_by_role("link", name="Plan and outcome").click()
    expect(page.get_by_role("columnheader", name="What changed")).to_be_visible()
    look(page.url.removeprefix(page.url.partition("/ui/")[0]), "run-plan")
