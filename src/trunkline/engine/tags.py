"""Operations on tags; see `api.tags`."""

from trunkline.engine.change import Change, begin_deletion, deleted_info, single
from trunkline.engine.services import Services
from trunkline.model.versions import DeletedInfo, TagInfo
from trunkline.versions import commits, tags, trash


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

    def delete_tag(self, repo: str, tag: str) -> DeletedInfo:
        with self._services.database.write() as tx:
            return delete_tag(single(self._services, tx), repo, tag)


def create_tag(change: Change, repo: str, tag: str, *, commit: str, force: bool) -> None:
    """Name a commit; one that the change itself makes, as soon as that is finished."""
    named = commits.resolve(change.tx, repo, commit)
    if (named.repo, named.id) in change.unfinished:
        change.tags.append((named, tag, force))
    else:
        tags.create_tag(change.tx, named, tag, force=force, now=change.now)


def create_due_tags(change: Change) -> None:
    """Give the commits that are finished now the tags that waited for that."""
    for opened, tag, force in change.tags:
        named = commits.get_commit(change.tx, opened.repo, opened.id)
        tags.create_tag(change.tx, named, tag, force=force, now=change.now)


def delete_tag(change: Change, repo: str, tag: str) -> DeletedInfo:
    number = tags.number_of(change.tx, repo, tag)
    entry = begin_deletion(change, "tag", f"{repo}@{tag}", how=f"delete tag {repo}@{tag}")
    trash.keep_tag(change.tx, entry, number)
    tags.delete_tag(change.tx, repo, tag)
    return deleted_info(change, entry)
