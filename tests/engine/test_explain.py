"""Why jobs and datums ran, were skipped, or wait; through the operations."""

from pathlib import Path
from typing import Any

import pytest

from trunkline.api.changes import PutFile
from trunkline.errors import DatumNotFound, InvalidInput, JobNotFound, NotFound, PipelineNotFound
from trunkline.model.lineage import Cause, DatumReason, JobReason
from trunkline.model.versions import BranchTrigger

SCRIPT = "cp $data /pfs/out/"


@pytest.fixture
def data(engine: Any) -> Any:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "apple\n", "b": "bear\n"})
    return engine


def job_reason(driver: Any, pipeline: str = "one") -> JobReason:
    job = driver.job(pipeline)
    return driver.engine.lineage.explain_job(f"{pipeline}@{job.id}")


def file_reason(driver: Any, path: str, repo: str = "one") -> DatumReason:
    [reason] = driver.engine.lineage.explain_file(repo, "master", path)
    return reason


def parts(reason: DatumReason | JobReason) -> list[tuple[str, str, str, str]]:
    return [(c.part, c.name, c.before, c.after) for c in reason.changes]


def counts(reason: JobReason) -> list[tuple[str, tuple[str, ...], int]]:
    return [(c.cause.value, c.parts, c.datums) for c in reason.causes]


def code(driver: Any, files: dict[str, str]) -> str:
    puts = [PutFile(path=path, content=[text.encode()]) for path, text in files.items()]
    return driver.engine.files.create_file_set(puts).root


def create(driver: Any, *, update: bool = False, root: str | None = None, **transform: Any) -> None:
    spec = {
        "pipeline": {"name": "one"},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
        "transform": {"cmd": ["/bin/sh"], "stdin": [SCRIPT], **transform},
    }
    if root is not None:
        spec["transform"]["code"] = "code"
    driver.engine.pipelines.create_pipeline(spec, code=root, update=update)


def test_the_first_job_has_new_datums_and_says_what_set_it_off(data) -> None:
    data.pipeline("one", SCRIPT)

    reason = job_reason(data)

    assert counts(reason) == [("new", (), 2)]
    assert parts(reason) == [("commit", "data@master", "", data.head("data")),
                             ("version", "", "", "1")]  # fmt: skip
    assert (reason.before, reason.sentences) == ("", ())
    assert file_reason(data, "a").sentence == "no job of pipeline 'one' before had datums"


def test_a_changed_input_is_named_with_both_digests_and_the_others_are_skipped(data) -> None:
    data.pipeline("one", SCRIPT)
    first = data.job("one")
    old = data.engine.files.inspect_file("data", "master", "b").digest
    was = data.head("data")
    data.put("data", {"b": "boar\n", "c": "cat\n"})

    reason = job_reason(data)

    new = data.engine.files.inspect_file("data", "master", "b").digest
    assert counts(reason) == [("changed", ("input",), 1), ("new", (), 1), ("skipped", (), 1)]
    assert parts(reason) == [("commit", "data@master", was, data.head("data"))]
    assert reason.before == f"one@{first.id}"
    changed, added, skipped = (file_reason(data, path) for path in "bca")
    assert parts(changed) == [("input", "data:/b", old, new)]
    assert (changed.cause, changed.before) == (Cause.CHANGED, f"one@{first.id}")
    assert (added.cause, added.before) == (Cause.NEW, "")
    assert (skipped.cause, skipped.made_by) == (Cause.SKIPPED, f"one@{first.id}")
    assert skipped.state == "skipped"
    assert skipped.changes == ()


def test_a_changed_file_of_a_directory_is_named(data) -> None:
    data.put("data", {"d/x": "1\n", "d/y": "2\n", "d/gone": "3\n"})
    data.pipeline("one", "cat $data/* > /pfs/out/all", glob="/d")
    data.job("one")
    data.delete("data", "d/gone")
    data.put("data", {"d/y": "3\n", "d/z": "4\n"})
    data.job("one")

    reason = file_reason(data, "all")

    assert {(c.part, c.name, bool(c.before), bool(c.after)) for c in reason.changes} <= {
        ("input", "data:/d/y", True, True),
        ("input", "data:/d/z", False, True),
        ("input", "data:/d/gone", True, False),
    }
    assert ("input", "data:/d/z") in {(c.part, c.name) for c in reason.changes}


