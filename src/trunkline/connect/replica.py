"""A server that does not lead: it works on data by itself, and asks who leads for the rest.

What needs the scheduler, the collector or what is on the leader's disk is asked there, with the
token that all servers of a store have; everything about repos, branches, commits and files is done
here. Callers can't tell the two apart.
"""

from collections.abc import Callable
from typing import Any, cast

from trunkline.api.admin import Admin
from trunkline.api.datums import Datums
from trunkline.api.defaults import Defaults
from trunkline.api.images import Images
from trunkline.api.jobs import Jobs
from trunkline.api.lineage import Lineage
from trunkline.api.pipelines import Pipelines
from trunkline.api.plans import Plans
from trunkline.api.purges import Purges
from trunkline.api.retention import Retention
from trunkline.api.secrets import Secrets
from trunkline.api.transactions import Transactions
from trunkline.api.trash import Trash
from trunkline.client.address import parse_server_address
from trunkline.client.remote import RemoteClient
from trunkline.client.transport import Transport
from trunkline.config import Config
from trunkline.db.opening import open_database
from trunkline.engine.engine import Engine
from trunkline.errors import StoreInUse, Unavailable
from trunkline.store.claims import is_shared
from trunkline.store.servers import Servers


def among_others(config: Config) -> "Among | None":
    """How a server takes its turns; None where nobody shares a store."""
    return Among(config) if is_shared(config) else None


class Among:
    """Opens what a server is for a while; see `server.turns.Among`."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def lead(self) -> Engine:
        """Raises StoreInUse at once where somebody leads, and what `Engine` does."""
        catalog = open_database(self._config.database)
        try:
            if catalog.is_alone():
                raise StoreInUse(catalog.name, "another server")
        finally:
            catalog.close()
        return Engine(self._config)

    def follow(self, token: Callable[[], str]) -> "Replica":
        """The token is asked for once the engine is open. Raises what `Engine` does."""
        return Replica(Engine(self._config, leads=False), token, self._config)


class Replica:
    """See `api.connection.Operations`."""

    def __init__(self, engine: Engine, token: Callable[[], str], config: Config) -> None:
        assert engine.servers is not None, "others share its store"
        self._engine = engine
        self.servers: Servers = engine.servers
        self._token = token()
        self._config = config
        self._leader = ("", RemoteClient(Transport(parse_server_address("localhost"))))
        self.projects = engine.projects
        self.repos = engine.repos
        self.branches = engine.branches
        self.tags = engine.tags
        self.commits = engine.commits
        self.files = engine.files
        self.tokens = engine.tokens
        self.find_token = engine.find_token
        self.revision = engine.revision
        self.audit = engine.audit
        self.note_change = engine.note_change
        self.retention = cast(Retention, _Asked(self, "retention"))
        self.pipelines = cast(Pipelines, _Asked(self, "pipelines"))
        self.defaults = cast(Defaults, _Asked(self, "defaults"))
        self.images = cast(Images, _Asked(self, "images"))
        self.secrets = cast(Secrets, _Asked(self, "secrets"))
        self.jobs = cast(Jobs, _Asked(self, "jobs"))
        self.datums = cast(Datums, _Asked(self, "datums"))
        self.lineage = cast(Lineage, _Asked(self, "lineage"))
        self.plans = cast(Plans, _Asked(self, "plans"))
        self.transactions = cast(Transactions, _Asked(self, "transactions"))
        self.trash = cast(Trash, _Asked(self, "trash"))
        self.purges = cast(Purges, _Asked(self, "purges"))
        self.admin = cast(Admin, _Asked(self, "admin"))

    def leader(self) -> RemoteClient:
        """The operations of who leads now. Raises Unavailable."""
        address = self.servers.leader()
        if not address:
            raise Unavailable(
                "no server leads just now, or it listens on no address; one is about to take over"
            )
        if self._leader[0] != address:
            where = parse_server_address(address)
            transport = Transport(
                where,
                token=self._token,
                ca_file=self._config.ca_file,
                tls_name=self._config.tls_name,
                for_others=True,
            )
            self._leader = (address, RemoteClient(transport))
        return self._leader[1]

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


class _Asked:
    """A noun whose operations are asked of the leader."""

    def __init__(self, replica: Replica, noun: str) -> None:
        self._replica = replica
        self._noun = noun

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*arguments: Any, **named: Any) -> Any:
            operations = getattr(self._replica.leader(), self._noun)
            return getattr(operations, name)(*arguments, **named)

        return ask
