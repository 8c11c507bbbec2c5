"""Operations on named tokens. None of them gives a secret back that was given before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import ADMIN

if TYPE_CHECKING:
    from trunkline.model.tokens import NewToken, TokenInfo


class Tokens(Protocol):
    @operation("POST", "/tokens", ADMIN)
    def create_token(self, name: str, *, role: str, lasts_s: float | None = None) -> NewToken:
        """Make a token that lets callers over TCP do what its role may.

        The secret in the answer is what a caller shows; it is not kept, and can't be told again.
        Without `lasts_s` the token is good until it is deleted. Raises AlreadyExists, InvalidName.
        """

    @operation("GET", "/tokens/{name}", ADMIN)
    def inspect_token(self, name: str) -> TokenInfo:
        """One token, without its secret."""

    @operation("GET", "/tokens", ADMIN)
    def list_tokens(self) -> list[TokenInfo]:
        """All tokens by name, also those that have expired."""

    @operation("DELETE", "/tokens/{name}", ADMIN)
    def delete_token(self, name: str) -> None:
        """Delete a token: within seconds no server takes it any more, nor a session begun with it.

        What is under way with it is broken off. Raises NotFound.
        """
