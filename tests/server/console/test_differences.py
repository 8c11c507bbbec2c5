"""What differs between commits, and what became of a path, as pages show it."""

import json
import re
from urllib.parse import quote

import pytest
from console_world import ConsoleWorld, picture

BASE = "/ui/projects/default/repos/versions"
CSV = "id,name\n1,setosa\n2,virginica\n3,versicolor\n"


def notebook(*sources: str) -> bytes:
    cells = [{"cell_type": "code", "source": [source], "outputs": []} for source in sources]
    return json.dumps({"cells": cells, "nbformat": 4}).encode()


@pytest.fixture(scope="module")
def versions(world: ConsoleWorld) -> ConsoleWorld:
    """With a repo of three commits, whose last one changes a file of each kind."""
    many = {f"many/{number:03}": b"1" for number in range(150)}
    before = {
        "t.csv": CSV.encode(),
        "schema.csv": b"id,name,old\n1,a,x\n",
        "notes.txt": b"one\ntwo\nthree\n",
        "config.json": json.dumps({"lr": 0.1, "layers": [1, 2]}).encode(),
        "p.png": picture(),
        "n.ipynb": notebook("a = 1\n", "b = 2"),
        "b.bin": b"\0one",
        "gone.txt": b"x",
    }
    world.put("versions", {"first.txt": b"1"}, "the first")
    world.put("versions", {**before, **many}, "the second")
    after = {
        "t.csv": CSV.replace("virginica", "iris").replace("3,versicolor\n", "4,new\n").encode(),
        "schema.csv": b"id,name,new\n1,a,y\n",
        "notes.txt": b"one\n2\nthree\nfour\n",
        "config.json": json.dumps({"lr": 0.2, "layers": [1, 2], "seed": 7}).encode(),
        "p.png": picture(24, 24),
        "n.ipynb": notebook("a = 1\n", "b = 3", "c = 4"),
        "b.bin": b"\0two",
        "came.txt": b"y",
    }
    world.delete("versions", "gone.txt")
    world.put("versions", {**after, **dict.fromkeys(many, b"2")}, "the last")
    return world


def test_a_commit_is_compared_with_its_parent_page_by_page(versions: ConsoleWorld) -> None:
    seen: list[str] = []
    target = f"{BASE}@master/diff/"
    pages = []
    while target:
        page = versions.page(target)
        pages.append(page)
        seen += re.findall(r'class="entry" href="[^"]*/diff/([^"?]+)', page)
        found = re.search(r'<a href="([^"]+)" data-more="changes"', page)
        target = found[1].replace("&amp;", "&") if found else ""

    assert len(seen) == len(set(seen)) == 158
    assert [len(pages), "157 changed" in pages[0], "1 added" in pages[0]] == [2, True, True]
    assert "many/ 150" in pages[0]


def test_any_two_commits_are_compared(versions: ConsoleWorld) -> None:
    page = versions.page(f"{BASE}@master/diff/?from=master^^^")
    swapped = re.search(r'href="([^"]+)">Swap', page)

    assert "159 added" not in page
    assert "gone.txt" not in page  # it came and went in between
    assert "0 deleted" in page
    assert swapped is not None
    assert "0 added" in versions.page(swapped[1].replace("&amp;", "&"))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("t.csv", ["1 row added", "1 removed", "<del>virginica</del>", "<ins>iris</ins>"]),
        ("schema.csv", ["Columns: ", ">+ new<", ">- old<"]),
        ("notes.txt", ["2 lines added", "1 removed", '"went">two<', '"came">2<', '"came">four<']),
        ("config.json", ["<code>/lr</code>", "<del>0.1</del>", "<ins>0.2</ins>", "<code>/seed"]),
        ("p.png", ["Before", "After", "/raw/p.png?inline=1"]),
        (
            "n.ipynb",
            ["1 cell added", "1 cell changed", "1 the same", "Cell 2, code: changed", ">c = 4<"],
        ),
        ("b.bin", ["Their bytes differ"]),
        ("came.txt", ["not there → 1 B", '"came">y<']),
        ("first.txt", ["Nothing differs"]),
    ],
)
def test_a_file_shows_what_differs_in_it(
    versions: ConsoleWorld, path: str, shown: list[str]
) -> None:
    page = versions.page(f"{BASE}@master/diff/{path}")

    assert [text for text in shown if text not in page] == []


def test_a_file_can_be_compared_as_text(versions: ConsoleWorld) -> None:
    assert '"went">2,virginica<' in versions.page(f"{BASE}@master/diff/t.csv?as=text")


def test_rows_can_be_paired_by_another_column(versions: ConsoleWorld) -> None:
    page = versions.page(f"{BASE}@master/diff/t.csv?key=name")
    wrong = versions.get(f"{BASE}@master/diff/t.csv?key=nothing")

    assert "By name" in page
    assert "<del>virginica</del>" not in page
    assert (wrong.status, b"has no column" in wrong.body) == (400, True)


def test_the_history_of_a_path_says_what_each_commit_did(versions: ConsoleWorld) -> None:
    page = versions.page(f"{BASE}@master/history/gone.txt")
    whole = versions.page(f"{BASE}@master/history/")

    assert re.findall(r'class="chip \w+">(\w+)<', page) == ["deleted", "added"]
    assert "the last" in whole
    assert "the first" in whole


def test_a_long_history_is_shown_page_by_page(world: ConsoleWorld) -> None:
    for number in range(60):
        world.put("long-history", {"x": b"x" * number}, f"version {number}")

    first = world.page("/ui/projects/default/repos/long-history@master/history/x")
    following = re.search(r'<a href="([^"]+)" data-more="versions"', first)
    assert following is not None
    second = world.page(following[1].replace("&amp;", "&"))

    found = [re.findall(r">version (\d+)<", page) for page in (first, second)]
    assert [*found[0], *found[1]] == [str(number) for number in reversed(range(60))]
    assert "+1 B" in first


@pytest.mark.parametrize("page", ["diff", "history"])
def test_what_is_not_there_has_no_history(versions: ConsoleWorld, page: str) -> None:
    answer = versions.get(f"{BASE}@master/{page}/{quote('no such file')}")

    assert answer.status == (404 if page == "history" else 200)
