"""Workers, storage and settings, and what one can have done there."""

import base64
import time

import pytest
from console_world import ConsoleWorld

from trunkline.server.console.pages.schedules import begins_by

SECRET = base64.b64encode(b"nobody-is-shown-this").decode()


def form_key(page: str) -> str:
    return page.partition('name="form-key" content="')[2].partition('"')[0]


def done(world: ConsoleWorld, chore: str, shows: str) -> str:
    """Have something done, and wait until the page shows what came of it."""
    key = form_key(world.page("/ui/storage"))
    answer = world.post(f"/ui/storage/{chore}", {"form_key": key})
    assert (answer.status, answer.headers["location"]) == (303, "/ui/storage")
    while shows not in (page := world.page("/ui/storage")):
        assert "chip busy" in page, page
        time.sleep(0.01)
    return page


def test_the_settings_say_how_to_reach_the_server_and_never_a_secret(world: ConsoleWorld) -> None:
    world.engine.secrets.create_secret("db", data={"password": SECRET})
    world.engine.defaults.set_defaults('{"datum_tries": 7}')

    page = world.page("/ui/settings")

    assert f"trunkline connect {world.origin} --token-file token" in page
    assert "TRUNKLINE_WORKERS_MAX" in page
    assert "&#34;datum_tries&#34;: 7" in page
    assert ">password<" in page
    assert "nobody-is-shown-this" not in page
    assert SECRET not in page
    assert world.server.token not in page


def test_what_is_stored_is_measured_when_somebody_asks(world: ConsoleWorld) -> None:
    before = world.page("/ui/storage")
    after = done(world, "measure", "Its alone")

    assert "not measured yet" in before
    assert "times less than all files" in after


def test_garbage_is_collected_after_a_look(world: ConsoleWorld) -> None:
    looked = done(world, "survey", "Removable")
    collected = done(world, "collect", "Given back")

    assert "Collect now" in looked
    assert "collected <time" in collected
    assert world.engine.admin.status().upkeep.collected is not None


def test_a_check_says_what_it_found(world: ConsoleWorld) -> None:
    page = done(world, "check-quickly", "all is well")

    assert "structure alone" in page
    assert "checked <time" in page


def test_a_problem_is_said_in_the_place_of_the_result(
    world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise ValueError("unexpected")

    monkeypatch.setattr(world.engine.admin, "fsck", fail)

    page = done(world, "check", 'role="alert"')

    assert "Traceback" not in page


def test_nothing_is_done_without_a_form_of_the_page(world: ConsoleWorld) -> None:
    by_get = world.get("/ui/storage/collect")
    without = world.post("/ui/storage/collect", {"form_key": "guessed"})
    unknown = world.post("/ui/storage/erase", {"form_key": form_key(world.page("/ui/storage"))})

    assert (by_get.status, without.status, unknown.status) == (405, 403, 404)


def test_a_schedule_says_when_it_begins_and_a_service_where_it_is() -> None:
    trigger = {"branch": "staging", "commits": 5}
    part = {
        "cross": [
            {"cron": {"name": "night", "repo": "p_night", "spec": "0 3 * * *"}},
            {"pfs": {"repo": "training", "glob": "/", "trigger": trigger}},
            {"pfs": {"repo": "plain", "glob": "/"}},
        ]
    }

    assert list(begins_by(part)) == ["clock 0 3 * * *", "trigger branch staging, commits 5"]


def test_where_nothing_begins_by_itself_that_is_said(world: ConsoleWorld) -> None:
    page = world.page("/ui/schedules")

    assert "Nothing begins by a clock" in page
    assert "Nothing serves" in page


def test_no_workers_are_said_to_be_none(world: ConsoleWorld) -> None:
    page = world.page("/ui/workers")

    assert "No workers now" in page
    assert 'title="TRUNKLINE_LEASE_S">Given up after</dt><dd>15.0 s<' in page
