"""Operations on tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER, WRITER

if TYPE_CHECKING:
    from trunkline.model.versions import DeletedInfo, TagInfo


class Tags(Protocol):
    @operation("PUT", "/repos/{repo}/tags/{tag}", WRITER)
    def create_tag(self, repo: str, tag: str, *, commit: str, force: bool = False) -> TagInfo:
        """Name a finished commit (`commit` is a reference); the commit stays while it is named.

        Raises AlreadyExists for the name of a branch or of another commit's tag, which `force`
        moves, and CommitOpen.
        """

    @operation("GET", "/repos/{repo}/tags/{tag}", READER)
    def inspect_tag(self, repo: str, tag: str) -> TagInfo:
        """One tag."""

    @operation("GET", "/repos/{repo}/tags", READER)
    def list_tags(self, repo: str) -> list[TagInfo]:
        """The tags of a repo by name."""

    @operation("DELETE", "/repos/{repo}/tags/{tag}", WRITER)
    def delete_tag(self, repo: str, tag: str) -> DeletedInfo:
        """Delete a tag; its commit stays."""
