"""Repos and pipelines of equal names in two projects are different things, through every door."""

from collections.abc import Callable
from typing import Any

import pytest

from trunkline.errors import (
    AlreadyExists,
    Conflict,
    InUse,
    InvalidName,
    InvalidReference,
    JobNotFound,
    PipelineNotFound,
    ProjectNotFound,
    RepoNotFound,
)
from trunkline.model.jobs import DatumState, JobState
from trunkline.model.versions import CommitName

UPPER = 'tr a-z A-Z < "$data" > /pfs/out/$(basename "$data")'


@pytest.fixture(params=["embedded", "remote"])
def driver(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue("engine" if request.param == "embedded" else "remote")


@pytest.fixture
def two(driver: Any) -> Any:
    """The project `p` beside `default`, each with a repo `data`."""
    driver.engine.projects.create_project("p", description="second")
    for repo in ("data", "p/data"):
        driver.engine.repos.create_repo(repo)
    return driver


def spec(name: str, project: str, source: dict[str, str], script: str = UPPER) -> dict[str, object]:
    return {
        "pipeline": {"name": name, "project": {"name": project}},
        "input": {"pfs": {"glob": "/*", **source}},
        "transform": {"cmd": ["/bin/sh"], "stdin": [script]},
    }


# --- projects by themselves -----------------------------------------------------------------------


def test_default_is_always_there_and_others_come_and_go(driver) -> None:
    projects = driver.engine.projects
    projects.create_project("p", description="one")
    projects.create_project("p", description="two", update=True)
    listed = {info.name: info for info in projects.list_projects()}
    projects.delete_project("p")

    assert list(listed) == ["p", "default"]
    assert listed["p"].description == "two"
    assert listed["p"].created is not None
    assert listed["default"].created is None
    assert [info.name for info in projects.list_projects()] == ["default"]


@pytest.mark.parametrize("name", ["", "a b", "_a", "-a", "a/b", "ä", "a" * 52])
def test_what_can_not_name_a_project_is_refused(driver, name: str) -> None:
    with pytest.raises(InvalidName):
        driver.engine.projects.create_project(name)


def test_a_second_project_of_a_name_is_refused(two) -> None:
    with pytest.raises(AlreadyExists, match="project 'p' already exists"):
        two.engine.projects.create_project("p")
    with pytest.raises(AlreadyExists, match="project 'default' already exists"):
        two.engine.projects.create_project("default")


def test_a_missing_project_names_those_that_exist(two) -> None:
    engine = two.engine

    for ask in (
        lambda: engine.projects.inspect_project("nope"),
        lambda: engine.projects.create_project("nope", update=True),
        lambda: engine.projects.delete_project("nope"),
        lambda: engine.repos.create_repo("nope/x"),
        lambda: engine.repos.inspect_repo("nope/x"),
        lambda: engine.repos.list_repos(project="nope"),
        lambda: engine.pipelines.inspect_pipeline("nope/x"),
        lambda: engine.pipelines.list_pipelines(project="nope"),
        lambda: list(engine.jobs.list_jobs(project="nope")),
        lambda: engine.pipelines.create_pipeline(spec("x", "nope", {"repo": "data"})),
        lambda: two.put("nope/x", {"a": "a"}),
    ):
        with pytest.raises(ProjectNotFound, match="no project 'nope'; there are p, default"):
            ask()


def test_a_full_name_has_one_spelling(two) -> None:
    with pytest.raises(InvalidName, match="in the project 'default' it is called 'data' alone"):
        two.engine.repos.inspect_repo("default/data")
    with pytest.raises(InvalidName, match="'a/b' is not a repo name"):
        two.engine.repos.create_repo("p/a/b")
    with pytest.raises(InvalidName, match="is called 'x' alone"):
        two.engine.pipelines.inspect_pipeline("default/x")


def test_a_project_with_anything_in_it_is_kept_unless_by_force(two) -> None:
    two.put("p/data", {"a": "apple\n"})
    two.engine.repos.create_repo("p/more")
    two.engine.pipelines.create_pipeline(spec("upper", "p", {"repo": "data"}))
    two.engine.pipelines.create_pipeline(spec("reads", "default", {"project": "p", "repo": "data"}))
    two.job("reads")
    two.job("p/upper")
    projects = two.engine.projects

    with pytest.raises(InUse, match="it has the pipelines p/upper and the repos p/[md]"):
        projects.delete_project("p")
    with pytest.raises(InUse, match="'default' always exists"):
        projects.delete_project("default", force=True)
    projects.delete_project("p", force=True)

    assert [info.name for info in projects.list_projects()] == ["default"]
    assert [info.name for info in two.engine.repos.list_repos()] == ["reads", "data"]
    assert [info.name for info in two.engine.pipelines.list_pipelines()] == ["reads"]
    assert {job.pipeline for job in two.engine.jobs.list_jobs()} == {"reads"}
    assert two.tree("reads") == {"a": "APPLE\n"}
    assert two.engine.admin.fsck().damages == ()
    projects.create_project("p")
    assert two.engine.repos.list_repos(project="p") == []


def test_a_project_with_repos_alone_names_them(two) -> None:
    with pytest.raises(InUse, match=r"it has the repos p/data; .*--force"):
        two.engine.projects.delete_project("p")

    two.engine.repos.delete_repo("p/data")
    two.engine.projects.delete_project("p")


def test_delete_all_leaves_the_default_project_alone(two) -> None:
    two.put("p/data", {"a": "apple\n"})
    two.engine.pipelines.create_pipeline(spec("upper", "p", {"repo": "data"}))

    two.engine.admin.delete_all()

    assert [info.name for info in two.engine.projects.list_projects()] == ["default"]
    assert two.engine.repos.list_repos() == []


# --- repos ----------------------------------------------------------------------------------------


def test_files_branches_and_commits_of_equal_names_do_not_mix(two) -> None:
    engine = two.engine
    here = two.put("data", {"a": "default\n"})
    there = two.put("p/data", {"a": "p\n", "b/c": "p too\n"})
    engine.branches.create_branch("p/data", "dev", head="master")
    copied = two.put("p/data", {"d": "3\n"}, branch="dev")

    assert (here.repo, there.repo) == ("data", "p/data")
    assert two.tree("data") == {"a": "default\n"}
    assert two.tree("p/data") == {"a": "p\n", "b/c": "p too\n"}
    assert two.tree("p/data", "dev") == {"a": "p\n", "b/c": "p too\n", "d": "3\n"}
    assert [b.name for b in engine.branches.list_branches("data")] == ["master"]
    assert [c.id for c in engine.commits.list_commits("p/data", to="dev")] == [
        copied.id,
        there.id,
    ]
    assert [c.id for c in engine.commits.list_commits("data")] == [here.id]
    found = engine.files.inspect_file("p/data", "master", "/b/c")
    assert (found.repo, found.commit) == ("p/data", there.id)
    assert engine.commits.inspect_run(there.id).commits == (CommitName(repo="p/data", id=there.id),)


def test_repos_are_listed_by_project_and_all_at_once(two) -> None:
    repos = two.engine.repos
    repos.create_repo("p/only")

    assert [info.name for info in repos.list_repos(project="p")] == ["p/only", "p/data"]
    assert [info.name for info in repos.list_repos(project="default")] == ["data"]
    assert [info.name for info in repos.list_repos()] == ["p/only", "p/data", "data"]


def test_a_repo_goes_from_its_own_project_only(two) -> None:
    two.engine.repos.create_repo("p/data", description="changed", update=True)
    two.engine.repos.delete_repo("data")

    assert two.engine.repos.inspect_repo("p/data").description == "changed"
    with pytest.raises(RepoNotFound, match="no repo 'data'; did you mean 'p/data'"):
        two.engine.repos.inspect_repo("data")
    with pytest.raises(AlreadyExists, match="repo 'p/data' already exists"):
        two.engine.repos.create_repo("p/data")
    two.engine.repos.create_repo("data")


def test_provenance_by_hand_crosses_projects(two) -> None:
    two.put("data", {"a": "1\n"})
    two.engine.repos.create_repo("p/derived")
    info = two.engine.branches.create_branch("p/derived", "master", provenance=["data@master"])
    source = two.put("data", {"a": "2\n"})
    derived = two.engine.commits.inspect_commit("p/derived", "master")

    assert [str(name) for name in info.provenance] == ["data@master"]
    assert (derived.id, derived.provenance) == (
        source.id,
        (CommitName(repo="data", id=source.id),),
    )
    with pytest.raises(InUse, match="p/derived@master is derived from it"):
        two.engine.repos.delete_repo("data")


def test_files_are_copied_between_projects(two) -> None:
    from trunkline.api.changes import CopyFile

    two.put("data", {"a": "apple\n"})
    copy = CopyFile(path="b", source_repo="data", source_commit="master", source_path="a")
    two.engine.files.modify_files("p/data", "master", [copy])

    assert two.tree("p/data") == {"b": "apple\n"}


# --- pipelines ------------------------------------------------------------------------------------


def test_pipelines_of_equal_names_share_nothing(two) -> None:
    two.put("data", {"a": "same\n"})
    two.put("p/data", {"a": "same\n"})
    here = spec("work", "default", {"repo": "data"})
    there = spec("work", "p", {"repo": "data"})
    two.engine.pipelines.create_pipeline(here)
    first = two.job("work")
    two.engine.pipelines.create_pipeline(there)
    second = two.job("p/work")
    keys = [
        next(iter(two.engine.datums.list_datums(f"{job.pipeline}@{job.id}")))
        for job in (first, second)
    ]
    two.engine.pipelines.create_pipeline(
        spec("work", "p", {"repo": "data"}, UPPER.replace("a-z A-Z", "a-z 0-9")), update=True
    )
    updated = two.job("p/work")

    assert (first.processed, second.processed) == (1, 1)  # nothing remembered of the other
    assert (second.pipeline, second.output_repo) == ("p/work", "p/work")
    assert [datum.state for datum in keys] == [DatumState.SUCCESS] * 2
    assert keys[0].id != keys[1].id
    assert [i.repo for datum in keys for i in datum.inputs] == ["data", "p/data"]
    assert updated.pipeline_version == 2
    assert two.engine.pipelines.inspect_pipeline("work").version == 1
    assert two.tree("work") == {"a": "SAME\n"}
    assert two.tree("p/work") != {"a": "SAME\n"}
    assert {b.name for b in two.engine.branches.list_branches("p/__spec__")} == {"work"}


def test_equal_work_in_one_project_is_still_remembered(two) -> None:
    two.put("p/data", {"a": "x\n"})
    two.engine.pipelines.create_pipeline(spec("work", "p", {"repo": "data"}))
    two.job("p/work")
    two.put("p/data", {"b": "y\n"})
    job = two.job("p/work")

    assert (job.processed, job.skipped) == (1, 1)


def test_a_pipeline_across_projects_is_one_run(two) -> None:
    engine = two.engine
    engine.projects.create_project("q")
    two.put("data", {"a": "apple\n"})
    engine.pipelines.create_pipeline(spec("one", "p", {"project": "default", "repo": "data"}))
    engine.pipelines.create_pipeline(
        spec("two", "q", {"project": "p", "repo": "one", "name": "data"})
    )
    two.job("q/two")
    put = two.put("data", {"b": "bear\n"})
    last = two.job("q/two")
    commit = engine.commits.inspect_commit("q/two", put.id)

    assert last.id == put.id
    assert last.state is JobState.SUCCESS
    assert two.tree("q/two") == {"a": "APPLE\n", "b": "BEAR\n"}
    assert {name.repo for name in commit.provenance} == {
        *("data", "p/one"),
        *("p/__spec__", "q/__spec__"),
    }
    assert engine.pipelines.inspect_pipeline("q/two").input == "p/one:/*"
    assert last.spec["input"]["pfs"]["commit"] == put.id
    run = engine.commits.inspect_run(put.id)
    assert run.jobs == ("p/one", "q/two")
    flushed = [c.repo for c in engine.commits.flush_commits([f"data@{put.id}"])]
    assert flushed == ["p/one", "q/two"]
    jobs = engine.jobs.flush_jobs([f"p/one@{put.id}"], pipelines=["q/two"])
    assert [job.pipeline for job in jobs] == ["q/two"]
    with pytest.raises(InUse, match="derived q/two@master"):
        engine.pipelines.delete_pipeline("p/one")


def test_an_input_without_a_project_is_in_that_of_the_pipeline(two) -> None:
    two.put("p/data", {"a": "p\n"})
    [draft] = two.engine.pipelines.validate_specs(
        """{"pipeline": {"name": "w"}, "input": {"pfs": {"repo": "data", "glob": "/"}},
            "transform": {"cmd": ["true"]}}""",
        project="p",
    )
    created = two.engine.pipelines.create_pipeline(draft.spec)

    assert (draft.name, created.name, created.input) == ("p/w", "p/w", "p/data:/")
    assert draft.spec["pipeline"] == {"name": "w", "project": {"name": "p"}}
    assert created.spec["input"]["pfs"]["project"] == "p"
    with pytest.raises(RepoNotFound, match="no repo 'p/none'"):
        two.engine.pipelines.create_pipeline(spec("x", "p", {"repo": "none"}))


def test_user_code_sees_bare_names_and_its_project(two) -> None:
    two.put("p/data", {"a": "x\n"})
    script = 'echo "$data $PPS_PROJECT_NAME $PPS_PIPELINE_NAME $TRUNKLINE_PROJECT_NAME"'
    two.engine.pipelines.create_pipeline(spec("work", "p", {"repo": "data"}, script))
    job = two.job("p/work")

    assert two.logs("p/work") == ["/pfs/data/a p work p"]
    [line] = two.engine.datums.get_logs(job=f"p/work@{job.id}")
    assert line.pipeline == "p/work"


def test_jobs_are_found_by_full_name_and_listed_by_project(two) -> None:
    two.put("data", {"a": "1\n"})
    two.put("p/data", {"a": "2\n"})
    two.engine.pipelines.create_pipeline(spec("work", "default", {"repo": "data"}))
    two.engine.pipelines.create_pipeline(spec("work", "p", {"repo": "data"}))
    here, there = two.job("work"), two.job("p/work")
    jobs = two.engine.jobs

    def listed(project: str | None) -> list[str]:
        return [job.pipeline for job in jobs.list_jobs(project=project)]

    assert (listed("p"), listed("default"), listed(None)) == (
        ["p/work"],
        ["work"],
        ["p/work", "work"],
    )
    assert jobs.inspect_job(f"p/work/{there.id}").id == there.id
    assert jobs.inspect_job(f"work/{here.id}").id == here.id
    with pytest.raises(JobNotFound):
        jobs.inspect_job(f"work@{there.id}")
    assert [w.pipeline for w in jobs.list_workers(pipeline="p/work")] == ["p/work"]


def test_stopping_and_deleting_a_pipeline_leaves_its_namesake_alone(two) -> None:
    pipelines = two.engine.pipelines
    for project in ("default", "p"):
        pipelines.create_pipeline(spec("work", project, {"repo": "data"}))
    pipelines.stop_pipeline("p/work")
    two.put("data", {"a": "1\n"})
    two.put("p/data", {"a": "1\n"})
    done = two.job("work")
    pipelines.delete_pipeline("work")
    pipelines.start_pipeline("p/work")
    late = two.job("p/work")

    assert done.state is late.state is JobState.SUCCESS
    with pytest.raises(PipelineNotFound, match="did you mean 'p/work'"):
        pipelines.inspect_pipeline("work")
    assert [info.name for info in pipelines.list_pipelines(project="p")] == ["p/work"]
    with pytest.raises(InUse, match="p/__spec__@work holds the specs of pipeline 'p/work'"):
        two.engine.branches.delete_branch("p/__spec__", "work")
    with pytest.raises(InUse, match="holds the output of pipeline 'p/work'"):
        two.engine.repos.delete_repo("p/work")
    with pytest.raises(InUse, match="holds the specs"):
        two.engine.repos.delete_repo("p/__spec__", force=True)


def test_projects_are_there_after_a_restart(open_engine: Callable[..., Any]) -> None:
    before = open_engine()
    before.engine.projects.create_project("p")
    before.engine.repos.create_repo("p/data")
    before.put("p/data", {"a": "x\n"})
    before.engine.pipelines.create_pipeline(spec("work", "p", {"repo": "data"}))
    before.job("p/work")
    before.engine.close()

    after = open_engine(before.home)
    after.put("p/data", {"b": "y\n"})
    job = after.job("p/work")

    assert (job.processed, job.skipped) == (1, 1)
    assert after.tree("p/work") == {"a": "X\n", "b": "Y\n"}


def test_a_reference_that_is_none_says_so(two) -> None:
    with pytest.raises(InvalidReference):
        two.engine.commits.inspect_commit("p/data", "a/b")


def test_a_project_can_be_deleted_while_its_jobs_run(two) -> None:
    two.put("data", {"a": "x\n"})
    two.put("p/data", {"a": "x\n"})
    two.engine.pipelines.create_pipeline(spec("slow", "p", {"repo": "data"}, "sleep 600"))
    two.engine.pipelines.create_pipeline(
        spec("reads", "default", {"project": "p", "repo": "data"}, "sleep 600")
    )
    waiting = next(iter(two.engine.datums.get_logs(pipeline="p/slow")), None)

    two.engine.projects.delete_project("p", force=True)
    read = two.job("reads")
    two.engine.pipelines.create_pipeline(spec("slow", "default", {"repo": "data"}))

    assert waiting is None
    assert (read.state, read.reason) == (JobState.KILLED, "its input repo 'p/data' was deleted")
    assert two.job("slow").state is JobState.SUCCESS
    assert two.engine.admin.fsck().damages == ()


def test_what_a_deleted_project_held_comes_back_into_a_new_one(engine) -> None:
    operations = engine.engine
    operations.projects.create_project("p")
    operations.repos.create_repo("p/data")
    first = engine.put("p/data", {"a": "x\n"})
    operations.pipelines.create_pipeline(spec("work", "p", {"repo": "data"}))
    engine.job("p/work")
    operations.projects.delete_project("p", force=True)

    with pytest.raises(Conflict, match="make it again first, with `create project p`"):
        operations.trash.undelete("repo", "p/data")
    operations.projects.create_project("p")
    operations.trash.undelete("repo", "p/data")
    operations.trash.undelete("repo", "p/__spec__")
    operations.trash.undelete("pipeline", "p/work")
    put = engine.put("p/data", {"b": "y\n"})
    job = engine.job("p/work")

    assert [info.name for info in operations.projects.list_projects()] == ["p", "default"]
    assert [c.id for c in operations.commits.list_commits("p/data")] == [put.id, first.id]
    assert (job.id, job.processed, job.skipped) == (put.id, 1, 1)
    assert operations.admin.fsck().damages == ()
