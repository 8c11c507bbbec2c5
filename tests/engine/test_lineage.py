"""Where files came from and what came of them, through the operations."""

from typing import Any

import pytest

from trunkline.connect.connection import Connection
from trunkline.errors import CommitOpen, FileNotFoundInCommit, FilePurged, InvalidInput, NotFound
from trunkline.model.jobs import JobState
from trunkline.model.lineage import Cause, ImpactStep, WhyStep
from trunkline.model.versions import FileType


@pytest.fixture
def data(engine: Any) -> Any:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "apple\n", "b": "bear\n"})
    return engine


def why(driver: Any, repo: str, path: str, commit: str = "master", **options: Any) -> list[WhyStep]:
    return list(driver.engine.lineage.why_file(repo, commit, path, **options))


def impact(
    driver: Any, repo: str, path: str, commit: str = "master", **options: Any
) -> list[ImpactStep]:
    return list(driver.engine.lineage.impact_of_file(repo, commit, path, **options))


def test_a_file_leads_back_over_all_stages_to_the_commits_that_put_it(data) -> None:
    first = data.head("data")
    data.pipeline("one", "cp $data /pfs/out/")
    data.pipeline("sum", "cat /pfs/one/* > /pfs/out/all", "one", glob="/")
    data.job("sum")

    steps = why(data, "sum", "all")

    files = [(s.depth, s.input, s.file.repo, s.file.path) for s in steps if s.file]
    assert files == [(0, "", "sum", "all"), (1, "one", "one", ""), (2, "data", "data", "a"),
                     (2, "data", "data", "b")]  # fmt: skip
    assert [s.parent for s in steps] == [0, 1, 2, 3, 4, 3, 6]
    assert [s.put.commit for s in steps if s.put] == [first, first]
    one, job = data.job("one"), data.job("sum")
    top = steps[1].datum
    assert (top.job, top.made_by, top.skipped) == (f"sum@{job.id}",) * 2 + (False,)
    assert (top.cmd, top.stdin) == (("/bin/sh",), ("cat /pfs/one/* > /pfs/out/all",))
    assert (top.pipeline_version, top.spec_commit) == (1, job.spec_commit)
    assert {d.id for d in data.engine.datums.list_datums(f"one@{one.id}")} == {
        s.datum.id for s in steps if s.datum and s.depth == 1
    }
    whole = steps[2].file
    assert (whole.type, whole.size_bytes, whole.commit) == (FileType.DIR, 11, data.head("one"))
    assert whole.digest == data.engine.files.inspect_file("one", "master", "/").digest


def test_a_skipped_datum_names_the_job_that_ran_it_with_the_code_it_had_then(data) -> None:
    data.pipeline("one", "cp $data /pfs/out/", description="first")
    ran = data.job("one")
    data.pipeline("one", "cp $data /pfs/out/", description="second", update=True)
    data.job("one")
    data.put("data", {"b": "boar\n"})
    job = data.job("one")

    [_, kept, source] = why(data, "one", "a")
    [_, made, _] = why(data, "one", "b")

    assert (kept.datum.job, kept.datum.skipped) == (f"one@{job.id}", True)
    assert (kept.datum.made_by, kept.datum.spec_commit) == (f"one@{ran.id}", ran.spec_commit)
    assert kept.datum.pipeline_version == 1
    assert (made.datum.made_by, made.datum.pipeline_version) == (f"one@{job.id}", 2)
    assert source.file.commit == data.head("data")
    assert source.put.commit != data.head("data")


def test_what_was_run_again_later_is_told_as_it_was_in_each_commit(data) -> None:
    data.pipeline("one", "cp $data /pfs/out/", reprocess_spec="every_job")
    first = data.job("one")
    data.put("data", {"c": "cat\n"})
    second = data.job("one")

    assert why(data, "one", "a", first.id)[1].datum.made_by == f"one@{first.id}"
    assert why(data, "one", "a")[1].datum.made_by == f"one@{second.id}"


