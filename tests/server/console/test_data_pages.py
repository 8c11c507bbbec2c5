"""Repos, commits and files, as their pages show them."""

import re
from urllib.parse import quote

import pytest
from console_world import EVIL_PATH, ConsoleWorld

FILES = 5_000
LARGE = "/ui/projects/default/repos/large@master/files/d"


@pytest.fixture(scope="module")
def large(world: ConsoleWorld) -> ConsoleWorld:
    """With a directory of 5,000 files."""
    world.put("large", {f"d/{number:05}.txt": b"x" for number in range(FILES)})
    return world


def names(page: str) -> list[str]:
    return re.findall(r">(\d{5})\.txt<", page)


def next_of(page: str) -> str | None:
    found = re.search(r'<a href="([^"]+)" data-more="entries"', page)
    return found[1].replace("&amp;", "&") if found else None


def test_a_large_directory_is_shown_page_by_page_each_entry_once(large: ConsoleWorld) -> None:
    seen: list[str] = []
    pages = 0
    target: str | None = LARGE
    while target:
        page = large.page(target)
        seen += names(page)
        pages += 1
        target = next_of(page)

    assert seen == [f"{number:05}" for number in range(FILES)]
    assert pages == FILES // 100


def test_files_are_found_by_a_part_of_their_name_and_by_a_glob(large: ConsoleWorld) -> None:
    base = "/ui/projects/default/repos/large@master/files/"

    def found(what: str) -> list[str]:
        return re.findall(r">d/(\d{5})\.txt<", large.page(f"{base}?find={quote(what)}"))

    assert found("4999") == ["04999"]
    assert found("d/0000?.txt") == [f"0000{n}" for n in range(10)]
    assert "Nothing matches" in large.page(f"{base}?find=nothing-like-it")


def test_a_word_finds_what_a_glob_finds_page_by_page(world: ConsoleWorld) -> None:
    paths = [f"{one}/{two}" for one in ("a", "ab", "a-b", "b/ab/a", "ü") for two in ("ab", "b.a")]
    world.put("named", {f"in/{path}": b"x" for path in paths} | {"ab": b"", "in/ab.txt": b""})
    world.put("named", {f"in/many-ab/{number:03}-ab": b"" for number in range(210)})

    for word in ("ab", "a", "b/a", "ab/", "in", "ü", "nothing"):
        for place in ("", "in"):
            found: list[str] = []
            target = f"/ui/projects/default/repos/named@master/files/{place}?find={quote(word)}"
            while target:
                page = world.page(target)
                found += re.findall(r'class="entry" href="[^"]*/files/([^"]+)"', page)
                target = next_of(page) or ""
            glob = f"/{place}/**{word}*" if place else f"/**{word}*"
            expected = [
                quote(one.path) for one in world.engine.files.glob_files("named", "master", glob)
            ]
            assert sorted(found) == sorted(expected), (word, place)


def test_a_repo_shows_its_readme_its_files_and_its_commits(world: ConsoleWorld) -> None:
    page = world.page("/ui/projects/default/repos/training")

    assert "Measurements of 150 flowers" in page
    assert "<strong>by whom</strong>" in page
    assert 'href="/ui/projects/default/repos/training@' in page
    assert "first measurements" in page
    assert "photos/" in page


def test_a_readme_runs_nothing_and_loads_nothing_from_elsewhere(world: ConsoleWorld) -> None:
    page = world.page("/ui/projects/default/repos/training")

    assert "&lt;script&gt;alert(&quot;readme&quot;)&lt;/script&gt;" in page
    assert 'href="javascript:' not in page
    assert re.search(r'<img src="/ui/projects/default/repos/training@\w+/raw/flower.png', page)


def test_commits_are_listed_page_by_page(world: ConsoleWorld) -> None:
    for number in range(60):
        world.put("many", {"x": str(number).encode()}, f"change {number}")

    first = world.page("/ui/projects/default/repos/many/commits")
    following = re.search(r'<a href="([^"]+)" data-more="commits"', first)
    assert following is not None
    second = world.page(following[1].replace("&amp;", "&"))

    found = [re.findall(r">change (\d+)\b", page) for page in (first, second)]
    assert [*found[0], *found[1]] == [str(number) for number in reversed(range(60))]
    assert len(found[0]) == 50


