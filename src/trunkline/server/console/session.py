"""Who may see the console: whoever has shown a token, or come by an address for one visit.

A session is a cookie that the server signs, so none is stored: it outlasts the server's process and
holds on every node that has the same key. Its value is when it ends, some chance, the digest of the
named token that it was begun with (nothing for the server's own, of which the key is made), and the
signature of all that. It ends with its token, which is looked up for each request. A form that
changes something has to show what only a page of this session could know (`form_key`), beside what
the guard asks of every request.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

LASTS_S = 7 * 86400
CODE_LASTS_S = 300.0  # from `trunkline ui` to the browser, or to a user who copies the address
_CODES_MAX = 100  # that wait to be used


class Sessions:
    """Begins sessions, and knows them again."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock
        self._codes: dict[str, tuple[float, str]] = {}  # to when they end, and whose they are
        # Cookies are for a host, whatever its port: each server there has to have its own.
        self.cookie = f"trunkline-{self._sign('cookie')[:8]}"

    def begin(self, digest: str) -> str:
        """The value of the cookie of a new session of the token with this digest; "": the own."""
        body = f"{int(self._clock()) + LASTS_S:x}.{secrets.token_hex(8)}.{digest}"
        return f"{body}.{self._sign('session', body)}"

    def holder(self, value: str) -> str | None:
        """The digest of the token of a session that has not ended; None: there is none."""
        body, _, signature = value.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("session", body).encode()):
            return None
        parts = body.split(".")
        if len(parts) != 3 or int(parts[0], 16) <= self._clock():
            return None
        return parts[2]

    def form_key(self, value: str) -> str:
        """What forms of a session have to show."""
        return self._sign("form", value)

    def shows(self, value: str, shown: str) -> bool:
        """Whether a form of this session shows the right thing."""
        return hmac.compare_digest(self.form_key(value).encode(), shown.encode())

    def new_code(self, digest: str) -> str:
        """A word that begins one session of a token, if it is used soon."""
        now = self._clock()
        self._codes = {code: kept for code, kept in self._codes.items() if kept[0] > now}
        while len(self._codes) >= _CODES_MAX:
            del self._codes[next(iter(self._codes))]
        code = secrets.token_urlsafe(24)
        self._codes[code] = now + CODE_LASTS_S, digest
        return code

    def redeem(self, code: str) -> str | None:
        """The digest of the token whose session that word begins; it begins no other one."""
        ends, digest = self._codes.pop(code, (0.0, ""))
        return digest if ends > self._clock() else None

    def _sign(self, what: str, *words: str) -> str:
        text = "\0".join((what, *words)).encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:40]