def test_a_skipped_datum_of_an_old_commit_is_found_though_it_ran_again_since(data) -> None:
    data.pipeline("one", "cp $data /pfs/out/")
    first = data.job("one")
    data.put("data", {"c": "cat\n"})
    second = data.job("one")
    data.pipeline("one", "cp $data /pfs/out/", reprocess_spec="every_job", update=True)
    third = data.job("one")

    assert why(data, "one", "a", second.id)[1].datum.made_by == f"one@{first.id}"
    assert why(data, "one", "a", third.id)[1].datum.made_by == f"one@{third.id}"


def test_a_file_of_several_datums_leads_to_each_of_them(data) -> None:
    data.pipeline("one", "cat $data > /pfs/out/all", output_merge="concat")
    data.job("one")
    data.put("data", {"c": "cat\n", "d": "dog\n"})
    data.pipeline("two", "cp /pfs/one/all /pfs/out/", "one", glob="/")
    data.job("two")

    steps = why(data, "two", "all")

    assert [s.file.path for s in steps if s.file and s.file.repo == "data"] == ["a", "b", "c", "d"]
    assert [s.datum.skipped for s in steps if s.datum and s.depth == 1] == [
        True,
        True,
        False,
        False,
    ]


def test_a_link_to_an_input_was_written_by_the_datum_that_made_the_link(data) -> None:
    data.pipeline("one", "ln -s $data /pfs/out/linked")
    data.delete("data", "b")
    assert data.job("one").state is JobState.SUCCESS

    [file, datum, source] = why(data, "one", "linked")

    assert datum.datum.made_by.startswith("one@")
    assert (source.file.path, source.file.digest) == ("a", file.file.digest)


def test_what_was_told_before_is_referred_to(data) -> None:
    data.pipeline("one", "cp $data /pfs/out/x; cp $data /pfs/out/y", glob="/a")
    data.pipeline("two", "cat /pfs/one/x /pfs/one/y > /pfs/out/z", "one", glob="/")
    data.engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": "both"},
            "input": {
                "cross": [
                    {"pfs": {"repo": "one", "glob": "/x"}},
                    {"pfs": {"repo": "one", "glob": "/y", "name": "other"}},
                ]
            },
            "transform": {"cmd": ["/bin/sh"], "stdin": ["cat $one $other > /pfs/out/z"]},
        }
    )
    data.job("both")

    steps = why(data, "both", "z")

    assert [(s.input, s.file.path) for s in steps if s.file and s.depth == 1] == [
        ("one", "x"),
        ("other", "y"),
    ]
    [told] = [s for s in steps if s.same_as]
    assert told.datum.id == steps[told.same_as - 1].datum.id


def test_a_depth_ends_the_answer(data) -> None:
    data.pipeline("one", "cp $data /pfs/out/")
    data.pipeline("two", "cp $one /pfs/out/", "one")
    data.job("two")

    steps = why(data, "two", "a", depth=1)

    assert [s.file.repo for s in steps if s.file] == ["two", "one"]
    assert steps[-1].remark == "not followed any further"
    with pytest.raises(InvalidInput, match="depth of -1"):
        why(data, "two", "a", depth=-1)


def test_a_file_that_a_user_put_names_its_commit(data) -> None:
    put = data.head("data")
    data.engine.files.modify_files("data", "master", [], description="nothing")
    data.put("data", {"c": "cat\n"})

    [step] = why(data, "data", "a")

    assert (step.put.repo, step.put.commit) == ("data", put)


def test_a_commit_of_a_user_on_top_of_outputs_tells_what_of_it_a_job_wrote(data) -> None:
    data.pipeline("one", "cp $data /pfs/out/")
    job = data.job("one")
    data.engine.branches.create_branch("one", "mine", head=job.id)
    data.put("one", {"b": "mine\n"}, branch="mine")

    assert why(data, "one", "a", "mine")[1].datum.job == f"one@{job.id}"
    assert why(data, "one", "b", "mine")[0].put.commit == data.head("one", "mine")


