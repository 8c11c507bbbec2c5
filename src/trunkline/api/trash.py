"""Operations on what was deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER, WRITER

if TYPE_CHECKING:
    from trunkline.model.versions import DeletedInfo, UndeletedInfo


class Trash(Protocol):
    @operation("GET", "/deleted", READER)
    def list_deleted(self) -> list[DeletedInfo]:
        """What was deleted and can still be brought back, newest first."""

    @operation("POST", "/undelete", WRITER)
    def undelete(self, kind: str, name: str, *, number: int | None = None) -> UndeletedInfo:
        """Bring back what one deletion removed: ids, files, provenance, heads, descriptions.

        `kind` is repo, branch (`repo@branch`), tag (`repo@tag`), commit (`repo@id`, or the id of a
        run) or pipeline; `number` says which deletion if not the newest of that name. Raises
        NotFound, and Conflict where the name is taken or something that it hangs on is deleted
        itself.
        """
