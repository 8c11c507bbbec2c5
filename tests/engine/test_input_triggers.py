"""Inputs with triggers through a whole engine: their branches come, move and go with them."""

from typing import Any

import pytest

from trunkline.errors import Conflict, InUse, NotFound
from trunkline.model.jobs import JobState
from trunkline.model.versions import BranchTrigger

MADE = "copy-trigger-1"


def make(driver, *, update: bool = False, name: str = "copy", **given: Any) -> None:
    driver.pipeline(
        name,
        "cp /pfs/data/* /pfs/out/",
        update=update,
        input={"pfs": {"repo": "data", "glob": "/", **given}},
    )


@pytest.fixture
def data(engine):
    engine.engine.repos.create_repo("data")
    return engine


def branches(driver, repo: str = "data") -> set[str]:
    return {info.name for info in driver.engine.branches.list_branches(repo)}


def jobs(driver, pipeline: str = "copy") -> int:
    return len(list(driver.engine.jobs.list_jobs(pipeline=pipeline)))


def test_jobs_start_when_enough_has_come_together(data) -> None:
    make(data, trigger={"commits": 3})
    counted = []
    for n in range(7):
        last = data.put("data", {f"f{n}": ""})
        counted.append(jobs(data))
    job = data.job("copy")

    assert counted == [0, 0, 1, 1, 1, 2, 2]
    assert job.state is JobState.SUCCESS
    assert len(data.tree("copy")) == 6
    assert data.head("data") == last.id
    trigger = data.engine.branches.inspect_branch("data", MADE).trigger
    assert trigger == BranchTrigger(source="master", commits=3)
    assert data.engine.pipelines.inspect_pipeline("copy").warnings == ()
    assert data.engine.admin.fsck().damages == ()


def test_what_is_there_already_may_be_enough(data) -> None:
    data.put("data", {"f": "12345"})
    make(data, trigger={"size": "5B"})

    assert data.job("copy").state is JobState.SUCCESS
    assert data.tree("copy") == {"f": "12345"}


def test_another_branch_is_watched_where_it_is_named(data) -> None:
    make(data, branch="staging", trigger={"commits": 1})
    data.put("data", {"a": "a"})
    before = jobs(data)
    data.put("data", {"b": "b"}, branch="staging")
    data.job("copy")

    assert before == 0
    assert data.tree("copy") == {"b": "b"}


def test_an_update_that_leaves_the_trigger_leaves_what_was_counted(data) -> None:
    make(data, trigger={"commits": 2})
    data.put("data", {"a": "a"})
    tick = data.engine.branches.inspect_branch("data", MADE)
    make(data, trigger={"commits": 2}, update=True)
    data.put("data", {"b": "b"})

    assert data.engine.branches.inspect_branch("data", MADE).created == tick.created
    assert jobs(data) == 1


def test_an_update_takes_along_branches_that_it_does_not_read(data) -> None:
    make(data, trigger={"commits": 2})
    make(data, trigger={"commits": 9, "branch": "staging"}, update=True)
    changed = data.engine.branches.inspect_branch("data", MADE).trigger
    make(data, update=True)
    data.put("data", {"a": "a"})

    assert changed == BranchTrigger(source="staging", commits=9)
    assert branches(data) == {"master", "staging"}
    assert data.job("copy").state is JobState.SUCCESS


def test_the_branch_goes_and_comes_back_with_the_pipeline(data) -> None:
    make(data, trigger={"commits": 2})
    for name in "abc":
        data.put("data", {name: name})
    data.job("copy")
    head = data.head("data", MADE)
    data.engine.pipelines.delete_pipeline("copy")
    gone = branches(data)
    data.engine.trash.undelete("pipeline", "copy")
    back = data.head("data", MADE)
    data.put("data", {"d": "d"})
    data.job("copy")

    assert gone == {"master"}
    assert (back, jobs(data)) == (head, 2)
    assert set(data.tree("copy")) == set("abcd")
    assert data.engine.admin.fsck().damages == ()


def test_with_the_output_kept_the_branch_goes_too(data) -> None:
    make(data, trigger={"commits": 1})
    data.put("data", {"a": "a"})
    data.job("copy")
    data.engine.pipelines.delete_pipeline("copy", keep_repo=True)

    assert branches(data) == {"master"}
    assert data.tree("copy") == {"a": "a"}
    data.engine.trash.undelete("pipeline", "copy")
    assert branches(data) == {"master", MADE}


def test_a_branch_that_another_pipeline_reads_by_now_stays(data) -> None:
    make(data, trigger={"commits": 1})
    make(data, name="other", branch=MADE)
    data.engine.pipelines.delete_pipeline("copy")

    assert MADE in branches(data)
    with pytest.raises(Conflict, match=f"branch data@{MADE} has readers of its own"):
        make(data, trigger={"commits": 7})


def test_the_branch_is_not_deleted_by_itself(data) -> None:
    make(data, trigger={"commits": 1})

    with pytest.raises(InUse, match="copy@master is derived from it"):
        data.engine.branches.delete_branch("data", MADE)


def test_a_branch_that_the_input_names_is_moved_and_stays(data) -> None:
    make(data, branch="mine", trigger={"branch": "master", "commits": 1})
    put = data.put("data", {"a": "a"})
    data.job("copy")
    data.engine.pipelines.delete_pipeline("copy")

    assert data.head("data", "mine") == put.id


def test_pipelines_of_one_repo_have_a_branch_each(data) -> None:
    make(data, trigger={"commits": 1})
    make(data, name="other", trigger={"commits": 2})
    data.put("data", {"a": "a"})
    data.put("data", {"b": "b"})

    assert branches(data) == {"master", MADE, "other-trigger-1"}
    assert (jobs(data), jobs(data, "other")) == (2, 1)


def test_a_trigger_on_the_output_of_another_pipeline(data) -> None:
    make(data)
    data.pipeline(
        "sum",
        "cat /pfs/copy/* > /pfs/out/all",
        input={"pfs": {"repo": "copy", "glob": "/", "trigger": {"commits": 2}}},
    )
    for name in "ab":
        data.put("data", {name: name})
        data.job("copy")
    data.job("sum")

    assert data.tree("sum") == {"all": "ab"}
    assert jobs(data, "sum") == 1


def test_without_its_repo_there_is_no_pipeline(data) -> None:
    with pytest.raises(NotFound, match="there is no repo 'nowhere'"):
        data.pipeline(
            "copy",
            "true",
            input={"pfs": {"repo": "nowhere", "glob": "/", "trigger": {"commits": 1}}},
        )