def test_a_commit_shows_what_it_changed(world: ConsoleWorld) -> None:
    page = world.page("/ui/projects/default/repos/training@master^")

    assert "README.md" in page
    assert "notes/about.md" in page
    assert "iris.csv" not in page


def test_a_table_is_shown_with_the_types_of_its_columns(world: ConsoleWorld) -> None:
    base = "/ui/projects/default/repos/training@master/files"

    csv = world.page(f"{base}/iris.csv")
    lines = world.page(f"{base}/events.jsonl")

    assert 'sepal_length<span class="kind">number</span>' in csv
    assert 'species<span class="kind">text</span>' in csv
    assert csv.count("<tr><td") == 150
    assert 'ok<span class="kind">yes or no</span>' in lines
    assert "&lt;b&gt;bold&lt;/b&gt;" in lines


def test_text_is_read_where_one_looks(world: ConsoleWorld) -> None:
    target = "/ui/projects/default/repos/training@master/files/run.log"
    first = world.page(target)
    world.put("logs", {"long.log": b"0123456789\n" * 20_000})
    pages, at = [], "/ui/projects/default/repos/logs@master/files/long.log"
    while at:
        page = world.page(at)
        pages.append(re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)[0])
        found = re.search(r'<a href="([^"]+)" data-more="text"', page)
        at = found[1] if found else ""

    assert "line" in first
    assert "".join(pages) == "0123456789\n" * 20_000
    assert len(pages) == 4


def test_a_hostile_name_leads_to_its_file_and_is_only_text(world: ConsoleWorld) -> None:
    directory = world.page("/ui/projects/default/repos/hostile@master/files/")
    link = next(
        href for href in re.findall(r'href="([^"]+)"', directory) if href.endswith("%3F.txt")
    )

    page = world.page(link)

    assert link.endswith(quote(EVIL_PATH))
    assert "<img src=x" not in directory + page
    assert "&lt;script&gt;alert(" in page


@pytest.mark.parametrize("path", ["page.html", "drawing.svg", quote(EVIL_PATH)])
def test_what_could_run_is_saved_and_never_shown_in_place(world: ConsoleWorld, path: str) -> None:
    target = f"/ui/projects/default/repos/hostile@master/raw/{path}?inline=1"

    answer = world.get(target)

    assert answer.status == 200
    # As a picture SVG runs nothing, whatever is in it; other than as one it is saved.
    usual = "image/svg+xml" if path == "drawing.svg" else "application/octet-stream"
    assert answer.headers["content-type"] == usual
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_range_of_a_file_is_sent_alone(world: ConsoleWorld) -> None:
    target = "/ui/projects/default/repos/training@master/raw/iris.csv"
    whole = world.get(target)

    part = world.get(target, Range="bytes=6-11")
    end = world.get(target, Range="bytes=-5")

    assert (part.status, part.body) == (206, whole.body[6:12])
    assert part.headers["content-range"] == f"bytes 6-11/{len(whole.body)}"
    assert end.body == whole.body[-5:]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/ui/projects/default/repos/nothing", 404),
        ("/ui/projects/default/repos/training@nothing", 404),
        ("/ui/projects/default/repos/training@master/files/nothing", 404),
        ("/ui/projects/default/repos/training@master/files/a/../b", 400),
        ("/ui/projects/default/repos/training@master/files/?find=" + quote("[a"), 400),
    ],
)
def test_what_is_not_there_is_said(world: ConsoleWorld, target: str, status: int) -> None:
    answer = world.get(target)

    assert answer.status == status
    assert b"<h1>" in answer.body
    assert b"Traceback" not in answer.body


def test_an_empty_repo_says_how_to_fill_it(world: ConsoleWorld) -> None:
    world.engine.repos.create_repo("empty")

    page = world.page("/ui/projects/default/repos/empty")
    commits = world.page("/ui/projects/default/repos/empty/commits")

    assert "trunkline put file empty@master" in page
    assert "trunkline put file empty@master:/hello.txt" in commits
