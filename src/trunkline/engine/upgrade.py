"""Brings a data directory of an older version to the present formats, and back.

One registry holds all steps: of the directory as a whole (its FORMAT file), then the migrations of
the catalog. First everything is checked without changing anything; the catalog is copied aside;
each step is done in one transaction; then the rules of the catalog are checked, and it is put back
if they don't hold. A crash leaves some steps done: the next opening goes on with the others.

The index of the store follows by itself, and can be made anew at any time.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from trunkline.db.database import Transaction, count_rows
from trunkline.db.migrate import Migration, apply, migrations, missing, numbers
from trunkline.db.sqlite import SqliteDatabase, reading, roll_back
from trunkline.db.sqlite_checks import quick_problems
from trunkline.engine import home as homes
from trunkline.engine import kept_catalog
from trunkline.engine.release import FORMAT, RELEASE
from trunkline.errors import (
    Conflict,
    Corrupt,
    NotFound,
    OperationFailed,
    StorageFull,
    StoreInUse,
    StoreTooOld,
    Unavailable,
)
from trunkline.jobs import ledger
from trunkline.model.admin import UpgradeCheck, UpgradeReport, UpgradeStep
from trunkline.versions import invariants, repos, unfinished

BY_ITSELF_S = 10.0  # what may take longer is only done when it is asked for

# What a step may cost, on the safe side.
_COPIED_BYTES_S = 100e6
_CHECKED_BYTES_S = 50e6
_REWRITTEN_ROWS_S = 30_000
_SLACK_BYTES = 4 * 1024 * 1024  # for logs, and new tables
_PROBLEMS_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: it is done to a data directory, all of it or nothing, and twice is as once."""

    part: str  # "directory" or "catalog"
    number: int
    title: str
    rewrites: tuple[str, ...]  # tables
    do: Callable[[Path, SqliteDatabase], None]


def _write_format(home: Path, _: SqliteDatabase) -> None:
    homes.write_format(home)


# Each leads to the format with its number. A step that changes files writes FORMAT first, so that
# no older version opens what is half done.
DIRECTORY_STEPS = (
    Step(
        part="directory",
        number=1,
        title="the file FORMAT, which says what this is",
        rewrites=(),
        do=_write_format,
    ),
    Step(
        part="directory",
        number=2,
        title="trees in smaller ranges: an old one is written anew when it is next changed",
        rewrites=(),
        do=_write_format,
    ),
)


def check(home: Path, *, automatic: bool = True) -> UpgradeCheck:
    """Look at a data directory, changing nothing, while others may work on it.

    Raises NotFound where there is none, StoreTooNew, Corrupt and Unavailable if it can't be read.
    """
    catalog = home / homes.CATALOG
    if homes.database_of(home):
        raise Conflict(
            f"the catalog of {home} is in a PostgreSQL database, and the server brings that up to "
            "date when it opens it; take a backup, or a dump of the database, before"
        )
    if not catalog.exists():
        raise NotFound(f"there is no data directory in {home} yet; the first command makes one")
    said = homes.format_of(home)
    with reading(catalog) as tx:
        return _look(tx, home, said, automatic=automatic)


def upgrade(home: Path, *, now: datetime, force: bool = False) -> UpgradeReport:
    """Do all steps that are missing. Nobody may have the directory open.

    Raises StoreInUse, Conflict for what `check` finds in the way, OperationFailed if the upgraded
    catalog breaks a rule, after putting it back; with `force` it is kept, and the problems told.
    """
    check(home)  # raises for what is no data directory before anything is made there
    with _locked(home):
        plan = check(home)
        if not plan.steps and not plan.interrupted:
            return _report(plan, (), kept=plan.kept, since=time.monotonic())
        _refuse_hindered(plan)
        return _do(plan, now=now, force=force)


def bring_up_to_date(home: Path, *, now: datetime, automatic: bool) -> None:
    """Upgrade what is about to be opened, by itself, if that is quick and safe; holds the lock.

    A directory in which nothing was ever done is left to be completed. Raises StoreTooOld if it has
    to be asked for, StoreTooNew, Corrupt; nothing is changed then.
    """
    catalog = home / homes.CATALOG
    said = homes.format_of(home)
    roll_back(catalog)
    if not catalog.exists() or catalog.stat().st_size == 0:
        if said < FORMAT:
            homes.write_format(home)
        return
    with reading(catalog) as tx:
        steps = _missing(tx, home, said)
        pristine = unfinished.is_pristine(tx)
        if not steps and not _is_interrupted(home):
            return
        if not pristine:
            plan = _look(tx, home, said, automatic=automatic)
    if pristine:
        if said == 0:
            homes.write_format(home)
        return
    why = _why_not(plan, automatic=automatic)
    if why:
        raise StoreTooOld(str(home), plan.catalog, plan.newest, why)
    _do(plan, now=now, force=False)


