"""Repos, commits and files, as people see them."""

from collections.abc import Callable

from console_world import EVIL_PATH, ConsoleWorld
from playwright.sync_api import Page, expect

Look = Callable[[str, str], Page]
TRAINING = "/ui/projects/default/repos/training"


def test_from_the_overview_to_a_value_in_a_file(look: Look) -> None:
    page = look("/ui/repos", "repos")
    page.get_by_role("link", name="training", exact=True).click()
    expect(page.get_by_role("heading", name="Iris measurements")).to_be_visible()
    page.get_by_role("link", name="iris.csv").click()

    expect(page.get_by_role("cell", name="setosa").first).to_be_visible()


def test_a_repo(look: Look) -> None:
    page = look(TRAINING, "repo")

    expect(page.get_by_text("by whom")).to_be_visible()


def test_the_files_of_a_commit(look: Look) -> None:
    page = look(f"{TRAINING}@master/files/", "files")
    page.keyboard.press("/")
    page.keyboard.type("flower")
    page.keyboard.press("Enter")

    expect(page.get_by_role("link", name="photos/2026-01/flower.txt")).to_be_visible()


def test_a_table(look: Look) -> None:
    page = look(f"{TRAINING}@master/files/iris.csv", "file-table")

    expect(page.get_by_role("columnheader", name="species text")).to_be_visible()


def test_text(look: Look) -> None:
    look(f"{TRAINING}@master/files/photos/2026-03/flower.txt", "file-text")


def test_the_commits_of_a_branch_and_one_of_them(look: Look) -> None:
    page = look(f"{TRAINING}/commits", "commits")
    page.get_by_role("row", name="photos").get_by_role("link").click()

    expect(page.get_by_role("heading", name="photos")).to_be_visible()
    look(f"{TRAINING}@master", "commit")


def test_a_long_list_grows_as_one_scrolls(browser_page: Page, world: ConsoleWorld) -> None:
    world.put("long", {f"{number:04}.txt": b"x" for number in range(350)})
    browser_page.goto(f"{world.origin}/ui/projects/default/repos/long@master/files/")

    for last in (199, 299, 349):
        browser_page.mouse.wheel(0, 100_000)
        expect(browser_page.get_by_role("link", name=f"{last:04}.txt")).to_be_attached()

    expect(browser_page.locator("tbody tr")).to_have_count(350)


def test_hostile_names_and_contents_do_nothing(look: Look) -> None:
    page = look("/ui/projects/default/repos/hostile@master/files/", "hostile")
    page.get_by_role("link", name=EVIL_PATH).click()
    expect(page.get_by_role("heading", name=EVIL_PATH)).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download").click()
    assert saved.value.suggested_filename.endswith("1 _.txt")  # as the system can have it
