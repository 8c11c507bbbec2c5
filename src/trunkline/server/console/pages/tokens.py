"""Named tokens, for admins: how one is made, whose secret is shown once, and deleted.

The list is a part of the settings.
"""

from datetime import datetime

from trunkline.errors import InvalidInput
from trunkline.model.roles import ADMIN, READER, ROLES
from trunkline.model.tokens import TokenInfo
from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Redirect, Route, Show, Visit

LASTING = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "a year", "": "until deleted"}
_DAY_S = 86400.0
_ROWS = 200


def of_settings(visit: Visit) -> dict[str, object]:
    """What the settings show of tokens: nothing to who may not change them."""
    tokens = visit.operations.tokens.list_tokens() if visit.role == ADMIN else []
    return {
        "tokens": [(one, _has_expired(one, visit.now)) for one in tokens[:_ROWS]],
        "tokens_total": len(tokens),
        "lasting": LASTING,
        "roles": ROLES,
    }


def create(visit: Visit) -> Answer:
    """Not a redirect, as the secret must be in no address: it is on this one answer."""
    days = visit.form.get("days", "")
    if days not in LASTING:
        raise InvalidInput("choose one of the times that the form has")
    made = visit.operations.tokens.create_token(
        visit.form.get("name", "").strip(),
        role=visit.form.get("role", READER),
        lasts_s=float(days) * _DAY_S if days else None,
    )
    return Show(
        template="settings/token.html",
        title="A new token",
        context={"token": made.info, "secret": made.secret, "origin": visit.origin},
    )


def delete(visit: Visit) -> Answer:
    visit.operations.tokens.delete_token(visit.arguments["token"])
    return Redirect(to=f"{urls.settings()}#tokens")


def _has_expired(token: TokenInfo, now: datetime) -> bool:
    return token.expires is not None and token.expires <= now


ROUTES = (
    Route(path="/settings/tokens", view=create, method="POST", role=ADMIN),
    Route(path="/settings/tokens/{token}/delete", view=delete, method="POST", role=ADMIN),
)
