"""No operation reads whole tables: its cost does not grow with the number of commits."""

from collections.abc import Iterable, Mapping

import pytest

from trunkline.db.database import Row, Soon, Transaction, Value
from trunkline.versions import branches, commits, provenance, removal, repos, trash

# What a statement may walk from end to end: its own intermediate results, the one-row counter, and
# (in lists, in order and up to a limit) the runs and the repos.
MAY_BE_WALKED = {
    *(
        "up",
        "it",
        "down",
        "reach",
        "one",
        "two",
        "stretch",
        "s",
        "line",
        "l",
        "far",
        "below",
        "change_number",
    ),
}
IN_ORDER = {"run", "repo", "trash", "b"}  # b: branches, all of which are in the list of repos


@pytest.fixture
def catalog(catalog_in_file):
    return catalog_in_file


class Explained:
    """A transaction that also asks how each of its statements is carried out."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.scans: set[str] = set()

    def _explain(self, sql: str, parameters: Mapping[str, Value]) -> None:
        for *_, step in self._tx.rows(f"EXPLAIN QUERY PLAN {sql}", **parameters):
            words = step.split()
            if words[0] == "SCAN" and words[1] not in MAY_BE_WALKED and words[1] != "CONSTANT":
                self.scans.add(f"{words[1]}: {sql}")

    def rows(self, sql: str, **parameters: Value) -> list[Row]:
        self._explain(sql, parameters)
        return self._tx.rows(sql, **parameters)

    def row(self, sql: str, **parameters: Value) -> Row | None:
        self._explain(sql, parameters)
        return self._tx.row(sql, **parameters)

    def ask(self, sql: str, **parameters: Value) -> Soon[list[Row]]:
        self._explain(sql, parameters)
        return self._tx.ask(sql, **parameters)

    def execute(self, sql: str, **parameters: Value) -> None:
        self._explain(sql, parameters)
        self._tx.execute(sql, **parameters)

    def change(self, sql: str, **parameters: Value) -> int:
        self._explain(sql, parameters)
        return self._tx.change(sql, **parameters)

    def execute_many(self, sql: str, parameters: Iterable[Mapping[str, Value]]) -> None:
        self._tx.execute_many(sql, parameters)


def history(catalog) -> None:
    catalog.repo("data", "edges", "montage")
    catalog.put("__spec__", "edges")
    catalog.branch("edges", of=["data", "__spec__@edges"])
    catalog.branch("montage", of=["edges"])
    for _ in range(5):
        run = catalog.put("data", size=5).commit.id
        catalog.finish("edges", run, output=True)
        catalog.finish("montage", run, output=True)


def read_all(tx: Transaction) -> None:
    head = commits.resolve(tx, "data", "master~3")
    commits.resolve(tx, "montage", "master.2")
    list(commits.list_commits(tx, "data", number=2))
    list(commits.list_commits(tx, "data", to="master", after=head.id))
    for record in commits.commits_of_run(tx, head.id):
        commits.commit_info(tx, record)
        provenance.subvenance_of(tx, record)
        provenance.all_provenance_finished(tx, record)
        provenance.unfinished_inputs(tx, record.repo, record.id)
    repos.repo_info(tx, "data")
    branches.list_branches(tx, "montage")
    commits.get_run(tx, head.id)


def write_all(tx: Transaction, catalog) -> None:
    started = commits.start_commit(
        tx, "data", branch="master", parent=None, description="", **catalog.moment()
    )
    commits.add_deltas(tx, "data", started.commit.id, ["a"])
    commits.finish_commit(
        tx, "data", started.commit.id, root="r", files=0, size_bytes=0, now=catalog.now
    )
    record = commits.get_commit(tx, "data", started.commit.id)
    gone = removal.delete_commit(tx, record, how="delete", **catalog.moment())
    trash.restore(tx, trash.find(tx, "commit", f"data@{record.id}"), **catalog.moment())
    old = commits.resolve(tx, "data", "master~3")
    named = {"name": str(old.name), "how": "squash"}
    gone = removal.squash(tx, [old], recursive=True, **named, **catalog.moment())
    trash.expire(tx, before=catalog.now)
    assert gone.removed
    branches.create_branch(
        tx,
        "montage",
        "master",
        head=None,
        provenance=branches.branch_info(tx, "edges", "master").provenance,
        **catalog.moment(),
    )
    branches.delete_branch(tx, "montage", "master", force=False)
    repos.delete_repo(tx, "montage", force=True, now=catalog.now)


def test_a_scan_would_be_noticed(catalog) -> None:
    with catalog.db.read() as tx:
        explained = Explained(tx)
        explained.rows("SELECT id FROM commit_record c WHERE c.error = 'none'")

    assert len(explained.scans) == 1


def test_no_question_scans_a_table(catalog) -> None:
    history(catalog)

    with catalog.db.read() as tx:
        explained = Explained(tx)
        read_all(explained)

    assert explained.scans == set()


def test_no_change_scans_a_table(catalog) -> None:
    history(catalog)

    with catalog.db.write() as tx:
        explained = Explained(tx)
        write_all(explained, catalog)

    assert explained.scans == set()


@pytest.mark.parametrize("question", [commits.list_runs, repos.list_repos, trash.entries])
def test_a_list_of_everything_walks_only_what_it_lists(catalog, question) -> None:
    history(catalog)

    with catalog.db.read() as tx:
        explained = Explained(tx)
        question(explained)

    assert {scan.split(":")[0] for scan in explained.scans} <= IN_ORDER
