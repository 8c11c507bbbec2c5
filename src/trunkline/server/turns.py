"""The turns of a server among others that share a store: it leads, or another one does.

Who has the catalog alone leads; that ends with its connection to the database, however it dies.
The others answer too, and look from time to time whether somebody leads. A server that counts as
gone, or whose leader is gone, closes all that it has and takes its next turn.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from trunkline.api.connection import Served
from trunkline.errors import StoreInUse, TrunklineError, Unavailable
from trunkline.server.signals import ended_by_signals
from trunkline.store.servers import Servers

_LOOK_S = 0.3  # whether somebody leads
_AGAIN_S = 0.5  # after a failure to open anything

log = logging.getLogger("trunkline.server")


class Member(Served, Protocol):
    """The operations of a server among others."""

    @property
    def servers(self) -> Servers | None: ...


class Among(Protocol):
    """Opens what a server is for a while."""

    def lead(self) -> Member:
        """Raises StoreInUse where another one leads."""

    def follow(self, token: Callable[[], str]) -> Member:
        """Answer beside another one, of which things are asked with the token."""


class Turn(NamedTuple):
    """What is served for a while."""

    operations: Served
    servers: Servers


class Turns:
    """Finds out what this server is to be next; see the module."""

    def __init__(self, among: Among) -> None:
        self._among = among
        self._ended = threading.Event()
        self._opened = False
        self._leads = False
        self._servers: Servers | None = None

    def end(self) -> None:
        """No more turns; from any thread."""
        self._ended.set()

    def next(self, token: Callable[[], str]) -> Turn | None:
        """The next turn; None at the end. Raises what keeps this server from its first one."""
        while not self._ended.is_set():
            try:
                turn = self._try(token)
            except Unavailable as error:
                # A leader that is about to make what is asked for, or a database that is away.
                log.warning("process %d waits: %s", os.getpid(), error)
                self._ended.wait(_AGAIN_S)
            except TrunklineError:
                if not self._opened:
                    raise
                log.exception("process %d can't go on yet", os.getpid())
                self._ended.wait(_AGAIN_S)
            else:
                self._opened = True
                return turn
        return None

    def _try(self, token: Callable[[], str]) -> Turn:
        try:
            operations = self._among.lead()
            self._leads = True
        except StoreInUse:
            operations = self._among.follow(token)
            self._leads = False
        self._servers = servers = operations.servers
        assert servers is not None, "others share its store"
        log.info("process %d %s", os.getpid(), "leads" if self._leads else "follows another one")
        return Turn(operations, servers)

    @contextlib.contextmanager
    def watched(self, stop: Callable[[], None]) -> Iterator[None]:
        """While inside, `stop` is called when the turn is over."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_LOOK_S):
                with contextlib.suppress(TrunklineError):  # a database that is away tells nothing
                    if self._is_over():
                        log.warning("process %d begins anew", os.getpid())
                        stop()
                        return

        thread = threading.Thread(target=watch, name="trunkline-turn", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _is_over(self) -> bool:
        assert self._servers is not None, "a turn has begun"
        return self._servers.lost.is_set() or (not self._leads and not self._servers.is_led())

    def signals(self) -> contextlib.AbstractContextManager[None]:
        """SIGTERM and SIGINT end the turns, also between two of them."""
        return ended_by_signals(self.end)
