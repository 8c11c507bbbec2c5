"""The catalog in PostgreSQL beside the same in SQLite, with everything durable on both.

usage: catalog.py postgresql://USER:PASSWORD@HOST/DATABASE [--repetitions 5] [--scale 1]

The database must be empty, and its disk the one that temporary files are on. Both take turns; times
are medians of one operation, and the ratio is what counts: at most 3 is the aim. Then, how many
datums a second the catalog hands out and takes back, in batches as workers have them.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from measure import seconds

from trunkline.db.database import Database
from trunkline.db.migrate import migrate
from trunkline.db.opening import open_database
from trunkline.db.sqlite import SqliteDatabase
from trunkline.jobs import tables as jobs
from trunkline.model.jobs import DatumState
from trunkline.versions import commits, repos
from trunkline.versions.counter import next_number

NOW = datetime(2024, 5, 6, tzinfo=UTC)
BATCH = 100  # datums
_numbers = count(1)


def run_id() -> str:
    number = next(_numbers)
    return f"{number:012x}4{number:019x}"


class Catalog:
    """One catalog with a repo, and what is measured on it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        migrate(database, "catalog", where="bench")
        with database.write() as tx:
            repos.create_repo(tx, "data", description="", now=NOW)
        self.head: str | None = None
        self.key = 0
        self.position = 0
        self.put()

    def put(self) -> None:
        """One commit with a tree on top of the head."""
        with self.database.write() as tx:
            done = commits.put_commit(
                tx,
                "data",
                "master",
                expected_head=self.head,
                root="r00t",
                files=1,
                size_bytes=1,
                description="",
                now=NOW,
                run_id=run_id(),
            )
        self.head = done.commit.id

    def open_and_finish(self) -> None:
        with self.database.write() as tx:
            started = commits.start_commit(
                tx, "data", branch="master", parent=None, description="", now=NOW, run_id=run_id()
            )
        with self.database.write() as tx:
            done = commits.finish_commit(
                tx, "data", started.commit.id, root="r00t", files=1, size_bytes=1, now=NOW
            )
        self.head = done.commit.id

    def look(self) -> None:
        """What `inspect commit` asks."""
        with self.database.read() as tx:
            commits.commit_info(tx, commits.resolve(tx, "data", "master"))

    def page(self) -> None:
        """The newest 100 commits."""
        with self.database.read() as tx:
            list(commits.list_commits(tx, "data", number=100))

    def lease(self) -> None:
        with self.database.write() as tx:
            lease = jobs.LeaseRecord(
                id=next_number(tx),
                job=1,
                first=self.position,
                until=self.position + BATCH,
                worker="w",
            )
            jobs.record_leases(tx, [lease])
            jobs.advance_leased(tx, 1, self.position + BATCH)
        self.position += BATCH

    def outcomes(self) -> None:
        """A report of a worker: outcomes and results of a batch."""
        records = []
        for _ in range(BATCH):
            self.key += 1
            records.append(
                jobs.DatumRecord(
                    job=1,
                    position=self.key,
                    key=f"{self.key:064x}",
                    state=DatumState.SUCCESS,
                    tries=1,
                    worker="w",
                    started=NOW,
                    finished=NOW,
                    downloaded_bytes=1,
                    uploaded_bytes=1,
                    download_us=1,
                    process_us=1,
                    upload_us=1,
                    log=(),
                    reason="",
                )
            )
        with self.database.write() as tx:
            fresh = jobs.insert_datums(tx, 1, records)
            jobs.insert_results(
                tx,
                [
                    jobs.ResultRecord(key=r.key, output=("d",), files=1, size_bytes=1, log=())
                    for r in fresh
                ],
                job=1,
                now=NOW,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    works: list[tuple[str, int, Callable[[Catalog], None]]] = [
        ("put a commit", 100, Catalog.put),
        ("start and finish one", 50, Catalog.open_and_finish),
        ("inspect a commit", 200, Catalog.look),
        ("list 100 commits", 50, Catalog.page),
        (f"lease {BATCH} datums", 100, Catalog.lease),
        (f"outcomes of {BATCH} datums", 20, Catalog.outcomes),
    ]
    with (
        tempfile.TemporaryDirectory(prefix="trunkline-bench-") as place,
        closing(SqliteDatabase(Path(place) / "catalog.db")) as file,
        closing(open_database(options.url)) as server,
    ):
        both = [Catalog(file), Catalog(server)]
        print(f"{'ms each':<28}{'SQLite FULL':>12}{'PostgreSQL':>12}{'ratio':>8}")
        rates: dict[str, float] = {}
        for name, often, work in works:
            times = max(1, int(often * options.scale))
            found: list[list[float]] = [[], []]
            for _ in range(options.repetitions):
                for number, catalog in enumerate(both):
                    took = seconds(lambda c=catalog: [work(c) for _ in range(times)])  # noqa: B023
                    found[number].append(took / times)
            one, other = map(statistics.median, found)
            rates[name] = BATCH / other
            print(f"{name:<28}{one * 1e3:>12.2f}{other * 1e3:>12.2f}{other / one:>8.1f}")
    *_, leases, outcomes = rates.values()
    print(f"datums a second in PostgreSQL: {leases:,.0f} leased, {outcomes:,.0f} taken back")


if __name__ == "__main__":
    main()
