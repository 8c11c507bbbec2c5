"""Commits, runs and jobs together: what one change sets off, and what is refused.

Run on both implementations of the operations: embedded, and over HTTP against a server process.
"""

import threading

import pytest

from trunkline.api.changes import CopyFile, PutFile, read_changes
from trunkline.errors import (
    AlreadyExists,
    BranchNotFound,
    CommitFinished,
    CommitNotFound,
    Conflict,
    FileNotFoundInCommit,
    InUse,
    InvalidInput,
    InvalidName,
    InvalidPath,
    InvalidReference,
    NotFound,
    OutputBranch,
    PathConflict,
    PipelineNotFound,
    ProvenanceLoop,
    RepoNotFound,
    StoreInUse,
    StoreTooNew,
    TimedOut,
    TooManyDatums,
)
from trunkline.model.jobs import JobState


@pytest.fixture(params=["embedded", "remote"])
def engine(request, open_engine):
    return open_engine() if request.param == "embedded" else request.getfixturevalue("remote")


@pytest.fixture
def chain(engine):
    """data → one → two, with a job done in each."""
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "apple\n"})
    engine.pipeline("one", "cp $data /pfs/out/")
    engine.pipeline("two", "cp $one /pfs/out/", source="one")
    assert engine.job("two").state is JobState.SUCCESS
    return engine


def test_one_put_makes_one_run_with_a_commit_and_a_job_in_each_stage(chain) -> None:
    run = chain.put("data", {"b": "bear\n"}).id

    jobs = list(chain.engine.jobs.list_jobs(run=run))
    info = chain.engine.commits.inspect_run(run, wait=True)

    assert [job.pipeline for job in jobs] == ["two", "one"]
    assert {str(name) for name in info.commits} == {f"{r}@{run}" for r in ("data", "one", "two")}
    assert chain.tree("two") == {"a": "apple\n", "b": "bear\n"}


def test_full_provenance_names_data_and_one_spec_per_pipeline(chain) -> None:
    commit = chain.engine.commits.inspect_commit("two", "master")

    assert sorted(name.repo for name in commit.provenance) == [
        "__spec__",
        "__spec__",
        "data",
        "one",
    ]
    for name in commit.provenance:
        assert list(chain.engine.files.list_files(name.repo, name.id, "/"))


def test_jobs_wait_for_an_open_commit_and_start_when_it_is_finished(chain) -> None:
    started = chain.engine.commits.start_commit("data", branch="master")
    chain.engine.files.modify_files("data", "master", [PutFile(path="c", content=[b"cat\n"])])
    waiting = [job.state for job in chain.engine.jobs.list_jobs(run=started.id)]

    chain.engine.commits.finish_commit("data", started.id)

    assert waiting == [JobState.STARTING, JobState.STARTING]
    assert chain.job("two").state is JobState.SUCCESS
    assert chain.tree("two")["c"] == "cat\n"


def test_raising_parallelism_skips_every_datum_and_starts_the_workers(chain) -> None:
    chain.pipeline("one", "cp $data /pfs/out/", update=True, parallelism_spec={"constant": "3"})

    job = chain.job("one")
    workers = chain.engine.jobs.list_workers(pipeline="one")

    assert (job.processed, job.skipped, job.downloaded_bytes) == (0, 1, 0)
    assert len([worker for worker in workers if worker.version == 2]) == 3


def test_new_code_reprocesses_and_reprocess_forgets(chain) -> None:
    chain.pipeline("one", "tr a-z A-Z < $data > /pfs/out/a", update=True)
    changed = chain.job("one")
    chain.pipeline("one", "tr a-z A-Z < $data > /pfs/out/a", update=True, reprocess=True)
    forced = chain.job("one")

    assert (changed.processed, forced.processed) == (1, 1)
    assert chain.job("two").state is JobState.SUCCESS
    assert chain.tree("two") == {"a": "APPLE\n"}


