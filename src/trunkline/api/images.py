"""Operations on images of the container engine of the server's machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import READER, WRITER

if TYPE_CHECKING:
    from trunkline.model.images import ContainerEngineInfo, ImageStep


class Images(Protocol):
    @operation("GET", "/images/engine", READER)
    def inspect_container_engine(self) -> ContainerEngineInfo:
        """Which container engine the server uses, or why there is none."""

    @operation("POST", "/images/pull", WRITER)
    def pull_image(
        self, reference: str, *, pull_secrets: list[str] | None = None
    ) -> Iterator[ImageStep]:
        """Get what a reference names in its registry now; the last step has the image.

        Logins are those of the server's user and in the secrets that are named. Pipelines keep the
        image that they have until they are updated. Raises NotFound, NotAllowed, Unavailable.
        """

    @operation("POST", "/images/build", WRITER)
    def build_image(
        self, tag: str, context: str, *, dockerfile: str = "Dockerfile"
    ) -> Iterator[ImageStep]:
        """Build an image and give it a tag; the last step has the image.

        `context` is the root of a file set with the archive `context.tar`, of all that the build
        needs; `dockerfile` is a path in it. Raises NotFound for no such file, Unavailable for no
        engine, and OperationFailed with what the build said last.
        """
