"""What `plan` foretells is what then happens, and foretelling leaves nothing behind."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.api.changes import DeleteFile, FileChange, PutFile
from trunkline.errors import AlreadyExists, InUse, OutputBranch, ProvenanceLoop, RepoNotFound
from trunkline.model.jobs import JobState
from trunkline.model.plans import Plan, PlannedJob

SPEC = {"transform": {"cmd": ["/bin/sh"], "stdin": ["true"]}}


def put(**files: str) -> list[FileChange]:
    return [PutFile(path=path, content=[text.encode()]) for path, text in files.items()]


def jobs_of(plan: Plan) -> dict[str, PlannedJob]:
    return {job.pipeline: job for job in plan.jobs}


def counted(job: PlannedJob) -> tuple[int, ...]:
    return (job.total, job.new, job.changed, job.removed, job.skipped, job.may_change)


def catalog(engine) -> object:
    """All that users can see of repos, commits, pipelines and jobs."""
    operations = engine.engine
    return (
        operations.repos.list_repos(),
        list(operations.commits.list_all_commits()),
        operations.pipelines.list_pipelines(),
        list(operations.jobs.list_jobs()),
        operations.trash.list_deleted(),
        {
            repo.name: operations.branches.list_branches(repo.name)
            for repo in operations.repos.list_repos()
        },
    )


@pytest.fixture
def chain(engine):
    """data → one → two, with a job done in each over files a, b and c."""
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "apple\n", "b": "bear\n", "c": "cat\n"})
    engine.pipeline("one", "cp $data /pfs/out/")
    engine.pipeline("two", "cp $one /pfs/out/", source="one")
    assert engine.job("two").state is JobState.SUCCESS
    return engine


def test_a_put_is_told_by_datum_and_what_comes_behind_it_is_at_most_everything(chain) -> None:
    before = catalog(chain)

    plan = chain.engine.plans.plan_files(
        "data", "master", [*put(b="boar\n", d="deer\n"), DeleteFile(path="c")]
    )

    one, two = plan.jobs
    assert (one.pipeline, counted(one)) == ("one", (3, 1, 1, 1, 1, 0))
    assert one.size_bytes == len("boar\n") + len("deer\n")
    assert (two.pipeline, counted(two)) == ("two", (3, 0, 0, 0, 0, 3))
    assert two.reads_unknown == ("one@master",)
    assert plan.work
    assert one.datum_s is not None
    assert one.expected_s == pytest.approx(one.datum_s * 2 / one.workers)
    assert catalog(chain) == before


@pytest.mark.parametrize("changed", [False, True])
def test_what_changes_nothing_is_known_to_the_last_stage(chain, changed) -> None:
    if changed:  # the plan of the last good job then goes on from the one before
        chain.put("data", {"b": "boar\n"})
        assert chain.job("two").state is JobState.SUCCESS

    plan = chain.engine.plans.plan_files("data", "master", put(a="apple\n"))

    assert [counted(job) for job in plan.jobs] == [(3, 0, 0, 0, 3, 0)] * 2
    assert (plan.work, plan.expected_s) == (False, 0.0)


def test_new_code_runs_all_datums_and_parallelism_none(chain) -> None:
    def update(script: str, **more: object) -> Plan:
        spec = {
            "pipeline": {"name": "one"},
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "transform": {"cmd": ["/bin/sh"], "stdin": [script]},
            **more,
        }
        return chain.engine.plans.plan_pipelines([spec], update=True)

    before = catalog(chain)
    new_code = jobs_of(update("tr a-z A-Z < $data > /pfs/out/$(basename $data)"))
    faster = update("cp $data /pfs/out/", parallelism_spec={"constant": 2})

    assert counted(new_code["one"]) == (3, 0, 3, 0, 0, 0)
    assert (new_code["one"].version, new_code["two"].may_change) == (2, 3)
    assert counted(jobs_of(faster)["one"]) == (3, 0, 0, 0, 3, 0)
    assert not faster.work
    assert jobs_of(faster)["one"].workers == 2
    assert catalog(chain) == before


def test_pipelines_of_one_document_are_planned_together(chain) -> None:
    specs = [
        {"pipeline": {"name": name}, "input": {"pfs": {"repo": source, "glob": "/*"}}, **SPEC}
        for name, source in (("three", "data"), ("four", "three"))
    ]

    plan = chain.engine.plans.plan_pipelines(specs)

    three, four = plan.jobs
    assert (three.pipeline, counted(three), three.datum_s) == ("three", (3, 3, 0, 0, 0, 0), None)
    assert (four.pipeline, four.total, four.expected_s) == ("four", 0, None)
    assert plan.expected_s is None
    assert [info.name for info in chain.engine.pipelines.list_pipelines()] == ["two", "one"]


def test_what_could_not_be_made_is_refused_by_the_plan_too(chain) -> None:
    plans = chain.engine.plans

    def spec(name: str, source: str) -> dict[str, object]:
        return {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": source, "glob": "/*"}},
            **SPEC,
        }

    with pytest.raises(AlreadyExists):
        plans.plan_pipelines([spec("one", "data")])
    with pytest.raises(RepoNotFound, match="pipeline 'three'"):
        plans.plan_pipelines([spec("three", "nowhere")])
    with pytest.raises(ProvenanceLoop):
        plans.plan_pipelines([spec("one", "two")], update=True)
    with pytest.raises(OutputBranch):
        plans.plan_files("one", "master", put(a="b"))
    with pytest.raises(InUse):
        plans.plan_pipeline_deletion("one")
    with pytest.raises(RepoNotFound):
        plans.plan_files("nowhere", "master", put(a="b"))


def test_deletions_tell_what_goes_and_what_is_stopped(chain) -> None:
    held = chain.engine.commits.start_commit("data", branch="master").id
    before = catalog(chain)

    pipeline = chain.engine.plans.plan_pipeline_deletion("two")
    repo = chain.engine.plans.plan_repo_deletion("data", force=True)

    assert [(entry.kind, entry.name) for entry in pipeline.deleted] == [("pipeline", "two")]
    assert f"two@{held}" in pipeline.stopped
    assert [(entry.kind, entry.name) for entry in repo.deleted] == [("repo", "data")]
    assert f"one@{held}" in repo.stopped
    assert pipeline.work
    assert repo.work
    assert catalog(chain) == before


def test_a_put_into_an_open_commit_is_told_as_if_that_were_finished(chain) -> None:
    chain.engine.commits.start_commit("data", branch="master")
    chain.engine.files.modify_files("data", "master", put(d="deer\n"))
    before = catalog(chain)

    plan = chain.engine.plans.plan_files("data", "master", put(e="eel\n"))

    assert counted(jobs_of(plan)["one"]) == (5, 2, 0, 0, 3, 0)
    assert catalog(chain) == before


def test_datums_in_quarantine_are_not_run_again_and_told_so(engine) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "apple\n", "bad": "bear\n"})
    engine.pipeline(
        *("one", "test ! -e /pfs/data/bad"),
        on_failure={"quarantine": {"max": 1}},
        datum_tries=1,
    )
    assert engine.job("one").failed == 1

    plan = engine.engine.plans.plan_files("data", "master", put(c="cat\n"))
    engine.put("data", {"c": "cat\n"})
    job = engine.job("one")

    [told] = plan.jobs
    assert (told.total, told.new, told.skipped, told.quarantined) == (3, 1, 1, 1)
    assert (job.total, job.processed, job.skipped, job.failed) == (3, 1, 1, 1)


# --- over random trees, globs and changes ---------------------------------------------------------

PATHS = ("a", "b", "x/a", "x/b", "y/a", "y/z/a")
GLOBS = ("/", "/*", "/**", "/x/*", "/*/a", "/{a,x}")
TREES = st.dictionaries(st.sampled_from(PATHS), st.sampled_from("12"), max_size=5)
CHANGES = st.lists(
    st.tuples(st.sampled_from(PATHS), st.sampled_from(["1", "2", "3", None])), max_size=4
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    tree=TREES,
    rounds=st.lists(CHANGES, min_size=1, max_size=3),
    glob=st.sampled_from(GLOBS),
    kind=st.sampled_from(["pfs", "union", "cross"]),
)
def test_what_is_told_of_the_first_stage_is_what_its_job_does(
    engine, tree, rounds, glob, kind
) -> None:
    data, name = (f"{word}{next(_NUMBERS)}" for word in ("data", "one"))
    operations = engine.engine
    operations.repos.create_repo(data)
    operations.files.modify_files(data, "master", put(**tree, keep="k"))
    leaf = {"pfs": {"repo": data, "glob": glob}}
    other = {"pfs": {"repo": data, "glob": "/*", "name": "other" if kind == "cross" else data}}
    spec = {
        "pipeline": {"name": name},
        "input": leaf if kind == "pfs" else {kind: [leaf, other]},
        **SPEC,
    }
    planned = operations.plans.plan_pipelines([spec])
    operations.pipelines.create_pipeline(spec)
    _compare(engine, name, planned, set())
    for changes in rounds:
        what = [
            DeleteFile(path=path) if text is None else PutFile(path=path, content=[text.encode()])
            for path, text in changes
        ]
        before = _places(engine, name)
        planned = operations.plans.plan_files(data, "master", what)
        operations.files.modify_files(data, "master", what)
        _compare(engine, name, planned, before)


_NUMBERS = itertools.count(1)


def _compare(engine, name: str, plan: Plan, before: set[object]) -> None:
    job = engine.job(name)
    assert job.state is JobState.SUCCESS
    [told] = plan.jobs
    now = _places(engine, name)
    assert (told.total, told.new + told.changed, told.skipped) == (
        *(job.total, job.processed, job.skipped),
    )
    assert told.removed == len(before - now)
    assert told.reads_unknown == ()


def _places(engine, name: str) -> set[object]:
    [newest] = engine.engine.jobs.list_jobs(pipeline=name, number=1)
    found = engine.engine.datums.list_datums(f"{name}@{newest.id}")
    return {tuple(sorted((given.name, given.path) for given in datum.inputs)) for datum in found}