def test_what_can_not_be_answered_is_said(data) -> None:
    data.pipeline("one", "mkdir /pfs/out/d; cp $data /pfs/out/d/")
    data.job("one")
    data.engine.commits.start_commit("data", branch="master")

    with pytest.raises(FileNotFoundInCommit, match="no file '/c'"):
        why(data, "one", "/c", "master^")
    with pytest.raises(InvalidInput, match="'/d' is a directory in one@.*ask about one of its"):
        why(data, "one", "/d", "master^")
    with pytest.raises(CommitOpen, match="to tell where a file came from; its job writes it"):
        why(data, "one", "/d/a")


def test_the_output_of_a_job_whose_record_was_deleted_says_so(data) -> None:
    data.pipeline("one", "cp $data /pfs/out/")
    first = data.job("one")
    data.put("data", {"b": "boar\n"})
    second = data.job("one")
    data.engine.jobs.delete_job(f"one@{first.id}")

    assert why(data, "one", "a")[1].datum.made_by == ""
    data.engine.jobs.delete_job(f"one@{second.id}")
    [step] = why(data, "one", "a")
    assert step.put is None
    assert step.remark.endswith("wrote it; the record of its job has been deleted")


def test_what_was_purged_is_not_answered_and_inputs_that_were_say_so(data) -> None:
    data.pipeline("one", "cp $data /pfs/out/")
    data.job("one")
    data.engine.purges.purge(["data:/b"], reason="asked for", rerun=False)

    with pytest.raises(FilePurged, match="asked for"):
        why(data, "one", "b")
    assert [s.file.path for s in why(data, "one", "a") if s.file] == ["a", "a"]


def test_a_failed_commit_has_no_files_to_ask_about(data) -> None:
    data.pipeline("one", "exit 3", datum_tries=1)
    data.job("one")

    with pytest.raises(NotFound, match="has no files: job one@.* ended as failure"):
        why(data, "one", "a")


# --- forward --------------------------------------------------------------------------------------


def test_a_file_leads_forward_to_every_job_that_read_it_or_what_was_made_of_it(data) -> None:
    data.pipeline("one", "cp $data /pfs/out/; cp $data /pfs/out/more-$(basename $data)")
    data.pipeline("two", "cp $one /pfs/out/", "one")
    data.pipeline("sum", "cat /pfs/two/* > /pfs/out/all", "two", glob="/")
    data.pipeline("other", "cp $data /pfs/out/", glob="/b")
    data.job("sum")
    data.job("other")

    steps = impact(data, "data", "a")

    assert [(s.job.partition("@")[0], s.depth, s.datums, s.datums_total, s.files, s.size_bytes)
            for s in steps] == [("one", 1, 1, 2, 2, 12), ("two", 2, 2, 4, 2, 12),
                                ("sum", 3, 1, 1, 1, 22)]  # fmt: skip
    assert {s.state for s in steps} == {"success"}
    listed = impact(data, "data", "a", files=True)
    assert [s.file.path for s in listed if s.file] == ["a", "more-a", "a", "more-a", "all"]
    assert next(s.datum for s in listed if s.file) == why(data, "one", "a")[1].datum.id
    assert [s.job.partition("@")[0] for s in impact(data, "data", "a", depth=1)] == ["one"]
    assert impact(data, "sum", "all") == []


def test_a_directory_that_was_matched_was_read_with_all_its_files(data) -> None:
    data.put("data", {"d/x": "1\n", "d/y": "2\n", "e/x": "3\n", "dd": "4\n"})
    data.pipeline("one", "find $data -type f | wc -l > /pfs/out/$(basename $data)")
    data.job("one")

    [step, file] = impact(data, "data", "d/x", files=True)

    assert (step.datums, step.datums_total, step.files) == (1, 5, 1)
    assert file.file.path == "d"