def test_a_vanished_input_takes_its_output_with_it(chain) -> None:
    chain.put("data", {"b": "bear\n"})
    chain.job("two")

    chain.delete("data", "a")

    assert chain.job("two").state is JobState.SUCCESS
    assert chain.tree("two") == {"b": "bear\n"}


def test_data_put_again_is_remembered_from_long_ago(chain) -> None:
    chain.delete("data", "a")
    chain.job("one")
    chain.put("data", {"a": "apple\n"})

    job = chain.job("one")

    assert (job.processed, job.skipped) == (0, 1)
    assert chain.tree("one") == {"a": "apple\n"}


def test_a_stopped_pipeline_makes_one_job_for_all_it_missed(chain) -> None:
    chain.engine.pipelines.stop_pipeline("one")
    before = len(list(chain.engine.jobs.list_jobs(pipeline="one")))
    for text in ("1\n", "2\n", "3\n"):
        chain.put("data", {"n": text})
    during = len(list(chain.engine.jobs.list_jobs(pipeline="one")))

    chain.engine.pipelines.start_pipeline("one")
    chain.job("two")
    after = len(list(chain.engine.jobs.list_jobs(pipeline="one")))

    assert (during - before, after - during) == (0, 1)
    assert chain.tree("two") == {"a": "apple\n", "n": "3\n"}


def test_a_rerun_takes_over_what_succeeded_and_runs_what_failed(chain, tmp_path) -> None:
    marker = tmp_path / "there"
    chain.put("data", {"b": "bear\n"})
    chain.pipeline(
        "picky", f"[ $data = /pfs/data/a ] || [ -e {marker} ] && cp $data /pfs/out/", datum_tries=1
    )
    failed = chain.job("picky")
    marker.touch()

    info = chain.engine.pipelines.rerun_pipeline("picky")
    again = chain.job("picky")
    chain.engine.pipelines.rerun_pipeline("picky", reprocess=True)
    anew = chain.job("picky")

    assert (failed.state, failed.processed, failed.failed) == (JobState.FAILURE, 1, 1)
    assert (again.state, again.processed, again.skipped) == (JobState.SUCCESS, 1, 1)
    assert (anew.state, anew.processed, anew.skipped) == (JobState.SUCCESS, 2, 0)
    assert info.version == again.pipeline_version == 2
    assert info.salt != chain.engine.pipelines.inspect_pipeline("picky").salt
    assert info.spec == chain.engine.pipelines.inspect_pipeline("picky").spec
    assert chain.tree("picky") == {"a": "apple\n", "b": "bear\n"}


def test_a_pipeline_that_is_stopped_or_missing_is_not_rerun(chain) -> None:
    chain.engine.pipelines.stop_pipeline("one")

    with pytest.raises(Conflict, match="pipeline 'one' is stopped; `start pipeline`"):
        chain.engine.pipelines.rerun_pipeline("one")
    with pytest.raises(PipelineNotFound):
        chain.engine.pipelines.rerun_pipeline("onee")
    assert chain.engine.pipelines.inspect_pipeline("one").version == 1


def test_a_stopped_run_has_all_its_jobs_killed_at_once(chain) -> None:
    started = chain.engine.commits.start_commit("data", branch="master")

    for _ in range(2):
        chain.engine.jobs.stop_run(started.id)

        jobs = list(chain.engine.jobs.list_jobs(run=started.id))
        assert [(job.pipeline, job.state, job.reason) for job in jobs] == [
            ("two", JobState.KILLED, "stopped by a user"),
            ("one", JobState.KILLED, "stopped by a user"),
        ]
    others = {job.state for job in chain.engine.jobs.list_jobs() if job.id != started.id}
    assert others == {JobState.SUCCESS}
    with pytest.raises(NotFound):
        chain.engine.jobs.stop_run("0" * 32)


