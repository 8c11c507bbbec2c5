"""Operations on repos; see `api.repos`."""

from trunkline.engine.change import Change, begin_deletion, deleted_info, single
from trunkline.engine.pipeline_inputs import follow_again
from trunkline.engine.services import Services
from trunkline.errors import InUse
from trunkline.jobs.records import stop_readers
from trunkline.model.versions import DeletedInfo, RepoInfo, is_spec_repo
from trunkline.pipelines import crons, gits, lifecycle
from trunkline.versions import repos, trash


class EngineRepos:
    def __init__(self, services: Services) -> None:
        self._services = services

    def create_repo(self, name: str, *, description: str = "", update: bool = False) -> None:
        with self._services.database.write() as tx:
            create_repo(single(self._services, tx), name, description=description, update=update)

    def inspect_repo(self, name: str) -> RepoInfo:
        with self._services.database.read() as tx:
            return repos.repo_info(tx, name)

    def list_repos(self, *, project: str | None = None) -> list[RepoInfo]:
        with self._services.database.read() as tx:
            return repos.list_repos(tx, project)

    def delete_repo(self, name: str, *, force: bool = False) -> DeletedInfo:
        with self._services.database.write() as tx:
            return delete_repo(single(self._services, tx), name, force=force)


def create_repo(change: Change, name: str, *, description: str, update: bool) -> None:
    new = not repos.repo_exists(change.tx, name)
    create = repos.update_repo if update else repos.create_repo
    create(change.tx, name, description=description, now=change.now)
    if new:
        follow_again(change, name)


def delete_repo(change: Change, name: str, *, force: bool) -> DeletedInfo:
    tx = change.tx
    if is_spec_repo(name):
        raise InUse(f"repo '{name}' holds the specs of all pipelines; it stays")
    if lifecycle.find(tx, name) is not None:  # even by force: it could not go on without
        raise InUse(
            f"repo '{name}' holds the output of pipeline '{name}'; "
            f"delete that first with `delete pipeline {name}`"
        )
    if (cron := crons.cron_writing(tx, name)) is not None:
        raise InUse(
            f"repo '{name}' holds the ticks of pipeline '{cron.pipeline}'; "
            f"delete that first with `delete pipeline {cron.pipeline}`"
        )
    for git in gits.gits_writing(tx, name):
        raise InUse(
            f"repo '{name}' holds the checkouts of pipeline '{git.pipeline}'; "
            f"delete that first with `delete pipeline {git.pipeline}`"
        )
    if force:
        stop_readers(tx, name, now=change.now)
    how = f"delete repo {name}{' --force' if force else ''}"
    entry = begin_deletion(change, "repo", name, how=how)
    trash.keep_repo(tx, entry, name)
    repos.delete_repo(tx, name, force=force, now=change.now)
    return deleted_info(change, entry)