def test_each_part_of_a_pipeline_that_results_depend_on_is_told_apart(data) -> None:
    root = code(data, {"run.py": "1\n", "same.py": "same\n"})
    create(data, root=root, env={"A": "1", "B": "2"}, image="x:1")
    data.job("one")
    other = code(data, {"run.py": "2\n", "same.py": "same\n", "more.py": "3\n"})
    create(data, update=True, root=other, env={"A": "1", "B": "3"}, image="x:2",
           stdin=[SCRIPT, "true"])  # fmt: skip

    reason = job_reason(data)

    assert counts(reason) == [("changed", ("code", "env", "image", "stdin"), 2)]
    found = parts(reason)
    assert ("env", "B", "2", "3") in found
    assert ("image", "", "x:1", "x:2") in found
    assert ("stdin", "", SCRIPT, f"{SCRIPT} true") in found
    assert [p[1] for p in found if p[0] == "code"] == ["/more.py", "/run.py"]
    assert ("version", "", "1", "2") in found
    assert {c.part for c in file_reason(data, "a").changes} == {"code", "env", "image", "stdin"}


def test_a_change_that_results_do_not_depend_on_skips_all_datums(data) -> None:
    data.pipeline("one", SCRIPT)
    data.job("one")
    data.pipeline("one", SCRIPT, parallelism_spec={"constant": 2}, update=True)

    reason = job_reason(data)

    assert counts(reason) == [("skipped", (), 2)]
    assert parts(reason) == [("version", "", "1", "2")]


def test_results_that_were_kept_through_a_change_are_no_change(data) -> None:
    data.pipeline("one", SCRIPT)
    data.job("one")
    spec = data.engine.pipelines.inspect_pipeline("one").spec
    spec["transform"]["stdin"] = [SCRIPT, "true"]
    data.engine.pipelines.create_pipeline(spec, update=True, keep_results=True)

    assert counts(job_reason(data)) == [("skipped", (), 2)]
    reason = file_reason(data, "a")
    assert reason.sentence == (
        f"its result is that of job {reason.made_by}, which ran it on the same content, but with "
        "another stdin (kept by `--keep-results`)"
    )


def test_what_a_user_had_computed_anew_says_so(data) -> None:
    data.pipeline("one", SCRIPT)
    data.job("one")
    data.engine.pipelines.rerun_pipeline("one", reprocess=True)

    reason = job_reason(data)

    assert counts(reason) == [("changed", ("reprocess",), 2)]
    assert [c.part for c in file_reason(data, "a").changes] == ["reprocess"]


@pytest.mark.parametrize("asked", [{"reprocess_spec": "every_job"}, {"no_skip": True}])
def test_every_job_of_a_pipeline_that_reprocesses_runs_all_again(data, asked) -> None:
    data.pipeline("one", SCRIPT, **asked)
    data.job("one")
    data.put("data", {"c": "cat\n"})

    assert counts(job_reason(data)) == [("again", (), 2), ("new", (), 1)]
    assert "every job runs all datums" in file_reason(data, "a").sentence


def test_a_datum_that_failed_before_is_tried_again(data, tmp_path: Path) -> None:
    marker = tmp_path / "there"
    data.pipeline("one", f"[ $data = /pfs/data/a ] || [ -e {marker} ] && {SCRIPT}", datum_tries=1)
    failed = data.job("one")
    bad = data.engine.lineage.explain_job(f"one@{failed.id}")
    marker.touch()
    data.engine.pipelines.rerun_pipeline("one")

    reason = job_reason(data)

    assert bad.sentences == (failed.reason,)
    assert counts(reason) == [("again", (), 1), ("skipped", (), 1)]
    assert file_reason(data, "b").sentence == (
        f"nothing differs; it failed in job one@{failed.id}, and is tried again"
    )


def test_data_that_is_as_it_was_before_names_the_job_that_ran_it_then(data) -> None:
    data.pipeline("one", SCRIPT)
    first = data.job("one")
    data.put("data", {"a": "other\n"})
    second = data.job("one")
    data.put("data", {"a": "apple\n"})
    data.job("one")

    reason = file_reason(data, "a")

    assert (reason.cause, reason.made_by) == (Cause.SKIPPED, f"one@{first.id}")
    assert reason.before == f"one@{second.id}"
    assert [c.part for c in reason.changes] == ["input"]


def test_a_waiting_job_says_what_it_waits_for(data) -> None:
    data.pipeline("one", SCRIPT)
    data.pipeline("two", "cp $one /pfs/out/", "one")
    data.job("two")
    started = data.engine.commits.start_commit("data", branch="master")

    explain = data.engine.lineage.explain_job
    first, second = explain(f"one@{started.id}"), explain(f"two@{started.id}")

    assert first.sentences == (
        f"commit data@{started.id} is open; `finish commit data@{started.id}` ends it",
    )
    assert second.sentences == (f"it waits for job one@{started.id}, which is starting",)
    assert first.causes == ()


