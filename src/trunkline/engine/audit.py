"""The audit log; see `api.audit`.

Who changes something does not wait for its entry: entries gather in memory, and are written down
together a second later. What a process that is killed had not written yet is lost.
"""

import logging
import threading
from collections import deque
from dataclasses import replace

from trunkline.engine import audit_tables
from trunkline.engine.services import Services
from trunkline.errors import InvalidInput, TrunklineError
from trunkline.model.audit import AuditEntry
from trunkline.versions import counter

_KEPT = 20_000
_WAITING_MAX = 10_000  # that are not written down, on a full disk say; older ones are dropped then
_EVERY_S = 1.0
_ABOVE_ALL = 2**63 - 1

_log = logging.getLogger("trunkline.audit")


class EngineAudit:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._waiting: deque[AuditEntry] = deque(maxlen=_WAITING_MAX)
        self._timer: threading.Timer | None = None

    def list_audit(self, *, number: int = 0, before: int | None = None) -> list[AuditEntry]:
        if number < 0:
            raise InvalidInput("the number of entries can't be negative")
        self._write()
        with self._services.database.read() as tx:
            return audit_tables.newest_entries(
                tx, number or _KEPT, _ABOVE_ALL if before is None else before
            )

    def note(self, *, token: str, door: str, operation: str, target: str, outcome: str) -> None:
        """See `api.connection.Served`."""
        entry = AuditEntry(
            number=0,
            time=self._services.now(),
            token=token,
            door=door,
            operation=operation,
            target=target,
            outcome=outcome,
        )
        with self._lock:
            self._waiting.append(entry)
            if self._timer is None and not self._services.closing.is_set():
                self._timer = threading.Timer(_EVERY_S, self._write_in_time)
                self._timer.daemon = True
                self._timer.start()

    def close(self) -> None:
        """Write down what waits."""
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            timer.join()
        self._write()

    def _write_in_time(self) -> None:
        with self._lock:
            self._timer = None
        self._write()

    def _write(self) -> None:
        with self._lock:
            entries = list(self._waiting)
            self._waiting.clear()
        if not entries:
            return
        try:
            with self._services.database.write() as tx:
                numbers = counter.next_numbers(tx, len(entries))
                numbered = zip(entries, numbers, strict=True)
                audit_tables.insert_entries(
                    tx, [replace(entry, number=number) for entry, number in numbered]
                )
                audit_tables.keep_newest(tx, _KEPT)
        except TrunklineError as error:
            _log.warning("%d entries of the audit log wait: %s", len(entries), error)
            with self._lock:
                self._waiting = deque([*entries, *self._waiting], maxlen=_WAITING_MAX)
