"""Projects: create, describe, list, delete; each repo is in one.

A name that is equal in two projects names two things: nothing here or below looks past the full
name. Provenance may cross projects.
"""

from datetime import datetime

from trunkline.db.database import Transaction
from trunkline.errors import AlreadyExists, InUse, ProjectNotFound
from trunkline.model.names import DEFAULT_PROJECT, check_project
from trunkline.model.versions import ProjectInfo
from trunkline.versions import tables
from trunkline.versions.records import listed


def create_project(tx: Transaction, name: str, *, description: str, now: datetime) -> None:
    """Make an empty project; raises AlreadyExists, InvalidName."""
    if tables.find_project(tx, check_project(name)) is not None:
        raise AlreadyExists("project", name)
    tables.insert_project(tx, name, description=description, now=now)


def update_project(tx: Transaction, name: str, *, description: str, now: datetime) -> None:
    """Change the description of a project; raises ProjectNotFound."""
    del now  # handed to every change; none is recorded here
    tables.describe_project(tx, require_project(tx, name).name, description)


def require_project(tx: Transaction, name: str) -> ProjectInfo:
    """One project; raises ProjectNotFound, which names the ones there are."""
    found = tables.find_project(tx, name)
    if found is None:
        raise ProjectNotFound(name, [info.name for info in tables.all_projects(tx)])
    return found


def list_projects(tx: Transaction) -> list[ProjectInfo]:
    """All projects, last made or described first."""
    return tables.all_projects(tx)


def delete_project(tx: Transaction, name: str) -> None:
    """Delete an empty project; its spec repo goes too, once no pipeline is left.

    Raises InUse for `default`, and for a project with repos, naming them.
    """
    require_project(tx, name)
    if name == DEFAULT_PROJECT:
        raise InUse("the project 'default' always exists")
    if repos := [repo.name for repo in tables.all_repos(tx, name)]:
        raise InUse(
            f"project '{name}' can't be deleted: it has the repos {listed(repos)}; "
            "delete those first, or use --force to delete all of it"
        )
    for repo in tables.system_repos(tx, name):
        tables.delete_repo(tx, repo)
    tables.delete_project(tx, name)
