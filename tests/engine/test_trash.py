"""Deleting and bringing back through the operations, with jobs and pipelines."""

import pytest

from trunkline.errors import Conflict, InUse, NotFound, PipelineNotFound
from trunkline.model.jobs import JobState
from trunkline.model.versions import BranchTrigger

COPY = 'for f in /pfs/data/*; do cat "$f" > "/pfs/out/$(basename "$f")"; done'


def history(engine) -> list[str]:
    engine.engine.repos.create_repo("data", description="measured")
    engine.pipeline("copy", COPY)
    runs = []
    for number in range(3):
        runs.append(engine.put("data", {f"f{number}": f"text {number}"}).id)
        assert engine.job("copy").state is JobState.SUCCESS
    return runs


def jobs(engine) -> dict[str, str]:
    return {job.id: job.state.value for job in engine.engine.jobs.list_jobs(pipeline="copy")}


def test_squash_shortens_the_history_of_data_and_output_alike(engine) -> None:
    first, second, third = history(engine)

    deleted = engine.engine.commits.squash_run(second)

    assert (deleted.kind, deleted.name, deleted.commits) == ("commit", second, 2)
    assert engine.tree("copy") == engine.tree("data") == {f"f{n}": f"text {n}" for n in range(3)}
    assert engine.engine.commits.inspect_commit("copy", third).parent == first
    assert set(jobs(engine)) >= {first, third}
    assert second not in jobs(engine)
    engine.put("data", {"f3": "text 3"})
    assert engine.job("copy").state is JobState.SUCCESS
    assert engine.tree("copy") == engine.tree("data")

    engine.engine.trash.undelete("commit", second)

    assert jobs(engine)[second] == "success"
    assert engine.tree("copy", second) == {"f0": "text 0", "f1": "text 1"}
    assert engine.engine.commits.inspect_commit("copy", third).parent == second


def test_drop_takes_data_and_output_back_and_undelete_forth(engine) -> None:
    _, second, third = history(engine)

    engine.engine.commits.drop_run(third)

    assert engine.head("data") == engine.head("copy") == second
    assert engine.tree("copy") == {"f0": "text 0", "f1": "text 1"}
    engine.engine.trash.undelete("commit", f"copy@{third}")
    assert engine.head("data") == engine.head("copy") == third
    assert engine.tree("copy") == engine.tree("data")
    assert engine.engine.trash.list_deleted() == []


def test_a_job_that_was_open_begins_again_with_its_commit(engine) -> None:
    engine.engine.repos.create_repo("data")
    engine.pipeline("copy", "sleep 600")
    run = engine.put("data", {"f": "x"}).id
    engine.engine.commits.drop_run(run)
    assert jobs(engine) == {}

    engine.engine.trash.undelete("commit", run)

    assert list(jobs(engine)) == [run]
    assert JobState(jobs(engine)[run]).ended is False
    engine.pipeline("copy", COPY, update=True)
    assert engine.job("copy").state is JobState.SUCCESS


def test_a_pipeline_comes_back_with_versions_jobs_and_output(engine) -> None:
    runs = history(engine)
    engine.pipeline("copy", COPY + "; true", update=True)
    engine.job("copy")
    before = (jobs(engine), engine.tree("copy"), engine.head("copy"))
    logs = engine.logs("copy")

    deleted = engine.engine.pipelines.delete_pipeline("copy")
    with pytest.raises(PipelineNotFound):
        engine.engine.pipelines.inspect_pipeline("copy")
    engine.engine.trash.undelete("pipeline", "copy")

    assert deleted.kind == "pipeline"
    assert (jobs(engine), engine.tree("copy"), engine.head("copy")) == before
    assert engine.logs("copy") == logs
    assert engine.engine.pipelines.inspect_pipeline("copy", version=1).version == 1
    run = engine.put("data", {"f9": "again"}).id
    assert engine.job("copy").id == run
    assert engine.tree("copy") == engine.tree("data")
    assert len(runs) == 3


def test_a_pipeline_whose_repo_was_kept_writes_it_again(engine) -> None:
    history(engine)
    engine.engine.pipelines.delete_pipeline("copy", keep_repo=True)
    engine.put("data", {"f7": "meanwhile"})

    engine.engine.trash.undelete("pipeline", "copy")

    assert engine.job("copy").state is JobState.SUCCESS
    assert engine.tree("copy") == engine.tree("data")


