"""What rules come to in a catalog: what stays for which reason, and what goes."""

import importlib.util
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import BranchNotFound, Conflict, NotFound
from trunkline.model.versions import Retention
from trunkline.versions import branches, commits, invariants, removal, retention, tags, trash

_SPEC = importlib.util.spec_from_file_location("catalog", Path(__file__).parent / "conftest.py")
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
Catalog = _MODULE.Catalog


def rules(catalog, repo: str = "data", branch: str = "master", **given) -> None:
    catalog.change(retention.set_retention, repo, branch, Retention(**given), now=catalog.now)


def judged(catalog, repo: str = "data", branch: str = "master") -> list[tuple[str, ...]]:
    """The reasons of each commit of a branch, newest first."""
    return [v.reasons for v in catalog.ask(retention.judge, repo, branch)]


def apply(catalog, repo: str = "data", branch: str = "master", *, most: int = 500) -> int:
    """Squash what nothing keeps, in pieces; how many went."""
    count = 0
    while True:
        with catalog.db.write() as tx:
            doomed = retention.doomed(retention.judge(tx, repo, branch), most)
            if not doomed:
                return count
            name = str(doomed[0].name)
            when = catalog.moment()
            removal.squash(tx, doomed, recursive=False, name=name, how="retention", **when)
            count += len(doomed)


@pytest.fixture
def data(catalog):
    catalog.repo("data")
    for _ in range(6):
        catalog.put("data")
    return catalog


def test_rules_keep_the_newest_and_the_head_stays(data) -> None:
    rules(data, last=2)

    assert judged(data) == [("last 2", "head of master"), ("last 2",), (), (), (), ()]
    assert apply(data) == 4
    assert len(data.listed("data")) == 2
    assert apply(data) == 0


def test_tagged_commits_and_heads_of_other_branches_stay(data) -> None:
    data.branch("data", "old", head=data.get("data@master.2"))
    data.change(tags.create_tag, data.get("data@master.4"), "v1", force=False, now=data.now)
    rules(data, tagged=True)
    rules(data, branch="old", last=1)

    assert judged(data) == [
        ("head of master",),
        (),
        ("tagged v1",),
        (),
        ("head of old", "on old"),
        (),
    ]
    kept = [data.get(f"data@{ref}").id for ref in ("master", "v1", "old")]
    assert apply(data) == 3
    assert data.listed("data", to="master") == kept


def test_a_branch_without_rules_keeps_all_that_is_on_it(data) -> None:
    data.branch("data", "other", head=data.get("data@master.3"))
    rules(data, last=1)

    assert judged(data)[3:] == [("head of other", "on other"), ("on other",), ("on other",)]
    assert apply(data) == 2


def test_open_commits_and_what_they_are_on_top_of_stay(data) -> None:
    open_commit = data.start("data").commit
    aside = data.start("data", branch=None, parent=data.get("data@master.2").id).commit
    rules(data, last=1)

    found = judged(data)

    assert found[0] == ("open", "head of master")
    assert found[1] == ("last 1", f"{open_commit.id} on top of it is open")
    assert found[5] == (f"{aside.id} on top of it is open",)
    assert apply(data) == 4


def test_what_others_were_made_from_stays_unless_they_go_along(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])
    for _ in range(4):
        run = catalog.put("data").commit.id
        catalog.finish("edges", run, output=True)
    rules(catalog, last=1)

    assert [len(why) for why in judged(catalog)] == [2, 1, 1, 1]
    assert judged(catalog)[1][0].endswith("was made from it")
    assert apply(catalog) == 0

    rules(catalog, last=1, derived=True)
    assert judged(catalog)[1:] == [(), (), ()]
    assert apply(catalog) == 6
    assert len(catalog.listed("data")) == len(catalog.listed("edges")) == 1


