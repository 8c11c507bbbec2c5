"""SQL on named tokens."""

from datetime import datetime

from trunkline.db.database import Row, Transaction
from trunkline.db.times import from_microseconds, to_microseconds
from trunkline.model.tokens import TokenInfo

_TOKEN = "SELECT name, role, created_us, expires_us, used_us FROM token"  # noqa: S105 - no secret


def insert_token(tx: Transaction, token: TokenInfo, digest: str) -> None:
    tx.execute(
        "INSERT INTO token (name, digest, role, created_us, expires_us, used_us) "
        "VALUES (:name, :digest, :role, :created, :expires, NULL)",
        name=token.name,
        digest=digest,
        role=token.role,
        created=to_microseconds(token.created),
        expires=None if token.expires is None else to_microseconds(token.expires),
    )


def find_token(tx: Transaction, name: str) -> TokenInfo | None:
    row = tx.row(f"{_TOKEN} WHERE name = :name", name=name)
    return None if row is None else _info(row)


def token_by_digest(tx: Transaction, digest: str) -> TokenInfo | None:
    row = tx.row(f"{_TOKEN} WHERE digest = :digest", digest=digest)
    return None if row is None else _info(row)


def all_tokens(tx: Transaction) -> list[TokenInfo]:
    """By name."""
    return [_info(row) for row in tx.rows(f"{_TOKEN} ORDER BY name")]


def note_use(tx: Transaction, digest: str, now: datetime) -> None:
    tx.execute(
        "UPDATE token SET used_us = :now WHERE digest = :digest",
        digest=digest,
        now=to_microseconds(now),
    )


def delete_token(tx: Transaction, name: str) -> bool:
    """False if there is none."""
    return tx.change("DELETE FROM token WHERE name = :name", name=name) > 0


def delete_all_tokens(tx: Transaction) -> None:
    tx.execute("DELETE FROM token")


def _info(row: Row) -> TokenInfo:
    name, role, created_us, expires_us, used_us = row
    return TokenInfo(
        name=name,
        role=role,
        created=from_microseconds(created_us),
        expires=None if expires_us is None else from_microseconds(expires_us),
        used=None if used_us is None else from_microseconds(used_us),
    )
