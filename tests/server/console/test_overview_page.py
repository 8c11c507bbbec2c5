"""The overview with more pipelines than it shows at once."""

import re

import pytest
from cli_answers import pipeline
from console_world import ConsoleWorld

from trunkline.server.console.pages.home import health_of


def test_pipelines_are_shown_page_by_page_each_once(
    world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"one-of-many-{number:03}" for number in range(500)]
    every = [pipeline(name, "training:/", 60.0, job_counts={}) for name in names]
    monkeypatch.setattr(world.engine.pipelines, "list_pipelines", lambda **_: every)
    seen: list[str] = []
    target = "/ui/"
    for _ in range(3):
        page = world.page(target)
        rows = page.partition('<tbody id="health">')[2].partition("</tbody>")[0]
        seen += re.findall(r">(one-of-many-\d\d\d)<", rows)
        [target] = re.findall(r'<a href="([^"]+)" rel="next" data-more="health"', page)

    assert seen == names[: len(seen)]
    assert len(seen) > 3
    assert f"{len(names)}</dd>" in page


def test_pipelines_that_fail_come_first_then_those_that_run() -> None:
    rests = pipeline("rests", "a:/", 60.0, job_counts={"success": 1, "failure": 1})
    runs = pipeline("runs", "a:/", 60.0, job_counts={"running": 2, "success": 1})
    bad = pipeline("bad", "a:/", 60.0, recent_error="no such column")

    found = health_of([rests, runs, bad])

    assert [one.pipeline.name for one in found] == ["bad", "runs", "rests"]
    assert [one.running for one in found][1:] == [2, 0]
