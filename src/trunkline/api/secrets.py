"""Operations on secrets. None of them gives a value back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import ADMIN, READER

if TYPE_CHECKING:
    from trunkline.model.secrets import SecretInfo


class Secrets(Protocol):
    @operation("POST", "/secrets", ADMIN)
    def create_secret(
        self, name: str, *, data: dict[str, str], kind: str = "Opaque", update: bool = False
    ) -> SecretInfo:
        """Store values by key; in `data` each is in base64. `kind` is a type of Kubernetes.

        With `update` all values of a secret that is there are replaced: jobs have the new ones
        from their next datums on, and remembered results stay. Raises AlreadyExists, NotFound.
        """

    @operation("GET", "/secrets/{name}", READER)
    def inspect_secret(self, name: str) -> SecretInfo:
        """The keys of a secret."""

    @operation("GET", "/secrets", READER)
    def list_secrets(self) -> list[SecretInfo]:
        """All secrets by name."""

    @operation("DELETE", "/secrets/{name}", ADMIN)
    def delete_secret(self, name: str, *, force: bool = False) -> None:
        """Delete a secret at once; it can't be brought back.

        Raises InUse when a pipeline needs it, unless `force`.
        """