def test_what_was_skipped_counts_for_each_job_that_has_it(data) -> None:
    data.pipeline("one", "cp $data /pfs/out/")
    data.job("one")
    before = data.head("data")
    data.pipeline("one", "cp $data /pfs/out/", description="new", update=True)
    data.job("one")
    data.put("data", {"c": "cat\n"})
    data.job("one")

    steps = impact(data, "data", "a", before)

    assert [(s.pipeline_version, s.datums, s.skipped, s.files) for s in steps] == [
        (1, 1, 0, 1),
        (2, 1, 1, 1),
    ]


def test_what_several_datums_wrote_together_came_of_each(data) -> None:
    data.pipeline("one", "cat $data > /pfs/out/all", output_merge="concat")
    data.pipeline("two", "cp $one /pfs/out/", "one")
    data.job("two")

    for path in ("a", "b"):
        first, file, second, copy = impact(data, "data", path, files=True)
        assert (first.files, first.size_bytes, second.depth) == (1, 11, 2)
        assert (file.file.path, copy.file.path) == ("all", "all")


def test_jobs_that_failed_or_wait_are_named_though_nothing_came_of_them(data) -> None:
    data.pipeline("bad", "exit 1", datum_tries=1)
    data.pipeline("after", "cp $bad /pfs/out/", "bad")
    data.job("after")

    [step] = impact(data, "data", "a")

    assert (step.state, step.datums, step.files) == ("failure", 1, 0)
    with pytest.raises(InvalidInput, match="is a directory"):
        impact(data, "data", "/")


def test_handles_ask_a_server_and_get_the_same_answers(remote) -> None:
    remote.engine.repos.create_repo("data")
    remote.put("data", {"a": "apple\n"})
    remote.pipeline("one", "cp $data /pfs/out/")
    job = remote.job("one")
    connection = Connection(remote.engine)

    file = connection["one@master:/a"]

    assert list(file.why()) == why(remote, "one", "a")
    assert len(list(file.why(depth=1))) == 3
    assert list(connection["data@master:/a"].impact(files=True)) == impact(
        remote, "data", "a", files=True
    )
    [reason] = file.explain()
    assert (reason.cause, reason.datum) == (Cause.NEW, why(remote, "one", "a")[1].datum.id)
    counts = connection.job(f"one@{job.id}").explain().causes
    assert [(count.cause, count.datums) for count in counts] == [(Cause.NEW, 1)]
    assert connection.pipeline("one").explain().job == f"one@{job.id}"


def test_a_datum_of_a_group_leads_to_all_files_of_its_key_and_is_known_by_it(data) -> None:
    data.engine.repos.create_repo("days")
    data.put("days", {"x-1": "1\n", "x-2": "2\n", "y-1": "3\n"})
    data.engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": "sum"},
            "input": {"group": [{"pfs": {"repo": "days", "glob": "/(*)-*", "group_by": "$1"}}]},
            "transform": {
                "cmd": ["/bin/sh"],
                "stdin": ["cat /pfs/days/* > /pfs/out/$PACH_DATUM_days_GROUP_BY"],
            },
        }
    )
    first = data.job("sum")
    data.put("days", {"x-3": "4\n"})
    data.job("sum")

    assert [s.file.path for s in why(data, "sum", "x") if s.file] == ["x", "x-1", "x-2", "x-3"]
    assert [s.file.path for s in impact(data, "days", "x-2", files=True) if s.file] == ["x"]
    [reason] = data.engine.lineage.explain_file("sum", "master", "x")
    assert (reason.cause, reason.before) == (Cause.CHANGED, f"sum@{first.id}")
    assert [(c.part, c.name, c.before) for c in reason.changes] == [("input", "days:/x-3", "")]
    [job] = data.engine.jobs.list_jobs(pipeline="sum", number=1)
    causes = data.engine.lineage.explain_job(f"sum@{job.id}").causes
    assert {(c.cause.value, c.parts, c.datums) for c in causes} == {
        ("changed", ("input",), 1),
        ("skipped", (), 1),
    }
