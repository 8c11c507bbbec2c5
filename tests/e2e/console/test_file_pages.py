"""Files of all kinds, as people see them."""

from collections.abc import Callable
from urllib.parse import quote

import pytest
from console_world import ConsoleWorld
from file_kinds import file_kinds
from hostile_files import CONTENTS, NAMES
from playwright.sync_api import Page, expect

Look = Callable[[str, str], Page]
KINDS = "/ui/projects/default/repos/kinds@master/files"


@pytest.fixture(scope="module")
def kinds(world: ConsoleWorld) -> ConsoleWorld:
    """With a file of each kind, and a log."""
    log = "".join(f"2026-11-30 01:{n // 60 % 60:02}:{n % 60:02} step {n}\n" for n in range(9000))
    world.put("kinds", {**file_kinds(), "train.log": log.encode()})
    return world


@pytest.mark.parametrize("path", ["t.parquet", "n.ipynb", "train.log"])
def test_a_kind(kinds: ConsoleWorld, look: Look, path: str) -> None:
    look(f"{KINDS}/{path}", f"file-{path.replace('.', '-')}")


def test_a_picture_is_there_and_a_sound_plays(kinds: ConsoleWorld, browser_page: Page) -> None:
    browser_page.goto(f"{kinds.origin}{KINDS}/p.png")
    drawn = browser_page.locator(".picture img")
    expect(drawn).to_have_js_property("naturalWidth", 48)
    browser_page.goto(f"{kinds.origin}{KINDS}/s.wav")
    expect(browser_page.locator("audio")).to_have_js_property("duration", 0.256)


def test_what_differs(world: ConsoleWorld, look: Look) -> None:
    rows = "".join(f"{n},{n * n % 17},setosa\n" for n in range(60))
    lines = "".join(f"step {n}\n" for n in range(30))
    first = {
        "iris.csv": f"id,petal,species\n{rows}",
        "run.txt": lines,
        "config.json": '{"lr": 0.1}',
    }
    more = {f"photos/{n:02}.txt": "x" for n in range(8)}
    last = {
        "iris.csv": f"id,petal,species\n{rows}".replace("\n7,15,", "\n7,16,").replace(
            "\n9,13,setosa", ""
        ),
        "run.txt": lines.replace("step 7\n", "step seven\n") + "the end\n",
        "config.json": '{"lr": 0.2, "seed": 7}',
    }
    for files in (first, {**last, **more}):
        world.put("compared", {path: text.encode() for path, text in files.items()}, "tuning")
    base = "/ui/projects/default/repos/compared@master"

    page = look(f"{base}/diff/", "diff-tree")
    page.get_by_role("link", name="iris.csv").click()
    expect(page.get_by_text("1 removed", exact=True)).to_be_visible()
    look(f"{base}/diff/run.txt", "diff-text")
    look(f"{base}/history/iris.csv", "history")


def test_hostile_contents_and_names_do_nothing(world: ConsoleWorld, browser_page: Page) -> None:
    """Whatever runs or is refused by the policy of the page would be a complaint."""
    named = {f"names/{name}/{name}.txt": b"x" for name in NAMES}
    world.put("payloads", {**CONTENTS, **named})
    base = f"{world.origin}/ui/projects/default/repos/payloads@master/files"

    paths = ["README.md", "a.ipynb", "a.svg", "a.html", "a.csv", "a.json", "a.zip", "names"]
    for path in [*paths, *(f"names/{quote(name)}" for name in NAMES[:4])]:
        browser_page.goto(f"{base}/{path}")
        expect(browser_page.locator("h1")).to_be_visible()
