"""The embedded engine: opens a data directory and offers every operation on it."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import threading
import time
from pathlib import Path

from trunkline.config import Config
from trunkline.db.migrate import migrate
from trunkline.db.sqlite import SqliteDatabase
from trunkline.engine.admin import EngineAdmin
from trunkline.engine.branches import EngineBranches
from trunkline.engine.clockwork import Clockwork, TriggerTicks
from trunkline.engine.collector import Collector
from trunkline.engine.commits import EngineCommits
from trunkline.engine.datums import EngineDatums
from trunkline.engine.files import EngineFiles
from trunkline.engine.jobs import EngineJobs
from trunkline.engine.pipelines import EnginePipelines
from trunkline.engine.projects import EngineProjects
from trunkline.engine.release import FORMAT
from trunkline.engine.repos import EngineRepos
from trunkline.engine.services import Services
from trunkline.engine.tags import EngineTags
from trunkline.engine.transactions import EngineTransactions
from trunkline.engine.trash import EngineTrash
from trunkline.engine.urls import server_fetcher
from trunkline.errors import (
    StorageFull,
    StoreInUse,
    StoreTooNew,
    TrunklineError,
    Unavailable,
)
from trunkline.files.tree import Trees
from trunkline.jobs.logs import LiveLogs
from trunkline.jobs.scheduler import Scheduler
from trunkline.runtimes.cleanup import kill_leftovers
from trunkline.store.chunks import ChunkStore
from trunkline.store.packs import sync_directory

_FORMAT_FILE = "FORMAT"


class Engine:
    """All operations on one data directory. Only one engine can have it open.

    Everything that a crash left half-done is taken up or cleared on opening. Raises StoreInUse,
    StoreTooNew (nothing is changed then), Unavailable.
    """

    def __init__(self, config: Config) -> None:
        server_fetcher(config)  # a list of hosts that can't be read is told before anything else
        self._lock = _lock_home(config.home)
        try:
            _check_format(config.home)
            marker = hashlib.blake2b(os.fsencode(config.home), digest_size=8).hexdigest()
            kill_leftovers(marker)
            _clear_scratch(config.home)
            database = SqliteDatabase(config.home / "catalog.db")
            migrate(database, "catalog", where=str(config.home))
            chunks = ChunkStore(config.home / "store")
            chunks.recover()
            trees = Trees(chunks)
            live = LiveLogs()
            scheduler = Scheduler(config, database, trees, live, marker=marker)
            scheduler.start()
            collector = Collector(config, database, chunks, scheduler.plans)
            collector.start()
        except BaseException:
            os.close(self._lock)
            raise
        self._services = Services(
            config=config,
            database=database,
            chunks=chunks,
            trees=trees,
            live=live,
            scheduler=scheduler,
            collector=collector,
            closing=threading.Event(),
            started=time.monotonic(),
        )
        self.projects = EngineProjects(self._services)
        self.repos = EngineRepos(self._services)
        self.branches = EngineBranches(self._services)
        self.tags = EngineTags(self._services)
        self.commits = EngineCommits(self._services)
        self.files = EngineFiles(self._services)
        self.pipelines = EnginePipelines(self._services)
        self.jobs = EngineJobs(self._services)
        self.datums = EngineDatums(self._services)
        self.transactions = EngineTransactions(self._services, self.files)
        self.trash = EngineTrash(self._services)
        self.admin = EngineAdmin(self._services)
        self._clockwork = Clockwork(
            [TriggerTicks(database, self._services.new_id)], clock=self._services.now
        )
        self._clockwork.start()

    def close(self) -> None:
        """Stop workers and the scheduler, and close; running jobs go on at the next opening."""
        if self._services.closing.is_set():
            return
        self._services.closing.set()
        self._services.database.notify()
        self._services.collector.close()
        self._clockwork.close()
        self._services.scheduler.close()
        with contextlib.suppress(TrunklineError):  # on a full disk the next opening seals the pack
            self._services.chunks.close()
        self._services.database.close()
        os.close(self._lock)


def _lock_home(home: Path) -> int:
    """Take the data directory for this process; the lock ends with the process."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(home / "engine.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(
            f"the data directory {home} can't be used: {error.strerror}; "
            "set TRUNKLINE_HOME to a directory that you may write to"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise StoreInUse(str(home), f"another process (pid {owner or 'unknown'})") from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd


def _check_format(home: Path) -> None:
    path = home / _FORMAT_FILE
    if not path.exists():
        try:
            _write_format(home, path)
        except OSError as error:
            raise StorageFull(str(home)) from error
        return
    words = path.read_text("ascii", "replace").split()
    if len(words) != 2 or words[0] != "trunkline" or not words[1].isdigit():
        raise Unavailable(f"{path} is not that of a Trunkline data directory")
    if int(words[1]) > FORMAT:
        raise StoreTooNew(str(home), int(words[1]), FORMAT)


def _write_format(home: Path, path: Path) -> None:
    """Durable before anything else is: a file that a power cut emptied would not be taken for ours.

    The name of the data directory has to be durable too, or all of it could be gone.
    """
    aside = home / f".{_FORMAT_FILE}.new"
    with aside.open("w", encoding="ascii") as file:
        file.write(f"trunkline {FORMAT}\n")
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    sync_directory(home)
    sync_directory(home.parent)


def _clear_scratch(home: Path) -> None:
    """Remove what workers of a dead server left; no worker is alive at this point.

    The cache of code directories goes too: it is not synced, so a power cut may have torn it.
    """
    for leftover in (home / "scratch", home / "cache" / "code"):
        shutil.rmtree(leftover, ignore_errors=True)
