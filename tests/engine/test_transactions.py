"""Several changes made at once, or not at all, through the embedded engine and over HTTP."""

import os
import threading

import pytest

from trunkline.api.changes import PutFile
from trunkline.connect.connection import Connection
from trunkline.connect.transactions import queued
from trunkline.engine import collector
from trunkline.errors import (
    AlreadyExists,
    Conflict,
    Corrupt,
    InvalidInput,
    NotFound,
    NotSupported,
    OutputBranch,
    RepoNotFound,
)
from trunkline.model.jobs import JobState
from trunkline.model.versions import BranchTrigger
from trunkline.versions import transactions

COPY = 'for f in /pfs/*/*; do cat "$f" > "/pfs/out/$(basename "$f")"; done'


@pytest.fixture(params=["engine", "remote"])
def driver(request: pytest.FixtureRequest):
    return request.getfixturevalue(request.param)


def begin(driver):
    """A transaction: its id, and the operations that take part in it."""
    started = driver.engine.transactions.start_transaction(description="several things")
    return started.id, queued(driver.engine, started.id)


def put(operations, repo: str, **files: str) -> None:
    changes = [PutFile(path=path, content=[text.encode()]) for path, text in files.items()]
    operations.files.modify_files(repo, "master", changes)


def spec(name: str, *inputs: str) -> dict[str, object]:
    members = [{"pfs": {"repo": repo, "glob": "/*"}} for repo in inputs]
    return {
        "pipeline": {"name": name},
        "input": members[0] if len(members) == 1 else {"union": members},
        "transform": {"cmd": ["/bin/sh"], "stdin": [COPY]},
    }


def finish(driver, transaction: str):
    return driver.engine.transactions.finish_transaction(transaction)


def test_repos_files_and_pipelines_come_into_being_as_one_run(driver) -> None:
    transaction, t = begin(driver)
    t.repos.create_repo("a")
    t.repos.create_repo("b", description="the other")
    put(t, "a", x="1")
    put(t, "b", y="2")
    put(t, "a", z="3")
    for pipeline, inputs in (("left", "a"), ("right", "b")):
        t.pipelines.create_pipeline(spec(pipeline, inputs))
    t.pipelines.create_pipeline(spec("joined", "left", "right"))

    assert driver.engine.repos.list_repos() == []
    done = finish(driver, transaction)

    assert done.id == transaction
    assert sorted(done.jobs) == ["joined", "left", "right"]
    assert driver.job("joined").state is JobState.SUCCESS
    assert driver.tree("joined") == {"x": "1", "y": "2", "z": "3"}
    jobs = list(driver.engine.jobs.list_jobs())
    assert {(job.pipeline, job.id) for job in jobs} == {
        (pipeline, transaction) for pipeline in ("left", "right", "joined")
    }
    assert len(list(driver.engine.commits.list_commits("a"))) == 1
    assert driver.engine.transactions.list_transactions() == []


def test_a_diamond_below_two_changed_repos_has_one_job(driver) -> None:
    for repo in ("a", "b"):
        driver.engine.repos.create_repo(repo)
    driver.engine.pipelines.create_pipeline(spec("joined", "a", "b"))
    transaction, t = begin(driver)
    commit = t.commits.start_commit("a", branch="master", description="by hand")
    put(t, "a", x="1")
    t.commits.finish_commit("a", "master")
    put(t, "b", y="2")

    done = finish(driver, transaction)

    assert commit.id == transaction
    assert {(name.repo, name.id) for name in done.commits} == {
        (repo, transaction) for repo in ("a", "b", "joined")
    }
    assert driver.job("joined").state is JobState.SUCCESS
    assert driver.tree("joined") == {"x": "1", "y": "2"}
    assert len(list(driver.engine.jobs.list_jobs())) == 1
    assert driver.engine.commits.inspect_commit("a", "master").description == "by hand"


