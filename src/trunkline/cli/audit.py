"""The command that shows the audit log."""

from trunkline.cli.arguments import at_most
from trunkline.cli.command import command, option
from trunkline.cli.output import Table, show_all, when
from trunkline.cli.session import operations
from trunkline.model.audit import AuditEntry

_ENTRIES: Table[AuditEntry] = Table(
    titles=("NUMBER", "TIME", "TOKEN", "DOOR", "OPERATION", "TARGET", "OUTCOME"),
    cells=lambda entry: (
        *(str(entry.number), when(entry.time), entry.token or "-", entry.door),
        *(entry.operation, entry.target, entry.outcome),
    ),
    width=0,
    padding=1,
)


@command(shows=True, examples=["list audit -n 20", "list audit --before 4711"])
@option("-n", "--number", default=0, metavar="N", help="At most so many (0: all that are kept).")
@option("--before", type=int, metavar="NUMBER", help="Only those before the one with this number.")
def list_audit(number: int, before: int | None) -> None:
    """List what was changed over TCP and in the console: when, with which token, and how it ended.

    Without a token it was the server's own, or this machine's user in the console.
    """
    show_all(operations().audit.list_audit(number=at_most(number), before=before), _ENTRIES)
