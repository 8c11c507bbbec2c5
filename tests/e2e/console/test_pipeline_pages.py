"""Pipelines, as people see them."""

from collections.abc import Callable

from console_world import ConsoleWorld
from playwright.sync_api import Page, expect

Look = Callable[[str, str], Page]
PIPELINES = "/ui/projects/default/pipelines"


def test_the_pipelines(look: Look) -> None:
    page = look("/ui/pipelines", "pipelines")

    expect(page.get_by_role("row", name="broken")).to_contain_text("failing")
    expect(page.locator("tbody tr").first).to_contain_text("failing")
    page.get_by_role("link", name="summary", exact=True).click()
    expect(page.get_by_role("heading", name="summary")).to_be_visible()


def test_a_pipeline_that_fails_and_one_that_does_not(look: Look) -> None:
    look(f"{PIPELINES}/broken", "pipeline-failing")
    page = look(f"{PIPELINES}/pre-process", "pipeline")

    expect(page.get_by_role("heading", name="Datums on its inputs")).to_be_visible()
    expect(page.get_by_text("training/iris.csv")).to_be_visible()


def test_a_spec_is_edited_with_a_plan_before_it_is_saved(look: Look, world: ConsoleWorld) -> None:
    page = look(f"{PIPELINES}/summary/edit", "pipeline-edit")
    spec = page.get_by_label("Spec")
    spec.fill(spec.input_value().replace("names", "all-names"))
    page.get_by_role("button", name="Plan").click()
    expect(page.get_by_role("heading", name="Plan", exact=True)).to_be_visible()
    expect(page.locator(".diff .plus").first).to_contain_text("all-names")
    assert world.engine.pipelines.inspect_pipeline("summary").version == 1
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_role("heading", name="summary", exact=True)).to_be_visible()

    assert world.engine.pipelines.inspect_pipeline("summary").version == 2
    look(f"{PIPELINES}/summary/versions/2", "pipeline-version")
