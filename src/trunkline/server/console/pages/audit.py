"""The audit log, for admins: what was changed over TCP and in the console, and by whom."""

from trunkline.model.roles import ADMIN
from trunkline.server.console import urls
from trunkline.server.console.page import PAGE_ROWS, Answer, Route, Show, Visit

_NUMBER_MAX = 10**18


def audit(visit: Visit) -> Answer:
    before = visit.whole_number("before", _NUMBER_MAX, most=_NUMBER_MAX)
    entries = visit.operations.audit.list_audit(number=PAGE_ROWS, before=before)
    full = len(entries) == PAGE_ROWS
    return Show(
        template="settings/audit.html",
        title="Audit log",
        context={
            "entries": entries,
            "next": urls.audit(before=entries[-1].number) if full else "",
        },
    )


ROUTES = (Route(path="/settings/audit", view=audit, role=ADMIN),)
