"""Who calls, and what he may: by the private socket, the server's own token, a named one, or one
that is good for a repo.

Named tokens are in the catalog, which all servers of a store have. What is known of one is asked
anew every second, so that one that was deleted on any server opens nothing after that on all of
them; and while a request lasts longer it is looked at from time to time.
"""

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.types import Scope

from trunkline.api.connection import Served
from trunkline.api.operation import Operation
from trunkline.errors import NotAllowed, TokenRefused, TrunklineError
from trunkline.model.roles import ADMIN, WRITER, allows
from trunkline.model.signed import Signer
from trunkline.model.tokens import PREFIX, TokenInfo
from trunkline.server.threads import Threads

FRESH_S = 1.0  # for which what is known of a token counts
LOOK_S = 2.0  # between two looks at the token of a request that lasts
_KEPT_MAX = 2000
_SECRET_MAX = 200  # letters

# In the state of a request that got past the guard: who makes it, and whether it is for the audit
# log, as requests over TCP are that make a change for people.
STATE = "caller"
NOTED = "noted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who was let in."""

    role: str
    name: str = ""  # of a named token
    digest: str = ""  # of its secret
    repo: str | None = None  # the only one that he may reach; None: all


OWNER = Caller(role=ADMIN)  # who has the server's own token, or its socket


class Callers:
    """Knows callers by what they show."""

    def __init__(
        self,
        served: Served,
        threads: Threads,
        token: str | None,
        signer: Signer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`token` is the server's own; without one only others are taken."""
        self._served = served
        self._threads = threads
        self._token = token.encode("utf-8") if token else None
        self._signer = signer
        self._clock = clock
        self._kept: dict[str, tuple[TokenInfo, float]] = {}  # by digest, with when it was asked for

    async def by_secret(self, secret: bytes) -> Caller:
        """Raises TokenRefused."""
        if self._token is not None and hmac.compare_digest(secret, self._token):
            return OWNER
        if secret.startswith(PREFIX.encode()) and len(secret) <= _SECRET_MAX:
            return await self.by_digest(hashlib.sha256(secret).hexdigest())
        text = secret.decode("ascii", "replace")
        repo = None if self._signer is None else self._signer.repo_of(text)
        if repo is None:
            raise TokenRefused("the server does not accept this token")
        return Caller(role=WRITER, repo=repo)

    async def by_digest(self, digest: str) -> Caller:
        """Who has shown the named token with this digest. Raises TokenRefused."""
        now = self._clock()
        token, asked = self._kept.get(digest, (None, 0.0))
        if token is None or now - asked > FRESH_S:
            token = await self._threads.short(lambda: self._served.find_token(digest))
            self._kept.pop(digest, None)
            if token is None:
                raise TokenRefused(
                    "the server does not accept this token: it was deleted, or is one of another "
                    "server"
                )
            if len(self._kept) >= _KEPT_MAX:
                self._kept.clear()
            self._kept[digest] = token, now
        if token.expires is not None and token.expires <= datetime.now(UTC):
            raise TokenRefused(
                f"token '{token.name}' expired on {token.expires:%Y-%m-%d}: ask an administrator "
                "for another one"
            )
        return Caller(role=token.role, name=token.name, digest=digest)

    @contextlib.contextmanager
    def held(self, caller: Caller, scope: Scope) -> Iterator[None]:
        """While inside, the connection is broken off once the token of the caller is not good."""
        if not caller.digest:
            yield
            return
        watching = asyncio.create_task(self._watch(caller, scope))
        try:
            yield
        finally:
            watching.cancel()

    async def _watch(self, caller: Caller, scope: Scope) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.by_digest(caller.digest)
            except TokenRefused:
                scope["state"]["transport"].abort()
                return
            except TrunklineError:  # a catalog that is away tells nothing
                continue


def caller_of(scope: Scope) -> Caller:
    """Who makes a request. Raises NotAllowed for one that nobody has looked at."""
    caller = scope.get("state", {}).get(STATE)
    if not isinstance(caller, Caller):
        raise NotAllowed("nobody knows who makes this request")
    return caller


def check_allowed(operation: Operation, caller: Caller) -> None:
    """Raises NotAllowed where the role of a caller is not enough for an operation."""
    if not allows(caller.role, operation.role):
        raise NotAllowed(
            f"{operation.name} needs the role {operation.role}, and token '{caller.name}' has the "
            f"role {caller.role}: use another token"
        )
