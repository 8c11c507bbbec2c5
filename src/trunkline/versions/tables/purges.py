"""SQL on purges: their records, their tombstones, and the history that they rewrite."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from trunkline.db.database import Row, Transaction, among
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.versions.tables.numbers import next_number
from trunkline.versions.tables.seals import seal_row
from trunkline.versions.tables.trash import KEPT_COLUMNS

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeRow:
    """A purge as the catalog holds it; `request` and `report` are JSON."""

    number: int
    id: str
    phase: str
    started: datetime
    finished: datetime | None
    reason: str
    request: str
    salt: str
    report: str


class HeldCommit(NamedTuple):
    """A commit of the history or of the trash, as far as rewriting it needs."""

    number: int
    repo: str
    id: str
    root: str  # empty while open
    error: str | None
    deleted: bool


class HeldDelta(NamedTuple):
    """A change that belongs to an open commit, or to a step of a transaction."""

    owner: int  # number of the commit or of the transaction
    position: int
    deltas: str  # joined by commas
    deleted: bool


class TombstoneRow(NamedTuple):
    """What one purge took from one commit."""

    purge: int
    names: str
    files: int
    size_bytes: int


_PURGE = (
    "SELECT number, id, phase, started_us, finished_us, reason, request, salt, report FROM purge"
)


def insert_purge(
    tx: Transaction, *, purge_id: str, reason: str, request: str, salt: str, now: datetime
) -> int:
    number = next_number(tx)
    tx.execute(
        "INSERT INTO purge (number, id, phase, started_us, reason, request, salt, report) "
        "VALUES (:number, :id, 'rewriting', :now, :reason, :request, :salt, '')",
        number=number,
        id=purge_id,
        now=to_microseconds(now),
        reason=reason,
        request=request,
        salt=salt,
    )
    return number


def purges(tx: Transaction) -> list[PurgeRow]:
    """Newest first."""
    return [_purge(row) for row in tx.rows(f"{_PURGE} ORDER BY number DESC")]


def purge_numbered(tx: Transaction, number: int) -> PurgeRow | None:
    row = tx.row(f"{_PURGE} WHERE number = :number", number=number)
    return None if row is None else _purge(row)


def purge_named(tx: Transaction, purge_id: str) -> PurgeRow | None:
    row = tx.row(f"{_PURGE} WHERE id = :id", id=purge_id)
    return None if row is None else _purge(row)


def save_purge(
    tx: Transaction, number: int, *, phase: str, report: str, request: str | None = None
) -> None:
    """Note how far a purge is; with `request`, what was asked for becomes that."""
    tx.execute(
        "UPDATE purge SET phase = :phase, report = :report, "
        "request = COALESCE(:request, request) WHERE number = :number",
        number=number,
        phase=phase,
        report=report,
        request=request,
    )


def finish_purge(tx: Transaction, number: int, *, report: str, now: datetime) -> None:
    tx.execute(
        "UPDATE purge SET phase = 'done', report = :report, finished_us = :now "
        "WHERE number = :number",
        number=number,
        report=report,
        now=to_microseconds(now),
    )


def delete_purge(tx: Transaction, number: int) -> None:
    tx.execute("DELETE FROM purge WHERE number = :number", number=number)


def forget_purges(tx: Transaction) -> None:
    tx.execute("DELETE FROM tombstone")
    tx.execute("DELETE FROM purge")


def add_purged_chunks(
    tx: Transaction, purge: int, digests: Iterable[bytes], *, content: bool
) -> None:
    """Note chunks that have to go: those of erased files, or those that named them."""
    tx.execute_many(
        "INSERT INTO purge_content (purge, digest, content) VALUES (:purge, :digest, :content) "
        "ON CONFLICT DO NOTHING",
        ({"purge": purge, "digest": digest.hex(), "content": int(content)} for digest in digests),
    )


def purged_chunks(tx: Transaction, purge: int) -> dict[bytes, bool]:
    """The chunks that have to go, and whether each is of an erased file."""
    rows = tx.rows("SELECT digest, content FROM purge_content WHERE purge = :purge", purge=purge)
    return {bytes.fromhex(digest): bool(content) for digest, content in rows}


def forget_purged_chunks(tx: Transaction, purge: int) -> None:
    tx.execute("DELETE FROM purge_content WHERE purge = :purge", purge=purge)


def _purge(row: Row) -> PurgeRow:
    number, purge_id, phase, started_us, finished_us, reason, request, salt, report = row
    return PurgeRow(
        number=number,
        id=purge_id,
        phase=phase,
        started=from_microseconds(started_us),
        finished=None if finished_us is None else from_microseconds(finished_us),
        reason=reason,
        request=request,
        salt=salt,
        report=report,
    )


# --- tombstones -----------------------------------------------------------------------------------


def put_tombstone(
    tx: Transaction, commit: int, purge: int, *, names: str, files: int, size_bytes: int
) -> None:
    tx.execute(
        "INSERT INTO tombstone (commit_number, purge, names, files, size_bytes) "
        "VALUES (:commit, :purge, :names, :files, :size_bytes) "
        "ON CONFLICT (commit_number, purge) DO UPDATE SET names = excluded.names, "
        "files = excluded.files, size_bytes = excluded.size_bytes",
        commit=commit,
        purge=purge,
        names=names,
        files=files,
        size_bytes=size_bytes,
    )


def tombstones_of(tx: Transaction, commit: int) -> list[TombstoneRow]:
    """What was taken from a commit, the latest purge first."""
    rows = tx.rows(
        "SELECT purge, names, files, size_bytes FROM tombstone WHERE commit_number = :commit "
        "ORDER BY purge DESC",
        commit=commit,
    )
    return [TombstoneRow(*row) for row in rows]


def tombstone_names(tx: Transaction) -> list[str]:
    """The trees of names of all tombstones, each once."""
    rows = tx.rows("SELECT DISTINCT names FROM tombstone WHERE names <> ''")
    return [str(names) for (names,) in rows]


def all_tombstones(tx: Transaction) -> list[tuple[str, str]]:
    """(id of the purge, tree of names), each once."""
    rows = tx.rows(
        "SELECT p.id, t.names FROM tombstone t JOIN purge p ON p.number = t.purge "
        "WHERE t.names <> '' GROUP BY p.number, p.id, t.names ORDER BY p.number, t.names"
    )
    return [(str(purge), str(names)) for purge, names in rows]


def forget_tombstones(tx: Transaction) -> int:
    """Forget those of commits that are gone for good; returns how many."""
    return tx.change(
        "DELETE FROM tombstone WHERE NOT EXISTS "
        "(SELECT 1 FROM commit_record c WHERE c.number = tombstone.commit_number) "
        "AND NOT EXISTS (SELECT 1 FROM trash_commit t WHERE t.number = tombstone.commit_number)"
    )


def tombstones_out_of_line(tx: Transaction) -> list[tuple[int, str]]:
    """(commit number, problem) of tombstones that no purge leaves like that."""
    rows = tx.rows(
        "SELECT t.commit_number, 'its purge is gone' FROM tombstone t "
        "WHERE NOT EXISTS (SELECT 1 FROM purge p WHERE p.number = t.purge) UNION ALL "
        "SELECT t.commit_number, 'it names nothing' FROM tombstone t "
        "WHERE t.names = '' OR t.files < 1 OR t.size_bytes < 0"
    )
    return [(int(number), str(problem)) for number, problem in rows]


# --- what is rewritten ----------------------------------------------------------------------------


def held_repos(tx: Transaction) -> dict[int, str]:
    """The repos that are there or in the trash: number and name, oldest first."""
    found = {int(number): str(name) for number, name in tx.rows("SELECT number, name FROM repo")}
    for (content,) in tx.rows("SELECT content FROM trash_row WHERE place = 'repo'"):
        kept = dict(zip(KEPT_COLUMNS["repo"], json.loads(content), strict=True))
        found[int(kept["number"])] = str(kept["name"])
    return dict(sorted(found.items()))


def held_commits(tx: Transaction, repos: dict[int, str]) -> Iterator[HeldCommit]:
    """All commits of some repos, those in the trash too, by number, page by page."""
    numbers, values = among(repos)
    after = 0
    while True:
        rows = tx.rows(
            "SELECT number, repo, id, root, error, 0 FROM commit_record "
            f"WHERE repo IN {numbers} AND number > :after UNION ALL "
            "SELECT number, repo, id, root, error, 1 FROM trash_commit "
            f"WHERE repo IN {numbers} AND number > :after ORDER BY 1 LIMIT :page",
            after=after,
            page=_PAGE,
            **values,
        )
        yield from (_held(row, repos) for row in rows)
        if len(rows) < _PAGE:
            return
        after = int(rows[-1][0])


def direct_derivations(
    tx: Transaction, sources: Iterable[int], repos: dict[int, str]
) -> list[HeldCommit]:
    """The commits that were made directly from any of these, also those in the trash."""
    found: dict[int, HeldCommit] = {}
    wanted = list(sources)
    for start in range(0, len(wanted), _PAGE):
        marks, values = among(wanted[start : start + _PAGE])
        edges = (
            f"(SELECT derived FROM commit_provenance WHERE source IN {marks} UNION "
            f"SELECT derived FROM trash_provenance WHERE source IN {marks})"
        )
        rows = tx.rows(
            "SELECT number, repo, id, root, error, 0 FROM commit_record "
            f"WHERE number IN {edges} UNION ALL "
            "SELECT number, repo, id, root, error, 1 FROM trash_commit "
            f"WHERE number IN {edges}",
            **values,
        )
        found.update({int(row[0]): _held(row, repos) for row in rows if int(row[1]) in repos})
    return [found[number] for number in sorted(found)]


def _held(row: Row, repos: dict[int, str]) -> HeldCommit:
    number, repo, commit, root, error, deleted = row
    return HeldCommit(int(number), repos[int(repo)], commit, root, error, bool(deleted))


def replace_root(
    tx: Transaction, commit: HeldCommit, *, root: str, files: int, size_bytes: int
) -> None:
    """The commit has this tree instead of the one that it was finished with."""
    table = "trash_commit" if commit.deleted else "commit_record"
    changed = tx.change(
        f"UPDATE {table} SET root = :root, files = :files, size_bytes = :size_bytes "
        "WHERE number = :number AND finished_us IS NOT NULL",
        number=commit.number,
        root=root,
        files=files,
        size_bytes=size_bytes,
    )
    if changed:
        seal_row(tx, commit.number, table=table)


def replace_error(tx: Transaction, commit: HeldCommit, error: str) -> None:
    table = "trash_commit" if commit.deleted else "commit_record"
    tx.execute(
        f"UPDATE {table} SET error = :error WHERE number = :number",
        number=commit.number,
        error=error,
    )
    seal_row(tx, commit.number, table=table)


def held_deltas(tx: Transaction, commit: HeldCommit) -> list[HeldDelta]:
    """The changes of an open commit, in order."""
    table = "trash_delta" if commit.deleted else "commit_delta"
    rows = tx.rows(
        f"SELECT commit_number, position, delta FROM {table} WHERE commit_number = :number "
        "ORDER BY position",
        number=commit.number,
    )
    return [HeldDelta(int(n), int(position), delta, commit.deleted) for n, position, delta in rows]


def replace_delta(tx: Transaction, held: HeldDelta, delta: str | None) -> None:
    """Other changes in place of these; None for none at all."""
    table = "trash_delta" if held.deleted else "commit_delta"
    entry = "entry, " if held.deleted else ""
    row = tx.row(
        f"DELETE FROM {table} WHERE commit_number = :owner AND position = :position "
        f"RETURNING {entry or '0, '}commit_number",
        owner=held.owner,
        position=held.position,
    )
    assert row is not None, "what is replaced was read in the same transaction"
    if delta is None:
        return
    tx.execute(
        f"INSERT INTO {table} ({entry}commit_number, position, delta) "
        f"VALUES ({':entry, ' if entry else ''}:owner, :position, :delta)",
        owner=held.owner,
        position=held.position,
        delta=delta,
        **({"entry": row[0]} if entry else {}),
    )


def waiting_steps(tx: Transaction) -> list[tuple[str, HeldDelta]]:
    """(arguments as JSON, changes) of the steps of transactions that have stored some."""
    rows = tx.rows(
        "SELECT batch, position, arguments, deltas FROM batch_step WHERE deltas <> '' "
        "ORDER BY batch, position"
    )
    return [
        (str(arguments), HeldDelta(int(batch), int(position), str(deltas), False))
        for batch, position, arguments, deltas in rows
    ]


def replace_step(tx: Transaction, held: HeldDelta, deltas: str) -> None:
    tx.execute(
        "UPDATE batch_step SET deltas = :deltas WHERE batch = :batch AND position = :position",
        batch=held.owner,
        position=held.position,
        deltas=deltas,
    )


def drop_file_set(tx: Transaction, root: str) -> None:
    tx.execute("DELETE FROM file_set WHERE root = :root", root=root)
