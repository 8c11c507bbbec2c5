"""The first page, as people see it."""

from collections.abc import Callable

from console_world import ConsoleWorld
from playwright.sync_api import Page, expect


def test_the_overview_shows_what_is_good_and_what_is_not(look: Callable[[str, str], Page]) -> None:
    page = look("/ui/", "home")

    expect(page.get_by_role("heading", name="Failing now")).to_be_visible()
    expect(page.get_by_text("1 failing")).to_be_visible()


def test_the_overview_follows_what_happens(
    look: Callable[[str, str], Page], world: ConsoleWorld
) -> None:
    page = look("/ui/", "home")

    world.engine.repos.create_repo("a-new-one")
    world.put("a-new-one", {"x": b"x"}, "it came while somebody looked")

    expect(page.get_by_text("it came while somebody looked")).to_be_visible()


def test_the_theme_is_remembered(browser_page: Page, world: ConsoleWorld) -> None:
    browser_page.goto(f"{world.origin}/ui/")
    ground = "getComputedStyle(document.body).backgroundColor"
    before = browser_page.evaluate(ground)

    browser_page.get_by_role("button", name="Dark or light").click()
    browser_page.reload()

    assert browser_page.evaluate(ground) != before


def test_one_logs_in_with_the_token(browser_page: Page, world: ConsoleWorld) -> None:
    browser_page.context.clear_cookies()
    browser_page.goto(f"{world.origin}/ui/")

    browser_page.get_by_label("Or paste a token").fill(world.server.token)
    browser_page.get_by_role("button", name="Log in").click()

    expect(browser_page.get_by_role("heading", name="Overview")).to_be_visible()
