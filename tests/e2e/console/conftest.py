"""A browser, and a server that has something to show.

`TRUNKLINE_SCREENSHOTS` names a directory for pictures of each page: dark, light, and of a phone.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from console_world import ConsoleWorld, console_world, fill_with_hostility, fill_with_iris
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
DESK = {"width": 1280, "height": 800}
expect.set_options(timeout=60_000)  # of a machine with much to do
PHONE = {"width": 390, "height": 844}
_COPY = "for f in /pfs/training/*; do cp -r $f /pfs/out/; done"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there (package chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleWorld]:
    """Iris with two good pipelines and one that fails, and things with hostile names."""
    with console_world(tmp_path_factory.mktemp("console")) as filled:
        fill_with_iris(filled)
        fill_with_hostility(filled)
        filled.pipeline("pre-process", "training", _COPY)
        filled.pipeline("summary", "pre-process", "ls /pfs/pre-process > /pfs/out/names", "/")
        filled.pipeline("broken", "training", "echo no such column: petal >&2; exit 3", "/")
        for name in ("pre-process", "summary", "broken"):
            filled.engine.jobs.inspect_job(name, wait=True)
        yield filled


@pytest.fixture
def browser_page(browser: Browser, world: ConsoleWorld) -> Iterator[Page]:
    """A page of somebody who is logged in. Whatever its console complains of fails the test."""
    context = browser.new_context(viewport=DESK)
    name, _, value = world.cookie.partition("=")
    context.add_cookies([{"name": name, "value": value, "url": world.origin + "/ui"}])
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"a script said {dialog.message}"))
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def look(browser_page: Page, world: ConsoleWorld) -> Callable[[str, str], Page]:
    """Goes to a page, has it checked for accessibility and keeps pictures of it."""

    def go(target: str, picture: str) -> Page:
        browser_page.goto(world.origin + target)
        for scheme in ("light", "dark"):
            browser_page.emulate_media(color_scheme=scheme)
            found = Axe().run(browser_page)
            assert found.violations_count == 0, found.generate_report()
            _keep(browser_page, f"{picture}-{scheme}")
        browser_page.emulate_media(color_scheme="light")
        browser_page.set_viewport_size(PHONE)
        wide = browser_page.evaluate("document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], f"{target} is {wide} pixels wide on a phone"
        _keep(browser_page, f"{picture}-phone")
        browser_page.set_viewport_size(DESK)
        return browser_page

    return go


@pytest.fixture
def keep() -> Callable[[Page, str], None]:
    """Keeps a picture of a page that `look` can't go to."""
    return _keep


def _keep(page: Page, name: str) -> None:
    directory = os.environ.get("TRUNKLINE_SCREENSHOTS")
    if directory:
        Path(directory).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{directory}/{name}.png", full_page=True)
