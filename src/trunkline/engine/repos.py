"""Operations on repos; see `api.repos`."""

from trunkline.engine.services import Services
from trunkline.errors import InUse
from trunkline.jobs.records import stop_readers
from trunkline.model.versions import RepoInfo, is_spec_repo
from trunkline.pipelines import lifecycle
from trunkline.versions import repos


class EngineRepos:
    def __init__(self, services: Services) -> None:
        self._services = services

    def create_repo(self, name: str, *, description: str = "", update: bool = False) -> None:
        with self._services.database.write() as tx:
            change = repos.update_repo if update else repos.create_repo
            change(tx, name, description=description, now=self._services.now())

    def inspect_repo(self, name: str) -> RepoInfo:
        with self._services.database.read() as tx:
            return repos.repo_info(tx, name)

    def list_repos(self, *, project: str | None = None) -> list[RepoInfo]:
        with self._services.database.read() as tx:
            return repos.list_repos(tx, project)

    def delete_repo(self, name: str, *, force: bool = False) -> None:
        now = self._services.now()
        with self._services.database.write() as tx:
            if is_spec_repo(name):
                raise InUse(f"repo '{name}' holds the specs of all pipelines; it stays")
            if lifecycle.find(tx, name) is not None:  # even by force: it could not go on without
                raise InUse(
                    f"repo '{name}' holds the output of pipeline '{name}'; "
                    f"delete that first with `delete pipeline {name}`"
                )
            if force:
                stop_readers(tx, name, now=now)
            repos.delete_repo(tx, name, force=force, now=now)