def test_a_stopped_job_is_killed_with_an_empty_commit_and_its_datums_stay_remembered(
    chain,
) -> None:
    chain.put("data", {"slow": "s\n"})
    chain.job("one")
    chain.pipeline("long", "[ $(basename $data) = a ] || sleep 600; cp $data /pfs/out/")
    [job] = chain.engine.jobs.list_jobs(pipeline="long", number=1)
    _until(lambda: chain.engine.jobs.inspect_job(f"long@{job.id}").processed == 1)

    chain.engine.jobs.stop_job(f"long@{job.id}")
    stopped = chain.job("long")
    chain.delete("data", "slow")
    following = chain.job("long")

    assert stopped.state is JobState.KILLED
    assert chain.tree("long", job.id) == {}
    assert (following.state, following.skipped) == (JobState.SUCCESS, 1)


def test_deleting_a_commit_takes_what_was_made_from_it(chain) -> None:
    run = chain.put("data", {"b": "bear\n"}).id
    chain.job("two")

    chain.engine.commits.delete_commit("data", run)

    assert chain.tree("two") == {"a": "apple\n"}
    assert list(chain.engine.jobs.list_jobs(run=run)) == []
    with pytest.raises(CommitNotFound):
        chain.engine.commits.inspect_commit("one", run)


def test_moving_a_branch_processes_what_was_staged(chain) -> None:
    chain.put("data", {"s": "staged\n"}, branch="staging")
    before = len(list(chain.engine.jobs.list_jobs()))

    chain.engine.branches.create_branch("data", "master", head="staging")

    assert len(list(chain.engine.jobs.list_jobs())) == before + 2
    chain.job("two")
    assert chain.tree("two") == {"s": "staged\n"}


def test_a_pipeline_may_read_two_branches_of_one_repo(engine) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "1"}, branch="left")
    engine.put("data", {"a": "2"}, branch="right")
    engine.engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": "both"},
            "transform": {"cmd": ["sh"], "stdin": ["cat $left $right > /pfs/out/sum"]},
            "input": {
                "cross": [
                    {"pfs": {"name": "left", "repo": "data", "branch": "left", "glob": "/*"}},
                    {"pfs": {"name": "right", "repo": "data", "branch": "right", "glob": "/*"}},
                ]
            },
        }
    )
    engine.job("both")
    engine.put("data", {"a": "3"}, branch="right")

    assert engine.job("both").state is JobState.SUCCESS
    assert engine.tree("both") == {"sum": "13"}


def test_flushing_a_commit_gives_what_was_made_from_it_upstream_first(chain) -> None:
    run = chain.put("data", {"b": "bear\n"}).id

    commits = list(chain.engine.commits.flush_commits([f"data@{run}"]))
    jobs = list(chain.engine.jobs.flush_jobs([f"data@{run}"], pipelines=["two"]))

    assert [commit.repo for commit in commits] == ["one", "two"]
    assert all(commit.finished for commit in commits)
    assert [(job.pipeline, job.state) for job in jobs] == [("two", JobState.SUCCESS)]


def test_a_subscriber_sees_each_commit_once_and_in_order(engine) -> None:
    engine.engine.repos.create_repo("data")
    ids = [engine.put("data", {"n": str(n)}).id for n in range(3)]
    stream = engine.engine.commits.subscribe_commits("data", "master")
    seen = [next(stream).id for _ in ids]
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(next(stream).id))
    reader.start()

    newest = engine.put("data", {"n": "9"}).id
    reader.join(30)

    assert seen == ids
    assert got == [newest]


def test_waiting_has_a_limit(chain) -> None:
    commit = chain.engine.commits.start_commit("data", branch="master")

    with pytest.raises(TimedOut, match="0.2 s"):
        chain.engine.commits.inspect_commit("data", commit.id, wait=True, timeout_s=0.2)


