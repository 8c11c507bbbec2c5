"""Going to something by its name, and the login, as people see them."""

from collections.abc import Callable

from axe_playwright_python.sync_playwright import Axe
from console_world import ConsoleWorld
from playwright.sync_api import Page, expect

Look = Callable[[str, str], Page]


def test_one_goes_to_a_repo_with_the_keyboard_alone(look: Look) -> None:
    page = look("/ui/workers", "workers")
    page.keyboard.press("/")
    page.keyboard.type("hostile")
    expect(page.locator(".found a")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="hostile", exact=True)).to_be_visible()


def test_the_search_is_a_page_too(look: Look) -> None:
    page = look("/ui/search?q=pre", "search")

    expect(page.get_by_role("main").get_by_role("link", name="pre-process").first).to_be_visible()


def test_everybody_can_log_in(browser_page: Page, world: ConsoleWorld) -> None:
    browser_page.context.clear_cookies()
    for scheme in ("light", "dark"):
        browser_page.emulate_media(color_scheme=scheme)
        browser_page.goto(f"{world.origin}/ui/login")
        found = Axe().run(browser_page)
        assert found.violations_count == 0, found.generate_report()
