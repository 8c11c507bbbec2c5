"""Operations on what was deleted; see `api.trash`."""

from trunkline.engine.change import drop_expired, info_of, restore, single
from trunkline.engine.services import Services
from trunkline.errors import InvalidInput
from trunkline.model.versions import DeletedInfo, UndeletedInfo
from trunkline.versions import trash


class EngineTrash:
    def __init__(self, services: Services) -> None:
        self._services = services

    def list_deleted(self) -> list[DeletedInfo]:
        now = self._services.now()
        with self._services.database.read() as tx:
            found = [info_of(self._services, *entry) for entry in trash.entries(tx)]
        return [info for info in found if info.expires > now]

    def undelete(self, kind: str, name: str, *, number: int | None = None) -> UndeletedInfo:
        if kind not in trash.KINDS:
            raise InvalidInput(f"{kind!r} can't be undeleted; it must be {', '.join(trash.KINDS)}")
        with self._services.database.write() as tx:
            change = single(self._services, tx)
            drop_expired(change)
            restored = restore(change, trash.find(tx, kind, name, number=number))
        for pipeline in change.warm:
            self._services.scheduler.prewarm(pipeline)
        return UndeletedInfo(kind=kind, name=name, commits=restored.commits, notes=restored.notes)
