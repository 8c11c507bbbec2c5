"""A change reaches all that is derived from it, in the same transaction and as one run."""

from trunkline.model.versions import BranchName, Origin
from trunkline.versions import branches, commits, provenance
from trunkline.versions.records import OpenedCommit


def where(opened: list[OpenedCommit] | tuple[OpenedCommit, ...]) -> list[str]:
    return [one.commit.repo for one in opened]


def test_output_commits_exist_as_soon_as_the_input_is_started(catalog) -> None:
    catalog.repo("data", "edges", "montage")
    catalog.branch("edges", of=["data"])
    catalog.branch("montage", of=["edges"])

    started = catalog.start("data")

    assert where(started.opened) == ["edges", "montage"]
    assert {one.commit.id for one in started.opened} == {started.commit.id}
    for one in started.opened:
        assert one.commit == catalog.head(one.commit.repo)
        assert (one.commit.origin, one.commit.finished) == (Origin.AUTO, None)
        assert (one.commit.branch, one.commit.started) == ("master", catalog.now)


def test_a_diamond_gives_one_commit_per_repo_and_run(catalog) -> None:
    catalog.repo("data", "left", "right", "join")
    catalog.branch("join", of=["data"])
    catalog.branch("left", of=["data"])
    catalog.branch("right", of=["data"])
    catalog.branch("join", of=["right", "left", "data"])

    started = catalog.put("data")

    run = started.commit.id
    assert where(started.opened) == ["left", "right", "join"]
    assert [str(name) for name in started.opened[-1].inputs] == [
        f"{repo}@{run}" for repo in ("right", "left", "data")
    ]
    assert len(catalog.ask(commits.commits_of_run, run)) == 4


def test_an_output_commit_follows_the_head_of_its_branch(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])
    first = catalog.put("data").commit
    second = catalog.put("data").commit

    assert catalog.head("edges").parent == first.id
    assert catalog.made_from("edges@master") == [f"data@{second.id}"]
    assert catalog.made_from("edges@master^") == [f"data@{first.id}"]


def test_existing_data_makes_one_commit_and_no_history(catalog) -> None:
    catalog.repo("data", "edges")
    last = [catalog.put("data").commit for _ in range(3)][-1]

    opened = catalog.branch("edges", of=["data"])

    assert where(opened) == ["edges"]
    assert opened[0].commit.id != last.id
    assert opened[0].inputs == (last.name,)
    assert len(catalog.listed("edges")) == 1


def test_no_data_makes_no_commit(catalog) -> None:
    catalog.repo("data", "edges")

    assert catalog.branch("edges", of=["data"]) == []
    assert catalog.head("edges") is None


