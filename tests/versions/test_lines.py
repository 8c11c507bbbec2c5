"""Ancestors by lines are those that parents lead to, and cost nothing for a long history."""

import importlib.util
import random
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import CommitNotFound
from trunkline.versions import commits, invariants, removal, repos, trash
from trunkline.versions.tables.seals import seal_row

_SPEC = importlib.util.spec_from_file_location("catalog", Path(__file__).parent / "conftest.py")
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)
Catalog = _MODULE.Catalog

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["on top", "on top", "on top", "anywhere", "remove", "remove", "restore"]),
        st.integers(0, 10**6),
    ),
    min_size=5,
    max_size=40,
)


def parents(catalog) -> dict[str, str | None]:
    """id → parent of all commits of the repo."""
    with catalog.db.read() as tx:
        return {c.id: c.parent for c in commits.list_commits(tx, "a")}


def line_of(parent: dict[str, str | None], commit: str) -> list[str]:
    found = [commit]
    while parent[found[-1]] is not None:
        found.append(parent[found[-1]])
    return found


def check(catalog) -> None:
    """Every question about ancestors has the answer that walking from parent to parent gives."""
    parent = parents(catalog)
    chance = random.Random(len(parent))
    with catalog.db.read() as tx:
        assert list(invariants.broken_rows(tx)) == []
        for commit in parent:
            line = line_of(parent, commit)
            assert [c.id for c in commits.list_commits(tx, "a", to=commit)] == line
            steps = chance.randrange(len(line))
            assert commits.resolve(tx, "a", f"{commit}~{steps}").id == line[steps]
            assert commits.resolve(tx, "a", f"{commit}.{steps + 1}").id == line[-1 - steps]
            for beyond in (f"{commit}~{len(line)}", f"{commit}.{len(line) + 1}"):
                with pytest.raises(CommitNotFound, match=f"has {len(line) - 1} ancestor"):
                    commits.resolve(tx, "a", beyond)
            other = chance.choice(list(parent))
            shared = next((c for c in line if c in line_of(parent, other)), None)
            found = commits.common_ancestor(
                tx, commits.get_commit(tx, "a", commit), commits.get_commit(tx, "a", other)
            )
            assert (None if found is None else found.id) == shared


@given(steps=STEPS)
def test_lines_tell_what_parents_tell(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        catalog = Catalog(Path(place) / "catalog.db")
        catalog.repo("a")
        gone: list[str] = []
        for step, pick in steps:
            there = sorted(parents(catalog))
            if step == "restore" and gone:
                catalog.undelete("commit", gone.pop(pick % len(gone)))
            elif step == "remove" and len(there) > 2:
                first = pick % len(there)
                doomed = there[first : first + 1 + pick % 3]
                with catalog.db.write() as tx:
                    records = [commits.get_commit(tx, "a", commit) for commit in doomed]
                    name = f"a@{doomed[0]}"
                    removal.delete_run(
                        tx, records, name=name, how="test", now=catalog.now, run_id="0" * 32
                    )
                gone.append(name)
            else:
                aside = step == "anywhere" and there
                on = there[pick % len(there)] if aside else None
                new = catalog.start("a", branch=None if aside else "master", parent=on)
                catalog.finish("a", new.commit.id)
        check(catalog)
        while gone:
            catalog.undelete("commit", gone.pop(0))
            check(catalog)
        catalog.db.close()


def test_a_repo_that_comes_back_has_its_lines(catalog) -> None:
    catalog.repo("a")
    for _ in range(4):
        catalog.put("a")
    second = catalog.get("a@master.2")
    catalog.finish("a", catalog.start("a", branch=None, parent=second.id).commit.id)
    before = parents(catalog)
    entry = catalog.remove_with(
        "repo",
        "a",
        lambda tx, number: trash.keep_repo(tx, number, "a"),
        lambda tx: repos.delete_repo(tx, "a", force=True, now=catalog.now),
    )

    assert entry
    catalog.undelete("repo", "a")

    assert parents(catalog) == before
    check(catalog)


# --- what grows with the length of the history ----------------------------------------------------


class Steps:
    """Counts the instructions of SQLite's machine, which does the same for the same work."""

    def __init__(self, database) -> None:
        self.count = 0
        self._connections = [database._writer, *database._readers]

    def _one(self) -> int:
        self.count += 1
        return 0

    def __enter__(self) -> "Steps":
        for connection in self._connections:
            connection.set_progress_handler(self._one, 1)
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.set_progress_handler(None, 1)


def long_repo(place: Path, length: int):
    """A repo with so many commits on a branch, and a branch that another follows by a trigger."""
    catalog = Catalog(place / f"{length}.db")
    catalog.repo("a", "b")
    catalog.put("a")
    catalog.put("b")
    catalog.db.close()
    # Commits like the first one, straight into the tables: thousands of puts take long.
    connection = sqlite3.connect(place / f"{length}.db")
    [(number, repo, run)] = connection.execute(
        "SELECT c.number, c.repo, c.id FROM commit_record c JOIN repo r ON r.number = c.repo "
        "WHERE r.name = 'a'"
    )
    columns = [row[1] for row in connection.execute("PRAGMA table_info(commit_record)")]
    copied = ", ".join(c for c in columns if c not in ("number", "id", "parent"))
    base = 1000
    with connection:
        for n in range(length - 1):
            new = {"new": base + n, "id": f"{n:012x}4{9:03x}8{n:015x}", "old": number}
            new["parent"] = number if n == 0 else base + n - 1
            connection.execute("INSERT INTO run VALUES (:new, :id, 0)", new)
            connection.execute(
                f"INSERT INTO commit_record (number, id, parent, {copied}) "
                f"SELECT :new, :id, :parent, {copied} FROM commit_record WHERE number = :old",
                new,
            )
        last = base + length - 2
        connection.execute("UPDATE change_number SET value = ?", (last + 1,))
        connection.execute("UPDATE branch SET head = ? WHERE repo = ?", (last, repo))
    connection.close()
    catalog = Catalog(place / f"{length}.db")
    catalog.count = 10**6
    with catalog.db.write() as tx:
        for (number,) in tx.rows("SELECT number FROM commit_record"):
            seal_row(tx, number)
    assert run
    return catalog


def cost(catalog, work) -> int:
    catalog.ask(lambda tx: None)  # a reader is there to be counted
    with Steps(catalog.db) as steps:
        work()
    return steps.count


WORK = {
    "put": lambda c: c.put("a"),
    "newest": lambda c: c.ask(lambda tx: list(commits.list_commits(tx, "a", number=10))),
    "newest of a branch": lambda c: c.listed("a", to="master", number=10),
    "near ancestor": lambda c: c.get("a@master~9"),
    "first of all": lambda c: c.get("a@master.1"),
    "common ancestor": lambda c: c.ask(
        commits.common_ancestor, c.get("a@master"), c.get("a@master~5")
    ),
    "squash the oldest 50": lambda c: c.squash(*[f"a@master.{n}" for n in range(1, 51)]),
    "undelete them": lambda c: c.undelete("commit", c.ask(lambda tx: trash.entries(tx))[0][0].name),
    "drop": lambda c: c.drop("a@master"),
}


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory):
    place = tmp_path_factory.mktemp("long")
    return [long_repo(place, length) for length in (200, 5000)]


@pytest.mark.parametrize("what", WORK)
def test_the_length_of_the_history_costs_nothing(repositories, what: str) -> None:
    short, long = (cost(catalog, lambda c=catalog: WORK[what](c)) for catalog in repositories)

    assert long <= 1.1 * short + 200, f"{short} steps with 200 commits, {long} with 5,000"