def test_a_step_that_fails_at_the_end_undoes_all_and_is_named(driver) -> None:
    driver.engine.repos.create_repo("data")
    transaction, t = begin(driver)
    t.repos.create_repo("first")
    put(t, "data", x="1")
    t.repos.create_repo("second")
    driver.engine.repos.create_repo("second")

    with pytest.raises(AlreadyExists, match=r"step 3 \(create repo second\): repo 'second'"):
        finish(driver, transaction)

    assert {info.name for info in driver.engine.repos.list_repos()} == {"data", "second"}
    assert driver.engine.branches.list_branches("data") == []
    [waiting] = driver.engine.transactions.list_transactions()
    assert waiting.steps == ("create repo first", "put file data@master", "create repo second")
    driver.engine.repos.delete_repo("second")
    finish(driver, transaction)
    assert driver.tree("data") == {"x": "1"}


def test_a_step_that_can_not_succeed_is_refused_at_once(driver) -> None:
    driver.engine.repos.create_repo("data")
    _, t = begin(driver)

    with pytest.raises(RepoNotFound, match=r"step 1 \(put file nowhere@master\)"):
        put(t, "nowhere", x="1")
    with pytest.raises(AlreadyExists):
        t.repos.create_repo("data")
    t.pipelines.create_pipeline(spec("copy", "data"))
    with pytest.raises(OutputBranch, match="step 2"):
        put(t, "copy", x="1")

    assert len(driver.engine.transactions.list_transactions()[0].steps) == 1


def test_branches_move_and_history_changes_in_a_transaction(driver) -> None:
    driver.engine.repos.create_repo("data")
    driver.engine.branches.create_branch("data", "master")
    driver.engine.pipelines.create_pipeline(spec("copy", "data"))
    runs = [driver.put("data", {f"f{n}": str(n)}, branch="staging").id for n in range(3)]
    transaction, t = begin(driver)
    t.branches.create_branch("data", "master", head="staging")
    t.commits.squash_commit("data", runs[1])
    t.branches.delete_branch("data", "staging")
    t.repos.create_repo("other")

    finish(driver, transaction)

    assert driver.job("copy").state is JobState.SUCCESS
    assert driver.tree("copy") == {"f0": "0", "f1": "1", "f2": "2"}
    listed = [c.id for c in driver.engine.commits.list_commits("data", to="master")]
    assert listed == [runs[2], runs[0]]
    assert [info.name for info in driver.engine.branches.list_branches("data")] == ["master"]
    driver.engine.trash.undelete("commit", f"data@{runs[1]}")
    driver.engine.trash.undelete("branch", "data@staging")


def test_what_a_transaction_deletes_comes_back_with_the_heads_downstream(driver) -> None:
    e = driver.engine
    for repo in ("data", "out"):
        e.repos.create_repo(repo)
    driver.put("data", {"f": "0"}, branch="staging")
    e.branches.create_branch("data", "master", head="staging")
    e.branches.create_branch("out", "master", provenance=["data@master"])
    e.commits.finish_commit("out", "master")
    between, doomed = (driver.put("data", {"f": f"{n}"}, branch="staging").id for n in (1, 2))
    e.branches.create_branch("data", "master", head="staging")
    e.commits.finish_commit("out", "master")
    before = [driver.head(repo) for repo in ("data", "out")]
    transaction, t = begin(driver)
    t.commits.delete_commit("data", doomed)
    finish(driver, transaction)
    opened = driver.head("out")

    undeleted = e.trash.undelete("commit", f"data@{doomed}")

    assert opened not in before
    assert undeleted.notes == ()
    assert [driver.head(repo) for repo in ("data", "out")] == before
    assert between not in before


def test_two_branches_of_one_repo_can_not_get_commits_in_one_run(driver) -> None:
    driver.engine.repos.create_repo("data")
    _, t = begin(driver)
    put(t, "data", x="1")

    with pytest.raises(Conflict, match=r"step 2 \(start commit data@dev\).*only one"):
        t.commits.start_commit("data", branch="dev")


def test_a_given_up_transaction_leaves_nothing(driver) -> None:
    transaction, t = begin(driver)
    t.repos.create_repo("data")

    driver.engine.transactions.delete_transaction(transaction)

    assert driver.engine.repos.list_repos() == []
    with pytest.raises(NotFound, match="no open transaction"):
        t.repos.create_repo("data")
    with pytest.raises(NotFound):
        finish(driver, transaction)