def test_an_unrunnable_job_says_what_failed_upstream(data) -> None:
    data.pipeline("one", "exit 7", datum_tries=1)
    data.pipeline("two", "cp $one /pfs/out/", "one")

    reason = job_reason(data, "two")

    assert reason.sentences[0].startswith("unrunnable because the following upstream pipelines")
    assert "ended as failure" in reason.sentences[1]


def sentences(driver: Any, pipeline: str = "one") -> str:
    return "\n".join(driver.engine.lineage.explain_pipeline(pipeline).sentences)


def test_a_pipeline_says_why_no_job_came(data) -> None:
    data.pipeline("one", SCRIPT)
    data.pipeline("two", "cp $one /pfs/out/", "one")
    data.job("two")
    assert f"input data@master: the newest job reads its head {data.head('data')}" in sentences(
        data
    )

    data.engine.pipelines.stop_pipeline("one")
    data.put("data", {"c": "cat\n"})

    assert "it is stopped: `start pipeline one` gives it one job" in sentences(data)
    assert f"its head is {data.head('data')}, the newest job reads " in sentences(data)
    assert "input one@master is written by pipeline 'one', which is stopped" in sentences(
        data, "two"
    )


def test_a_branch_that_nothing_moves_and_a_trigger_that_is_not_met_are_named(data) -> None:
    data.pipeline("one", SCRIPT)
    data.job("one")
    data.put("data", {"c": "cat\n"}, branch="staging")

    assert "branch data@staging has a newer commit, which does not go to data@master by" in (
        sentences(data)
    )
    data.engine.branches.create_branch(
        "data", "master", head="master", trigger=BranchTrigger(source="staging", commits=3)
    )
    data.put("data", {"d": "dog\n"}, branch="staging")
    assert "follows data@staging when enough has come together: it has 2 of 3 commits" in (
        sentences(data)
    )


def test_an_input_with_a_trigger_of_its_own_says_how_much_has_come_together(data) -> None:
    data.engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": "one"},
            "input": {"pfs": {"repo": "data", "glob": "/*", "trigger": {"commits": 4}}},
            "transform": {"cmd": ["true"]},
        }
    )
    data.put("data", {"c": "cat\n"})

    assert "follows data@master when enough has come together: it has 2 of 4 commits" in (
        sentences(data)
    )


def test_a_pipeline_with_a_clock_says_when_that_ticks(data) -> None:
    for name, schedule in (("yearly", "0 0 1 1 *"), ("never", "@never")):
        data.engine.pipelines.create_pipeline(
            {
                "pipeline": {"name": name},
                "input": {"cron": {"name": "tick", "spec": schedule}},
                "transform": {"cmd": ["true"]},
            }
        )

    assert "schedule '0 0 1 1 *' of yearly_tick ticks next at 20" in sentences(data, "yearly")
    assert "of never_tick has no tick to come; `run cron` makes one" in sentences(data, "never")


def test_an_input_without_a_commit_is_named(data) -> None:
    data.engine.repos.create_repo("empty")
    data.pipeline("one", "true", "empty")

    reason = data.engine.lineage.explain_pipeline("one")

    assert reason.job == ""
    assert reason.sentences == (
        "input empty@master has no commit yet, so there is nothing to read",
    )


def test_questions_about_nothing_are_refused(data) -> None:
    data.pipeline("one", SCRIPT)
    job = data.job("one")
    lineage = data.engine.lineage
    put = data.head("data")

    with pytest.raises(InvalidInput, match=rf"was not computed: it was put in commit data@{put}"):
        lineage.explain_file("data", "master", "a")
    with pytest.raises(JobNotFound):
        lineage.explain_job(f"one@{'0' * 32}")
    with pytest.raises(DatumNotFound):
        lineage.explain_datum(f"one@{job.id}", "0000000")
    with pytest.raises(PipelineNotFound):
        lineage.explain_pipeline("onee")
    [datum] = [
        d for d in data.engine.datums.list_datums(f"one@{job.id}") if d.inputs[0].path == "a"
    ]
    assert lineage.explain_datum(f"one@{job.id}", datum.id[:8]).datum == datum.id
    data.engine.jobs.delete_job(f"one@{job.id}")
    with pytest.raises(NotFound, match="the record of the job that made it has been deleted"):
        lineage.explain_file("one", "master", "a")
