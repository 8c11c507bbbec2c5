"""Opens the chunk store of an installation: of one directory, or one that several servers have.

With the catalog in a database and the packs in a bucket, the index, epochs, secrets and the token
are in that database too, in a schema of their own that no backup has. Nothing in the data directory
is needed then to go on elsewhere, and servers with directories of their own work on one store.
"""

import os
import secrets
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from trunkline.config import Config
from trunkline.db.database import Database, ServerDatabase
from trunkline.engine.catalogs import closed_on_errors, open_catalog, open_on_server
from trunkline.engine.services import SECRETS, random_id
from trunkline.errors import StorageFull, TrunklineError, Unavailable
from trunkline.jobs.secrets import SecretStore
from trunkline.jobs.signing import KEY_FILE, new_key
from trunkline.store import claims
from trunkline.store.chunks import ChunkStore
from trunkline.store.claims import is_shared
from trunkline.store.index import TableIndex, open_shared, problems_told
from trunkline.store.opening import Joined, Whole
from trunkline.store.servers import Servers
from trunkline.versions import counter, unfinished

_BEATS = 5  # of a server while a worker may be silent
_STORE, _FILE = "store", "file"


class Installation(NamedTuple):
    """What an engine works on."""

    database: Database  # the catalog
    chunks: ChunkStore
    servers: Servers | None  # among which this one is, where they share it

    def close(self) -> None:
        """Let go of all of it; on a full disk the next opening seals the pack."""
        with suppress(TrunklineError):
            self.chunks.close()
        self.database.close()


def open_installation(
    config: Config,
    place: claims.Place | None,
    *,
    now: datetime,
    leads: bool,
    clear_up: Callable[[], None],
) -> Installation:
    """Open the catalog, `clear_up`, and open the store; what was left half-done is settled.

    Only where servers share the store, one may open it that does not lead. Raises as
    `catalogs.open_catalog` does, and Unavailable.
    """
    if is_shared(config):
        catalog = open_on_server(config, leads=leads, now=now, new_id=random_id)
        with closed_on_errors(catalog):
            clear_up()
            return _join_store(config, catalog, place, leads=leads)
    database = open_catalog(config, now=now, new_id=random_id)
    with closed_on_errors(database):
        clear_up()
        _settle(config, place, database)
        chunks = ChunkStore(config.home / "store")
        chunks.recover()
    return Installation(database, chunks, None)


def _join_store(
    config: Config, database: ServerDatabase, place: claims.Place | None, *, leads: bool
) -> Installation:
    """The store that servers share, and this server among them.

    From now on the catalog is changed by this server only while it does not count as gone. Who
    `leads` is the only one that has the catalog alone; it makes up for what died servers left.
    """
    with ExitStack() as unless_joined:
        index = open_shared(config.database)
        unless_joined.callback(index.close)
        own = open_shared(config.database)
        with closed_on_errors(own):
            servers = Servers(own, beat_s=config.lease_s / _BEATS)
        unless_joined.callback(servers.close)
        servers.guard(index)
        servers.work_on(database)
        if leads:
            servers.lead()
        shared = servers.kept_or_made(_STORE, "id", lambda: secrets.token_hex(16))
        _settle(config, place, database, shared=shared)
        _share_file(config.home / "token", servers, lambda: secrets.token_urlsafe(32))
        _share_file(config.home / KEY_FILE, servers, new_key)
        table = TableIndex(index, problems=problems_told)
        chunks = ChunkStore(
            config.home / "store", joined=Joined(table, servers, Whole(table, servers), shared=True)
        )
        servers.on_epoch = partial(_forget_what_is_gone, chunks)
        _settle_packs(chunks, servers, leads=leads)
        if leads:
            _take_secrets(SecretStore(config.home), servers)
        unless_joined.pop_all()
    return Installation(database, chunks, servers)


def _forget_what_is_gone(chunks: ChunkStore) -> None:
    """Another epoch: what was removed in the one before may be in caches of this machine."""
    chunks.let_go(cached=True)
    chunks.depot.settle()


def _settle_packs(chunks: ChunkStore, servers: Servers, *, leads: bool) -> None:
    if leads:
        with servers.collecting():
            chunks.recover()
        servers.keep(_STORE, "indexed", "yes")
    elif "indexed" in servers.kept(_STORE):
        chunks.recover(here=True)
    else:
        raise Unavailable("the index of the store is not made yet; the server that leads makes it")


def _settle(
    config: Config, place: claims.Place | None, database: Database, *, shared: str = ""
) -> None:
    """The packs are where the setting says, and nobody else has them."""
    with database.read() as tx:
        fresh = unfinished.is_pristine(tx)

    def installation() -> str:
        with database.write() as tx:
            return counter.installation(tx, new=random_id())

    claims.settle(
        config.home / "store", place, installation=installation, fresh=fresh, shared=shared
    )


def _share_file(path: Path, servers: Servers, make: Callable[[], str]) -> None:
    """Have a small file be the same for all servers: that of the first."""

    def own() -> str:
        return path.read_text("ascii").strip() if path.exists() else make()

    kept = servers.kept_or_made(_FILE, path.name, own)
    try:
        if not path.exists() or path.read_text("ascii", "replace").strip() != kept:
            path.unlink(missing_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="ascii") as file:
                file.write(kept + "\n")
    except OSError as error:
        raise StorageFull(str(path.parent)) from error


def _take_secrets(store: SecretStore, servers: Servers) -> None:
    """The files that workers of this machine read are what is kept for all servers.

    Those of a directory that was alone until now are the first.
    """
    if "secrets" not in servers.kept(_STORE):
        for name in store.names():
            servers.keep(SECRETS, name, store.document(name))
        servers.keep(_STORE, "secrets", "moved")
    kept = servers.kept(SECRETS)
    for name in set(store.names()) - kept.keys():
        store.delete(name)
    for name, document in kept.items():
        store.put_document(name, document)
