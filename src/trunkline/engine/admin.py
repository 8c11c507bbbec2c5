"""Operations on the whole installation; see `api.admin`."""

import os
import shutil
import time
from datetime import datetime
from pathlib import Path

from trunkline.engine.backup import back_up
from trunkline.engine.check import Check
from trunkline.engine.release import FORMAT, RELEASE
from trunkline.engine.services import Services
from trunkline.engine.settings import settings
from trunkline.engine.usage import usage
from trunkline.errors import InvalidInput
from trunkline.jobs import ledger
from trunkline.model.admin import (
    BackupReport,
    DiskUsage,
    FsckReport,
    GcReport,
    ServerStatus,
    ServerVersion,
    Setting,
    Upkeep,
)
from trunkline.model.names import DEFAULT_PROJECT
from trunkline.pipelines import lifecycle
from trunkline.runtimes.process import isolation_available, limits_available
from trunkline.versions import projects, purges, repos, trash


class EngineAdmin:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._checked: tuple[datetime, FsckReport] | None = None
        self._backed_up: tuple[datetime, BackupReport] | None = None

    def version(self) -> ServerVersion:
        return ServerVersion(version=RELEASE, format=FORMAT)

    def status(self) -> ServerStatus:
        services = self._services
        with services.database.read() as tx:
            running = ledger.open_jobs(tx)
            count = len(repos.repo_names(tx))
            pipelines = lifecycle.count_pipelines(tx)
        return ServerStatus(
            version=self.version().version,
            pid=os.getpid(),
            home=str(services.config.home),
            address=f"unix://{services.config.socket}",
            uptime_s=time.monotonic() - services.started,
            repos=count,
            pipelines=pipelines,
            jobs_running=len(running),
            workers=len(services.scheduler.workers()),
            stored_bytes=services.chunks.stored_bytes(),
            free_bytes=shutil.disk_usage(services.config.home).free,
            isolation=services.scheduler.stuck or isolation_available(),
            limits=limits_available(),
            catalog=services.database.name,
            packs=services.chunks.depot.where,
            upkeep=self._upkeep(),
        )

    def settings(self) -> list[Setting]:
        return settings(self._services.config)

    def _upkeep(self) -> Upkeep:
        collected, checked = self._services.collector.last, self._checked
        backed_up = self._backed_up
        return Upkeep(
            collected=collected and collected[0],
            freed_bytes=collected[1].freed_bytes if collected else 0,
            checked=checked and checked[0],
            damages=len(checked[1].damages) if checked else 0,
            backed_up=backed_up and backed_up[0],
            backup=backed_up[1].target if backed_up else "",
        )

    def delete_all(self) -> None:
        services = self._services
        now = services.now()
        with services.database.write() as tx:
            ledger.delete_everything(tx)
            for record in lifecycle.list_pipelines(tx):
                lifecycle.delete(tx, record.name)
            for name in [*repos.repo_names(tx), *repos.spec_repos(tx)]:
                repos.delete_repo(tx, name, force=True, now=now)
            for project in projects.list_projects(tx):
                if project.name != DEFAULT_PROJECT:
                    projects.delete_project(tx, project.name)
            lifecycle.delete_all_defaults(tx)
            trash.forget_everything(tx)
            purges.forget_everything(tx)

    def gc(self, *, dry_run: bool = False, grace_s: float | None = None) -> GcReport:
        if grace_s is not None and not 0 <= grace_s < 1e9:
            raise InvalidInput("the grace period must be a number of seconds, 0 or more")
        return self._services.collector.collect(dry_run=dry_run, grace_s=grace_s)

    def disk_usage(self, targets: list[str] | None = None) -> list[DiskUsage]:
        return usage(self._services, targets or [])

    def backup(self, target: str, *, verify: bool = False, force: bool = False) -> BackupReport:
        if not os.path.isabs(target):
            raise InvalidInput(f"{target!r} is not an absolute path")
        services, directory = self._services, Path(os.path.normpath(target))
        report = back_up(services, directory, verify=verify, force=force)
        self._backed_up = (services.now(), report)
        return report

    # --- fsck -------------------------------------------------------------------------------------

    def fsck(
        self, *, read_data: bool = True, read_percent: float = 100.0, repair: bool = False
    ) -> FsckReport:
        if not 0 < read_percent <= 100:
            raise InvalidInput("the share of the data to read must be above 0 % and at most 100 %")
        share = read_percent / 100 if read_data else 0.0
        report = Check(self._services).run(share=share, repair=repair)
        self._checked = (self._services.now(), report)
        return report
