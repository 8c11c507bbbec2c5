"""Where things come from, as the pages of files and commits tell it."""

import re
from collections.abc import Iterator

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
    iris.put("iris/attributes", {"more/test2.csv": b"5.1,3.5\n"}, "more")

    answer = iris.get(f"{REPOS}/attributes@master/provenance/more")

    assert (answer.status, answer.headers["location"]) == (
        303,
        f"{REPOS}/attributes@master/provenance/",
    )


def test_the_provenance_of_hostile_names_is_only_text(iris: ConsoleWorld) -> None:
    page = iris.page("/ui/projects/default/repos/hostile@master/provenance/page.html")
    whole = iris.page("/ui/projects/default/repos/hostile@master/provenance/")

    assert EVIL not in page + whole
    assert EVIL_PATH not in page + whole
    assert "&lt;script&gt;alert(" in page
