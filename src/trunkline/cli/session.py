"""What one invocation of the command line holds: its connection, its clock and its wishes.

The connection is opened at the first operation, so that `--help`, `--version` and bad usage never
start a server.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import click

from trunkline.values import dataclass, field

if TYPE_CHECKING:
    from pathlib import Path

    from trunkline.api.connection import Operations
    from trunkline.connect.planning import Planning


class Shape(StrEnum):
    """How values are printed."""

    TABLE = "table"
    RAW = "raw"  # JSON values, one after another
    JSON = "json"  # one JSON value; a list is an array
    YAML = "yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An open connection; `local` means that the server reads this machine's files itself.

    `home_path` is the server's data directory, if it is this user's own and this process may read
    it.
    """

    operations: "Operations"
    local: bool
    unheard: "Operations | None" = None  # the same, whose answers are not read; None: no such way
    home_path: str | None = None
    transaction: str | None = None  # the one that commands take part in
    remember: Callable[[str | None], None] = lambda _: None  # which one those to come do

    @property
    def home(self) -> "Path | None":
        """`home_path`, for whoever goes there."""
        from pathlib import Path

        return None if self.home_path is None else Path(self.home_path)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _project_in_force(context: str | None) -> str:
    from trunkline import config
    from trunkline.connect.opening import project_in_force

    return project_in_force(config.load(), context=context)


@dataclass(slots=True, kw_only=True)
class Session:
    """The state of one invocation; the options of its command write into it."""

    program: str  # as the user called it: trunkline or pachctl
    open_link: Callable[[str | None], Link]  # takes the name of a context
    clock: Callable[[], datetime] = _utc_now
    find_project: Callable[[str | None], str] = _project_in_force  # takes a context too
    terminal: bool = False  # stdout is one
    classic: bool = False  # a hyphenated command of the first generation is running
    shape: Shape = Shape.TABLE
    full_timestamps: bool = False
    color: bool = True
    verbose: bool = False
    context: str | None = None
    chosen_project: str | None = None  # by --project
    _link: Link | None = field(default=None, repr=False)
    _project: str | None = field(default=None, repr=False)

    @property
    def link(self) -> Link:
        if self._link is None:
            self._link = self.open_link(self.context)
        return self._link

    @property
    def project(self) -> str:
        """The project of all that is named without one."""
        if self._project is None:
            self._project = self.chosen_project or self.find_project(self.context)
        return self._project

    @property
    def transaction(self) -> str | None:
        """The transaction that this command takes part in."""
        return self.link.transaction

    def take_part(self, transaction: str | None) -> None:
        """Let the commands to come take part in this transaction, or in none."""
        self.link.remember(transaction)

    @contextmanager
    def only_planning(self) -> Iterator["Planning"]:
        """While inside, what operations would change is planned and not made."""
        from dataclasses import replace

        from trunkline.connect.planning import Planning
        from trunkline.errors import InvalidInput

        link = self.link
        if link.transaction is not None:
            raise InvalidInput(
                f"transaction {link.transaction} is active, in which nothing can be planned; "
                "finish it, or delete it"
            )
        planning = Planning(link.operations)
        self._link = replace(link, operations=planning.operations, unheard=None)
        try:
            yield planning
        finally:
            self._link = link

    def close(self) -> None:
        if self._link is not None:
            self._link.operations.close()
            self._link = None


def current() -> Session:
    """The session of the command that is running."""
    session = click.get_current_context().find_object(Session)
    assert session is not None, "every context of the command line is made below a session"
    return session


def operations() -> "Operations":
    """All operations, opening the connection at the first call."""
    return current().link.operations


def deeds() -> "Operations":
    """All operations, for a command that needs nothing of what they give, which may be None."""
    link = current().link
    return link.unheard or link.operations


def open_link(context: str | None) -> Link:
    """Open the address in force: the local server (started if need be) or a remote one."""
    from trunkline import config
    from trunkline.client.address import SocketAddress
    from trunkline.connect.opening import open_client

    settings = config.load()
    client = open_client(settings, context=context)
    address = client.transport.address
    chosen: Operations = client
    transaction = None
    if os.path.exists(
        os.path.join(os.path.dirname(settings.config_path), "transactions.json")
    ):  # few ever have one
        from trunkline.connect.transactions import active_transaction, queued

        transaction = active_transaction(settings.config_file, str(address))
        chosen = client if transaction is None else queued(client, transaction)

    def remember(now: str | None) -> None:
        from trunkline.connect.transactions import set_active_transaction

        set_active_transaction(settings.config_file, str(address), now)

    return Link(
        operations=chosen,
        unheard=client.unheard if transaction is None else None,
        transaction=transaction,
        remember=remember,
        local=isinstance(address, SocketAddress),
        home_path=settings.home_path
        if address == SocketAddress(path=settings.socket_path)
        else None,
    )