def undo(home: Path) -> UpgradeReport:
    """Put the catalog back as it was before the last upgrade, if nothing was written since.

    Raises NotFound if no copy is kept, Conflict if something was written, StoreInUse, Corrupt.
    """
    started = time.monotonic()
    check(home)
    with _locked(home):
        record = kept_catalog.kept(home)
        if record is None:
            raise NotFound(
                f"there is nothing to go back to: {home} has no {kept_catalog.DIRECTORY}"
            )
        database = SqliteDatabase(home / homes.CATALOG)
        try:
            with database.read() as tx:
                before = max(numbers(tx, where=str(home)))
            changed = kept_catalog.changed_since(home, database, record)
            if changed:
                raise Conflict(
                    f"the catalog has been written to since the upgrade of {record.begun[:19]} "
                    f"({', '.join(changed[:5])}), and going back would lose that; it was left as "
                    "it is: take a backup, or go on with this version"
                )
            kept_catalog.put_back(home, database, record)
        finally:
            database.close()
    return UpgradeReport(
        home=str(home),
        catalog_before=before,
        catalog=max(record.catalog),
        steps=(),
        kept="",
        problems=(),
        duration_s=time.monotonic() - started,
    )


# --- looking --------------------------------------------------------------------------------------


def _look(tx: Transaction, home: Path, said: int, *, automatic: bool) -> UpgradeCheck:
    steps = _missing(tx, home, said)
    done = numbers(tx, where=str(home))
    there = tx.tables()
    size = _size(home)
    shown = tuple(
        UpgradeStep(
            part=step.part,
            number=step.number,
            title=step.title,
            rewrites=sum(count_rows(tx, table) for table in step.rewrites if table in there),
        )
        for step in steps
    )
    rewritten = sum(step.rewrites for step in shown)
    keeps = (home / kept_catalog.DIRECTORY).exists()
    interrupted = _is_interrupted(home)
    work = bool(steps) or interrupted
    # The copy, and the log while rows are written: it holds each page that changes once or twice.
    needed = (size * (3 if rewritten else 1) + _SLACK_BYTES) if steps else 0
    duration = size / _COPIED_BYTES_S + 3 * size / _CHECKED_BYTES_S + rewritten / _REWRITTEN_ROWS_S
    plan = UpgradeCheck(
        home=str(home),
        format=said,
        catalog=max(done, default=0),
        newest=migrations("catalog")[-1].number,
        steps=shown,
        duration_s=duration if work else 0.0,
        held_by=homes.holder(home),
        needed_bytes=needed,
        free_bytes=shutil.disk_usage(home).free,
        hindrances=tuple(_hindrances(home, needed)) if work else (),
        damages=tuple(quick_problems(tx)[:_PROBLEMS_MAX]),
        remarks=tuple(_remarks(tx)),
        by_itself=False,
        kept=str(home / kept_catalog.DIRECTORY) if keeps else "",
        interrupted=interrupted,
    )
    return replace(plan, by_itself=work and not _why_not(plan, automatic=automatic))


def _missing(tx: Transaction, home: Path, said: int) -> tuple[Step, ...]:
    """The steps that are still to be done, in their order."""
    left = missing(migrations("catalog"), numbers(tx, where=str(home)), where=str(home))
    return (
        *(step for step in DIRECTORY_STEPS if step.number > said),
        *(_catalog_step(migration) for migration in left),
    )


def _catalog_step(migration: Migration) -> Step:
    return Step(
        part="catalog",
        number=migration.number,
        title=migration.title,
        rewrites=migration.rewrites,
        do=lambda _, database: apply(database, migration),
    )


def _hindrances(home: Path, needed: int) -> Iterator[str]:
    if not os.access(home, os.W_OK) or not os.access(home / homes.CATALOG, os.W_OK):
        yield "it can't be written to"
    free = shutil.disk_usage(home).free
    if free < needed:
        yield f"{needed:,} bytes are needed beside it, and {free:,} are free"


def _remarks(tx: Transaction) -> Iterator[str]:
    for count, what in (
        (unfinished.open_commits(tx), "commit"),
        (ledger.count_open_jobs(tx), "job"),
        (unfinished.open_transactions(tx), "transaction"),
    ):
        if count == 1:
            yield f"1 {what} is unfinished, and goes on afterwards"
        elif count:
            yield f"{count:,} {what}s are unfinished, and go on afterwards"


