"""What is squashed, dropped or deleted: what is refused, what stays, and how it comes back."""

import pytest

from trunkline.errors import Conflict, InUse, NotFound, OutputBranch, ProvenanceLoop
from trunkline.jobs.tables.trash import KEPT_COLUMNS as OF_JOBS
from trunkline.model.versions import BranchName, BranchTrigger
from trunkline.pipelines.tables import KEPT_COLUMNS as OF_PIPELINES
from trunkline.versions import branches, commits, invariants, provenance, repos, trash
from trunkline.versions.tables import KEPT_COLUMNS


def everything(catalog) -> dict[str, list[object]]:
    """All rows that say what there is; not the order in which things were changed."""
    tables = ("repo", "run", "commit_record", "commit_provenance", "commit_delta", "branch")
    found = {}
    with catalog.db.read() as tx:
        for table in (*tables, "branch_provenance"):
            names = tx.columns(table)
            kept = [name for name in names if name not in ("changed", "jump")]
            found[table] = sorted(tx.rows(f"SELECT {', '.join(kept)} FROM {table}"), key=str)
    return found


def diamond(catalog) -> None:
    """data → left, right → joined."""
    catalog.repo("data", "left", "right", "joined")
    catalog.branch("left", of=["data"])
    catalog.branch("right", of=["data"])
    catalog.branch("joined", of=["left", "right"])


def run_through(catalog, size: int = 5) -> str:
    run = catalog.put("data", size=size).commit.id
    for repo in ("left", "right", "joined"):
        catalog.finish(repo, run, size=size, output=True)
    return run


def delete_repo(catalog, name: str, *, force: bool = False) -> None:
    catalog.remove_with(
        "repo",
        name,
        lambda tx, entry: trash.keep_repo(tx, entry, name),
        lambda tx: repos.delete_repo(tx, name, force=force, now=catalog.now),
    )


def delete_branch(catalog, repo: str, branch: str, *, force: bool = False) -> None:
    catalog.remove_with(
        "branch",
        f"{repo}@{branch}",
        lambda tx, entry: trash.keep_branch(tx, entry, BranchName(repo=repo, branch=branch)),
        lambda tx: branches.delete_branch(tx, repo, branch, force=force),
    )


def of_run(catalog, run: str) -> list[str]:
    return [str(c.name) for c in catalog.ask(commits.commits_of_run, run)]


# --- squash and drop ------------------------------------------------------------------------------


def test_a_squashed_run_leaves_later_commits_as_they_are(catalog) -> None:
    diamond(catalog)
    first, second, third = (run_through(catalog, size) for size in (1, 2, 3))
    before = [catalog.info(f"{repo}@{third}") for repo in ("data", "left", "right", "joined")]

    done = catalog.squash(*of_run(catalog, second))

    after = [catalog.info(f"{repo}@{third}") for repo in ("data", "left", "right", "joined")]
    assert len(done.removed) == 4
    assert done.opened == ()
    assert [(i.root, i.size_bytes, i.provenance) for i in after] == (
        [(i.root, i.size_bytes, i.provenance) for i in before]
    )
    assert {info.parent for info in after} == {first}
    assert catalog.listed("joined", to="master") == [third, first]


def test_what_stands_at_a_head_is_not_squashed(catalog) -> None:
    catalog.repo("data")
    catalog.put("data")
    head = catalog.put("data").commit

    with pytest.raises(Conflict, match="it is the head of data@master"):
        catalog.squash(f"data@{head.id}")


def test_what_is_derived_is_named_when_a_squash_is_refused(catalog) -> None:
    catalog.repo("a", "b", "joined")
    catalog.branch("joined", of=["a", "b"])
    first = catalog.put("a").commit.id
    catalog.finish("joined", first, output=True)
    second = catalog.put("b").commit.id
    catalog.finish("joined", second, output=True)
    third = catalog.put("a").commit.id

    with pytest.raises(InUse, match=f"joined@{second} was made from it; add -r"):
        catalog.squash(*of_run(catalog, first))
    with pytest.raises(InUse, match=f"joined@{third} on top of it is still open"):
        catalog.squash(*of_run(catalog, first), recursive=True)
    catalog.finish("joined", third, output=True)
    done = catalog.squash(*of_run(catalog, first), recursive=True)

    assert [str(name) for name in done.removed] == [
        *(f"a@{first}", f"joined@{first}", f"joined@{second}")
    ]
    assert catalog.made_from("joined@master") == [f"a@{third}", f"b@{second}"]


def test_a_commit_below_an_open_one_is_not_squashed(catalog) -> None:
    catalog.repo("data")
    catalog.put("data")
    second = catalog.put("data").commit
    opened = catalog.start("data").commit

    with pytest.raises(InUse, match=f"data@{opened.id} on top of it is still open"):
        catalog.squash(f"data@{second.id}")


