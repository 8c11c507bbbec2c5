"""Copies a whole installation into a directory, beside everything that goes on in it.

First the catalog at one moment, then every pack there is: all that the catalog names was durable
before it was named, so it is in the packs. Collecting garbage waits meanwhile, so no pack goes.
Packs never change but for their ends: those that the directory has already are not copied again.

Nothing that an earlier backup in the directory has is lost to a store that was damaged meanwhile:
what is missing is taken out of it, and where nobody can tell what is missing, it stays as it is.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trunkline.db.sqlite import SqliteDatabase
from trunkline.engine import archive, liveness, token_tables
from trunkline.engine.archive import Archived, Manifest
from trunkline.engine.release import FORMAT, RELEASE
from trunkline.engine.services import Services
from trunkline.errors import Conflict, Corrupt, InvalidInput, Unavailable
from trunkline.model.admin import BackupReport
from trunkline.store.collect import Collection
from trunkline.store.live import LiveSet
from trunkline.store.packs import RECORD_BYTES, SUFFIX, sync_directory
from trunkline.store.spare import Rescue, SparePacks, damaged_records
from trunkline.versions import commits, counter, repos

_WAIT_S = 6 * 3600.0  # for a collection, a check or another backup that is under way
_TICK_S = 0.05
_PROBLEMS_MAX = 20
_OPEN = ".open"  # a pack that was still being written, as far as it was


def back_up(services: Services, target: Path, *, verify: bool, force: bool) -> BackupReport:
    """See `api.admin.backup`."""
    started = time.monotonic()
    _check_apart(target, services.config.home)
    _prepare(target)
    with (
        archive.locked(target / archive.BACKUP_LOCK, lambda: _under_way(target)),
        _no_collection(services) as collection,
        collection.live_set() as needed,
        ExitStack() as held,
    ):
        installation = _installation(services)
        previous = _replaced(services, target, installation, force=force)
        known = {} if previous is None else {entry.name: entry for entry in previous.packs}
        earlier = SparePacks([target / name for name in known], pace=_pace(services))
        spare = held.enter_context(closing(earlier))
        services.chunks.seal()
        rescue = Rescue(services.chunks, spare, target / archive.PACKS)
        catalog, count, unreadable = _copy_catalog(services, target, needed, rescue)
        copied = _Copied()
        _copy_packs(services, target, known, collection.sealed_packs(), copied)
        problems = [*unreadable, *_lost(services, needed, copied, rescue)]
        manifest = Manifest(
            created=services.now().isoformat(),
            release=RELEASE,
            format=FORMAT,
            commits=count,
            catalog=catalog,
            packs=(*copied.packs, *_rescued(target, rescue)),
            installation=installation,
        )
        stays = previous if unreadable else None
        if stays is None:
            archive.write_manifest(target, manifest)
        else:
            manifest = stays
        _remove_others(target, manifest)
    if verify:
        for entry in manifest.files:
            archive.check(target, entry)
    reused = sum(entry.size_bytes for entry in manifest.packs if entry.name in known)
    return BackupReport(
        target=str(target),
        commits=manifest.commits,
        packs=len(manifest.packs),
        copied_bytes=(0 if stays else sum(entry.size_bytes for entry in manifest.files) - reused),
        reused_bytes=reused,
        verified=verify,
        problems=tuple(problems[:_PROBLEMS_MAX]),
        stays="" if stays is None else stays.created,
        duration_s=time.monotonic() - started,
    )


@dataclass(slots=True)
class _Copied:
    """The packs of a backup, and which chunks those have damaged that were copied just now."""

    packs: list[Archived] = field(default_factory=list)
    damaged: set[tuple[str, bytes]] = field(default_factory=set)  # pack, digest


def _check_apart(target: Path, home: Path) -> None:
    place, data = target.resolve(), home.resolve()
    if place == data or data in place.parents or place in data.parents:
        raise InvalidInput(
            f"a backup in {target} would lie in the data directory {home}, or around it; choose "
            "another place"
        )


def _prepare(target: Path) -> None:
    """Make the directory; raises InvalidInput for one of something else."""
    with archive.writing(target):
        archive.make_directory(target)
        ours = {archive.MANIFEST, archive.PACKS, archive.BACKUP_LOCK}
        others = [
            name
            for name in sorted(os.listdir(target))
            if name not in ours and not name.startswith((".", "catalog-"))
        ]
        if others and archive.read_manifest(target) is None:
            raise InvalidInput(
                f"{target} holds other files ({', '.join(others[:3])}); "
                "choose a directory that is empty or has a backup"
            )
        (target / archive.PACKS).mkdir(exist_ok=True)


def _under_way(target: Path) -> Conflict:
    return Conflict(
        f"another backup to {target}, or a restore from there, is under way; wait for its end"
    )


def _installation(services: Services) -> str:
    with services.database.write() as tx:
        return counter.installation(tx, new=services.new_id())


def _replaced(
    services: Services, target: Path, installation: str, *, force: bool
) -> Manifest | None:
    """The backup that is there already; raises Conflict for that of another installation.

    One that does not say whose it is counts as ours if it shares a pack with our store, whose names
    are random; or if it holds nothing.
    """
    previous = archive.read_manifest(target)
    if previous is not None and previous.packs and not force:
        stored = set(services.chunks.depot.names())
        shares = any(entry.pack.removesuffix(SUFFIX) in stored for entry in previous.packs)
        whose = previous.installation
        if whose != installation if whose else not shares:
            raise Conflict(
                f"{target} has a backup of another installation, made {previous.created[:19]} with "
                f"{previous.commits:,} commits; choose another directory, or add --force to "
                "replace it"
            )
    return previous


@contextmanager
def _no_collection(services: Services) -> Iterator[Collection]:
    """While inside, no pack goes; waits for a collection that is under way, however long."""
    collection = services.chunks.collection()
    deadline = time.monotonic() + _WAIT_S

    def wait() -> None:
        if time.monotonic() > deadline:
            raise Conflict(
                "garbage is being collected, the store checked or another backup made for "
                f"{_WAIT_S / 3600:.0f} hours; try again when that has ended"
            )
        _pace(services)()
        services.closing.wait(_TICK_S)

    with collection.exclusive(wait):
        yield collection


def _pace(services: Services) -> Callable[[], None]:
    def pace() -> None:
        if services.closing.is_set():
            raise Unavailable("the server is shutting down; the backup was not made")

    return pace


def _copy_catalog(
    services: Services, target: Path, needed: LiveSet, rescue: Rescue
) -> tuple[Archived, int, list[str]]:
    """The catalog at one moment, named by its digest; how many commits it has, and what of it
    can't be read.

    Notes all chunks that it needs.
    """
    aside = target / ".catalog.new"
    with archive.writing(target):
        for leftover in (aside, *(aside.with_name(aside.name + end) for end in ("-wal", "-shm"))):
            leftover.unlink(missing_ok=True)
    services.database.copy_to(aside)
    copied = SqliteDatabase(aside)
    count = 0
    problems: list[str] = []
    try:
        with copied.write() as tx:  # who was shut out since must not come back with a restore
            token_tables.delete_all_tokens(tx)
        with copied.read() as tx:
            names = [*repos.repo_names(tx), *repos.spec_repos(tx)]
            count = sum(1 for name in names for _ in commits.list_commits(tx, name))
        liveness.mark(copied, rescue, needed, pace=_pace(services))
    except Corrupt as error:
        problems.append(str(error))
    finally:
        copied.close()
    with archive.writing(target):
        digest = archive.digest_of(aside)
        name = archive.CATALOG.format(digest=digest[:32])
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        os.rename(aside, target / name)
        size = (target / name).stat().st_size
    return Archived(name=name, size_bytes=size, digest=digest), count, problems


def _copy_packs(
    services: Services,
    target: Path,
    known: dict[str, Archived],
    sealed: set[str],
    copied: _Copied,
) -> None:
    folder = target / archive.PACKS
    depot = services.chunks.depot
    for pack, size in sorted(depot.sizes().items()):
        whole = depot.whole or pack in sealed
        name = f"{archive.PACKS}/{pack}{SUFFIX if whole else f'-{size}{_OPEN}'}"
        entry = known.get(name)
        # A sealed pack that has another size by now is damaged: the earlier copy is not.
        if entry is None or not _is_there(target / name, entry.size_bytes):
            pieces = depot.pieces(pack, size)
            digest = archive.copy(pieces, target / name, size_bytes=size, pace=_pace(services))
            entry = Archived(name=name, size_bytes=size, digest=digest, pack=pack + SUFFIX)
            if whole:
                damaged = damaged_records(target / name)
                copied.damaged.update((pack, chunk) for chunk in damaged)
        copied.packs.append(entry)
    with archive.writing(target):
        sync_directory(folder)
        sync_directory(target)


def _is_there(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _lost(services: Services, needed: LiveSet, copied: _Copied, rescue: Rescue) -> list[str]:
    """What is needed and not in the copied packs: damage of the store. Takes what can be taken."""
    ends = {entry.pack.removesuffix(SUFFIX): entry.size_bytes for entry in copied.packs}
    problems: list[str] = []
    for page in needed.pages():
        found = services.chunks.find(page)
        lost = []
        for digest in page:
            place = found.get(digest)
            if (
                place is None
                or place.offset + RECORD_BYTES + place.stored > ends.get(place.pack, 0)
                or (place.pack, digest) in copied.damaged
            ):
                lost.append(digest)
        if lost:
            rescue.take(lost)
            problems += [
                f"chunk {digest.hex()} is missing or damaged"
                + ("; it was taken from the earlier backup" if digest in rescue.taken else "")
                for digest in lost[: _PROBLEMS_MAX - len(problems)]
            ]
    return problems


def _rescued(target: Path, rescue: Rescue) -> Iterator[Archived]:
    """The packs of what the store lacks."""
    with archive.writing(target):
        rescue.finish()
        sync_directory(target / archive.PACKS)
        for path in rescue.paths:
            name, size = f"{archive.PACKS}/{path.name}", path.stat().st_size
            yield Archived(
                name=name, size_bytes=size, digest=archive.digest_of(path), pack=path.name
            )


def _remove_others(target: Path, manifest: Manifest) -> None:
    """Remove what older backups, or those that broke off, have left."""
    named = {entry.name for entry in manifest.files}
    with archive.writing(target):
        for path in (*target.iterdir(), *(target / archive.PACKS).iterdir()):
            name = str(path.relative_to(target))
            ours = name.startswith((f"{archive.PACKS}/", "catalog-", ".catalog.new", ".BACKUP"))
            if ours and name not in named and path.is_file():
                path.unlink()