def _why_not(plan: UpgradeCheck, *, automatic: bool) -> str:
    """Why it is not done without being asked for; "" if it is."""
    if plan.damages:
        return f"it is damaged ({plan.damages[0]})"
    if plan.hindrances:
        return plan.hindrances[0]
    if not automatic:
        return "TRUNKLINE_UPGRADE says never"
    if plan.duration_s > BY_ITSELF_S:
        return f"it may take {plan.duration_s:.0f} s"
    return ""


def _refuse_hindered(plan: UpgradeCheck) -> None:
    if plan.damages:
        raise Corrupt(f"the catalog of {plan.home}", "a whole database", plan.damages[0])
    if plan.hindrances:
        raise Conflict(
            f"the data directory {plan.home} can't be upgraded: {plan.hindrances[0]} "
            "(nothing was changed)"
        )


def _is_interrupted(home: Path) -> bool:
    """Whether an upgrade was begun and its end not noted."""
    try:
        record = kept_catalog.kept(home)
    except Corrupt:  # told when it is needed
        return False
    return record is not None and not record.finished


def _size(home: Path) -> int:
    """Bytes of the catalog with its log."""
    total = 0
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            total += (home / f"{homes.CATALOG}{suffix}").stat().st_size
    return total


# --- doing ----------------------------------------------------------------------------------------


def _do(plan: UpgradeCheck, *, now: datetime, force: bool) -> UpgradeReport:
    since = time.monotonic()
    home = Path(plan.home)
    database = SqliteDatabase(home / homes.CATALOG)
    try:
        record = _kept_for(plan, database, now)
        with database.read() as tx:
            steps = _missing(tx, home, plan.format)
        _do_all(steps, home, database)
        invariants.guard(database)
        problems = tuple(_broken_rules(database))
        if problems and not force:
            kept_catalog.put_back(home, database, record)
            raise OperationFailed(
                f"the catalog of {home} would break a rule after the upgrade ({problems[0]}); it "
                "was put back as it was: run `fsck` with the version that wrote it, or say --force"
            )
        kept_catalog.note_finished(home, record, finished=now.isoformat())
    finally:
        database.close()
    kept = str(home / kept_catalog.DIRECTORY)
    return _report(plan, problems, kept=kept, since=since)


def _do_all(steps: Sequence[Step], home: Path, database: SqliteDatabase) -> None:
    for step in steps:
        try:
            step.do(home, database)
        except StorageFull as error:
            raise Unavailable(
                f"no space is left on the device of {home}, and the upgrade stopped at "
                f"{step.part} {step.number}; the catalog is whole: make room, and the next command "
                "goes on from there"
            ) from error


def _kept_for(plan: UpgradeCheck, database: SqliteDatabase, now: datetime) -> kept_catalog.Kept:
    """The copy of the catalog from before the first step, made unless an interrupted upgrade did.

    A copy of an upgrade that got no step done is made again: an older version may have gone on.
    """
    home = Path(plan.home)
    record = kept_catalog.kept(home)
    with database.read() as tx:
        done = numbers(tx, where=plan.home)
    if record is not None and not record.finished and done > set(record.catalog):
        kept_catalog.check(home, record)
        return record
    return kept_catalog.keep(
        home, database, format_before=plan.format, release=RELEASE, begun=now.isoformat()
    )


def _broken_rules(database: SqliteDatabase) -> Iterator[str]:
    """The rules of the catalog that do not hold, as sentences."""
    with database.read() as tx:
        found = list(invariants.broken_rows(tx))
        if not found:
            for name in [*repos.repo_names(tx), *repos.spec_repos(tx)]:
                found += invariants.broken(tx, name)
    for thing, problem, _ in found[:_PROBLEMS_MAX]:
        yield f"{thing}: {problem}"


def _report(
    plan: UpgradeCheck, problems: tuple[str, ...], *, kept: str, since: float
) -> UpgradeReport:
    return UpgradeReport(
        home=plan.home,
        catalog_before=plan.catalog,
        catalog=plan.newest,
        steps=plan.steps,
        kept=kept,
        problems=problems,
        duration_s=time.monotonic() - since,
    )


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Have the data directory alone."""
    try:
        fd = homes.lock(home)
    except StoreInUse as error:
        raise Conflict(f"{error}; `trunkline down` stops a server") from error
    try:
        yield
    finally:
        os.close(fd)
