"""`on_failure: quarantine`: a few failed datums are left out, kept apart, and tried again later."""

import os
import signal
import time

import pytest

from trunkline.model.jobs import DatumState, JobState

# Fails on poison; notes each try in a file, so that tests can count them.
SCRIPT = """
    echo x >> {notes}/$(basename $data)
    if grep -q poison $data; then echo "can not swallow $(cat $data)" >&2; exit 3; fi
    tr a-z A-Z < $data > /pfs/out/$(basename $data)
"""


def policy(most: int = 2, **more: object) -> dict[str, object]:
    return {"on_failure": {"quarantine": {"max": most}}, "datum_tries": 1, **more}


@pytest.fixture
def data(engine, tmp_path):
    (tmp_path / "notes").mkdir()
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "apple\n", "b": "poison one\n", "c": "cherry\n"})
    engine.script = SCRIPT.format(notes=tmp_path / "notes")
    engine.tries = lambda name: (tmp_path / "notes" / name).read_text().count("x")
    return engine


def datums(data, job) -> dict[str, tuple[DatumState, str]]:
    found = data.engine.datums.list_datums(f"made@{job.id}")
    return {d.inputs[0].path: (d.state, d.id) for d in found}


def errors(data) -> dict[str, str]:
    return data.tree("made", "errors")


def commits_of_errors(data) -> list[str]:
    return [c.id for c in data.engine.commits.list_commits("made", to="errors")]


def test_a_failed_datum_is_left_out_and_its_input_and_last_words_are_committed(data) -> None:
    data.pipeline("made", data.script, **policy())

    job = data.job("made")
    state, key = datums(data, job)["b"]

    assert (job.state, job.processed, job.failed) == (JobState.SUCCESS, 2, 1)
    assert job.quarantined == 1
    assert state is DatumState.QUARANTINED
    assert job.reason.startswith(f"failed to process datum: {key}: the command exited with code 3")
    assert "; 1 of 3 datums quarantined" in job.reason
    assert data.tree("made") == {"a": "APPLE\n", "c": "CHERRY\n"}
    assert errors(data) == {
        f"{key}/pfs/data/b": "poison one\n",
        f"{key}/reason": "the command exited with code 3\n",
        f"{key}/stderr": "can not swallow poison one\n",
    }
    commit = data.engine.commits.inspect_commit("made", "errors")
    assert commit.description == f"what job made@{job.id} quarantined"


def test_more_failed_datums_than_may_fail_the_job(data) -> None:
    data.put("data", {"d": "poison two\n", "e": "poison three\n"})
    data.pipeline("made", data.script, **policy())

    job = data.job("made")

    assert (job.state, job.failed, job.quarantined) == (JobState.FAILURE, 3, 0)
    assert "; 3 of 5 datums failed, and at most 2 may" in job.reason
    assert data.head("made", "master") is not None
    assert "errors" not in {b.name for b in data.engine.branches.list_branches("made")}


def test_a_quarantined_datum_is_not_tried_again_while_code_and_data_are_the_same(data) -> None:
    data.pipeline("made", data.script, **policy())
    data.job("made")
    before = commits_of_errors(data)

    data.put("data", {"d": "date\n"})
    job = data.job("made")

    assert (job.state, job.processed, job.skipped, job.quarantined) == (JobState.SUCCESS, 1, 2, 1)
    assert datums(data, job)["b"][0] is DatumState.QUARANTINED
    assert data.tries("b") == 1
    assert data.tree("made") == {"a": "APPLE\n", "c": "CHERRY\n", "d": "DATE\n"}
    assert commits_of_errors(data) == before


def test_new_data_cures_it_and_empties_the_errors(data) -> None:
    data.pipeline("made", data.script, **policy())
    data.job("made")

    data.put("data", {"b": "bear\n"})
    job = data.job("made")

    assert (job.state, job.failed, job.quarantined) == (JobState.SUCCESS, 0, 0)
    assert data.tree("made") == {"a": "APPLE\n", "b": "BEAR\n", "c": "CHERRY\n"}
    assert errors(data) == {}
    assert len(commits_of_errors(data)) == 2


def test_new_code_and_a_rerun_try_it_again(data) -> None:
    data.pipeline("made", data.script, **policy())
    data.job("made")

    data.engine.pipelines.rerun_pipeline("made")
    again = data.job("made")
    data.pipeline("made", "cp $data /pfs/out/", update=True, **policy())
    cured = data.job("made")

    assert (again.state, again.quarantined, data.tries("b")) == (JobState.SUCCESS, 1, 2)
    assert (cured.state, cured.quarantined) == (JobState.SUCCESS, 0)
    assert data.tree("made")["b"] == "poison one\n"
    assert errors(data) == {}