def test_a_pipeline_that_comes_back_goes_on_though_its_branch_got_a_trigger(engine) -> None:
    history(engine)
    engine.engine.pipelines.delete_pipeline("copy", keep_repo=True)
    trigger = BranchTrigger(source="staging", size="100")
    engine.engine.branches.create_branch("copy", "master", trigger=trigger)
    engine.put("copy", {"large": "x" * 1000}, branch="staging")

    notes = engine.engine.trash.undelete("pipeline", "copy").notes
    run = engine.put("data", {"f7": "meanwhile"}).id

    assert "branch copy@master is derived from others again: its trigger is gone" in notes
    assert (engine.job("copy").id, engine.job("copy").state) == (run, JobState.SUCCESS)
    assert engine.tree("copy") == engine.tree("data")


@pytest.mark.parametrize("force", [False, True])
def test_the_output_branch_of_a_pipeline_is_not_deleted_by_itself(engine, force: bool) -> None:
    history(engine)
    engine.engine.branches.create_branch("copy", "dev", head="master")

    with pytest.raises(InUse, match="branch copy@master holds the output of pipeline 'copy'"):
        engine.engine.branches.delete_branch("copy", "master", force=force)
    engine.engine.branches.delete_branch("copy", "dev", force=force)

    run = engine.put("data", {"f9": "more"}).id
    assert (engine.job("copy").id, engine.job("copy").state) == (run, JobState.SUCCESS)


def derived(engine):
    """The operations of an engine with a branch aa@o that is derived from train@master."""
    api = engine.engine
    for repo in ("train", "aa"):
        api.repos.create_repo(repo)
    engine.put("train", {"b": "0"})
    api.branches.create_branch("aa", "o", provenance=["train@master"])
    return api


def test_nobody_waits_for_what_was_due_on_a_derived_branch_that_is_gone(engine) -> None:
    api = derived(engine)
    put = engine.put("train", {"a": "1"}).id
    due = engine.head("aa", "o")
    assert due is not None

    api.branches.delete_branch("aa", "o")

    assert [c.error for c in api.commits.flush_commits([f"train@{put}"], timeout_s=60)] == [
        "branch aa@o was deleted"
    ]
    assert api.commits.inspect_run(put, wait=True, timeout_s=60).finished is not None
    api.trash.undelete("branch", "aa@o")
    again = engine.head("aa", "o")
    assert again not in (None, due)
    assert api.commits.inspect_commit("aa", again).finished is None
    assert api.admin.fsck().damages == ()


def test_what_somebody_put_on_a_derived_branch_that_is_gone_may_still_be_finished(engine) -> None:
    api = derived(engine)
    engine.put("train", {"a": "1"})
    due = engine.head("aa", "o")
    engine.put("aa", {"by hand": "2"}, branch=due)

    api.branches.delete_branch("aa", "o")
    api.commits.finish_commit("aa", due)

    assert engine.tree("aa", due) == {"by hand": "2"}


def test_a_repo_comes_back_from_the_list_of_deleted_things(engine) -> None:
    engine.engine.repos.create_repo("data", description="measured")
    commit = engine.put("data", {"a/b": "text"})
    engine.engine.repos.delete_repo("data")
    [listed] = engine.engine.trash.list_deleted()

    assert (listed.kind, listed.name, listed.how, listed.commits) == (
        *("repo", "data"),
        *("delete repo data", 1),
    )
    assert (listed.expires - listed.deleted).days == 7
    engine.engine.trash.undelete(listed.kind, listed.name, number=listed.number)
    assert engine.tree("data", commit.id) == {"a/b": "text"}
    assert engine.engine.repos.inspect_repo("data").description == "measured"


def test_nothing_is_kept_without_a_grace_period(open_engine) -> None:
    engine = open_engine(TRUNKLINE_TRASH_S="0")
    engine.engine.repos.create_repo("data")
    deleted = engine.engine.repos.delete_repo("data")

    assert deleted.expires == deleted.deleted
    assert engine.engine.trash.list_deleted() == []
    with pytest.raises(NotFound):
        engine.engine.trash.undelete("repo", "data")


def test_refusals_change_nothing(engine) -> None:
    runs = history(engine)

    with pytest.raises(Conflict, match="head of"):
        engine.engine.commits.squash_run(runs[-1])
    with pytest.raises(InUse, match="was made on top of it"):
        engine.engine.commits.drop_run(runs[0])
    with pytest.raises(InUse, match="add -r"):
        engine.engine.commits.squash_commit("data", runs[0])

    assert engine.engine.trash.list_deleted() == []
    assert set(runs) <= set(jobs(engine))
