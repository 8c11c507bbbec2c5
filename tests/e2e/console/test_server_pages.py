"""Workers, storage and settings, as people see them."""

from collections.abc import Callable

from console_world import ConsoleWorld
from playwright.sync_api import Page, expect

Look = Callable[[str, str], Page]


def test_the_workers(look: Look) -> None:
    page = look("/ui/workers", "workers")

    expect(page.get_by_role("heading", name="What they may have")).to_be_visible()


def test_storage_is_measured_checked_and_collected_without_leaving_the_page(
    browser_page: Page, world: ConsoleWorld, look: Look
) -> None:
    look("/ui/storage", "storage-before")
    for button, result in (
        ("Measure all commits", "Its alone"),
        ("Check structure", "all is well"),
        ("See what would go", "Removable"),
        ("Collect now", "Given back"),
    ):
        browser_page.get_by_role("button", name=button).click()
        expect(browser_page.get_by_text(result)).to_be_visible()
    look("/ui/storage", "storage")


def test_what_begins_by_itself(look: Look, world: ConsoleWorld) -> None:
    spec = {
        "pipeline": {"name": "nightly"},
        "transform": {"cmd": ["true"]},
        "input": {"cron": {"name": "night", "spec": "0 3 1 1 *"}},
    }
    world.engine.pipelines.create_pipeline(spec)
    page = look("/ui/schedules", "schedules")

    expect(page.get_by_text("clock 0 3 1 1 *")).to_be_visible()


def test_the_settings(look: Look) -> None:
    page = look("/ui/settings", "settings")

    expect(page.get_by_role("heading", name="Connect from elsewhere")).to_be_visible()
