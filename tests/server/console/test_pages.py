"""What all pages have in common: headers, escaping, problems, fragments, live changes."""

import itertools
import re
import threading

import pytest
from console_world import EVIL, ConsoleWorld

from trunkline.server.console import live

REPO = "/ui/projects/default/repos/hostile"
PAGES = [
    "/ui/",
    "/ui/repos",
    "/ui/search?q=hostile",
    "/ui/schedules",
    "/ui/workers",
    "/ui/storage",
    "/ui/settings",
    REPO,
    f"{REPO}/commits",
    f"{REPO}@master",
    f"{REPO}@master/files/",
    f"{REPO}@master/files/page.html",
    f"{REPO}@master/files/table.csv",
    f"{REPO}@master/files/?find=**",
]


@pytest.mark.parametrize("target", [*PAGES, "/ui/login", "/ui/no/such/page"])
def test_every_page_is_strict_about_what_it_loads_and_who_frames_it(
    world: ConsoleWorld, target: str
) -> None:
    sent = world.get(target).headers

    policy = sent["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert sent["x-content-type-options"] == "nosniff"
    assert sent["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("target", [*PAGES, "/ui/login", "/ui/no/such/page"])
def test_no_page_has_a_script_or_style_in_it(world: ConsoleWorld, target: str) -> None:
    page = world.get(target).body.decode().replace(world.origin, "")

    assert re.findall(r"<script(?![^>]*\ssrc=\"/ui/static/)", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=\"|https?://", page) == []


@pytest.mark.parametrize("target", PAGES)
def test_what_users_wrote_is_text_on_every_page(world: ConsoleWorld, target: str) -> None:
    page = world.page(target)

    assert EVIL not in page
    assert "<img src=x" not in page


def test_what_is_not_there_is_said_in_a_page(world: ConsoleWorld) -> None:
    answer = world.get("/ui/no/such/page")

    assert answer.status == 404
    assert b"<h1>Not found</h1>" in answer.body


def test_a_fragment_is_the_main_part_alone(world: ConsoleWorld) -> None:
    fragment = world.page("/ui/", **{"X-Fragment": "1"})

    assert fragment.startswith('<main id="main"')
    assert "<html" not in fragment


def test_static_files_may_be_kept_for_ever_at_an_address_of_their_content(
    world: ConsoleWorld,
) -> None:
    style = re.findall(r'href="(/ui/static/\w+/console.css)"', world.page("/ui/"))[0]
    other = re.sub(r"static/\w+/", "static/000000000000/", style)

    answer = world.server.ask("GET", style, tcp=True)

    assert answer.status == 200
    assert answer.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    assert world.get(other).status == 404


def test_a_page_is_told_of_what_changes(world: ConsoleWorld) -> None:
    connection = world.server.connect(tcp=True)
    connection.request("GET", "/ui/live?topics=repos", headers={"Cookie": world.cookie})
    stream = connection.getresponse()

    world.engine.repos.create_repo("training", description="another one", update=True)

    assert stream.getheader("content-type") == "text/event-stream"
    told = [stream.readline() for _ in range(4)]
    connection.close()
    assert told == [b"retry: 2000\n", b"\n", b"event: change\n", b"data: repos\n"]


def test_open_pages_have_nothing_asked_while_nothing_changes(
    world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    turns, enough = itertools.count(), threading.Event()

    def noted(topic: str, look: live.Look) -> live.Look:
        return lambda operations: asked.append(topic) or look(operations)

    def revision() -> int:
        if next(turns) == 20:
            enough.set()
        return 7

    for topic in ("repos", "pipelines"):
        monkeypatch.setitem(live.TOPICS, topic, noted(topic, live.TOPICS[topic]))
    monkeypatch.setattr(live, "LOOK_S", 0.001)
    monkeypatch.setattr(live, "PAUSE", 0)
    monkeypatch.setattr(world.engine, "revision", revision)
    pages = [world.server.connect(tcp=True) for _ in range(5)]
    for connection in pages:
        target = "/ui/live?topics=repos%20pipelines"
        connection.request("GET", target, headers={"Cookie": world.cookie})
        assert connection.getresponse().read(1)

    assert enough.wait(60)

    for connection in pages:
        connection.close()
    # When the first page comes, and in the first turn: for all pages together.
    assert asked.count("repos") <= 2
    assert asked.count("pipelines") <= 2


def test_the_home_page_says_what_there_is(world: ConsoleWorld) -> None:
    page = world.page("/ui/")

    assert "training" in page
    assert "first measurements" in page
    assert "No pipelines yet" in page
