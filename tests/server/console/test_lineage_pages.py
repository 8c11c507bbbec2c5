"""Where things come from and what a change set off, as pages tell it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from console_iris import correct_flowers, fill_with_flowers
from console_world import EVIL, EVIL_PATH, ConsoleWorld, console_world, fill_with_hostility

from trunkline.model.versions import CommitInfo

REPOS = "/ui/projects/iris/repos"
RESULT = f"{REPOS}/inference@master/provenance/test1.csv"


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleWorld]:
    """The example of the tutorial, after its correction."""
    with console_world(tmp_path_factory.mktemp("iris")) as filled:
        fill_with_flowers(filled)
        correct_flowers(filled)
        fill_with_hostility(filled)
        yield filled


def head(world: ConsoleWorld, repo: str) -> CommitInfo:
    return world.engine.commits.inspect_commit(repo, "master")


def test_a_result_leads_back_to_the_puts_it_began_with(iris: ConsoleWorld) -> None:
    page = iris.page(RESULT)

    training, attributes = head(iris, "iris/training"), head(iris, "iris/attributes")
    for commit in (training, attributes):
        assert f'href="{REPOS}/{commit.repo.partition("/")[2]}@{commit.id}"' in page
    assert "two rows corrected" in page
    assert "to 2 files that somebody put" in page


def test_a_result_tells_all_that_made_it(iris: ConsoleWorld) -> None:
    page = iris.page(RESULT)

    job = iris.engine.jobs.inspect_job("iris/inference")
    datum = next(iris.engine.datums.list_datums(f"iris/inference@{job.id}"))
    assert "python3 /code/infer.py" in page
    assert "trunkline-examples/iris:1" in page
    assert f"trunkline debug datum iris/inference@{job.id} {datum.id[:12]}" in page
    assert datum.worker in page
    assert "version 1 of" in page


def test_a_put_file_tells_who_read_it_and_what_came_of_that(iris: ConsoleWorld) -> None:
    page = iris.page(f"{REPOS}/training@master/provenance/iris.csv")

    made = head(iris, "iris/pre_process")
    assert "1 of 1 datum of job" in page
    assert f'href="{REPOS}/pre_process@{made.id}/provenance/x_train.csv"' in page
    assert "somebody put it there" in page


def test_a_commit_leads_to_those_before_and_behind_it(iris: ConsoleWorld) -> None:
    page = iris.page(f"{REPOS}/train@master/provenance/")

    ways = re.findall(rf'href="{REPOS}/(\w+)@\w+/provenance/"', page)
    assert ways == ["pre_process", "training", "inference"]
    assert 'provenance/model"' in page


def test_a_directory_is_told_with_its_commit(iris: ConsoleWorld) -> None:
    iris.put("shelf", {"more/a.txt": b"a"})

    answer = iris.get("/ui/projects/default/repos/shelf@master/provenance/more")

    assert (answer.status, answer.headers["location"]) == (
        303,
        "/ui/projects/default/repos/shelf@master/provenance/",
    )


def test_the_provenance_of_hostile_names_is_only_text(iris: ConsoleWorld) -> None:
    page = iris.page("/ui/projects/default/repos/hostile@master/provenance/page.html")
    whole = iris.page("/ui/projects/default/repos/hostile@master/provenance/")

    assert EVIL not in page + whole
    assert EVIL_PATH not in page + whole
    assert "&lt;script&gt;alert(" in page


# --- runs -----------------------------------------------------------------------------------------


def correction(world: ConsoleWorld) -> str:
    """The run of the correction."""
    first = world.engine.commits.inspect_commit("iris/pre_process", "master")
    return first.id


def test_a_run_has_a_bar_for_each_step_in_the_order_of_the_data(iris: ConsoleWorld) -> None:
    page = iris.page(f"/ui/runs/{correction(iris)}")

    said = re.findall(r'aria-label="([\w/]+): waited [^,]+, ran [^"]+"', page)
    assert said == ["iris/training", "iris/pre_process", "iris/train", "iris/inference"]
    assert page.count('class="took-process"') == 3
    assert "two rows corrected" in page
    assert "3 processed, 0 skipped" in page
    assert "Critical path" in page


def test_bars_stay_within_the_time_line(iris: ConsoleWorld) -> None:
    page = iris.page(f"/ui/runs/{correction(iris)}")

    rects = re.findall(r'<rect class="[\w-]+" x="([\d.]+)" y="3" width="([\d.]+)"', page)
    assert rects
    assert all(float(x) >= 0 and float(x) + float(width) <= 1000.1 for x, width in rects)


def test_a_run_tells_what_was_to_be_done_why_and_what_came_of_it(iris: ConsoleWorld) -> None:
    page = iris.page(f"/ui/runs/{correction(iris)}?view=plan")

    rows = re.findall(r"<tr>\s*<td class=\"name\">(.*?)</tr>", page, re.DOTALL)
    assert len(rows) == 3
    for row, read in zip(rows, ("training", "pre_process", "train"), strict=True):
        assert f"commit iris/{read}@master" in row
        figures = re.findall(r'<td class="num">(\d+)</td>', row)
        assert figures == ["0", "1", "0", "1", "0", "0"]


def test_runs_are_listed_page_by_page_with_what_set_them_off(iris: ConsoleWorld) -> None:
    for number in range(60):
        iris.put("often", {"x": str(number).encode()}, f"change {number}")

    first = iris.page("/ui/runs")
    following = re.search(r'<a href="([^"]+)" data-more="runs"', first)
    assert following is not None
    second = iris.page(following[1])

    found = [re.findall(r"change (\d+)\b", page) for page in (first, second)]
    assert [*found[0], *found[1]] == [str(number) for number in reversed(range(60))]
    assert len(found[0]) == 50
    assert "two rows corrected" in second
    assert "a new version of the pipeline" in second


def test_a_run_is_stopped_by_a_form_and_not_by_an_address(iris: ConsoleWorld) -> None:
    page = iris.page("/ui/runs")
    key = re.search(r'name="form-key" content="([^"]+)"', page)
    assert key is not None
    run = correction(iris)

    assert iris.get(f"/ui/runs/{run}/stop").status == 405
    assert iris.post(f"/ui/runs/{run}/stop", {}).status == 403
    answer = iris.post(f"/ui/runs/{run}/stop", {"form_key": key[1]})

    assert (answer.status, answer.headers["location"]) == (303, f"/ui/runs/{run}")
    assert iris.get("/ui/runs/" + "0" * 32).status == 404


# --- the graph ------------------------------------------------------------------------------------


def nodes(world: ConsoleWorld, query: str = "") -> dict[str, dict[str, Any]]:
    """The nodes as the browser gets them, by name; the table has the same."""
    page = world.page(f"/ui/dag{query}")
    found = re.search(r'id="graph-data"[^>]*>([^<]*)</script>', page)
    drawn = json.loads(found[1]) if found else []
    assert page.count('<td class="name wide">') == len(drawn)
    return {node["name"]: node for node in drawn}


def test_the_graph_has_each_repo_and_pipeline_with_what_it_reads(iris: ConsoleWorld) -> None:
    found = nodes(iris, "?project=iris")

    reads = {name: sorted(node.get("reads", [])) for name, node in found.items()}
    assert reads == {
        "iris/training": [],
        "iris/attributes": [],
        "iris/pre_process": ["iris/training"],
        "iris/train": ["iris/pre_process"],
        "iris/inference": ["iris/attributes", "iris/train"],
    }
    assert list(found).index("iris/train") < list(found).index("iris/inference")
    train = found["iris/train"]
    assert (train["state"], train["tone"], train["processed"]) == ("success", "good", 1)
    assert re.fullmatch("[0-9a-f]{32}", train["run"])


def test_the_graph_as_of_a_run_has_its_steps_and_what_they_read(iris: ConsoleWorld) -> None:
    found = nodes(iris, f"?run={correction(iris)}")

    assert set(found) == set(nodes(iris, "?project=iris"))
    assert found["iris/attributes"]["outside"]
    assert found["iris/training"]["run"] == correction(iris)


def test_what_fails_and_what_is_behind_it_can_be_shown_alone(iris: ConsoleWorld) -> None:
    iris.put("numbers", {"n": b"1"})
    iris.pipeline("worse", "numbers", "exit 3", "/")
    iris.pipeline("behind", "worse", "true", "/")
    iris.engine.jobs.inspect_job("behind", wait=True)

    failing, stale = nodes(iris, "?only=failing"), nodes(iris, "?only=stale")

    assert set(failing) == {"numbers", "worse", "behind"}
    assert (failing["worse"]["tone"], failing["worse"]["failed"]) == ("bad", 1)
    assert failing["numbers"]["outside"]
    assert set(stale) == {"numbers", "worse", "behind"}
