"""The key of signed addresses (`model.signed`): of one data directory, and kept."""

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from trunkline.errors import Unavailable

KEY_FILE = "signing.key"
_BYTES = 32
_PURPOSE = b"trunkline addresses 1"


def stored_key(home: Path, workers_key: str = "") -> bytes:
    """The key, made and stored (mode 0600) if there is none yet. Raises Unavailable.

    Who removes it takes back all addresses that were given out. Servers that have a `workers_key`
    in common have one that follows from that, whichever of them is asked.
    """
    if workers_key:
        return hmac.digest(bytes.fromhex(workers_key), _PURPOSE, "sha256")
    path = home / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        found = bytes.fromhex(path.read_text("ascii").strip())
        if len(found) != _BYTES:
            raise ValueError("it has another length")
    except (OSError, ValueError) as error:
        raise Unavailable(f"the key in {path} can't be used: {error}; remove it") from error
    return found


def new_key() -> str:
    """As the file has it."""
    return secrets.token_bytes(_BYTES).hex()


def _make(path: Path) -> None:
    """Of several who make one at once, one does."""
    aside = path.with_name(f".{KEY_FILE}.{secrets.token_hex(4)}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(new_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink(missing_ok=True)
