"""Workers, storage and settings, as people see them."""

from collections.abc import Callable

from console_world import ConsoleWorld
from playwright.sync_api import Browser, Page, expect

Look = Callable[[str, str], Page]
Keep = Callable[[Page, str], None]


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


def test_a_token_is_made_copied_used_and_deleted(
    browser: Browser, browser_page: Page, world: ConsoleWorld, look: Look, keep: Keep
) -> None:
    browser_page.goto(world.origin + "/ui/settings")
    browser_page.get_by_label("Name").fill("dashboard")
    browser_page.get_by_label("Role").select_option("reader")
    browser_page.get_by_role("button", name="Create").click()
    secret = browser_page.get_by_label("The secret", exact=True).inner_text()
    expect(browser_page.get_by_role("button", name="Copy the secret")).to_be_visible()
    keep(browser_page, "token-made")
    guest = browser.new_context(viewport={"width": 1280, "height": 800})
    other = guest.new_page()
    other.goto(world.origin + "/ui/runs")
    other.get_by_label("Or paste a token").fill(secret)
    other.get_by_role("button", name="Log in").click()
    expect(other.get_by_role("heading", name="Runs")).to_be_visible()
    keep(other, "token-reader")
    look("/ui/settings", "settings-tokens")
    row = browser_page.get_by_role("row", name="dashboard")
    row.get_by_text("Delete").first.click()
    keep(browser_page, "token-delete")
    row.get_by_role("button", name="Delete").click()
    expect(browser_page.get_by_text("No named tokens")).to_be_visible()
    guest.close()
    page = look("/ui/settings/audit", "audit")
    expect(page.get_by_text("delete_token")).to_be_visible()
