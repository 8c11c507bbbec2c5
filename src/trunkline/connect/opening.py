"""Which server a caller means, and the way to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from trunkline.client.address import SocketAddress, parse_server_address
from trunkline.client.remote import RemoteClient
from trunkline.client.tls import trusting
from trunkline.client.transport import Transport
from trunkline.config import Config, load
from trunkline.errors import InvalidInput
from trunkline.model.names import DEFAULT_PROJECT, check_project

if TYPE_CHECKING:
    from trunkline.connect.connection import Connection


def connect(
    address: str | None = None,
    *,
    home: str | os.PathLike[str] | None = None,
    context: str | None = None,
    token: str | None = None,
    ca_file: str | os.PathLike[str] | None = None,
) -> Connection:
    """A connection to a server; without arguments, to the one that commands would use.

    `address` is `http://host:port`, `https://host:port` or `unix:///path`; `context` a name from
    the user's contexts; `home` the data directory of a local server, which is started when it is
    first needed. At most one of the three. `token` is for servers reached over TCP, `ca_file` a
    PEM file with who vouches for one over https, instead of whom this machine trusts.

    Nothing is sent until the first operation. Use it in a `with` statement, or close it.
    """
    if sum(given is not None for given in (address, context, home)) > 1:
        raise InvalidInput("give an address, a context or a home, not several of them")
    from trunkline.connect.connection import Connection  # commands use the operations alone

    chosen = load(home=home)
    client = open_client(
        chosen,
        address=address,
        context="local" if home is not None else context,
        token=token,
        ca_file=None if ca_file is None else os.fspath(ca_file),
    )
    return Connection(client)


def open_client(
    config: Config,
    *,
    address: str | None = None,
    context: str | None = None,
    token: str | None = None,
    ca_file: str | None = None,
) -> RemoteClient:
    """The operations of the server that is meant.

    In this order: the address, the named context, the address in the environment, the active
    context, the local server. A token or a CA file in the environment is for servers of which no
    context says that.
    """
    if address is None and context is None:
        address = config.address
    if address is not None:
        return _client(address, token or config.token, ca_file or config.ca_file)
    # Most users have one server and no file; reading TOML is for the others.
    if context is None and not os.path.exists(config.config_path):
        return local_client(config)
    from trunkline.connect.contexts import list_contexts

    if context == "local":
        return local_client(config)
    contexts = list_contexts(config.config_file)
    found = contexts.get(context or contexts.active)
    if found is None:
        return local_client(config)
    return _client(
        found.address,
        token or found.token or config.token,
        ca_file or found.ca_file or config.ca_file,
    )


def local_client(config: Config, *, command: Sequence[str] | None = None) -> RemoteClient:
    """The operations of the local server, which is started when nobody answers the first one.

    `command` is what starts it, if not the usual.
    """

    def start() -> None:
        from trunkline.connect.local import SERVE, ensure_server  # few commands start a server

        ensure_server(config, command=command or SERVE)

    return RemoteClient(Transport(SocketAddress(path=config.socket_path), revive=start))


def project_in_force(config: Config, *, context: str | None = None) -> str:
    """The project of commands that name none: of the environment, else the context, else `default`.

    A context counts where `open_client` would use it: not behind an address in the environment.
    """
    if config.project is not None:
        return check_project(config.project)
    if (context is None and config.address is not None) or not os.path.exists(config.config_path):
        return DEFAULT_PROJECT
    from trunkline.connect.contexts import list_contexts

    contexts = list_contexts(config.config_file)
    return contexts.projects.get(context or contexts.active, DEFAULT_PROJECT)


def check_ca_file(path: str) -> None:
    """Raises InvalidInput for a file that has no certificates in it."""
    trusting(path)


def _client(address: str, token: str | None, ca_file: str | None) -> RemoteClient:
    revive: Callable[[], None] | None = None  # who names an address starts the server there himself
    place = parse_server_address(address)
    return RemoteClient(Transport(place, token=token, ca_file=ca_file, revive=revive))