def test_a_transaction_survives_a_restart_with_its_content(open_engine) -> None:
    driver = open_engine()
    driver.engine.repos.create_repo("data")
    transaction, t = begin(driver)
    put(t, "data", x="kept")
    driver.engine.close()

    again = open_engine(driver.home)
    finish(again, transaction)

    assert again.tree("data") == {"x": "kept"}


def test_nobody_sees_half_of_it(engine) -> None:
    for repo in ("a", "b"):
        engine.engine.repos.create_repo(repo)
    seen: set[tuple[int, int]] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            commits = [c.repo for c in engine.engine.commits.list_all_commits()]
            seen.add((commits.count("a"), commits.count("b")))

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(5):
        transaction, t = begin(engine)
        put(t, "a", x=str(number))
        put(t, "b", x=str(number))
        finish(engine, transaction)
    over.set()
    reader.join()

    assert all(a == b for a, b in seen)
    assert engine.tree("a") == engine.tree("b") == {"x": "4"}


def test_what_is_no_step_is_refused(driver) -> None:
    transaction, t = begin(driver)
    add = driver.engine.transactions.add_step

    for operation, arguments in (
        ("list_repos", {}),
        ("delete_all", {}),
        ("create_repo", {}),
        ("create_repo", {"name": 7}),
        ("create_repo", {"name": "a", "colour": "red"}),
        ("create_branch", {"repo": "a", "branch": "b", "provenance": [1]}),
    ):
        with pytest.raises(InvalidInput):
            add(transaction, operation, arguments)
    with pytest.raises(NotSupported, match="can't be part of a transaction"):
        t.admin.delete_all()


def test_nothing_happens_at_once_that_could_not_be_taken_back(driver) -> None:
    _, t = begin(driver)
    changes = (
        lambda: t.projects.create_project("other"),
        lambda: t.secrets.create_secret("key", {"a": "b"}),
        lambda: t.admin.gc(),
        lambda: t.purges.purge(["data:/x"]),
    )

    for change in changes:
        with pytest.raises(NotSupported, match="can't be part of a transaction"):
            change()

    assert t.admin.disk_usage() is not None
    assert [project.name for project in driver.engine.projects.list_projects()] == ["default"]
    assert driver.engine.secrets.list_secrets() == []


def test_the_python_transaction_is_all_or_nothing(remote) -> None:
    connection = Connection(remote.engine)
    with connection.transaction() as t:
        t.repo("data").create()
        with t.repo("data").commit() as commit:
            commit["x"] = b"1"
        handle = t.create_pipeline(spec("copy", "data"))
        assert handle.name == "copy"
    assert remote.job("copy").state is JobState.SUCCESS
    assert remote.tree("copy") == {"x": "1"}

    def interrupted() -> None:
        with connection.transaction() as t:
            t.repo("more").create()
            raise ZeroDivisionError

    def too_late() -> None:
        with connection.transaction() as t:
            t.repo("more").create()
            connection.repo("more").create()

    with pytest.raises(ZeroDivisionError):
        interrupted()
    with pytest.raises(AlreadyExists):
        too_late()

    assert remote.engine.transactions.list_transactions() == []
    assert {info.name for info in remote.engine.repos.list_repos()} == {"data", "copy", "more"}


def test_what_a_step_stores_is_not_collected_before_the_step_is_there(engine, monkeypatch) -> None:
    monkeypatch.setattr(collector, "_DRAIN_S", 0.05)
    operations = engine.engine
    operations.repos.create_repo("data")
    transaction = operations.transactions.start_transaction().id

    content = os.urandom(3_000_000)

    def changes():
        yield PutFile(path="a", content=[content])
        operations._services.chunks.flush()  # as a long put does by itself
        operations.admin.gc(grace_s=0)

    operations.transactions.add_files(transaction, "data", "master", changes())
    operations.transactions.finish_transaction(transaction)

    assert b"".join(operations.files.read_file("data", "master", "a")) == content


def test_a_tag_may_name_what_the_transaction_makes(driver) -> None:
    driver.engine.repos.create_repo("data")
    before = driver.put("data", {"x": "0"}).id
    transaction, t = begin(driver)
    t.tags.create_tag("data", "old", commit="master")
    put(t, "data", x="1")
    t.tags.create_tag("data", "new", commit="master")
    put(t, "data", y="2")

    assert driver.engine.tags.list_tags("data") == []
    finish(driver, transaction)

    assert [(tag.name, tag.commit) for tag in driver.engine.tags.list_tags("data")] == [
        ("new", transaction),
        ("old", before),
    ]
    assert driver.tree("data", "new") == {"x": "1", "y": "2"}


