"""Pipelines and their specs, as their pages show them."""

import json
import re
from collections.abc import Iterator

import pytest
from console_world import (
    EVIL,
    ConsoleWorld,
    console_world,
    fill_with_hostility,
    fill_with_iris,
)

PIPELINES = "/ui/projects/default/pipelines"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleWorld]:
    """With a pipeline of two versions, and one that reads two repos."""
    with console_world(tmp_path_factory.mktemp("pipelines")) as filled:
        fill_with_iris(filled)
        fill_with_hostility(filled)
        _make_pipelines(filled)
        filled.engine.jobs.inspect_job("count", wait=True)
        yield filled


def _make_pipelines(world: ConsoleWorld) -> None:
    world.pipeline("count", "training", f"echo '{EVIL}'", "/photos/*")
    spec = dict(world.engine.pipelines.inspect_pipeline("count").user_spec)
    spec["description"] = EVIL
    world.engine.pipelines.create_pipeline(spec, update=True)
    cross = [{"pfs": {"repo": repo, "glob": "/*"}} for repo in ("training", "hostile")]
    world.engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": "pairs"},
            "transform": {"cmd": ["true"]},
            "input": {"cross": cross},
        }
    )


def form_key(page: str) -> str:
    found = re.search(r'name="form_key" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def edited(world: ConsoleWorld, **changes: object) -> dict[str, str]:
    """The form of the page that edits `count`."""
    spec = {**world.engine.pipelines.inspect_pipeline("count").user_spec, **changes}
    key = form_key(world.page(f"{PIPELINES}/count/edit"))
    return {"form_key": key, "text": json.dumps(spec)}


def test_what_specs_say_is_text_on_every_page(world: ConsoleWorld) -> None:
    for target in (
        "/ui/pipelines",
        *(f"{PIPELINES}/count{to}" for to in ("", "/versions/2", "/edit")),
    ):
        page = world.page(target)
        assert EVIL not in page
        assert re.findall(r"<style|\sstyle=|\son\w+=\"|https?://", page) == []


def test_a_pipeline_shows_the_datums_that_its_inputs_have_now(world: ConsoleWorld) -> None:
    count, pairs = world.page(f"{PIPELINES}/count"), world.page(f"{PIPELINES}/pairs")

    assert '<span class="note">12</span>' in count
    assert "photos/2026-01" in count
    assert '<span class="note">28</span>' in pairs


def test_a_version_shows_what_differs_from_the_one_before(world: ConsoleWorld) -> None:
    newest, first = (world.page(f"{PIPELINES}/count/versions/{n}") for n in (2, 1))

    assert '<span class="plus">+  &#34;description&#34;: &#34;&lt;script&gt;' in newest
    assert "results of version 1 are used by version 2" in newest
    assert "What differs" not in first
    assert world.get(f"{PIPELINES}/count/versions/3").status == 404


def test_a_plan_is_told_before_anything_is_saved(world: ConsoleWorld) -> None:
    form = edited(world, input={"pfs": {"repo": "training", "glob": "/photos/2026-0*"}})

    planned = world.post(f"{PIPELINES}/count/edit", form)
    before = world.engine.pipelines.inspect_pipeline("count").version
    saved = world.post(f"{PIPELINES}/count/edit/save", form)

    page = planned.body.decode()
    assert planned.status == 200
    assert re.findall(r'<td class="num">(\d+)</td>', page)[:4] == ["9", "0", "0", "3"]
    assert "photos/2026-0*" in page
    assert "Save as version 3" in page
    assert before == 2
    assert (saved.status, saved.headers["location"]) == (303, f"{PIPELINES}/count")
    assert world.engine.pipelines.inspect_pipeline("count").version == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"pipeline": {"name": "count"', "this spec"),
        ('{"pipeline": {"name": "other"}}', "other"),
        ("", "this"),
    ],
)
def test_a_mistake_is_told_and_what_was_typed_is_not_lost(
    world: ConsoleWorld, text: str, sentence: str
) -> None:
    form = edited(world) | {"text": text}

    answers = [world.post(f"{PIPELINES}/count/edit{to}", form) for to in ("", "/save")]

    for answer in answers:
        page = answer.body.decode()
        assert answer.status == 400
        assert sentence in page.partition('role="alert">')[2].partition("</pre>")[0]
        assert text.replace('"', "&#34;") in page


def test_a_pipeline_is_made_stopped_started_and_run_again(world: ConsoleWorld) -> None:
    key = form_key(world.page("/ui/new/pipeline"))
    text = json.dumps(
        {
            "pipeline": {"name": "made-here"},
            "transform": {"cmd": ["true"]},
            "input": {"pfs": {"repo": "training", "glob": "/"}},
        }
    )
    at = f"{PIPELINES}/made-here"

    def state() -> str:
        return world.engine.pipelines.inspect_pipeline("made-here").state

    world.post("/ui/new/pipeline/save", {"form_key": key, "text": text})
    world.post(f"{at}/stop", {"form_key": key})
    stopped = state(), world.page(at)
    world.post(f"{at}/start", {"form_key": key})
    again = world.post(f"{at}/rerun", {"form_key": key, "reprocess": "yes"})

    assert stopped[0] == "paused"
    assert "trunkline start pipeline made-here" in stopped[1]
    assert state() != "paused"
    assert again.status == 303
    assert world.engine.pipelines.inspect_pipeline("made-here").version == 2
    assert world.post(f"{at}/stop", {}).status == 403


def test_pipelines_are_found_by_name(world: ConsoleWorld) -> None:
    found = world.page("/ui/pipelines?find=PAIR")

    assert re.findall(r'class="strong" href="[^"]+/pipelines/([\w-]+)"', found) == ["pairs"]
    assert "Nothing matches" in world.page("/ui/pipelines?find=no-such")
