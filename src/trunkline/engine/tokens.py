"""Operations on named tokens; see `api.tokens`.

Of a secret its SHA-256 is kept: it is random and long, so nobody finds it by trying, and a slow or
salted hash would protect nothing more.
"""

import hashlib
import secrets
import string
import threading
from contextlib import suppress
from datetime import datetime, timedelta

from trunkline.engine import token_tables
from trunkline.engine.services import Services
from trunkline.errors import AlreadyExists, Conflict, InvalidInput, NotFound, TrunklineError, meant
from trunkline.model.tokens import PREFIX, NewToken, TokenInfo, check_role, check_token_name

_LETTERS = string.ascii_letters + string.digits  # what a double click selects as one word
_LENGTH = 43  # of them: 256 bits
_TOKENS_MAX = 1000
_LASTS_MAX_S = 100 * 365 * 86400.0
_NOTED_EVERY = timedelta(minutes=1)  # that a token is in use


class EngineTokens:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._noting: threading.Thread | None = None

    def create_token(self, name: str, *, role: str, lasts_s: float | None = None) -> NewToken:
        check_token_name(name)
        check_role(role)
        if lasts_s is not None and not 0 < lasts_s <= _LASTS_MAX_S:
            raise InvalidInput("a token lasts for more than 0 seconds, and for 100 years at most")
        secret = PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
        now = self._services.now()
        info = TokenInfo(
            name=name,
            role=role,
            created=now,
            expires=None if lasts_s is None else now + timedelta(seconds=lasts_s),
            used=None,
        )
        with self._services.database.write() as tx:
            known = token_tables.all_tokens(tx)
            if any(token.name == name for token in known):
                hint = "delete that, or give this one another name"
                raise AlreadyExists("token", name, hint)
            if len(known) >= _TOKENS_MAX:
                raise Conflict(
                    f"there are {_TOKENS_MAX} tokens, the most there can be; delete some"
                )
            token_tables.insert_token(tx, info, hashlib.sha256(secret.encode()).hexdigest())
        return NewToken(info=info, secret=secret)

    def inspect_token(self, name: str) -> TokenInfo:
        with self._services.database.read() as tx:
            found = token_tables.find_token(tx, name)
            if found is None:
                raise _missing(name, token_tables.all_tokens(tx))
        return found

    def list_tokens(self) -> list[TokenInfo]:
        with self._services.database.read() as tx:
            return token_tables.all_tokens(tx)

    def delete_token(self, name: str) -> None:
        with self._services.database.write() as tx:
            if not token_tables.delete_token(tx, name):
                raise _missing(name, token_tables.all_tokens(tx))

    def find(self, digest: str) -> TokenInfo | None:
        """See `api.connection.Served`."""
        with self._services.database.read() as tx:
            found = token_tables.token_by_digest(tx, digest)
        now = self._services.now()
        if found is None or (found.expires is not None and found.expires <= now):
            return found
        if found.used is None or now - found.used >= _NOTED_EVERY:
            self._note(digest, now)
        return found

    def close(self) -> None:
        """Wait for what is being noted; nothing more is."""
        with self._lock:
            noting = self._noting
        if noting is not None:
            noting.join()

    def _note(self, digest: str, now: datetime) -> None:
        """In a thread of its own: no caller waits for whoever writes to the catalog just now.

        One at a time, so that they can't pile up; who is left out is noted with a later use.
        """

        def note() -> None:
            # A full disk is no reason to let nobody in.
            with suppress(TrunklineError), self._services.database.write() as tx:
                token_tables.note_use(tx, digest, now)

        with self._lock:
            at_work = self._noting is not None and self._noting.is_alive()
            if at_work or self._services.closing.is_set():
                return
            thread = threading.Thread(target=note, name="trunkline-token", daemon=True)
            with suppress(RuntimeError):  # the system allows no more threads
                thread.start()
                self._noting = thread


def _missing(name: str, known: list[TokenInfo]) -> NotFound:
    names = [token.name for token in known]
    hint = meant(name, names) or "; `trunkline list token` shows those there are"
    return NotFound(f"there is no token '{name}'{hint}")