def test_a_dropped_run_takes_all_branches_back(catalog) -> None:
    diamond(catalog)
    first, second = run_through(catalog), run_through(catalog)

    done = catalog.drop(*of_run(catalog, second))

    assert len(done.removed) == 4
    heads = {catalog.head(repo).id for repo in ("data", "left", "right", "joined")}
    assert (heads, done.opened) == ({first}, ())


def test_what_something_stands_on_is_not_dropped(catalog) -> None:
    catalog.repo("data")
    first = catalog.put("data").commit
    second = catalog.put("data").commit

    with pytest.raises(InUse, match=f"data@{second.id} was made on top of it"):
        catalog.drop(f"data@{first.id}")


def two_lines(catalog) -> str:
    """The id of a commit of data that two branches stand on, from which two of out are derived."""
    catalog.repo("data", "out", "joined")
    catalog.put("data", "trunk")
    last = catalog.put("data", "trunk").commit
    for branch in ("a", "b"):
        catalog.branch("data", branch, head=last)
        catalog.branch("out", branch, of=[f"data@{branch}"])
        catalog.finish("out", catalog.head("out", branch).id, output=True)
    catalog.branch("joined", of=["data@a", "data@b"])
    return last.id


@pytest.mark.parametrize("way", ["drop", "delete"])
def test_two_branches_that_go_back_together_do_so_in_two_runs_where_they_must(
    catalog, way: str
) -> None:
    last = two_lines(catalog)
    before = {name: catalog.head("out", name) for name in ("a", "b")}
    moment = catalog.moment()

    if way == "drop":
        done = catalog.drop(f"data@{last}", recursive=True, **moment)
    else:
        done = catalog.delete("data", last, **moment)

    joined, first, second = (opened.commit for opened in done.opened)
    assert (first.name, second.name) == tuple(catalog.head("out", n).name for n in ("a", "b"))
    assert (first.id, joined.id) == (moment["run_id"], moment["run_id"])
    assert second.id not in (first.id, last)
    assert catalog.made_from("out@b") == catalog.made_from("out@a")
    assert catalog.made_from("joined@master") == catalog.made_from("out@a")
    catalog.undelete("commit", f"data@{last}")
    assert {name: catalog.head("out", name) for name in ("a", "b")} == before


def test_what_a_pipeline_made_is_not_dropped_alone(catalog) -> None:
    diamond(catalog)
    run = run_through(catalog)

    with pytest.raises(OutputBranch):
        catalog.drop(f"joined@{run}")


# --- undelete -------------------------------------------------------------------------------------


def test_a_dropped_run_comes_back_exactly(catalog) -> None:
    diamond(catalog)
    run_through(catalog)
    run = run_through(catalog)
    before = everything(catalog)

    catalog.drop(*of_run(catalog, run))
    done = catalog.undelete("commit", run)

    assert everything(catalog) == before
    assert (done.commits, done.opened, done.notes) == (4, (), ())


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_squashed_commits_come_back_in_any_order(catalog, order: tuple[int, ...]) -> None:
    catalog.repo("data")
    runs = [catalog.put("data", size=n).commit.id for n in range(6)]
    before = everything(catalog)

    for run in runs[1:4]:
        catalog.squash(f"data@{run}")
    for index in order:
        catalog.undelete("commit", f"data@{runs[1:4][index]}")

    assert everything(catalog) == before
    with catalog.db.read() as tx:
        assert tx.rows("SELECT 1 FROM lost_parent") == []
    assert [catalog.get(f"data@master.{n}").id for n in range(1, 7)] == runs


def test_an_open_commit_comes_back_with_its_changes(catalog) -> None:
    catalog.repo("data")
    opened = catalog.start("data").commit
    catalog.change(commits.add_deltas, "data", opened.id, ["x", "y"])

    catalog.drop(f"data@{opened.id}")
    catalog.undelete("commit", f"data@{opened.id}")

    assert catalog.ask(commits.deltas_of, "data", opened.id) == ["x", "y"]
    assert catalog.head("data") == opened


def test_a_branch_that_has_moved_on_stays_where_it_is(catalog) -> None:
    catalog.repo("data")
    first = catalog.put("data").commit
    second = catalog.put("data").commit
    catalog.drop(f"data@{second.id}")
    third = catalog.put("data").commit

    done = catalog.undelete("commit", f"data@{second.id}")

    assert done.notes == ("branch data@master has moved on since, and stays where it is",)
    assert catalog.head("data") == third
    assert catalog.get(f"data@{second.id}").parent == first.id


