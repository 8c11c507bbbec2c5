"""What `inspect run` says: every step of a change, its state, its time, and what it waits for."""

import pytest

from trunkline.api.changes import PutFile
from trunkline.model.runs import RunDetails, RunStep


@pytest.fixture
def diamond(engine):
    """data → left and right → join, a job done in each."""
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "apple\n", "b": "bear\n"})
    engine.pipeline("left", "cp $data /pfs/out/")
    engine.pipeline("right", "test ! -e bad && sleep 0.3 && cp $data /pfs/out/")
    both = [{"pfs": {"repo": name, "glob": "/"}} for name in ("left", "right")]
    engine.engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": "join"},
            "transform": {"cmd": ["/bin/sh"], "stdin": ["ls /pfs/left > /pfs/out/names"]},
            "input": {"cross": both},
        }
    )
    engine.job("join")
    return engine


def steps(run: RunDetails) -> dict[str, RunStep]:
    return {step.repo: step for step in run.steps}


def ended(engine, run: str) -> RunDetails:
    return engine.engine.commits.inspect_run(run, wait=True, timeout_s=60)


def test_each_step_comes_after_those_that_it_reads_and_says_what_it_did(diamond) -> None:
    run = ended(diamond, diamond.put("data", {"b": "boar\n"}).id)

    found = steps(run)
    assert (run.state, {str(name) for name in run.commits}) == (
        "success",
        {f"{repo}@{run.id}" for repo in found},
    )
    seen: set[str] = set()
    for step in run.steps:
        assert {name.repo for name in step.reads} <= seen
        seen.add(step.repo)
    assert {step.repo: {name.repo for name in step.reads} for step in run.steps} == {
        "data": set(),
        "left": {"data"},
        "right": {"data"},
        "join": {"left", "right"},
    }
    left = found["left"]
    assert (left.pipeline, left.state, left.total, left.processed, left.skipped) == (
        *("left", "success", 2, 1, 1),
    )
    assert (found["data"].pipeline, found["data"].state) == (None, "finished")


def test_times_add_up_and_the_critical_path_goes_through_the_slow_stage(diamond) -> None:
    run = ended(diamond, diamond.put("data", {"a": "ant\n", "b": "boar\n"}).id)

    found = steps(run)
    for step in run.steps:
        assert step.ready is not None
        assert step.started is not None
        assert step.finished is not None
        assert step.created <= step.ready <= step.started <= step.finished
        assert step.waited_s == (step.started - step.ready).total_seconds()
        assert step.ran_s == (step.finished - step.started).total_seconds()
    assert run.finished is not None
    assert run.duration_s == (run.finished - run.created).total_seconds()
    assert found["right"].ran_s >= 0.3
    assert run.critical_path == ("data", "right", "join")
    path = [found[repo] for repo in run.critical_path]
    assert sum(step.waited_s + step.ran_s for step in path) == pytest.approx(run.duration_s)


def test_a_step_says_what_it_waits_for_while_it_does(diamond) -> None:
    commits = diamond.engine.commits
    run = commits.start_commit("data", branch="master").id
    diamond.engine.files.modify_files("data", "master", [PutFile(path="c", content=[b"c"])])

    first = commits.inspect_run(run)
    found = steps(first)
    commits.finish_commit("data", run)
    last = ended(diamond, run)

    assert (first.state, first.finished, first.critical_path) == ("running", None, ("data",))
    assert (found["data"].state, found["data"].waits_for) == ("open", ())
    assert (found["left"].state, found["left"].waits_for) == ("starting", (f"data@{run}",))
    assert found["left"].ready is None
    assert found["join"].waits_for == (f"left@{run}", f"right@{run}")
    assert last.state == "success"
    assert all(step.waits_for == () for step in last.steps)


def test_a_job_waits_for_the_one_before_it(engine) -> None:
    engine.engine.repos.create_repo("data")
    engine.engine.repos.create_repo("more")
    engine.put("data", {"a": "apple\n"})
    engine.put("more", {"a": "apple\n"})
    both = [{"pfs": {"repo": name, "glob": "/"}} for name in ("data", "more")]
    engine.engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": "two"},
            "transform": {"cmd": ["true"]},
            "input": {"cross": both},
        }
    )
    engine.job("two")
    held = engine.engine.commits.start_commit("data", branch="master").id
    behind = engine.put("more", {"b": "boar\n"}).id

    found = steps(engine.engine.commits.inspect_run(behind))["two"]
    engine.engine.commits.finish_commit("data", held)

    assert found.waits_for == (f"data@{held}", f"job two@{held}")
    assert ended(engine, behind).state == "success"


def test_a_run_in_which_a_job_failed_is_a_failure_with_reasons(diamond) -> None:
    diamond.pipeline("right", "exit 3", update=True, datum_tries=1)
    diamond.job("join")
    run = ended(diamond, diamond.put("data", {"a": "ant\n"}).id)

    found = steps(run)
    assert run.state == "failure"
    assert (found["right"].state, found["join"].state) == ("failure", "unrunnable")
    assert found["right"].failed >= 1
    assert found["right"].reason
    assert found["left"].state == "success"
    assert [r.state for r in diamond.engine.commits.list_runs(number=1)] == ["failure"]
