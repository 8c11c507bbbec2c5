"""Files that people choose, or drop onto a repo."""

from collections.abc import Callable
from pathlib import Path

from console_world import ConsoleWorld
from playwright.sync_api import Browser, Page, expect

_DROP = """form => {
  const transfer = new DataTransfer();
  transfer.items.add(new File(["dropped"], "dropped.txt"));
  form.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, cancelable: true}));
}"""
_SLOW = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 2**20}


def test_files_are_uploaded_and_lead_to_their_commit(
    look: Callable[[str, str], Page], world: ConsoleWorld
) -> None:
    world.engine.repos.create_repo("inbox")
    page = look("/ui/projects/default/repos/inbox", "repo-upload")

    page.get_by_label("Message").fill("from a browser")
    chosen = [{"name": f"{name}.txt", "mimeType": "", "buffer": b"x" * 300} for name in "ab"]
    page.locator("input[type=file]").set_input_files(chosen)
    expect(page.get_by_text("a.txt, b.txt · 600 B")).to_be_visible()
    page.get_by_role("button", name="Upload").click()

    expect(page.get_by_role("heading", name="from a browser")).to_be_visible()
    expect(page.get_by_role("link", name="b.txt")).to_be_visible()


def test_what_is_dropped_is_uploaded(browser_page: Page, world: ConsoleWorld) -> None:
    browser_page.goto(f"{world.origin}/ui/projects/default/repos/training")
    browser_page.locator("form[data-upload]").evaluate(_DROP)
    expect(browser_page.get_by_text("dropped.txt · 7 B")).to_be_visible()
    browser_page.get_by_label("Branch").fill("dropped")
    browser_page.get_by_label("Directory").fill("new/here")
    browser_page.get_by_role("button", name="Upload").click()

    expect(browser_page.get_by_role("link", name="new/here/dropped.txt")).to_be_visible()


def test_an_upload_shows_how_far_it_is_and_can_be_cancelled(
    browser_page: Page, world: ConsoleWorld, tmp_path: Path
) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(30 * 2**20))
    browser_page.goto(f"{world.origin}/ui/projects/default/repos/training")
    browser_page.context.new_cdp_session(browser_page).send(
        "Network.emulateNetworkConditions", _SLOW
    )
    browser_page.get_by_label("Branch").fill("cancelled")
    browser_page.locator("input[type=file]").set_input_files(large)
    browser_page.get_by_role("button", name="Upload").click()
    expect(browser_page.get_by_text("of 30 MB")).to_be_visible()
    browser_page.get_by_role("button", name="Cancel").click()

    expect(browser_page.get_by_text("Cancelled. Nothing was changed.")).to_be_visible()
    branches = world.engine.branches.list_branches("training")
    assert "cancelled" not in [branch.name for branch in branches]


def test_what_is_refused_is_said(browser: Browser, world: ConsoleWorld) -> None:
    context = browser.new_context()  # of its own: the browser complains of the refusal as well
    name, _, value = world.cookie.partition("=")
    context.add_cookies([{"name": name, "value": value, "url": world.origin + "/ui"}])
    page = context.new_page()
    page.goto(f"{world.origin}/ui/projects/default/repos/training")
    page.get_by_label("Branch").fill("not/a/branch")
    page.locator("input[type=file]").set_input_files(
        [{"name": "a.txt", "mimeType": "", "buffer": b"x"}]
    )
    page.get_by_role("button", name="Upload").click()

    expect(page.locator("[data-state]")).to_contain_text("not/a/branch")
    context.close()
