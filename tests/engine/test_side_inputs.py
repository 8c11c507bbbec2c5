"""Inputs that start no job, and inputs whose content does not count."""

from typing import Any

import pytest

from trunkline.model.jobs import JobInfo, JobState

BOTH = "cat $data $side > /pfs/out/$(basename $data)"


def make(driver, *, script: str = BOTH, update: bool = False, **side: Any) -> None:
    driver.pipeline(
        "both",
        script,
        update=update,
        input={
            "cross": [
                {"pfs": {"repo": "data", "glob": "/*"}},
                {"pfs": {"repo": "side", "glob": "/table", **side}},
            ]
        },
    )


@pytest.fixture
def repos(engine):
    for repo in ("data", "side"):
        engine.engine.repos.create_repo(repo)
    return engine


def counts(job: JobInfo) -> tuple[int, int]:
    """(processed, skipped) of a job that went well."""
    assert job.state is JobState.SUCCESS
    return job.processed, job.skipped


NEVER = {"propagation_spec": {"never": True}}


def test_a_side_input_starts_no_job_and_is_read_as_it_is_then(repos) -> None:
    make(repos, **NEVER)
    repos.put("side", {"table": "1"})
    quiet = list(repos.engine.jobs.list_jobs())
    repos.put("data", {"a": "a"})
    first = repos.job("both")
    repos.put("side", {"table": "2"})
    repos.put("side", {"table": "3"})
    still = len(list(repos.engine.jobs.list_jobs()))
    repos.put("data", {"b": "b"})
    second = repos.job("both")

    assert (quiet, still) == ([], 1)
    assert (counts(first), counts(second)) == ((1, 0), (2, 0))
    assert repos.tree("both") == {"a": "a3", "b": "b3"}
    side = repos.head("side")
    made_of = repos.engine.commits.inspect_commit("both", "master").provenance
    assert f"side@{side}" in [str(name) for name in made_of]
    assert repos.engine.admin.fsck().damages == ()


def test_with_side_inputs_alone_jobs_start_when_they_are_asked_for(repos) -> None:
    repos.put("side", {"table": "1"})
    only = {"pfs": {"repo": "side", "glob": "/", **NEVER}}
    repos.pipeline("copy", "cp /pfs/side/* /pfs/out/", input=only)
    repos.job("copy")
    repos.put("side", {"table": "2"})
    before = repos.tree("copy")
    repos.engine.pipelines.rerun_pipeline("copy")
    repos.job("copy")

    assert (before, repos.tree("copy")) == ({"table": "1"}, {"table": "2"})


def test_a_repo_that_another_input_reads_too_starts_jobs(repos) -> None:
    repos.pipeline(
        "both",
        "true",
        input={
            "cross": [
                {"pfs": {"name": "one", "repo": "side", "glob": "/"}},
                {"pfs": {"name": "two", "repo": "side", "glob": "/", **NEVER}},
            ]
        },
    )
    repos.put("side", {"table": "1"})

    assert counts(repos.job("both")) == (1, 0)


def test_a_pipeline_that_is_stopped_and_started_keeps_its_side_input(repos) -> None:
    repos.put("side", {"table": "1"})
    make(repos, **NEVER)
    repos.engine.pipelines.stop_pipeline("both")
    repos.engine.pipelines.start_pipeline("both")
    before = len(list(repos.engine.jobs.list_jobs()))
    repos.put("side", {"table": "2"})

    assert len(list(repos.engine.jobs.list_jobs())) == before


def test_an_update_can_make_an_input_a_side_input_and_back(repos) -> None:
    repos.put("data", {"a": "a"})
    repos.put("side", {"table": "1"})
    make(repos)
    make(repos, update=True, **NEVER)
    updated = len(list(repos.engine.jobs.list_jobs()))
    repos.put("side", {"table": "2"})
    as_side = len(list(repos.engine.jobs.list_jobs()))
    make(repos, update=True)
    repos.job("both")
    repos.put("side", {"table": "3"})
    repos.job("both")

    assert as_side == updated
    assert repos.tree("both") == {"a": "a3"}


def test_the_content_of_a_reference_does_not_count(repos) -> None:
    repos.put("data", {"a": "a"})
    repos.put("side", {"table": "1"})
    make(repos, reference=True)
    repos.job("both")
    repos.put("side", {"table": "2"})
    same = repos.job("both")
    repos.put("data", {"b": "b"})
    new = repos.job("both")
    repos.engine.pipelines.rerun_pipeline("both", reprocess=True)
    repos.job("both")

    assert (counts(same), counts(new)) == ((0, 1), (1, 1))
    assert repos.tree("both") == {"a": "a2", "b": "b2"}
    [datum] = list(repos.engine.datums.list_datums(f"both@{same.id}"))
    assert [given.digest == "" for given in datum.inputs] == [False, True]


@pytest.fixture
def taken_over(repos) -> list[str]:
    """Two commits of a reference; what was made with the first was taken over by the next jobs."""
    repos.put("data", {"a": "a"})
    repos.put("side", {"table": "1"})
    make(repos, reference=True)
    repos.pipeline("after", "cp $both /pfs/out/", "both")
    jobs = [repos.job("both")]
    repos.put("side", {"table": "2"})
    jobs.append(repos.job("both"))
    repos.put("data", {"b": "b"})
    jobs.append(repos.job("both"))
    repos.job("after")
    return [f"both@{job.id}" for job in jobs]


