"""Settings: what the server is and allows, whom it knows, and how to reach it from elsewhere."""

import json

from trunkline.server.console.page import Answer, Navigation, Route, Show, Visit
from trunkline.server.console.pages import tokens

_ROWS = 200  # of projects and of secrets


def settings(visit: Visit) -> Answer:
    operations = visit.operations
    projects = operations.projects.list_projects()
    defaults = [operations.defaults.inspect_defaults()]
    defaults += [operations.defaults.inspect_defaults(project=one.name) for one in projects[:_ROWS]]
    secrets = operations.secrets.list_secrets()
    shown = operations.admin.settings()
    return Show(
        template="settings/settings.html",
        title="Settings",
        live=("repos", "pipelines"),
        context={
            **tokens.of_settings(visit),
            "status": operations.admin.status(),
            "origin": visit.origin,
            "projects": projects,
            "defaults": [
                (one, json.dumps(one.spec, indent=2, ensure_ascii=False))
                for one in defaults
                if one.spec
            ],
            "secrets": secrets[:_ROWS],
            "secrets_total": len(secrets),
            "changed": [one for one in shown if not one.by_default],
            "unchanged": [one for one in shown if one.by_default],
        },
    )


ROUTES = (Route(path="/settings", view=settings),)
NAVIGATION = (Navigation(title="Settings", path="/settings", icon="settings", order=90),)