def test_a_repo_comes_back_with_everything(catalog) -> None:
    diamond(catalog)
    run_through(catalog)
    catalog.branch("joined", "dev", head=catalog.head("joined"))
    run_through(catalog)
    before = everything(catalog)

    delete_repo(catalog, "joined")
    done = catalog.undelete("repo", "joined")

    assert everything(catalog) == before
    assert (done.commits, done.opened) == (2, ())


def test_what_was_cut_by_force_is_joined_again(catalog) -> None:
    diamond(catalog)
    run_through(catalog)
    before = everything(catalog)

    delete_repo(catalog, "data", force=True)
    catalog.undelete("repo", "data")

    assert everything(catalog) == before


def test_a_branch_comes_back_with_head_and_provenance(catalog) -> None:
    diamond(catalog)
    run_through(catalog)
    before = everything(catalog)

    delete_branch(catalog, "left", "master", force=True)
    catalog.undelete("branch", "left@master")

    assert everything(catalog) == before


def test_a_branch_that_is_derived_again_loses_the_trigger_that_it_got_meanwhile(catalog) -> None:
    catalog.repo("data", "out")
    catalog.branch("out", of=["data"])
    catalog.finish("out", catalog.put("data").commit.id, output=True)
    delete_branch(catalog, "data", "master", force=True)
    catalog.branch("out", trigger=BranchTrigger(source="staging", size="100"))
    catalog.put("out", "staging", size=1000)

    done = catalog.undelete("branch", "data@master")

    assert done.notes == ("branch out@master is derived from others again: its trigger is gone",)
    info = catalog.ask(branches.branch_info, "out", "master")
    assert (info.provenance, info.trigger) == ((BranchName(repo="data", branch="master"),), None)
    run = catalog.put("data").commit.id
    for opened in ("out", done.opened[0].commit.id), ("out", run):
        catalog.finish(*opened, size=5, output=True)
    assert catalog.head("out").id == run


def test_what_comes_back_forms_no_loop_with_triggers_that_were_set_meanwhile(catalog) -> None:
    catalog.repo("data", "out")
    catalog.branch("out", of=["data"])
    with catalog.db.write() as tx:
        entry = trash.begin(tx, "branch", "out@master", how="cut", now=catalog.now)
        trash.keep_sources(tx, entry, BranchName(repo="out", branch="master"))
    catalog.branch("out", of=[])
    catalog.branch("data", "copy", of=["out"])
    catalog.branch("data", trigger=BranchTrigger(source="copy", commits=1))

    with pytest.raises(ProvenanceLoop):
        catalog.undelete("branch", "out@master")


def late_release(catalog) -> tuple[str, str]:
    """Two runs with commits in data, mid and out: out is derived from data, and from a branch of
    mid that follows the one derived from data. The commits of mid are open.
    """
    catalog.repo("data", "mid", "out")
    catalog.branch("mid", "master", of=["data"])
    catalog.branch("mid", "release", trigger=BranchTrigger(source="master", commits=1))
    catalog.branch("out", of=["data", "mid@release"])
    runs = tuple(catalog.put("data").commit.id for _ in range(2))
    for run in runs:
        catalog.finish("out", run, output=True)
    return runs


def test_a_run_whose_commit_is_deleted_gets_a_sister_so_that_it_can_come_back(catalog) -> None:
    first, second = late_release(catalog)
    catalog.squash(f"out@{first}")

    catalog.finish("mid", first, output=True)
    opened = catalog.head("out")
    catalog.undelete("commit", f"out@{first}")

    assert opened.id not in (first, second)
    assert f"mid@{first}" in catalog.made_from("out@master")
    assert catalog.listed("out") == [opened.id, second, first]


def test_a_commit_whose_run_has_another_one_by_now_does_not_come_back(catalog) -> None:
    first, second = late_release(catalog)
    catalog.squash(f"out@{first}")
    with catalog.db.write() as tx:
        record = commits.get_commit(tx, "out", second)
        tx.execute("UPDATE commit_record SET id = :id WHERE number = :n", id=first, n=record.number)
    invariants.seal(catalog.db, record)

    with pytest.raises(Conflict, match=f"run {first} has another commit in repo 'out' by now"):
        catalog.undelete("commit", f"out@{first}")


def test_a_name_that_is_taken_again_is_said(catalog) -> None:
    catalog.repo("data")
    delete_repo(catalog, "data")
    catalog.repo("data")

    with pytest.raises(Conflict, match="there is another repo 'data' by now"):
        catalog.undelete("repo", "data")


