"""The datums of a spec before there is a pipeline are those that its job then has."""

import json
import tracemalloc
from itertools import islice

import pytest

from trunkline.errors import InvalidInput, InvalidSpec, RepoNotFound, TooManyDatums


@pytest.fixture(params=["engine", "remote"])
def data(request: pytest.FixtureRequest):
    driver = request.getfixturevalue(request.param)
    for repo in ("left", "right"):
        driver.engine.repos.create_repo(repo)
        driver.put(repo, {f"{n}-{repo}": str(n) for n in range(3)})
    return driver


def pfs(repo: str, glob: str, **more):
    return {"pfs": {"repo": repo, "glob": glob, **more}}


def spec(given) -> dict[str, object]:
    return {"pipeline": {"name": "made"}, "input": given, "transform": {"cmd": ["true"]}}


def places(infos) -> list[tuple[str, ...]]:
    return [tuple(f"{one.repo}@{one.commit}:{one.path}" for one in info.inputs) for info in infos]


@pytest.mark.parametrize(
    "given",
    [
        pfs("left", "/*"),
        pfs("left", "/"),
        pfs("left", "/none*"),
        {"cross": [pfs("left", "/*"), pfs("right", "/*")]},
        {"union": [pfs("left", "/*"), pfs("right", "/1*")]},
        {"join": [pfs(side, f"/(*)-{side}", join_on="$1") for side in ("left", "right")]},
        {"group": [pfs(side, f"/(*)-{side}", group_by="$1") for side in ("left", "right")]},
        pfs("left", "/*", branch="not-there-yet"),
    ],
    ids=lambda given: json.dumps(given)[:30],
)
def test_they_are_those_of_the_job_that_the_spec_would_have(data, given) -> None:
    before = data.engine.pipelines.list_pipelines(), data.engine.repos.list_repos()
    told = list(data.engine.datums.preview_datums(spec(given)))
    after = data.engine.pipelines.list_pipelines(), data.engine.repos.list_repos()

    data.engine.pipelines.create_pipeline(spec(given))
    jobs = list(data.engine.jobs.list_jobs(pipeline="made"))
    of_job = list(data.engine.datums.list_datums(f"made@{data.job('made').id}")) if jobs else []

    assert before == after
    assert sorted(places(told)) == sorted(places(of_job))
    assert {(info.job, info.id) for info in told} <= {("", "")}


def test_pages_follow_each_other_and_the_rest_is_not_made(data) -> None:
    given = spec({"cross": [pfs("left", "/*"), pfs("right", "/*")]})
    preview = data.engine.datums.preview_datums

    whole = places(preview(given))
    pages = [places(preview(given, page=n, page_size=4)) for n in range(4)]

    assert [len(page) for page in pages] == [4, 4, 1, 0]
    assert [place for page in pages for place in page] == whole
    assert places(islice(preview(given), 2)) == whole[:2]
    with pytest.raises(InvalidInput, match="can't be negative"):
        list(preview(given, page=-1))


def test_a_spec_that_could_not_be_made_is_refused(data) -> None:
    preview = data.engine.datums.preview_datums

    for wrong, error in ((pfs("lefty", "/*"), RepoNotFound), ({}, InvalidSpec)):
        with pytest.raises(error):
            list(preview(spec(wrong)))


def test_millions_of_datums_are_told_one_by_one(engine) -> None:
    for repo in ("left", "right"):
        engine.engine.repos.create_repo(repo)
        engine.put(repo, {f"{n:04}": "" for n in range(1500)})
    given = spec({"cross": [pfs("left", "/*"), pfs("right", "/*")]})

    tracemalloc.start()
    try:
        seen = sum(1 for _ in islice(engine.engine.datums.preview_datums(given), 20_000))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert seen == 20_000
    assert peak_bytes < 16 * 1024 * 1024
    too_many = [pfs("left", "/*"), pfs("right", "/*"), pfs("left", "/*", name="again")]
    with pytest.raises(TooManyDatums):
        engine.engine.datums.preview_datums(spec({"cross": too_many}))
