"""Sources whose commits open none: what is made from them is made when something else is new."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import ProvenanceLoop
from trunkline.model.versions import BranchName
from trunkline.versions import branches, invariants, provenance, trash

SIDE = BranchName(repo="side", branch="master")


@pytest.fixture
def joined(catalog):
    """`out` is made from `data`, and reads `side` at hand."""
    catalog.repo("data", "side", "out")
    catalog.branch("out", of=["data", "side"], quiet=[SIDE])
    return catalog


def inputs(catalog, ref: str = "out@master") -> dict[str, str]:
    found = catalog.ask(provenance.direct_provenance, catalog.get(ref))
    return {name.repo: name.id for name in found}


def done(catalog, repo: str = "out") -> None:
    catalog.finish(repo, catalog.head(repo).id, output=True)


def test_a_commit_of_it_opens_none_not_even_the_first(joined) -> None:
    first = joined.put("side")
    joined.put("data")
    done(joined)
    second = joined.put("side")

    assert (first.opened, second.opened) == ((), ())
    assert len(joined.listed("out")) == 1


def test_the_next_commit_is_made_from_what_its_head_is_then(joined) -> None:
    joined.put("data")
    done(joined)
    alone = inputs(joined)
    joined.put("side")
    side = joined.put("side").commit.id
    data = joined.put("data").commit.id

    assert set(alone) == {"data"}
    assert inputs(joined) == {"data": data, "side": side}


def test_where_both_move_in_one_run_both_are_new(catalog) -> None:
    catalog.repo("data", "side", "out")
    catalog.branch("side", of=["data"])
    catalog.branch("out", of=["side", "data"], quiet=[SIDE])
    started = catalog.put("data")

    assert [str(o.commit.name).split("@")[0] for o in started.opened] == ["side", "out"]
    assert set(inputs(catalog).values()) == {started.commit.id}


def test_the_sides_of_a_diamond_may_differ_through_it(catalog) -> None:
    catalog.repo("data", "side", "out")
    catalog.branch("side", of=["data"], quiet=[BranchName(repo="data", branch="master")])
    old = catalog.put("data")
    catalog.branch("side", of=["data"], quiet=[BranchName(repo="data", branch="master")])
    catalog.branch("out", of=["side", "data"])
    new = catalog.put("data")

    assert catalog.made_from("side@master") == [f"data@{old.commit.id}"]
    assert set(catalog.made_from("out@master")) == {
        f"data@{old.commit.id}",
        f"data@{new.commit.id}",
        f"side@{catalog.head('side').id}",
    }


def test_it_is_no_way_around_a_loop(joined) -> None:
    with pytest.raises(ProvenanceLoop):
        joined.branch("side", of=["out"], quiet=[BranchName(repo="out", branch="master")])


def test_two_branches_of_a_repo_may_be_below_one_root_if_no_commit_reaches_both(catalog) -> None:
    catalog.repo("data", "out")
    data = BranchName(repo="data", branch="master")
    catalog.branch("out", "one", of=["data"])
    catalog.branch("out", "two", of=["data"], quiet=[data])
    started = catalog.put("data")

    assert [o.commit.branch for o in started.opened] == ["one"]


def test_to_make_it_an_ordinary_source_makes_its_commit_due(joined) -> None:
    joined.put("data")
    done(joined)
    side = joined.put("side").commit.id
    opened = joined.branch("out", of=["data", "side"])

    assert [str(o.commit.name).split("@")[0] for o in opened] == ["out"]
    assert inputs(joined)["side"] == side


def test_it_stays_one_through_the_trash(joined) -> None:
    joined.put("data")
    out = BranchName(repo="out", branch="master")
    joined.remove_with(
        "branch",
        str(out),
        lambda tx, entry: trash.keep_branch(tx, entry, out),
        lambda tx: branches.delete_branch(tx, "out", "master", force=True),
    )
    joined.undelete("branch", str(out))

    assert joined.ask(branches.quiet_sources, "out", "master") == [SIDE]
    assert joined.put("side").opened == ()


def test_what_was_made_from_a_dropped_commit_of_it_is_made_again(joined) -> None:
    joined.put("side")
    data = joined.put("data").commit.id
    done(joined)
    old = joined.head("side").id
    joined.put("side")
    done_from = joined.put("data").commit.id
    joined.drop("side@master", recursive=True)

    assert inputs(joined) == {"data": done_from, "side": old}
    assert data != done_from


# --- against a plain model ------------------------------------------------------------------------

EDGES = [("b", "a"), ("c", "a"), ("c", "b"), ("d", "b"), ("d", "c"), ("d", "s"), ("c", "s")]
graphs = st.lists(
    st.tuples(st.sampled_from(EDGES), st.booleans()), unique_by=lambda edge: edge[0], min_size=1
)


@given(graph=graphs, puts=st.lists(st.sampled_from("as"), min_size=1, max_size=6))
def test_only_news_of_other_sources_make_news(graph, puts: list[str], new_catalog) -> None:
    """A branch is made anew, from the heads there are, iff a source that is not quiet was."""
    with TemporaryDirectory() as place:
        catalog = new_catalog(Path(place) / "catalog.db")
        _play(catalog, graph, puts)
        catalog.db.close()


def _play(catalog, graph, puts: list[str]) -> None:
    sources = {to: [source for (of, source), _ in graph if of == to] for (to, _), _ in graph}
    quiet = {edge for edge, silent in graph if silent}
    roots = set("abcds") - sources.keys()
    catalog.repo(*"abcds")
    for to in "bcd":
        if to in sources:
            silent = [BranchName(repo=s, branch="master") for of, s in quiet if of == to]
            catalog.branch(to, of=sources[to], quiet=silent)
    heads: dict[str, str] = {}
    made: dict[str, dict[str, str]] = {}
    for repo in (put for put in puts if put in roots):
        run = catalog.put(repo).commit.id
        heads[repo] = run
        news = {repo}
        for to in "bcd":
            if any(s in news and (to, s) not in quiet for s in sources.get(to, ())):
                news.add(to)
                heads[to] = run
                made[to] = {s: heads[s] for s in sources[to] if s in heads}
        for to in news & set("bcd"):
            catalog.finish(to, heads[to], output=True)

        for to in "abcds":
            head = catalog.head(to)
            assert (None if head is None else head.id) == heads.get(to)
            if to in made:
                assert inputs(catalog, f"{to}@master") == made[to]
            with catalog.db.read() as tx:
                assert list(invariants.broken(tx, to)) == []