def test_a_spec_without_data_makes_no_commit(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data", "__spec__@edges"])

    assert catalog.put("__spec__", "edges").opened == ()


def test_any_input_with_data_makes_a_commit(catalog) -> None:
    catalog.repo("data", "more", "edges")
    catalog.branch("edges", of=["data", "more", "__spec__@edges"])
    spec = catalog.put("__spec__", "edges").commit

    started = catalog.put("more")

    assert started.opened[0].inputs == (started.commit.name, spec.name)


def test_a_new_spec_makes_a_commit_from_the_same_data(catalog) -> None:
    catalog.repo("data", "edges", "montage")
    data = catalog.put("data").commit
    catalog.put("__spec__", "edges")
    catalog.branch("edges", of=["data", "__spec__@edges"])
    catalog.branch("montage", of=["edges"])

    started = catalog.put("__spec__", "edges")

    assert where(started.opened) == ["edges", "montage"]
    assert started.opened[0].inputs == (data.name, started.commit.name)


def test_the_same_provenance_again_makes_no_commit(catalog) -> None:
    catalog.repo("data", "more", "edges")
    catalog.put("data")
    catalog.put("more")
    catalog.branch("edges", of=["data", "more"])

    assert catalog.branch("edges", of=["data", "more"]) == []
    assert catalog.branch("edges", of=["more", "data"]) == []
    assert catalog.branch("edges") == []


def test_changed_provenance_makes_commits_downstream_too(catalog) -> None:
    catalog.repo("data", "more", "edges", "montage")
    catalog.put("data")
    more = catalog.put("more").commit
    catalog.branch("edges", of=["data"])
    catalog.branch("montage", of=["edges"])

    opened = catalog.branch("edges", of=["more"])

    assert where(opened) == ["edges", "montage"]
    assert opened[0].inputs == (more.name,)


def test_a_moved_head_sets_off_what_reads_it(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data@master"])
    staged = catalog.put("data", "staging").commit
    assert catalog.head("edges") is None

    opened = catalog.branch("data", "master", head=staged)

    assert opened[0].inputs == (staged.name,)


def test_a_head_that_moves_back_is_a_new_run(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])
    first = catalog.put("data").commit
    catalog.put("data")

    opened = catalog.branch("data", head=first)

    assert opened[0].inputs == (first.name,)
    assert len(catalog.listed("edges", to="master")) == 3


def test_commits_while_it_was_stopped_are_processed_as_one(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.put("data")
    catalog.branch("edges", of=["data"])
    catalog.branch("edges", of=[])
    missed = [catalog.put("data") for _ in range(3)]
    assert [where(one.opened) for one in missed] == [[], [], []]

    opened = catalog.branch("edges", of=["data"])

    assert opened[0].inputs == (missed[-1].commit.name,)


def test_a_start_after_nothing_changed_makes_no_commit(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.put("data")
    catalog.branch("edges", of=["data"])
    catalog.branch("edges", of=[])

    assert catalog.branch("edges", of=["data"]) == []


def test_new_inputs_and_a_new_spec_can_be_one_run(catalog) -> None:
    catalog.repo("data", "more", "edges")
    more = catalog.put("more").commit
    catalog.put("__spec__", "edges")
    catalog.put("data")
    catalog.branch("edges", of=["data", "__spec__@edges"])
    sources = [
        BranchName(repo="more", branch="master"),
        BranchName(repo="__spec__", branch="edges"),
    ]

    catalog.change(branches.set_provenance, "edges", "master", sources, now=catalog.now)
    started = catalog.put("__spec__", "edges")

    assert where(started.opened) == ["edges"]
    assert started.opened[0].inputs == (more.name, started.commit.name)


def test_what_would_commit_twice_in_one_repo_makes_two_runs(catalog) -> None:
    catalog.repo("data", "more", "out")
    shared = catalog.put("data", "one").commit
    catalog.branch("data", "two", head=shared)
    catalog.branch("out", "one", of=["data@one", "more@one"])
    catalog.branch("out", "two", of=["data@two", "more@two"])
    catalog.put("more", "one")
    catalog.put("more", "two")

    before = [catalog.head("out", branch).id for branch in ("one", "two")]

    catalog.delete("data", shared.id)

    assert catalog.head("data", "one") is None
    assert catalog.head("data", "two") is None
    after = [catalog.head("out", branch).id for branch in ("one", "two")]
    assert len({*before, *after}) == 4


def test_downstream_branches_are_given_upstream_first(catalog) -> None:
    catalog.repo("data", "z", "y", "x")
    catalog.branch("z", of=["data"])
    catalog.branch("y", of=["z", "data"])
    catalog.branch("x", of=["y", "z"])

    found = catalog.ask(provenance.downstream_branches, BranchName(repo="data", branch="master"))

    assert [name.repo for name in found] == ["z", "y", "x"]


def test_a_missing_branch_has_nothing_downstream(catalog) -> None:
    catalog.repo("data")

    missing = BranchName(repo="data", branch="none")
    assert catalog.ask(provenance.downstream_branches, missing) == []


def test_a_branch_that_is_gone_sets_off_nothing(catalog) -> None:
    catalog.repo("data")
    gone = [BranchName(repo="data", branch="gone")]

    assert catalog.change(provenance.propagate, gone, **catalog.moment()) == []
