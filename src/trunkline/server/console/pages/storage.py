"""Storage: what is stored and what it takes up; collecting garbage, checking, backing up.

What lasts is begun by a form and goes on in the background (`chores`); the page tells of it.
"""

from collections.abc import Callable

from trunkline.api.connection import Operations
from trunkline.errors import NotFound
from trunkline.model.roles import ADMIN, READER
from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Begin, Navigation, Route, Show, Visit

_REPOS = 100

_MEASURE = "measure"  # which changes nothing, as the others may

_CHORES: dict[str, Callable[[Operations], object]] = {
    _MEASURE: lambda operations: operations.admin.disk_usage(),
    "survey": lambda operations: operations.admin.gc(dry_run=True),
    "collect": lambda operations: operations.admin.gc(),
    "check-quickly": lambda operations: operations.admin.fsck(read_data=False),
    "check": lambda operations: operations.admin.fsck(),
}


def storage(visit: Visit) -> Answer:
    operations, last = visit.operations, visit.chores.last
    repos = operations.repos.list_repos()
    collections = [chore for name in ("survey", "collect") if (chore := last(name))]
    checks = [chore for name in ("check-quickly", "check") if (chore := last(name))]
    return Show(
        template="storage/storage.html",
        title="Storage",
        live=("upkeep",),
        context={
            "status": operations.admin.status(),
            "repos": sorted(repos, key=lambda repo: repo.size_bytes, reverse=True)[:_REPOS],
            "repos_total": len(repos),
            "head_bytes": sum(repo.size_bytes for repo in repos),
            "measure": last(_MEASURE),
            "collection": max(collections, key=lambda chore: chore.begun, default=None),
            "check": max(checks, key=lambda chore: chore.begun, default=None),
        },
    )


def measure(visit: Visit) -> Answer:
    return _begun(_MEASURE, visit)


def begin(visit: Visit) -> Answer:
    return _begun(visit.arguments["chore"], visit)


def _begun(name: str, visit: Visit) -> Answer:
    work = _CHORES.get(name)
    if work is None:
        raise NotFound(f"there is nothing called {name!r} to be done here")
    return Begin(name=name, work=lambda: work(visit.operations), to=urls.storage())


ROUTES = (
    Route(path="/storage", view=storage),
    Route(path=f"/storage/{_MEASURE}", view=measure, method="POST", role=READER),
    Route(path="/storage/{chore}", view=begin, method="POST", role=ADMIN),
)
NAVIGATION = (Navigation(title="Storage", path="/storage", icon="storage", order=80),)
