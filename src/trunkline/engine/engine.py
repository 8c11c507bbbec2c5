"""The embedded engine: opens a data directory and offers every operation on it."""

import contextlib
import os
import shutil
import threading
import time
from pathlib import Path

from trunkline.config import Config
from trunkline.engine import home, kept_catalog
from trunkline.engine.admin import EngineAdmin
from trunkline.engine.audit import EngineAudit
from trunkline.engine.branches import EngineBranches
from trunkline.engine.clockwork import Clockwork, TriggerTicks
from trunkline.engine.collector import Collector
from trunkline.engine.commits import EngineCommits
from trunkline.engine.crons import CronTicks
from trunkline.engine.datums import EngineDatums
from trunkline.engine.defaults import EngineDefaults
from trunkline.engine.files import EngineFiles
from trunkline.engine.gits import GitLooks
from trunkline.engine.images import EngineImages
from trunkline.engine.jobs import EngineJobs
from trunkline.engine.lineage import EngineLineage
from trunkline.engine.pipelines import EnginePipelines
from trunkline.engine.plans import EnginePlans
from trunkline.engine.projects import EngineProjects
from trunkline.engine.purges import EnginePurges
from trunkline.engine.release import RELEASE
from trunkline.engine.repos import EngineRepos
from trunkline.engine.retention import EngineRetention, RetentionDuty
from trunkline.engine.secrets import EngineSecrets
from trunkline.engine.services import Clock, Services, wall_clock
from trunkline.engine.stores import Installation, open_installation
from trunkline.engine.tags import EngineTags
from trunkline.engine.tokens import EngineTokens
from trunkline.engine.transactions import EngineTransactions
from trunkline.engine.trash import EngineTrash
from trunkline.engine.urls import chosen_place
from trunkline.errors import TrunklineError
from trunkline.files.tree import Trees
from trunkline.jobs.clusters import check_settings
from trunkline.jobs.logs import LiveLogs
from trunkline.jobs.notices import Notices, wanted
from trunkline.jobs.scheduler import Scheduler
from trunkline.jobs.stages import server_fetcher
from trunkline.model.tokens import TokenInfo
from trunkline.runtimes import sessions
from trunkline.runtimes.cleanup import kill_leftovers
from trunkline.runtimes.containers import leftovers
from trunkline.store.servers import Servers


class Engine:
    """All operations on one data directory. Only one engine can have it open.

    Everything that a crash left half-done is taken up or cleared on opening. Raises StoreInUse,
    StoreTooNew or StoreTooOld (nothing is changed then), Unavailable. The clock says when things
    were made and deleted, and what schedules and grace periods make of it; jobs have their own.

    Where servers share the store (`engine.stores`), one `leads` and does all that goes on by
    itself. Another one has no jobs, collects nothing and follows nothing.
    """

    def __init__(self, config: Config, *, clock: Clock = wall_clock, leads: bool = True) -> None:
        server_fetcher(config)  # settings that can't be read are told before anything else
        wanted(config)
        check_settings(config)
        place = chosen_place(config)
        self._lock = home.lock(config.home)
        opened: Installation | None = None
        try:
            marker = home.marker(config.home)
            opened = open_installation(
                *(config, place),
                now=clock(),
                leads=leads,
                clear_up=lambda: _clear_up(config.home, marker),
            )
            database, chunks, servers = opened
            trees = Trees(chunks)
            live = LiveLogs()
            self._notices = Notices(config, database, program=f"trunkline/{RELEASE}", clock=clock)
            scheduler = Scheduler(config, database, trees, live, marker=marker)
            collector = Collector(config, database, chunks, scheduler.plans, clock=clock)
        except BaseException:
            if opened is not None:
                opened.close()
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
            servers=servers,
            started=time.monotonic(),
            clock=clock,
        )
        self.projects = EngineProjects(self._services)
        self.repos = EngineRepos(self._services)
        self.branches = EngineBranches(self._services)
        self.tags = EngineTags(self._services)
        self.retention = EngineRetention(self._services)
        self.commits = EngineCommits(self._services)
        self.files = EngineFiles(self._services)
        self._gits = GitLooks(self._services)
        self.pipelines = EnginePipelines(self._services, self._gits)
        self.defaults = EngineDefaults(self._services)
        self.images = EngineImages(self._services)
        self.secrets = EngineSecrets(self._services)
        self.jobs = EngineJobs(self._services)
        self.datums = EngineDatums(self._services)
        self.lineage = EngineLineage(self._services)
        self.plans = EnginePlans(self._services, self.files)
        self.transactions = EngineTransactions(self._services, self.files)
        self.trash = EngineTrash(self._services)
        self.purges = EnginePurges(self._services)
        self.tokens = EngineTokens(self._services)
        self.audit = EngineAudit(self._services)
        self.admin = EngineAdmin(self._services)
        self._clockwork = _clockwork_of(self._services, self._gits)
        self._leads = leads
        try:
            if leads:
                self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        """Begin all that goes on by itself."""
        self._notices.start()
        self._services.scheduler.start()
        self._services.collector.start()
        self._clockwork.start()
        self.purges.resume()

    @property
    def servers(self) -> Servers | None:
        """Those among which this one is, where they share the store."""
        return self._services.servers

    def find_token(self, digest: str) -> TokenInfo | None:
        """See `api.connection.Served`."""
        return self.tokens.find(digest)

    def revision(self) -> int:
        """See `api.connection.Served`."""
        return self._services.database.wait_for_change(0, 0.0)  # which has others listened to

    def note_change(
        self, *, token: str, door: str, operation: str, target: str, outcome: str
    ) -> None:
        """See `api.connection.Served`."""
        self.audit.note(token=token, door=door, operation=operation, target=target, outcome=outcome)

    def close(self) -> None:
        """Stop workers and the scheduler, and close; running jobs go on at the next opening."""
        if self._services.closing.is_set():
            return
        self._services.closing.set()
        self._services.database.notify()
        if self._leads:
            self._services.collector.close()
            self.purges.close()
            self._clockwork.close()
        self._gits.close()
        self.tokens.close()
        self.audit.close()
        self._services.scheduler.close()
        if self._leads:
            self._notices.close()
        with contextlib.suppress(TrunklineError):  # on a full disk the next opening seals the pack
            self._services.chunks.close()
        self._services.database.close()
        os.close(self._lock)


def _clockwork_of(services: Services, gits: GitLooks) -> Clockwork:
    """All that is due at some time or other."""
    triggers = TriggerTicks(services.database, services.new_id)
    return Clockwork(
        [triggers, CronTicks(services), gits, RetentionDuty(services)], clock=services.clock
    )


def _clear_up(place: Path, marker: str) -> None:
    """After a crash: no process and no file of the server before is left."""
    kill_leftovers(marker)
    _clear_scratch(place)
    leftovers.clear_all(place)
    kept_catalog.clear_leftovers(place)


def _clear_scratch(directory: Path) -> None:
    """Remove what workers of a dead server left; no worker is alive at this point, but somebody
    may be looking into a datum.

    The caches of code directories and git remotes go too: they are not synced, so a power cut may
    have torn them.
    """
    sessions.clear(directory / "scratch")
    shutil.rmtree(directory / "cache" / "code", ignore_errors=True)
    shutil.rmtree(home.mirrors(directory), ignore_errors=True)