def test_errors_can_be_the_input_of_a_pipeline(data) -> None:
    data.pipeline("made", data.script, **policy())
    data.job("made")
    spec = {
        "pipeline": {"name": "alarm"},
        "input": {"pfs": {"repo": "made", "branch": "errors", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": ["cat $made/stderr >> /pfs/out/words"]},
        "output_merge": "concat",
    }
    data.engine.pipelines.create_pipeline(spec)
    data.job("alarm")

    data.put("data", {"d": "poison two\n"})
    data.job("made")
    job = data.job("alarm")

    assert (job.state, job.total) == (JobState.SUCCESS, 2)
    words = data.read("alarm", "words").splitlines()
    assert sorted(words) == ["can not swallow poison one", "can not swallow poison two"]


def test_any_edits_give_what_a_run_from_scratch_gives(data) -> None:
    data.pipeline("made", data.script, **policy(3))
    edits = [
        {"d": "poison d\n"},
        {"b": "bear\n", "e": "poison e\n"},
        {"d": None, "a": "poison a\n"},
        {"a": "apple\n", "e": "elder\n", "d": "poison d\n"},
        {"b": "poison b\n", "c": "poison c\n", "a": None},
    ]
    files = {"a": "apple\n", "b": "poison one\n", "c": "cherry\n"}
    for edit in edits:
        gone = [name for name, text in edit.items() if text is None]
        new = {name: text for name, text in edit.items() if text is not None}
        data.put("data", new)
        if gone:
            data.delete("data", *gone)
        files = {k: v for k, v in {**files, **new}.items() if k not in gone}
        job = data.job("made")

        poisoned = {name for name, text in files.items() if "poison" in text}
        good = {name: text.upper() for name, text in files.items() if name not in poisoned}
        assert (job.state, job.quarantined) == (JobState.SUCCESS, len(poisoned)), job.reason
        assert data.tree("made") == good
        kept = {path.split("/pfs/data/")[1] for path in errors(data) if "/pfs/data/" in path}
        assert kept == poisoned


def test_a_server_that_dies_on_the_way_commits_the_errors_once(data, open_engine) -> None:
    slow = "sleep 0.3\n" + data.script
    data.pipeline("made", slow, **policy())
    until(lambda: any(w.job for w in data.engine.jobs.list_workers()))
    for worker in data.engine.jobs.list_workers():
        os.kill(worker.pid, signal.SIGKILL)
    data.engine.close()

    again = open_engine(data.home)
    job = again.job("made")

    assert (job.state, job.quarantined) == (JobState.SUCCESS, 1)
    assert len(commits_of_errors(again)) == 1
    assert again.engine.admin.fsck().damages == ()


def until(found) -> None:
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_explain_tells_a_failure_that_was_taken_over_from_one_that_is_tried_again(data) -> None:
    data.pipeline("made", data.script, **policy())
    data.job("made")
    data.put("data", {"d": "date\n"})
    second = data.job("made")
    kept = data.engine.lineage.explain_datum(f"made@{second.id}", datums(data, second)["b"][1])
    counts = data.engine.lineage.explain_job(f"made@{second.id}")
    data.engine.pipelines.rerun_pipeline("made")
    third = data.job("made")
    tried = data.engine.lineage.explain_datum(f"made@{third.id}", datums(data, third)["b"][1])

    assert (kept.state, kept.cause) == ("quarantined", "skipped")
    assert kept.sentence.startswith("it failed in an earlier job, and is quarantined until")
    assert {(c.cause.value, c.datums) for c in counts.causes} == {("skipped", 3), ("new", 1)}
    assert counts.sentences == (second.reason,)
    assert (tried.state, tried.cause) == ("quarantined", "again")
    assert tried.sentence.endswith("and is tried again")


def test_outputs_that_are_joined_do_not_come_of_a_datum_that_was_quarantined(
    data, tmp_path
) -> None:
    cured = tmp_path / "cured"
    script = f"grep -q poison $data && ! [ -e {cured} ] && exit 3; cat $data > /pfs/out/all"
    data.pipeline("made", script, output_merge="concat", **policy())
    first = data.job("made")
    cured.touch()
    data.engine.pipelines.rerun_pipeline("made")
    data.job("made")

    def sources(commit: str) -> list[str]:
        steps = list(data.engine.lineage.why_file("made", commit, "all"))
        assert not [step.remark for step in steps if step.remark]
        return [step.file.path for step in steps if step.file and step.file.repo == "data"]

    assert sources(first.id) == ["a", "c"]
    assert sources("master") == ["a", "b", "c"]
    jobs = data.engine.lineage.impact_of_file("data", "master", "b")
    assert [(job.datums, job.files, job.remark) for job in jobs] == [(1, 0, ""), (1, 1, "")]


def test_a_datum_whose_inputs_clash_is_kept_as_far_as_they_do_not(data) -> None:
    data.engine.repos.create_repo("other")
    data.put("other", {"a/below": "x\n", "b": "other\n"})
    sides = [
        {"pfs": {"repo": repo, "glob": "/(*)", "group_by": "$1", "name": "in"}}
        for repo in ("data", "other")
    ]
    data.pipeline("made", "cat /pfs/in/* > /pfs/out/$(ls /pfs/in)", input={"group": sides},
                  **policy(most=3))  # fmt: skip

    job = data.job("made")

    assert (job.state, job.failed) == (JobState.SUCCESS, 2), job.reason
    assert data.tree("made") == {"c": "cherry\n"}
    kept = {path.partition("/")[2]: text for path, text in errors(data).items()}
    assert (kept["pfs/in/a"], kept["pfs/in/b"]) == ("apple\n", "poison one\n")
    assert "give the inputs different names" in kept["reason"]
    assert data.engine.admin.fsck().damages == ()


def test_what_would_have_too_long_a_path_among_the_errors_is_told_not_kept(data) -> None:
    long = "/".join([*["d" * 250] * 16, "d" * 40])
    data.put("data", {long: "deep\n"})
    data.pipeline("made", "exit 1", glob="/", **policy())

    job = data.job("made")

    assert job.state is JobState.SUCCESS, job.reason
    kept = {path.partition("/")[2]: text for path, text in errors(data).items()}
    assert sorted(kept) == ["pfs/data/a", "pfs/data/b", "pfs/data/c", "reason"]
    assert "(1 input file is not kept here" in kept["reason"]
