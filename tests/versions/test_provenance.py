"""What a commit was made from, what was made from it, and whether that is finished."""

from datetime import timedelta

import pytest

from trunkline.errors import CommitNotFound, NotFound
from trunkline.versions import commits, provenance


def tutorial(catalog) -> None:
    """The branches of the tutorial, with data in both inputs and a spec per pipeline."""
    catalog.repo("training", "attributes", "pre_process", "train", "inference")
    catalog.put("training")
    catalog.put("attributes")
    for pipeline, sources in (
        ("pre_process", ["training"]),
        ("train", ["pre_process"]),
        ("inference", ["attributes", "train"]),
    ):
        catalog.put("__spec__", pipeline)
        catalog.branch(pipeline, of=[*sources, f"__spec__@{pipeline}"])


def test_full_provenance_is_nearest_first_then_by_repo(catalog) -> None:
    tutorial(catalog)

    found = catalog.info("inference@master").provenance

    branches = [catalog.get(str(name)).branch for name in found]
    assert list(zip([name.repo for name in found], branches, strict=True)) == [
        ("__spec__", "inference"),
        ("attributes", "master"),
        ("train", "master"),
        ("__spec__", "train"),
        ("pre_process", "master"),
        ("__spec__", "pre_process"),
        ("training", "master"),
    ]


def test_a_commit_comes_before_all_that_it_was_made_from(catalog) -> None:
    catalog.repo("z", "a", "out")
    catalog.branch("a", of=["z"])
    catalog.branch("out", of=["z", "a"])
    run = catalog.put("z").commit.id

    assert catalog.made_from("out@master") == [f"a@{run}", f"z@{run}"]


def test_direct_provenance_has_the_order_of_the_branch(catalog) -> None:
    tutorial(catalog)

    direct = catalog.ask(provenance.direct_provenance, catalog.get("inference@master"))

    assert [name.repo for name in direct] == ["attributes", "train", "__spec__"]
    records = catalog.ask(provenance.inputs_of, catalog.get("inference@master"))
    assert [record.name for record in records] == direct


def test_a_commit_of_a_user_was_made_from_nothing(catalog) -> None:
    tutorial(catalog)

    assert catalog.made_from("training@master") == []


def test_subvenance_is_upstream_first(catalog) -> None:
    tutorial(catalog)

    found = catalog.ask(provenance.subvenance_of, catalog.get("training@master"))

    assert [name.repo for name in found] == ["pre_process", "train", "inference"]


def test_provenance_stays_when_branches_are_derived_from_others(catalog) -> None:
    tutorial(catalog)
    before = catalog.made_from("inference@master")
    catalog.branch("inference", of=[])

    assert catalog.made_from("inference@master") == before


def test_open_inputs_are_named(catalog) -> None:
    catalog.repo("data", "more", "edges", "montage")
    catalog.put("more")
    catalog.branch("edges", of=["data", "more"])
    catalog.branch("montage", of=["edges", "more"])
    run = catalog.start("data").commit.id

    def unfinished(repo: str) -> list[str]:
        return [str(name) for name in catalog.ask(provenance.unfinished_inputs, repo, run)]

    assert unfinished("edges") == [f"data@{run}"]
    assert unfinished("montage") == [f"edges@{run}"]
    assert not catalog.ask(provenance.all_provenance_finished, catalog.get("montage@master"))

    catalog.finish("data", run)
    assert unfinished("edges") == []
    assert not catalog.ask(provenance.all_provenance_finished, catalog.get("montage@master"))

    catalog.finish("edges", run, output=True)
    assert unfinished("montage") == []
    assert catalog.ask(provenance.all_provenance_finished, catalog.get("montage@master"))


def test_failed_inputs_are_named_with_their_reason(catalog) -> None:
    catalog.repo("data", "more", "edges", "montage")
    catalog.put("more")
    catalog.branch("edges", of=["data"])
    catalog.branch("montage", of=["edges", "more"])
    run = catalog.put("data").commit.id
    catalog.finish("edges", run, error="exit status 1", output=True)

    failed = catalog.ask(provenance.failed_inputs, "montage", run)

    assert [(str(c.name), c.error) for c in failed] == [(f"edges@{run}", "exit status 1")]
    assert catalog.ask(provenance.unfinished_inputs, "montage", run) == []


def test_the_inputs_of_a_missing_commit_are_not_found(catalog) -> None:
    catalog.repo("data")

    with pytest.raises(CommitNotFound):
        catalog.ask(provenance.unfinished_inputs, "data", "0123456789ab4cdef0123456789abcde")


# --- runs -----------------------------------------------------------------------------------------


def test_a_run_has_its_commits_upstream_first(catalog) -> None:
    catalog.repo("data", "b", "a")
    catalog.branch("b", of=["data"])
    catalog.branch("a", of=["b"])
    run = catalog.start("data").commit.id

    found = catalog.ask(commits.get_run, run)

    assert [commit.repo for commit in found.commits] == ["data", "b", "a"]
    assert (found.id, found.created, found.finished) == (run, catalog.now, None)


def test_a_run_is_finished_with_its_last_commit(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])
    run = catalog.put("data").commit.id
    later = catalog.now + timedelta(seconds=5)
    assert catalog.ask(commits.get_run, run).finished is None

    catalog.finish("edges", run, output=True, now=later)

    assert catalog.ask(commits.get_run, run).finished == later


def test_a_missing_run_is_not_found(catalog) -> None:
    with pytest.raises(NotFound, match="there is no run 'x'"):
        catalog.ask(commits.get_run, "x")
    assert catalog.ask(commits.commits_of_run, "x") == []


def test_runs_are_listed_newest_first(catalog) -> None:
    catalog.repo("data", "more")
    ids = [catalog.put(repo).commit.id for repo in ("data", "more", "data")]

    assert [run.id for run in catalog.ask(commits.list_runs)] == ids[::-1]
    assert [run.id for run in catalog.ask(commits.list_runs, 2)] == [ids[2], ids[1]]
    assert [run.id for run in catalog.ask(commits.list_runs, 1, ids[2])] == [ids[1]]
    assert catalog.ask(commits.list_runs, 0, ids[0]) == []
    with pytest.raises(NotFound, match="there is no run 'x'"):
        catalog.ask(commits.list_runs, 0, "x")


def test_inputs_are_known_by_the_branch_that_they_were_the_head_of(catalog) -> None:
    catalog.repo("raw", "out")
    commit = catalog.put("raw").commit
    catalog.branch("raw", "copy", head=commit)
    other = catalog.put("raw", "other").commit
    catalog.branch("out", of=["raw@other", "raw", "raw@copy"])

    found = catalog.ask(provenance.input_commits, "out", catalog.head("out").id)

    assert {str(branch): record.id for branch, record in found.items()} == {
        "raw@other": other.id,
        "raw@master": commit.id,
        "raw@copy": commit.id,
    }
    assert len(catalog.ask(provenance.inputs_of, catalog.head("out"))) == 2
