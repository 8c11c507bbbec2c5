"""Git inputs in a whole engine, with real repositories behind real servers: what is pushed is
committed once, and jobs run for it.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from git_remote import Repository, daemon, served
from git_world import COPY, ONCE, GitWorld

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import CommitOpen, Conflict, InUse, NotFound, PipelineNotFound
from trunkline.model.jobs import JobState


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GitWorld]:
    with served(tmp_path / "there") as server:
        made = GitWorld(tmp_path, server)
        yield made
        server.held.set()
        made.engine.close()


def test_each_push_is_a_commit_with_a_job_of_the_same_run(world: GitWorld) -> None:
    first = world.code.push({"train.py": "1", "lib/a.py": "a"}, "First\n\nWith a body.")
    world.create()
    runs = [world.look()]
    second = world.code.push({"train.py": "2"}, "Second")
    runs.append(world.look())

    assert world.told() == [f"master {first} First", f"master {second} Second"]
    assert world.jobs() == [ONCE, ONCE]
    assert [job.id for job in world.engine.jobs.list_jobs(pipeline="build")] == runs[::-1]
    assert world.files() == world.files("build") == {"lib/a.py": "a", "train.py": "2"}
    assert world.git().commit == second
    assert world.engine.repos.inspect_repo("build_models").description == (
        "Checkouts of pipeline build."
    )
    [job, _] = world.engine.jobs.list_jobs(pipeline="build")
    assert job.spec["input"]["git"]["commit"] == runs[1]
    assert world.engine.admin.fsck().damages == ()


def test_where_nothing_is_new_nothing_is_fetched_or_committed(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create()
    world.look()
    before = world.server.fetches()
    again = world.engine.pipelines.run_git("build", wait=True)

    assert (again.run, again.gits[0].problem) == ("", "")
    assert world.server.fetches() == before
    assert len(world.told()) == 1


def test_a_push_that_changes_no_file_gives_no_new_work(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create()
    world.look()
    empty = world.code.push({}, "Nothing")
    world.look()

    assert world.told()[1] == f"master {empty} Nothing"
    assert world.jobs() == [ONCE, (JobState.SUCCESS, 0, 1)]


def test_the_branch_that_is_named_is_followed(world: GitWorld) -> None:
    world.code.push({"train.py": "master"})
    release = world.code.push({"train.py": "release"}, "Out", branch="release/1")
    world.create(branch="release/1")
    world.look()

    assert world.told() == [f"release/1 {release} Out"]
    assert world.files() == {"train.py": "release"}


def test_a_branch_that_is_forced_back_is_followed_back(world: GitWorld) -> None:
    first = world.code.push({"train.py": "1"}, "First")
    world.create()
    world.look()
    world.code.push({"train.py": "2", "more.py": ""}, "Second")
    world.look()
    world.code.git("reset", "-q", "--hard", first)
    world.code.git("push", "-q", "--force", "there", "HEAD:master")
    world.look()

    assert [text.split()[-1] for text in world.told()] == ["First", "Second", "First"]
    assert world.jobs() == [ONCE, ONCE, (JobState.SUCCESS, 0, 1)]
    assert world.files() == world.files("build") == {"train.py": "1"}


def test_a_branch_that_goes_is_told_and_followed_when_it_is_back(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create()
    world.look()
    world.code.delete("master")
    with pytest.raises(NotFound, match="has no branch 'master'"):
        world.look()
    alerts = world.engine.pipelines.inspect_pipeline("build").alerts
    world.code.git("push", "-q", "there", "HEAD:master")
    same = world.look()
    world.code.push({"train.py": "2"})
    world.look()

    assert len(alerts) == 1
    assert "has no branch 'master'" in alerts[0]
    assert same == ""
    assert world.jobs() == [ONCE, ONCE]
    assert world.engine.pipelines.inspect_pipeline("build").alerts == ()


def test_pipelines_that_follow_one_branch_get_it_in_one_run_by_one_look(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create("a")
    world.create("b")
    world.create("both", "true", input={"pfs": {"repo": "a", "glob": "/"}})
    before = world.server.looks()
    run = world.look("a")

    assert world.server.looks() == before + 2  # one asks what is there, one fetches
    assert world.server.fetches() == 1
    names = world.engine.commits.inspect_run(run).commits
    assert {name.repo for name in names} == {"a", "a_models", "b", "b_models", "both"}
    assert world.look("b") == ""


def test_pipelines_may_share_a_repo_of_checkouts(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create("a", repo="shared")
    world.create("b", repo="shared")
    run = world.look("b")

    assert len(world.told("shared")) == 1
    assert len(world.engine.commits.inspect_run(run).jobs) == 2
    with pytest.raises(Conflict, match="follows branch master of .* for pipeline 'a'"):
        world.create("c", repo="shared", branch="other")


def test_two_looks_at_once_make_one_commit(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create()
    runs: list[str] = []
    threads = [threading.Thread(target=lambda: runs.append(world.look())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len([run for run in runs if run]) == 1
    assert len(world.told()) == 1


def test_a_stopped_pipeline_has_one_job_for_all_that_came(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create()
    world.create("other")
    world.look()
    world.jobs()
    world.engine.pipelines.stop_pipeline("build")
    for number in range(3):
        world.code.push({"train.py": f"more {number}"})
        world.look("other")
    with pytest.raises(Conflict, match="'build' is stopped"):
        world.look()
    stopped = world.jobs()
    world.engine.pipelines.start_pipeline("build")

    assert stopped == [ONCE]
    assert len(world.told()) == 4
    assert world.jobs() == [ONCE, ONCE]
    assert world.files("build") == {"train.py": "more 2"}


def test_the_repo_of_checkouts_goes_and_comes_back_with_its_pipeline(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create()
    world.look()
    world.jobs()
    world.engine.pipelines.delete_pipeline("build")
    gone = world.engine.repos.list_repos()
    world.engine.trash.undelete("pipeline", "build")
    same = world.look()
    world.code.push({"train.py": "2"})
    world.look()

    assert (gone, same) == ([], "")
    assert world.jobs() == [ONCE, ONCE]
    assert world.files("build") == {"train.py": "2"}
    assert world.engine.admin.fsck().damages == ()


def test_checkouts_that_are_kept_are_taken_over(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create()
    world.look()
    world.engine.pipelines.delete_pipeline("build", keep_repo=True)
    kept = {repo.name for repo in world.engine.repos.list_repos()}
    world.create()
    world.look()

    assert kept == {"build", "build_models"}
    assert world.files() == {"train.py": "1"}
    world.engine.pipelines.delete_pipeline("build")
    assert "build_models" in {repo.name for repo in world.engine.repos.list_repos()}


def test_an_update_stays_where_it_is_unless_it_follows_something_else(world: GitWorld) -> None:
    world.code.push({"train.py": "1"}, "One")
    world.create()
    world.look()
    world.create(update=True, script=COPY + "; true")
    same = world.look()
    world.code.push({"train.py": "2"}, "Two", branch="other")
    world.create(update=True, branch="other")
    world.look()

    assert same == ""
    assert [text.split()[0] for text in world.told()] == ["master", "other"]
    world.engine.repos.create_repo("data")
    world.create(update=True, input={"pfs": {"repo": "data", "glob": "/"}})
    assert world.engine.pipelines.inspect_pipeline("build").gits == ()
    with pytest.raises(Conflict, match="'build' has no git input; `rerun pipeline build`"):
        world.look()
    with pytest.raises(PipelineNotFound):
        world.look("nobody")


def test_a_repo_or_branch_of_checkouts_is_not_deleted_by_itself(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create()
    world.look()

    with pytest.raises(InUse, match="holds the checkouts of pipeline 'build'; delete that first"):
        world.engine.repos.delete_repo("build_models", force=True)
    with pytest.raises(InUse, match="branch build_models@master holds the checkouts of"):
        world.engine.branches.delete_branch("build_models", "master", force=True)
    clock = {"cron": {"name": "t", "spec": "@daily", "repo": "build_models"}}
    with pytest.raises(Conflict, match="'build_models', which has the checkouts of"):
        world.create("clock", input=clock)
    with pytest.raises(Conflict, match="can't go to repo 'build', which has the output"):
        world.create("again", repo="build")


def test_an_open_commit_is_waited_for_and_other_pipelines_go_on(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create()
    world.create("other")
    world.engine.commits.start_commit("build_models", branch="master")
    run = world.look("other")
    with pytest.raises(CommitOpen, match="finish it with `finish commit build_models@"):
        world.look()
    waits = world.git().problem
    world.engine.commits.finish_commit("build_models", "master")
    later = world.look()

    assert {n.repo for n in world.engine.commits.inspect_run(run).commits} == {
        *("other", "other_models")
    }
    assert "which is needed to commit what is new" in waits
    assert later != ""
    assert world.files() == {"train.py": "1"}


def test_a_checkout_whose_commits_were_all_deleted_is_made_again(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create(script="true")
    world.look()
    world.jobs()
    head = world.engine.branches.inspect_branch("build_models", "master").head
    world.engine.commits.delete_commit("build_models", head)
    again = world.look()

    assert again not in ("", head)
    assert world.files() == {"train.py": "1"}


def test_a_tree_is_taken_as_it_is_tracked(world: GitWorld) -> None:
    work = world.code.work
    work.mkdir(exist_ok=True)
    there = {"same.py": "lib/a.py", "lib/up.py": "../same.py"}
    elsewhere = {
        "out": "/etc",
        "up": "..",
        "here": ".",
        "round": "round",
        "sub": "lib",
        "no": "no.py",
    }
    for link, target in {**there, **elsewhere}.items():
        (work / link).parent.mkdir(exist_ok=True)
        os.symlink(target, work / link)
    attributes = "*.txt eol=crlf text\nsecret.txt export-ignore\n"
    attributes += "*.id ident export-subst filter=lfs\n"
    files = {
        "lib/a.py": "a",
        "text.txt": "1\n2\n",
        "secret.txt": "s\n",
        "x.id": "$Id$ $Format:%H$",
        ".gitattributes": attributes,
        ".gitignore": "",
    }
    commit = world.code.push(files, "All")
    world.create()
    world.look()

    assert world.files() == {**files, "same.py": "a", "lib/up.py": "a"}
    assert world.told() == [f"master {commit} All (without 6 symbolic links to no file of it)"]


def test_a_tree_of_nothing_is_a_commit_of_nothing(world: GitWorld) -> None:
    commit = world.code.push({}, "Grün — ende")
    world.create()
    world.look()

    assert world.files() == {}
    assert world.told() == [f"master {commit} Grün — ende"]


def test_a_submodule_is_left_out(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    commit = world.code.head()
    world.code.git("update-index", "--add", "--cacheinfo", f"160000,{commit},vendor")
    world.code.git("commit", "-q", "-m", "Vendored")
    world.code.git("push", "-q", "there", "HEAD:master")
    world.create()
    world.look()

    assert world.files() == {"train.py": "1"}


def test_a_checkout_is_crossed_with_data(world: GitWorld) -> None:
    world.code.push({"run.sh": "wc -c < $data > /pfs/out/$(basename $data)"})
    world.engine.repos.create_repo("data")
    url = f"{world.server.url}/models.git"
    world.create(
        script=". /pfs/models/run.sh",
        input={"cross": [{"git": {"URL": url}}, {"pfs": {"repo": "data", "glob": "/*"}}]},
    )
    changes = [PutFile(path="one", content=[b"1"]), PutFile(path="two", content=[b"22"])]
    world.engine.files.modify_files("data", "master", changes)
    world.look()

    assert world.jobs()[-1] == (JobState.SUCCESS, 2, 0)
    assert {path: text.strip() for path, text in world.files("build").items()} == {
        "one": "1",
        "two": "2",
    }


# --- by itself ------------------------------------------------------------------------------------


def test_a_daemon_is_followed_by_itself(tmp_path: Path) -> None:
    code = Repository(tmp_path / "there")
    first = code.push({"train.py": "1"}, "First")
    config = load(
        {
            "HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
            "TRUNKLINE_FETCH_ALLOW": "127.0.0.0/8",
            "TRUNKLINE_GIT_POLL_S": "0.1",
        },
        home=tmp_path / "home",
    )
    engine = Engine(config)
    try:
        with daemon(tmp_path / "there") as url:
            engine.pipelines.create_pipeline(
                {
                    "pipeline": {"name": "build"},
                    "transform": {"cmd": ["/bin/sh"], "stdin": [COPY]},
                    "input": {"git": {"URL": f"{url}/models.git"}},
                }
            )
            coming = engine.commits.subscribe_commits("build", "master", timeout_s=60)
            next(coming)
            second = code.push({"train.py": "2"}, "Second")
            done = next(coming)
        told = [info.description for info in engine.commits.list_commits("build_models")]
        assert told == [f"master {second} Second", f"master {first} First"]
        assert b"".join(engine.files.read_file("build", done.id, "train.py")) == b"2"
    finally:
        engine.close()


def test_a_look_is_brought_forward_for_who_does_not_wait(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create()
    answer = world.engine.pipelines.run_git("build")
    coming = world.engine.commits.subscribe_commits("build", "master", timeout_s=60)

    assert answer.run == ""
    assert next(coming).files == 1


def test_a_remote_that_does_not_answer_keeps_no_engine_open(world: GitWorld) -> None:
    world.code.push({"train.py": "1"})
    world.create()
    world.server.held.clear()
    world.engine.pipelines.run_git("build")
    while not world.server.fetches():
        threading.Event().wait(0.01)
    world.restart()
    world.server.held.set()

    assert world.told() == []
    assert world.look() != ""
    assert len(world.told()) == 1


def test_remotes_that_fail_are_looked_at_less_and_less_often(world: GitWorld) -> None:
    looks = world.engine._gits
    pauses = [looks._pause_s(failures) for failures in range(4)]
    assert pauses == [float("inf")] * 4
    world.restart(TRUNKLINE_GIT_POLL_S="60")
    looks = world.engine._gits
    assert [looks._pause_s(failures) for failures in (0, 1, 2, 3, 10, 10_000)] == [
        *(60, 120, 240, 480),
        *(3600, 3600),
    ]
    world.restart(TRUNKLINE_GIT_POLL_S="86400")
    assert world.engine._gits._pause_s(5) == 86400