def sources(driver, path: str) -> dict[str, str]:
    """The content of each file that `why` says a file of both was made from, by its input."""
    steps = driver.engine.lineage.why_file("both", "master", path, depth=1)
    return {
        step.input: driver.read(step.file.repo, step.file.path, step.file.commit)
        for step in steps
        if step.input
    }


def test_why_names_the_reference_that_the_job_read_which_ran_the_datum(repos, taken_over) -> None:
    assert sources(repos, "a") == {"data": "a", "side": "1"}
    assert sources(repos, "b") == {"data": "b", "side": "2"}


def test_why_says_so_when_nobody_knows_what_was_read_of_a_reference(repos, taken_over) -> None:
    repos.engine.jobs.delete_job(taken_over[0])

    steps = list(repos.engine.lineage.why_file("both", "master", "a"))

    assert [step.file.repo for step in steps if step.file] == ["both", "data"]
    [step] = [step for step in steps if step.input == "side"]
    assert step.remark.startswith("side: what was read of this reference is not known any more")


def test_explain_says_which_reference_was_another_when_a_datum_was_run(repos, taken_over) -> None:
    first, _, third = taken_over

    def sentence(path: str) -> str:
        [reason] = repos.engine.lineage.explain_file("both", "master", path)
        return reason.sentence

    assert sentence("a") == (
        f"its result is that of job {first}, which ran it on the same content; of side, whose "
        "content does not count (`reference`), it read another"
    )
    repos.put("side", {"other": "not read"})
    repos.job("both")
    assert sentence("b") == (
        f"its result is that of job {third}, which ran it on the same content and code"
    )


def impact(driver, commit: str) -> list[tuple[str, int, int, list[str]]]:
    """(job, datums, of them skipped, files) of each job that the table of a commit came into."""
    steps = list(driver.engine.lineage.impact_of_file("side", commit, "table", files=True))
    return [
        (
            step.job,
            step.datums,
            step.skipped,
            [one.file.path for one in steps if one.file and one.job == step.job],
        )
        for step in steps
        if not step.file
    ]


def test_impact_follows_results_to_the_jobs_that_took_them_over(repos, taken_over) -> None:
    [second, first] = [commit.id for commit in repos.engine.commits.list_commits("side")]
    after = [f"after@{job.id}" for job in repos.engine.jobs.list_jobs(pipeline="after")][::-1]

    both = impact(repos, first)
    assert [step for step in both if step[0] in taken_over] == [
        (taken_over[0], 1, 0, ["a"]),
        (taken_over[1], 1, 1, ["a"]),
        (taken_over[2], 1, 1, ["a"]),
    ]
    assert [step[0] for step in both if step[0] in after] == after
    assert [step for step in both if step[3] != ["a"]] == []
    assert [step for step in impact(repos, second) if step[0] in taken_over] == [
        (taken_over[2], 1, 0, ["b"])
    ]


def test_impact_says_so_when_nobody_knows_what_was_read_of_a_reference(repos, taken_over) -> None:
    second = repos.head("side")
    repos.engine.jobs.delete_job(taken_over[0])

    steps = [
        step
        for step in repos.engine.lineage.impact_of_file("side", second, "table")
        if step.job in taken_over
    ]

    assert [(step.job, step.datums, step.files) for step in steps] == [
        (taken_over[1], 1, 1),
        (taken_over[2], 2, 2),
    ]
    said = "what 1 of these datums read as a reference is not known any more"
    assert [step.remark for step in steps] == [said, said]


def test_the_path_of_a_reference_counts(repos) -> None:
    repos.put("data", {"a": "a"})
    repos.put("side", {"table": "1"})
    spec = {"repo": "side", "glob": "/*", "reference": True}
    repos.pipeline(
        "both", "true", input={"cross": [{"pfs": {"repo": "data", "glob": "/"}}, {"pfs": spec}]}
    )
    repos.job("both")
    repos.put("side", {"other": "2"})

    assert counts(repos.job("both")) == (1, 1)


def test_a_model_that_changes_often_matters_to_new_data_only(repos) -> None:
    make(repos, **NEVER, reference=True)
    repos.put("side", {"table": "1"})
    repos.put("data", {"a": "a"})
    repos.job("both")
    repos.put("side", {"table": "2"})
    repos.put("data", {"b": "b"})
    job = repos.job("both")

    assert counts(job) == (1, 1)
    assert repos.tree("both") == {"a": "a1", "b": "b2"}
    assert repos.engine.pipelines.inspect_pipeline("both").warnings == ()


def test_it_is_told_that_a_side_input_starts_no_job(repos) -> None:
    make(repos, **NEVER)
    repos.put("data", {"a": "a"})
    head = repos.put("side", {"table": "1"}).id

    said = repos.engine.lineage.explain_pipeline("both").sentences
    assert f"input side@master: its head is {head}, the newest job reads nothing" in said
    assert "input side@master starts no job: its propagation_spec is never" in said
    assert not any("data@master starts no job" in sentence for sentence in said)