def test_what_hangs_on_something_deleted_says_what_to_bring_back_first(catalog) -> None:
    catalog.repo("data")
    catalog.put("data")
    commit = catalog.put("data").commit
    catalog.drop(f"data@{commit.id}")
    delete_repo(catalog, "data")

    with pytest.raises(Conflict, match="first, with `undelete repo data`"):
        catalog.undelete("commit", f"data@{commit.id}")
    catalog.undelete("repo", "data")
    catalog.undelete("commit", f"data@{commit.id}")

    assert catalog.head("data") == commit


def test_what_is_too_old_is_gone_for_good(catalog) -> None:
    catalog.repo("data")
    runs = [catalog.put("data").commit.id for _ in range(4)]
    catalog.squash(f"data@{runs[1]}")
    until = catalog.now
    catalog.squash(f"data@{runs[2]}")

    assert catalog.change(trash.expire, before=until) == 1

    with pytest.raises(NotFound, match="there is no deleted commit"):
        catalog.undelete("commit", f"data@{runs[1]}")
    catalog.undelete("commit", f"data@{runs[2]}")
    assert catalog.listed("data", to="master") == [runs[3], runs[2], runs[0]]


def test_the_trash_says_which_trees_and_changes_it_needs(catalog) -> None:
    catalog.repo("data")
    catalog.put("data")
    opened = catalog.start("data").commit
    catalog.change(commits.add_deltas, "data", opened.id, ["d1", "d2"])
    delete_repo(catalog, "data")

    found = catalog.ask(lambda tx: list(trash.roots_and_deltas(tx)))

    assert found == [("root", "r00t"), ("delta", "d1"), ("delta", "d2")]


def test_undeleting_keeps_the_rule_of_provenance(catalog) -> None:
    diamond(catalog)
    run_through(catalog)
    run = run_through(catalog)
    catalog.drop(*of_run(catalog, run))
    catalog.put("__spec__", "left")
    catalog.branch("left", of=["data", "__spec__@left"])

    done = catalog.undelete("commit", run)

    assert catalog.head("data").id == run
    assert {str(o.commit.name).split("@")[0] for o in done.opened} == {"left", "joined"}
    inputs = catalog.ask(provenance.direct_provenance, catalog.head("left"))
    assert f"data@{run}" in {str(name) for name in inputs}


@pytest.mark.parametrize(
    ("table", "columns"), [*KEPT_COLUMNS.items(), *OF_JOBS.items(), *OF_PIPELINES.items()]
)
def test_the_trash_keeps_every_column(catalog, table: str, columns: tuple[str, ...]) -> None:
    """Whoever adds a column to one of these tables has to keep it here as well."""
    with catalog.db.read() as tx:
        there = set(tx.columns(table))

    own = {"pipeline": {"number"}, "pipeline_version": {"pipeline"}}.get(table, set())
    assert set(columns) == there - own


def test_a_branch_is_not_left_behind_by_a_squash_though_commits_are_on_top_of_its_head(
    catalog,
) -> None:
    catalog.repo("data")
    first, second, _ = (catalog.put("data").commit for _ in range(3))
    catalog.branch("data", "old", head=second)

    with pytest.raises(Conflict, match="it is the head of data@old"):
        catalog.squash(f"data@{second.id}")

    assert catalog.head("data", "old") == second
    catalog.squash(f"data@{first.id}")


def test_what_was_made_from_something_comes_back_after_that_only(catalog) -> None:
    catalog.repo("data", "left")
    catalog.branch("left", of=["data"])
    runs = [catalog.put("data").commit.id]
    catalog.finish("left", runs[0], output=True)
    runs.append(catalog.put("data").commit.id)
    catalog.finish("left", runs[1], output=True)
    before = everything(catalog)
    catalog.squash(f"left@{runs[0]}")
    catalog.squash(f"data@{runs[0]}")

    with pytest.raises(Conflict, match=f"was made from was deleted too.*data@{runs[0]}"):
        catalog.undelete("commit", f"left@{runs[0]}")

    for repo in ("data", "left"):
        catalog.undelete("commit", f"{repo}@{runs[0]}")
    assert everything(catalog) == before


@pytest.mark.parametrize("again", [False, True])
def test_a_repo_that_comes_back_before_what_it_was_made_from_knows_that_later(
    catalog, again: bool
) -> None:
    catalog.repo("data", "left")
    catalog.branch("left", of=["data"])
    runs = [catalog.put("data").commit.id for _ in range(2)]
    for run in runs:
        catalog.finish("left", run, output=True)
    before = everything(catalog)["commit_provenance"]

    delete_repo(catalog, "left")
    catalog.squash(f"data@{runs[0]}")
    catalog.undelete("repo", "left")
    if again:
        delete_repo(catalog, "left")
    catalog.undelete("commit", f"data@{runs[0]}")
    if again:
        catalog.undelete("repo", "left")

    assert everything(catalog)["commit_provenance"] == before