def test_logs_can_be_followed_while_a_datum_runs(chain) -> None:
    chain.pipeline("talk", "echo first; sleep 600", glob="/")
    [job] = chain.engine.jobs.list_jobs(pipeline="talk", number=1)

    stream = chain.engine.datums.get_logs(job=f"talk@{job.id}", follow=True)
    first = next(stream)
    chain.engine.jobs.stop_job(f"talk@{job.id}")

    assert (first.message, first.stream, first.user) == ("first", "stdout", True)
    assert [line.message for line in stream if line.user] == []


def test_logs_are_searched_by_text_and_time(chain) -> None:
    chain.pipeline("talk", "echo loss 0.5; echo loss 0.4; echo done", glob="/")
    chain.job("talk")

    def found(**options: object) -> list[str]:
        lines = chain.engine.datums.get_logs(pipeline="talk", **options)
        return [line.message for line in lines if line.user]

    assert found(text="loss") == ["loss 0.5", "loss 0.4"]
    assert found(text="loss", tail=1) == ["loss 0.4"]
    assert found(text="loss", follow=False, since_s=3600, until_s=0) == ["loss 0.5", "loss 0.4"]
    assert found(until_s=3600) == []
    with pytest.raises(InvalidInput, match="choose one"):
        found(follow=True, until_s=1)


def test_a_running_datum_can_be_restarted(chain) -> None:
    chain.pipeline("talk", "echo begun; sleep 600", glob="/*")
    [job] = chain.engine.jobs.list_jobs(pipeline="talk", number=1)
    name = f"talk@{job.id}"
    stream = chain.engine.datums.get_logs(job=name, follow=True)
    next(stream)

    restarted = chain.engine.datums.restart_datums(name, ["a"])

    assert restarted == 1
    assert next(stream).message == "begun"
    chain.engine.jobs.stop_job(name)


def test_copying_moves_no_bytes(chain) -> None:
    before = chain.engine.admin.status().stored_bytes
    chain.put("data", {"big": bytes(range(256)) * 40_000})
    stored = chain.engine.admin.status().stored_bytes - before
    chain.engine.repos.create_repo("copies")

    copy = CopyFile(path="there", source_repo="data", source_commit="master", source_path="big")
    chain.engine.files.modify_files("copies", "master", [copy])

    [there] = chain.engine.files.list_files("copies", "master", "there")
    [big] = chain.engine.files.list_files("data", "master", "big")
    assert (there.digest, there.size_bytes) == (big.digest, 256 * 40_000)
    assert chain.engine.admin.status().stored_bytes - before - stored < 4096


# --- what is refused, with nothing changed --------------------------------------------------------


def _state(driver) -> object:
    operations = driver.engine
    return (
        [repo.name for repo in operations.repos.list_repos()],
        [
            (b.repo, b.name, b.head)
            for r in operations.repos.list_repos()
            for b in operations.branches.list_branches(r.name)
        ],
        [p.name for p in operations.pipelines.list_pipelines()],
        [(job.pipeline, job.id) for job in operations.jobs.list_jobs()],
    )


def _spec(name: str, **source: str) -> dict[str, object]:
    return {
        "pipeline": {"name": name},
        "transform": {"cmd": ["true"]},
        "input": {"pfs": {"glob": "/*", **source}},
    }


