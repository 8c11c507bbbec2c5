"""Operations on tags; see `api.tags`."""

from trunkline.engine.services import Services
from trunkline.model.versions import TagInfo
from trunkline.versions import commits, tags


class EngineTags:
    def __init__(self, services: Services) -> None:
        self._services = services

    def create_tag(self, repo: str, tag: str, *, commit: str, force: bool = False) -> TagInfo:
        with self._services.database.write() as tx:
            named = commits.resolve(tx, repo, commit)
            return tags.create_tag(tx, named, tag, force=force, now=self._services.now())

    def inspect_tag(self, repo: str, tag: str) -> TagInfo:
        with self._services.database.read() as tx:
            return tags.tag_info(tx, repo, tag)

    def list_tags(self, repo: str) -> list[TagInfo]:
        with self._services.database.read() as tx:
            return tags.list_tags(tx, repo)

    def delete_tag(self, repo: str, tag: str) -> None:
        with self._services.database.write() as tx:
            tags.delete_tag(tx, repo, tag)
