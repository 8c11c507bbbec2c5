"""Operations on projects; see `api.projects`."""

from trunkline.engine.change import begin_deletion, single
from trunkline.engine.pipelines import delete_pipeline
from trunkline.engine.repos import delete_repo
from trunkline.engine.services import Services
from trunkline.errors import InUse
from trunkline.model.names import DEFAULT_PROJECT
from trunkline.model.versions import ProjectInfo
from trunkline.pipelines import lifecycle
from trunkline.versions import projects, repos, trash
from trunkline.versions.records import listed


class EngineProjects:
    def __init__(self, services: Services) -> None:
        self._services = services

    def create_project(self, name: str, *, description: str = "", update: bool = False) -> None:
        with self._services.database.write() as tx:
            change = projects.update_project if update else projects.create_project
            change(tx, name, description=description, now=self._services.now())

    def inspect_project(self, name: str) -> ProjectInfo:
        with self._services.database.read() as tx:
            return projects.require_project(tx, name)

    def list_projects(self) -> list[ProjectInfo]:
        with self._services.database.read() as tx:
            return projects.list_projects(tx)

    def delete_project(self, name: str, *, force: bool = False) -> None:
        with self._services.database.write() as tx:
            change = single(self._services, tx)
            inside = [record.name for record in lifecycle.list_pipelines(tx, name)]
            if force and name != DEFAULT_PROJECT:
                for pipeline in inside:
                    delete_pipeline(change, pipeline, force=True, keep_repo=False)
                for repo in repos.list_repos(tx, name):
                    delete_repo(change, repo.name, force=True)
            elif inside and name != DEFAULT_PROJECT:
                others = [r.name for r in repos.list_repos(tx, name) if r.name not in inside]
                and_repos = f" and the repos {listed(others)}" if others else ""
                raise InUse(
                    f"project '{name}' can't be deleted: it has the pipelines {listed(inside)}"
                    f"{and_repos}; delete those first, or use --force to delete all of it"
                )
            for repo_name in repos.spec_repos(tx, name):
                trash.keep_repo(
                    tx,
                    begin_deletion(change, "repo", repo_name, how=f"delete project {name}"),
                    repo_name,
                )
            lifecycle.set_defaults(tx, name, {}, now=change.now)
            projects.delete_project(tx, name)
