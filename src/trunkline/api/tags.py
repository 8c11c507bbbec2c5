"""Operations on tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation

if TYPE_CHECKING:
    from trunkline.model.versions import DeletedInfo, TagInfo


class Tags(Protocol):
    @operation("PUT", "/repos/{repo}/tags/{tag}")
    def create_tag(self, repo: str, tag: str, *, commit: str, force: bool = False) -> TagInfo:
        """Name a finished commit (`commit` is a reference); the commit stays while it is named.

        Raises AlreadyExists for the name of a branch or of another commit's tag, which `force`
        moves, and CommitOpen.
        """

    @operation("GET", "/repos/{repo}/tags/{tag}")
    def inspect_tag(self, repo: str, tag: str) -> TagInfo:
        """One tag."""

    @operation("GET", "/repos/{repo}/tags")
    def list_tags(self, repo: str) -> list[TagInfo]:
        """The tags of a repo by name."""

    @operation("DELETE", "/repos/{repo}/tags/{tag}")
    def delete_tag(self, repo: str, tag: str) -> DeletedInfo:
        """Delete a tag; its commit stays."""
