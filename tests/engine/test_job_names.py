"""A job can be named by its run, by a branch of its pipeline's output repo, and by its pipeline."""

import pytest

from trunkline.errors import InvalidInput, InvalidReference, JobNotFound


@pytest.fixture
def three(engine):
    """A pipeline with three jobs: the engine, and the names of the jobs, oldest first."""
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "1\n"})
    engine.pipeline("copy", "cp /pfs/data/* /pfs/out/")
    names = [f"copy@{engine.job('copy').id}"]
    for text in ("2\n", "3\n"):
        engine.put("data", {"a": text})
        names.append(f"copy@{engine.job('copy').id}")
    return engine, names


def named(engine, text: str) -> str:
    info = engine.engine.jobs.inspect_job(text)
    return f"{info.pipeline}@{info.id}"


def test_a_reference_to_the_output_commit_names_its_job(three) -> None:
    engine, [first, second, third] = three
    engine.engine.branches.create_branch("copy", "good", head=second.partition("@")[2])
    engine.engine.tags.create_tag("copy", "v1", commit=first.partition("@")[2])

    assert named(engine, "copy@master") == third
    assert named(engine, "copy@master^") == second
    assert named(engine, "copy@master~2") == first
    assert named(engine, "copy@master.2") == second
    assert named(engine, f"{third}^") == second
    assert named(engine, "copy@good") == second
    assert named(engine, "copy@v1") == first


def test_a_pipeline_alone_names_its_newest_job(three) -> None:
    engine, [*_, newest] = three
    engine.engine.projects.create_project("p")
    engine.engine.repos.create_repo("p/data")
    engine.put("p/data", {"a": "1\n"})
    spec = {
        "pipeline": {"name": "copy", "project": {"name": "p"}},
        "input": {"pfs": {"repo": "data", "project": "p", "glob": "/"}},
        "transform": {"cmd": ["true"]},
    }
    engine.engine.pipelines.create_pipeline(spec)
    there = f"p/copy@{engine.job('p/copy').id}"

    assert named(engine, "copy") == newest
    assert named(engine, "p/copy") == there


def test_every_operation_on_a_job_takes_such_names(three) -> None:
    engine, [_, second, third] = three
    jobs, datums, lineage = engine.engine.jobs, engine.engine.datums, engine.engine.lineage

    [datum] = datums.list_datums("copy@master^")
    assert datum.job == second
    assert datums.inspect_datum("copy@master^", datum.id[:8]).job == second
    assert lineage.explain_job("copy@master").job == third
    assert lineage.explain_datum("copy@master^", datum.id).job == second
    assert list(datums.get_logs(job="copy@master")) == list(datums.get_logs(job=third))
    assert jobs.inspect_job("copy@master^", wait=True).id == second.partition("@")[2]
    jobs.stop_job("copy@master")
    jobs.delete_job("copy@master")
    with pytest.raises(JobNotFound, match=third):
        jobs.inspect_job(third)
    with pytest.raises(
        JobNotFound, match=f"'copy@master': no job made commit {third}, or its record has been de"
    ):
        jobs.inspect_job("copy@master")
    assert named(engine, "copy") == second


def test_what_names_no_job_is_refused_with_the_reason(three) -> None:
    engine, _ = three
    engine.engine.branches.create_branch("copy", "empty")

    for text, error, sentence in (
        ("cpoy@master", JobNotFound, "'cpoy@master': there is no pipeline 'cpoy'.*mean 'copy'"),
        ("cpoy", JobNotFound, "there is no job 'cpoy': there is no pipeline 'cpoy'"),
        ("data@master", JobNotFound, "there is no pipeline 'data'"),
        ("copy@mastre", JobNotFound, "repo 'copy' has no branch 'mastre'; it has empty, master"),
        ("copy@empty", JobNotFound, "branch copy@empty has no commits yet"),
        ("copy@master^9", JobNotFound, "has 2 ancestors"),
        (f"copy@{'0' * 12}4{'0' * 19}", JobNotFound, "there is no job 'copy@0000"),
        ("copy@master!", InvalidReference, "use a branch or commit id, then"),
        ("copy^", InvalidInput, r"write pipeline@id, pipeline@branch or pipeline@branch\^, or"),
    ):
        with pytest.raises(error, match=sentence):
            engine.engine.jobs.inspect_job(text)


def test_a_pipeline_that_never_had_a_job_has_no_newest_one(engine) -> None:
    engine.engine.repos.create_repo("data")
    engine.pipeline("copy", "true")

    with pytest.raises(JobNotFound, match="'copy': pipeline 'copy' has none; `list job`"):
        engine.engine.jobs.inspect_job("copy")
