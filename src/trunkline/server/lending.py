"""A connection that is lent to a thread while brief requests come over it; see `rest.lane`.

The HTTP library never sees these requests: to it the connection is between two of them, before and
after. So there is nothing to tell it, and what the thread has read and can't answer is given to it
as if it had just come.
"""

import socket

import h11

from trunkline.server.pool import call_in_loop
from trunkline.server.rest.lane import Deed, Lane
from trunkline.server.withholding import WithholdingProtocol


class LendingProtocol(WithholdingProtocol):
    """Lends its connection for brief requests of callers on the private socket."""

    lane: Lane | None = None  # there is one in each class that a server uses
    lent = False  # to a thread, which reads and writes meanwhile
    _stopping = False  # the server was told so meanwhile

    def data_received(self, data: bytes) -> None:
        deed = self._deed_in(data)
        if deed is None or not self._lend(deed):
            super().data_received(data)

    def shutdown(self) -> None:
        if self.lent:
            self._stopping = True
        else:
            super().shutdown()

    def _deed_in(self, data: bytes) -> Deed | None:
        between = self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE
        if (
            self.lane is None
            or not self.app_state.get("private")
            or not between
            or self.conn.trailing_data[0]  # the beginning of a head
            or self.transport.is_closing()
            or len(self.connections) >= (self.limit_concurrency or len(self.connections) + 1)
        ):
            return None
        return self.lane.read(data)

    def _lend(self, deed: Deed) -> bool:
        """False if the system has no thread or descriptor for that now."""
        assert self.lane is not None
        bound = self.transport.get_extra_info("socket")
        # A descriptor of the thread's own: asyncio does not share those of its transports.
        try:
            own = socket.fromfd(bound.fileno(), bound.family, bound.type)
        except OSError:
            return False
        try:
            self.lane.begin(own, deed, lambda: self.server_state.default_headers, self._come_back)
        except RuntimeError:
            own.close()
            return False
        self._unset_keepalive_if_required()
        self.transport.pause_reading()
        self.lent = True
        return True

    def _come_back(self, unread: bytes) -> None:
        """Called by the thread."""
        call_in_loop(self.loop, lambda: self._has_come_back(unread))

    def _has_come_back(self, unread: bytes) -> None:
        self.lent = False
        if self.transport.is_closing():
            return
        if self._stopping:
            super().shutdown()
            return
        self.on_response_complete()  # from here on it may be idle for so long
        self.transport.resume_reading()
        if unread:
            self.data_received(unread)
