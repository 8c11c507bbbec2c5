"""Operations on the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import ADMIN

if TYPE_CHECKING:
    from trunkline.model.audit import AuditEntry


class Audit(Protocol):
    @operation("GET", "/audit", ADMIN)
    def list_audit(self, *, number: int = 0, before: int | None = None) -> list[AuditEntry]:
        """What callers over TCP and in the console had changed, newest first.

        At most `number` (0: all), of those before the entry with the number `before`. The newest
        20,000 are kept; of what came within the last second, some may be missing.
        """
