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


@pytest.mark.usefixtures("flowers")
def test_the_graph_lights_the_path_through_a_node_and_tells_of_it(look: Look) -> None:
    page = look("/ui/dag", "graph")
    node = page.get_by_label("pipeline, iris/train, success")
    node.hover()
    lit = page.locator(".node.on")
    expect(lit).to_have_count(4)  # attributes is beside it
    page.mouse.move(0, 0)
    expect(lit).to_have_count(0)

    node.focus()
    expect(lit).to_have_count(4)
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("pipeline, iris/inference")).to_be_focused()
    page.keyboard.press("Enter")

    panel = page.locator(".graph-panel")
    expect(panel.get_by_role("heading", name="iris/inference")).to_be_visible()
    assert page.url.endswith("#iris%2Finference")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()


def test_the_graph_follows_a_run_without_being_drawn_anew(
    flowers: ConsoleWorld, browser_page: Page
) -> None:
    page = browser_page
    page.goto(f"{flowers.origin}/ui/dag?project=iris")
    node = page.locator('.node[data-id="iris/train"]')
    expect(node).to_be_visible()
    page.evaluate("window.first = document.querySelector('.node[data-id=\"iris/train\"]')")
    before = page.evaluate("document.getElementById('graph').graph.byName.get('iris/train').run")

    correct_again = {"iris.csv": b"".join([b"5.1,3.5,1.4,0.2,Iris-setosa\n"] * 40)}
    flowers.put("iris/training", correct_again, "all alike")
    page.wait_for_function(
        """before => {
          const node = document.getElementById('graph').graph.byName.get('iris/train');
          return node.run !== before && node.tone !== 'busy' && node.tone !== 'wait';
        }""",
        arg=before,
    )

    assert page.evaluate("document.querySelector('.node[data-id=\"iris/train\"]') === first")
