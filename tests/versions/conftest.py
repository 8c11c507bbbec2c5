"""A catalog of one test, driven with a clock and ids that count up."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from postgres_schemas import KINDS, catalog_schema
from ready_catalogs import fill_catalog

from trunkline.db.database import Database, Transaction
from trunkline.db.migrate import migrate
from trunkline.db.opening import open_database
from trunkline.db.sqlite import SqliteDatabase
from trunkline.files.manifest import EMPTY
from trunkline.model.names import is_commit_id
from trunkline.model.versions import BranchName
from trunkline.versions import branches, commits, invariants, projects, removal, repos, trash
from trunkline.versions.records import CommitRecord, OpenedCommit


class Catalog:
    """The version functions with time and run ids filled in, one transaction per call."""

    def __init__(self, place: Path | str) -> None:
        """In a file, or in the database at a URL."""
        self.db: Database
        if isinstance(place, Path):
            if not place.exists():
                fill_catalog(place)
            self.db = SqliteDatabase(place, durable=False)
        else:
            self.db = open_database(place)
            migrate(self.db, "catalog", where=place)
            invariants.guard(self.db)
        self.count = 0

    def moment(self) -> dict[str, object]:
        """The next `now` and `run_id`."""
        self.count += 1
        run_id = f"{self.count:012x}4{self.count:019x}"
        assert is_commit_id(run_id)
        return {"now": self.now, "run_id": run_id}

    @property
    def now(self) -> datetime:
        return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=self.count)

    def ask(self, question: Callable[..., object], *arguments: object, **named: object) -> object:
        with self.db.read() as tx:
            return question(tx, *arguments, **named)

    def change(self, function: Callable[..., object], *arguments: object, **named: object):
        with self.db.write() as tx:
            return function(tx, *arguments, **named)

    def repo(self, *names: str) -> None:
        for name in names:
            self.change(repos.create_repo, name, description="", now=self.now)

    def start(self, repo: str, branch: str | None = "master", **more: object) -> commits.Started:
        values = {"parent": None, "description": "", **self.moment(), **more}
        return self.change(commits.start_commit, repo, branch=branch, **values)

    def finish(self, repo: str, commit: str, *, size: int = 0, **more: object) -> CommitRecord:
        root = EMPTY if more.get("error") else "r00t"
        values = {"root": root, "files": 1 if size else 0, "size_bytes": size, "now": self.now}
        return self.change(commits.finish_commit, repo, commit, **{**values, **more}).commit

    def put(self, repo: str, branch: str = "master", size: int = 0, **more: object):
        values = {"root": "r00t", "files": 1, "size_bytes": size, "description": ""}
        with self.db.write() as tx:
            exists = repos.repo_exists(tx, repo)
            head = branches.branch_head(tx, repo, branch) if exists else None
            values["expected_head"] = None if head is None else head.id
            return commits.put_commit(tx, repo, branch, **{**values, **self.moment(), **more})

    def branch(
        self,
        repo: str,
        branch: str = "master",
        *,
        of: Sequence[str] | None = None,
        head: CommitRecord | None = None,
        **more: object,
    ) -> list[OpenedCommit]:
        """`of` lists sources as `repo` or `repo@branch`; they are made if need be."""
        sources = None
        if of is not None:
            pairs = [(*name.split("@"), "master")[:2] for name in of]
            sources = [BranchName(repo=r, branch=b) for r, b in pairs]
            for source in sources:
                self.change(branches.ensure_branch, source.repo, source.branch, now=self.now)
        values = {"head": head, "provenance": sources, **self.moment(), **more}
        return self.change(branches.create_branch, repo, branch, **values)

    def delete(self, repo: str, commit: str, **when: object) -> removal.Deleted:
        with self.db.write() as tx:
            record = commits.get_commit(tx, repo, commit)
            return removal.delete_commit(tx, record, how="delete", **(when or self.moment()))

    def squash(self, *refs: str, **more: object) -> removal.Deleted:
        return self._remove(removal.squash, refs, **more)

    def drop(self, *refs: str, **more: object) -> removal.Deleted:
        return self._remove(removal.drop, refs, **more)

    def _remove(
        self, way, refs: Sequence[str], *, recursive: bool = False, **when: object
    ) -> removal.Deleted:
        """Remove the commits that `repo@ref` mean."""
        records = [self.get(ref) for ref in refs]
        name = str(records[0].name)
        how = {"recursive": recursive, "name": name, "how": name}
        return self.change(way, records, **how, **(when or self.moment()))

    def remove_with(self, kind: str, name: str, keep, delete) -> int:
        """Move something into the trash: `keep` it, then `delete` it; gives the entry."""
        with self.db.write() as tx:
            entry = trash.begin(tx, kind, name, how=f"delete {kind}", now=self.now)
            keep(tx, entry)
            delete(tx)
            return entry

    def delete_project(self, name: str) -> None:
        with self.db.write() as tx:
            for repo in repos.spec_repos(tx, name):
                entry = trash.begin(tx, "repo", repo, how="delete project", now=self.now)
                trash.keep_repo(tx, entry, repo)
            projects.delete_project(tx, name)

    def undelete(self, kind: str, name: str, **when: object) -> trash.Restored:
        with self.db.write() as tx:
            return trash.restore(tx, trash.find(tx, kind, name), **(when or self.moment()))

    def head(self, repo: str, branch: str = "master") -> CommitRecord | None:
        return self.ask(branches.branch_head, repo, branch)

    def get(self, ref: str) -> CommitRecord:
        """The commit that `repo@ref` means."""
        repo, _, rest = ref.partition("@")
        return self.ask(commits.resolve, repo, rest)

    def made_from(self, ref: str) -> list[str]:
        """The full provenance of `repo@ref`, as `repo@id`."""
        return [str(n) for n in self.info(ref).provenance]

    def info(self, ref: str):
        return self.ask(commits.commit_info, self.get(ref))

    def listed(self, repo: str, **how: object) -> list[str]:
        def ids(tx: Transaction) -> list[str]:
            return [commit.id for commit in commits.list_commits(tx, repo, **how)]

        return self.ask(ids)


@pytest.fixture(params=KINDS)
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    with catalog_schema() if request.param == "postgres" else nullcontext(tmp_path / "c.db") as at:
        made = Catalog(at)
        yield made
        made.db.close()


@pytest.fixture
def catalog_in_file(tmp_path: Path) -> Iterator[Catalog]:
    """For what only SQLite can tell."""
    made = Catalog(tmp_path / "catalog.db")
    yield made
    made.db.close()


@pytest.fixture(scope="session")
def new_catalog() -> type[Catalog]:
    """For tests that need more than one."""
    return Catalog