def test_what_is_still_being_made_from_a_commit_keeps_it(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.branch("edges", of=["data"])
    runs = [catalog.put("data").commit.id for _ in range(4)]
    catalog.finish("edges", runs[0], output=True)
    rules(catalog, last=1, derived=True)

    found = judged(catalog)

    assert found[1][0].endswith("is being made from it")
    assert found[3] == (f"a commit on top of edges@{runs[0]}, made from it, is open",)
    assert apply(catalog) == 0
    for run in runs[1:]:
        catalog.finish("edges", run, output=True)
    assert apply(catalog) == 6


def test_what_is_named_in_a_transaction_stays(data) -> None:
    second = data.get("data@master.2").id
    with data.db.write() as tx:
        tx.execute("INSERT INTO batch VALUES (1, 'x', '', 0)")
        tx.execute(
            "INSERT INTO batch_step VALUES (1, 0, 'create_branch', :arguments, '', '')",
            arguments=f'{{"head": "{second}"}}',
        )
    rules(data, last=1)

    assert judged(data)[4] == ("named in a transaction",)
    assert apply(data) == 4


def test_what_goes_can_be_brought_back(data) -> None:
    before = data.listed("data")
    rules(data, last=1)
    apply(data, most=2)

    while entries := data.ask(lambda tx: trash.entries(tx)):
        data.undelete("commit", entries[0][0].name)

    assert data.listed("data") == before
    assert data.listed("data", to="master") == before
    assert data.ask(lambda tx: list(invariants.broken_rows(tx))) == []


def test_rules_come_and_go_and_are_told(data) -> None:
    rules(data, last=3, within_s=60.0)

    info = data.ask(retention.retention_info, "data", "master")
    assert (info.rules.last, info.rules.within_s) == (3, 60.0)
    assert data.ask(branches.branch_info, "data", "master").retention == info.rules
    rules(data, daily=1)
    assert [i.rules for i in data.ask(retention.list_retentions)] == [Retention(daily=1)]
    data.change(retention.delete_retention, "data", "master")
    assert data.ask(retention.list_retentions) == []
    with pytest.raises(NotFound, match="branch data@master has no retention rules"):
        data.change(retention.delete_retention, "data", "master")
    with pytest.raises(BranchNotFound):
        rules(data, branch="nowhere", last=1)


def test_derived_branches_and_specs_have_no_rules(catalog) -> None:
    catalog.repo("data", "edges")
    catalog.put("data")
    catalog.put("__spec__", "edges")
    catalog.branch("edges", of=["data"])

    with pytest.raises(Conflict, match="edges@master is derived from others"):
        rules(catalog, repo="edges", last=1)
    with pytest.raises(Conflict, match="versions of a pipeline"):
        rules(catalog, repo="__spec__", branch="edges", last=1)
    catalog.put("data", "side")
    rules(catalog, branch="side", last=1)
    with pytest.raises(Conflict, match="`delete retention data@side` first"):
        catalog.branch("data", "side", of=["edges"])


def test_rules_go_into_the_trash_with_their_branch_and_come_back(data) -> None:
    rules(data, last=3)
    data.remove_with(
        "branch",
        "data@master",
        lambda tx, entry: trash.keep_branch(
            tx, entry, branches.BranchName(repo="data", branch="master")
        ),
        lambda tx: branches.delete_branch(tx, "data", "master", force=True),
    )
    assert data.ask(retention.list_retentions) == []

    data.undelete("branch", "data@master")

    assert data.ask(retention.retention_info, "data", "master").rules == Retention(last=3)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "branch", "tag", "apply", "undelete", "rules"]),
        st.integers(0, 10**6),
    ),
    min_size=8,
    max_size=40,
)


@given(steps=STEPS)
def test_nothing_that_anything_keeps_ever_goes(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        catalog = Catalog(Path(place) / "catalog.db")
        catalog.repo("data", "edges")
        catalog.branch("edges", of=["data"])
        catalog.put("data")
        for number, (step, pick) in enumerate(steps):
            name = ["master", "dev"][pick % 2]
            there = catalog.listed("data")
            heads = {b.name: b.head for b in catalog.ask(branches.list_branches, "data")}
            match step:
                case "put":
                    run = catalog.put("data", name).commit.id
                    if name == "master" and pick % 5:
                        for opened in reversed(catalog.listed("edges")):
                            if catalog.get(f"edges@{opened}").finished is None:
                                catalog.finish("edges", opened, output=True)
                    assert run
                case "branch":
                    there_head = catalog.get(f"data@{there[pick % len(there)]}")
                    if there_head.finished is not None and name == "dev":
                        catalog.branch("data", name, head=there_head)
                case "tag":
                    at = catalog.get(f"data@{there[pick % len(there)]}")
                    catalog.change(tags.create_tag, at, f"t{number}", force=False, now=catalog.now)
                case "rules" if name in heads:
                    rules(catalog, branch=name, last=1 + pick % 3, derived=bool(pick % 3))
                case "undelete":
                    entries = catalog.ask(lambda tx: trash.entries(tx))
                    if entries:
                        catalog.undelete("commit", entries[pick % len(entries)][0].name)
                case "apply" if name in heads:
                    _apply_and_check(catalog, name, heads)
        assert catalog.ask(lambda tx: list(invariants.broken_rows(tx))) == []
        catalog.db.close()


def _apply_and_check(catalog, name: str, heads: dict[str, str | None]) -> None:
    before = {branch: catalog.listed("data", to=branch) for branch in heads if heads[branch]}
    tagged = {tag.commit for tag in catalog.ask(tags.list_tags, "data")}
    has = {b.name: b.retention for b in catalog.ask(branches.list_branches, "data")}
    if has[name] is None:
        with pytest.raises(NotFound):
            catalog.ask(retention.judge, "data", name)
        return
    apply(catalog, branch=name, most=3)
    left = set(catalog.listed("data"))
    assert {head for head in heads.values() if head} <= left
    assert tagged <= left
    assert set(before[name][: has[name].last]) <= left
    for branch, line in before.items():
        if branch != name and has[branch] is None:
            assert set(line) <= left
    assert [v for v in catalog.ask(retention.judge, "data", name) if not v.reasons] == []
    with catalog.db.read() as tx:
        for branch in ("data", "edges"):
            assert list(invariants.broken(tx, branch)) == []
            for commit in commits.list_commits(tx, branch):
                assert commits.commit_info(tx, commit)
