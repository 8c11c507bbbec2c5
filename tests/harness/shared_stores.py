"""Stores whose index is in PostgreSQL, as servers with directories of their own have them."""

from trunkline.store.index import TableIndex, open_shared, problems_told
from trunkline.store.opening import Joined, Whole
from trunkline.store.servers import Servers


def join(url: str, *, beat_s: float = 3.0) -> Joined:
    """Another server of the store whose index is beside a catalog."""
    database, servers = open_shared(url), Servers(open_shared(url), beat_s=beat_s)
    servers.guard(database)
    table = TableIndex(database, problems=problems_told)
    return Joined(table, servers, Whole(table, servers), shared=True)