def test_a_tag_that_can_not_be_is_refused_and_nothing_happens(driver) -> None:
    driver.engine.repos.create_repo("data")
    driver.put("data", {"x": "0"})
    driver.engine.tags.create_tag("data", "v1", commit="master")
    transaction, t = begin(driver)
    put(t, "data", x="1")

    with pytest.raises(AlreadyExists, match="tag 'data@v1' already exists"):
        t.tags.create_tag("data", "v1", commit="master")
    t.tags.delete_tag("data", "v1")
    t.tags.create_tag("data", "v1", commit="master")
    finish(driver, transaction)

    assert driver.read("data", "x", "v1") == "1"
    assert [(d.kind, d.name) for d in driver.engine.trash.list_deleted()] == [("tag", "data@v1")]


def test_a_trigger_that_is_set_looks_at_what_the_transaction_makes(driver) -> None:
    driver.engine.repos.create_repo("data")
    transaction, t = begin(driver)
    trigger = BranchTrigger(source="staging", commits=1)
    t.branches.create_branch("data", "master", trigger=trigger)
    t.pipelines.create_pipeline(spec("copy", "data"))
    t.files.modify_files("data", "staging", [PutFile(path="x", content=[b"1"])])
    done = finish(driver, transaction)

    assert driver.engine.branches.inspect_branch("data", "master").trigger == trigger
    assert driver.head("data") == driver.head("data", "staging") == transaction
    assert done.jobs == ("copy",)
    assert driver.job("copy").state is JobState.SUCCESS
    assert driver.tree("copy") == {"x": "1"}

    transaction, t = begin(driver)
    t.branches.create_branch("data", "master", trigger=BranchTrigger(source=""))
    t.files.modify_files("data", "staging", [PutFile(path="x", content=[b"2"])])
    finish(driver, transaction)

    assert driver.engine.branches.inspect_branch("data", "master").trigger is None
    assert driver.tree("data") == {"x": "1"}


@pytest.mark.parametrize(
    "trigger",
    [{}, {"source": 1}, {"source": "a", "commits": "1"}, {"source": "a", "more": 1}, 7, "a"],
)
def test_what_is_no_trigger_is_no_argument(driver, trigger: object) -> None:
    driver.engine.repos.create_repo("data")
    transaction, _ = begin(driver)
    arguments = {"repo": "data", "branch": "b", "trigger": trigger}

    with pytest.raises(InvalidInput, match="create_branch: trigger can't be"):
        driver.engine.transactions.add_step(transaction, "create_branch", arguments)


def test_code_that_is_not_stored_is_no_step_of_a_long_transaction_either(engine) -> None:
    transaction, t = begin(engine)
    for number in range(51):
        t.repos.create_repo(f"r{number}")

    for code in ("ab" * 32, "zz"):
        with pytest.raises(NotFound, match=f"there is no file set {code}"):
            t.pipelines.create_pipeline(spec("copy", "r1"), code=code)

    assert len(engine.engine.transactions.inspect_transaction(transaction).steps) == 51
    engine.engine.admin.gc()


@pytest.mark.parametrize("code", ["ab" * 32, "zz"])
def test_who_names_what_is_not_stored_is_told(engine, code) -> None:
    """As a release before this check may have written it down."""
    transaction, _ = begin(engine)
    with engine.engine._services.database.write() as tx:
        step = transactions.StepRow(operation="create_pipeline", arguments={}, roots=(code,))
        transactions.add_step(tx, transactions.require(tx, transaction), step)

    with pytest.raises(Corrupt, match=f"`delete transaction {transaction}` gives up"):
        engine.engine.admin.gc()
    [damage] = engine.engine.admin.fsck().damages
    assert (damage.thing, transaction in damage.repair) == (f"transaction {transaction}", True)
    engine.engine.transactions.delete_transaction(transaction)
    assert engine.engine.admin.fsck().damages == ()