REFUSED = [
    (RepoNotFound, lambda e: e.files.modify_files("nope", "master", [])),
    (RepoNotFound, lambda e: e.repos.inspect_repo("dta")),
    (BranchNotFound, lambda e: e.commits.inspect_commit("data", "nope")),
    (CommitNotFound, lambda e: e.commits.inspect_commit("data", "master^9")),
    (CommitNotFound, lambda e: e.commits.inspect_commit("data", "0" * 12 + "4" + "0" * 19)),
    (FileNotFoundInCommit, lambda e: list(e.files.read_file("data", "master", "nope"))),
    (InvalidName, lambda e: e.repos.create_repo("sp ace")),
    (InvalidName, lambda e: e.repos.create_repo("")),
    (InvalidName, lambda e: e.repos.create_repo("a" * 5000)),
    (InvalidReference, lambda e: e.files.modify_files("data", "é", [])),
    (AlreadyExists, lambda e: e.repos.create_repo("data")),
    (InUse, lambda e: e.repos.delete_repo("data")),
    (InUse, lambda e: e.repos.delete_repo("one")),
    (InUse, lambda e: e.pipelines.delete_pipeline("one")),
    (OutputBranch, lambda e: e.commits.start_commit("one", branch="master")),
    (OutputBranch, lambda e: e.files.modify_files("one", "master", [])),
    (OutputBranch, lambda e: e.branches.create_branch("one", "master", head="master^")),
    (CommitFinished, lambda e: e.commits.finish_commit("data", "master")),
    (AlreadyExists, lambda e: e.pipelines.create_pipeline(_spec("one", repo="data"))),
    (PipelineNotFound, lambda e: e.pipelines.create_pipeline(_spec("x", repo="data"), update=True)),
    (RepoNotFound, lambda e: e.pipelines.create_pipeline(_spec("x", repo="nope"))),
    (ProvenanceLoop, lambda e: e.pipelines.create_pipeline(_spec("one", repo="two"), update=True)),
    (
        ProvenanceLoop,
        lambda e: e.branches.create_branch("data", "master", provenance=["two@master"]),
    ),
    (PipelineNotFound, lambda e: e.pipelines.inspect_pipeline("twoo")),
    (InvalidInput, lambda e: list(e.datums.get_logs())),
]


def test_bad_requests_are_refused_and_change_nothing(chain) -> None:
    before = _state(chain)

    for number, (error, action) in enumerate(REFUSED):
        with pytest.raises(error) as raised:
            action(chain.engine)

        assert _state(chain) == before, number
        assert "\n" not in str(raised.value), number


def test_paths_that_no_commit_can_hold_are_refused(chain) -> None:
    before = _state(chain)
    paths = ["../x", "a/../b", "a\0b", "a\nb", "x" * 5000, "\udcff", "a//b", "./a", "", "x" * 256]

    for path in paths:
        with pytest.raises(InvalidPath):
            chain.put("data", {"fine": "x", path: "y"})

        assert _state(chain) == before, path


def test_a_file_below_a_file_is_refused_and_the_open_commit_stays_open(chain) -> None:
    with pytest.raises(PathConflict):
        chain.put("data", {"a/b": "x"})
    commit = chain.engine.commits.start_commit("data", branch="master")
    chain.put("data", {"a/b": "x"})
    with pytest.raises(PathConflict):
        chain.engine.commits.finish_commit("data", commit.id)
    chain.delete("data", "a")
    chain.put("data", {"a/b": "x"})

    finished = chain.engine.commits.finish_commit("data", commit.id)

    assert finished.files == 1


def test_a_billion_datums_are_counted_and_refused_with_the_number(engine) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {f"{n:04}": "" for n in range(1000)})
    members = [{"pfs": {"name": f"i{n}", "repo": "data", "glob": "/*"}} for n in range(3)]

    with pytest.raises(TooManyDatums, match="1,000,000,000 datums"):
        engine.engine.pipelines.create_pipeline(
            {
                "pipeline": {"name": "huge"},
                "transform": {"cmd": ["true"]},
                "input": {"cross": members},
            }
        )

    assert engine.engine.pipelines.list_pipelines() == []


def test_two_engines_can_not_have_one_directory(open_engine) -> None:
    first = open_engine()

    with pytest.raises(StoreInUse, match="pid"):
        open_engine(first.home)


def test_a_directory_of_a_newer_format_is_refused_and_left_alone(open_engine, tmp_path) -> None:
    home = tmp_path / "newer"
    home.mkdir()
    (home / "FORMAT").write_text("trunkline 99\n")

    with pytest.raises(StoreTooNew, match="format 99"):
        open_engine(home)

    assert sorted(path.name for path in home.iterdir()) == ["FORMAT", "engine.lock"]


def test_everything_is_there_after_closing_and_opening_again(open_engine) -> None:
    first = open_engine()
    first.engine.repos.create_repo("data")
    first.put("data", {"a": "apple\n"})
    first.pipeline("slow", "sleep 1; cp $data /pfs/out/")
    first.engine.close()

    second = open_engine(first.home)

    assert second.job("slow").state is JobState.SUCCESS
    assert second.tree("slow") == {"a": "apple\n"}
    assert second.engine.admin.fsck().damages == ()


def test_delete_all_leaves_nothing(chain) -> None:
    chain.engine.admin.delete_all()

    assert _state(chain) == ([], [], [], [])
    assert chain.engine.repos.create_repo("data") is None


def _until(condition) -> None:
    """Wait for something that another process does, for at most a minute."""
    import time

    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_long_history_is_listed_page_by_page(engine) -> None:
    engine.engine.repos.create_repo("data")
    ids = [engine.put("data", {"n": str(n)}).id for n in range(405)][::-1]

    everything = [c.id for c in engine.engine.commits.list_commits("data")]
    ancestors = [c.id for c in engine.engine.commits.list_commits("data", to="master")]
    some = [c.id for c in engine.engine.commits.list_commits("data", number=300)]
    newest = engine.engine.commits.list_commits("data", to="master", after=ids[250])

    assert everything == ancestors == ids
    assert some == ids[:300]
    assert [c.id for c in newest] == ids[:250]


def test_a_tree_is_read_in_one_stream(chain) -> None:
    chain.put("data", {"dir/x": "x\n", "dir/deep/y": "", "dir/large": "z" * 600_000})

    def read(path: str) -> dict[str, bytes]:
        stream = chain.engine.files.read_tree("data", "master", path)
        return {file.path: b"".join(file.content) for file in read_changes(stream)}

    assert read("/dir") == {"deep/y": b"", "large": b"z" * 600_000, "x": b"x\n"}
    assert read("/dir/x") == {"x": b"x\n"}
    assert set(read("/")) == {"a", "dir/deep/y", "dir/large", "dir/x"}
    with pytest.raises(FileNotFoundInCommit):
        read("/nowhere")


@pytest.mark.parametrize("kind", ["pipeline", "repo"])
def test_a_pipeline_follows_again_what_was_deleted_by_force_and_made_anew(
    engine, kind: str
) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "1\n"})

    def make() -> None:
        if kind == "repo":
            engine.engine.repos.create_repo("middle")
            engine.put("middle", {"a": "1\n"})
        else:
            engine.pipeline("middle", "cp -r /pfs/data/* /pfs/out/")
            engine.job("middle")

    make()
    engine.pipeline("last", "cp -r /pfs/middle/* /pfs/out/", source="middle")
    engine.job("last")
    if kind == "repo":
        engine.engine.repos.delete_repo("middle", force=True)
    else:
        engine.engine.pipelines.delete_pipeline("middle", force=True)

    make()
    engine.put("data" if kind == "pipeline" else "middle", {"b": "2\n"})
    engine.job("last" if kind == "repo" else "middle")
    job = engine.job("last")

    assert job.state is JobState.SUCCESS
    assert engine.tree("last") == {"a": "1\n", "b": "2\n"}
    assert engine.engine.admin.fsck().damages == ()


def test_jobs_are_listed_newest_first_over_all_pages(engine, monkeypatch) -> None:
    monkeypatch.setattr("trunkline.engine.jobs._PAGE", 3)
    engine.engine.repos.create_repo("data")
    engine.pipeline("made", "true")
    for number in range(10):
        engine.put("data", {f"{number}": "x"})

    listed = [job.id for job in engine.engine.jobs.list_jobs(pipeline="made")]
    newest_first = [commit.id for commit in engine.engine.commits.list_commits("made")]

    assert listed == newest_first[: len(listed)]
    assert len(listed) == 10
    assert [job.id for job in engine.engine.jobs.list_jobs(number=6)] == listed[:6]
