"""Keeps the pods of one server as they are wanted.

One thread makes and deletes pods, and lists those that bear the server's labels from time to time:
so it finds out what became of them, and deletes what nobody wants, left by an earlier server, say.
It looks at what there is rather than following changes, so there is nothing that it could miss
while the API server restarts or the network is away. Whatever fails is tried again.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from trunkline.errors import NotSupported, Unavailable
from trunkline.runtimes.kubernetes.connection import (
    REFUSED,
    ApiFailed,
    Connection,
    kind_of,
    pause_s,
)
from trunkline.runtimes.kubernetes.status import Outlook, outlook_of

LOOK_S = 1.0  # between lists while a pod is on its way
IDLE_LOOK_S = 15.0  # between them else
_CLOSE_S = 5.0
_CHUNK = 500  # pods of one answer

_log = logging.getLogger("trunkline.kubernetes")


class PodApi(Protocol):
    """The few calls that are needed; each raises ApiFailed."""

    def create(self, manifest: Mapping[str, Any]) -> None: ...

    def delete(self, name: str, *, grace_s: int) -> None: ...

    def pods(self) -> Iterator[dict[str, Any]]:
        """All pods that are the server's."""
        ...

    def close(self) -> None: ...


@dataclass(slots=True, kw_only=True, eq=False)
class _Wish:
    """A pod as it is wanted, and what is known of it."""

    manifest: Mapping[str, Any]
    created: bool = False
    wanted: bool = True
    grace_s: int = 0
    failures: int = 0
    due: float = 0.0  # when to try again
    at_work: bool = False  # it works as far as is known; there is no hurry to look at it
    outlook: Outlook = field(default_factory=Outlook)


class Pods:
    """The pods of one server. Thread-safe."""

    def __init__(
        self, open_api: Callable[[], PodApi], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`open_api` is called in the thread, again and again until it works."""
        self._open_api = open_api
        self._clock = clock
        self._changed = threading.Condition()
        self._wishes: dict[str, _Wish] = {}
        self._stopping = False
        self._trouble = ""  # why the cluster can't be spoken to
        self._look_at = 0.0
        self._thread = threading.Thread(target=self._run, name="trunkline-pods", daemon=True)

    def start(self) -> None:
        """Begin; may be called again."""
        with self._changed:
            if not self._thread.is_alive() and not self._stopping:
                self._thread.start()

    def want(self, name: str, manifest: Mapping[str, Any]) -> None:
        """Have a pod made."""
        with self._changed:
            self._wishes[name] = _Wish(manifest=manifest)
            self._changed.notify()

    def at_work(self, name: str) -> None:
        """A pod works, as its worker says."""
        with self._changed:
            if name in self._wishes:
                self._wishes[name].at_work = True

    def drop(self, name: str, *, grace_s: int = 0) -> None:
        """Have a pod deleted, if there is one."""
        with self._changed:
            wish = self._wishes.get(name)
            if wish is not None and wish.wanted:
                wish.wanted, wish.grace_s, wish.failures, wish.due = False, grace_s, 0, 0.0
                self._changed.notify()

    def outlook(self, name: str) -> Outlook | None:
        """How a wanted pod is, as far as it is known; None for any other."""
        with self._changed:
            wish = self._wishes.get(name)
            if wish is None or not wish.wanted:
                return None
            if self._trouble and not wish.at_work:
                return replace(wish.outlook, reason=wish.outlook.reason or self._trouble)
            return wish.outlook

    def close(self) -> None:
        """Delete all pods, as far as that goes quickly; the next server finds the others."""
        with self._changed:
            for wish in self._wishes.values():
                wish.wanted, wish.due = False, 0.0
            self._stopping = True
            self._changed.notify()
            begun = self._thread.is_alive()
        if begun:
            self._thread.join(_CLOSE_S)

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        api = self._opened()
        if api is None:
            return
        failures, until = 0, 0.0
        try:
            while (work := self._next(until)) is not None:
                name, wish = work
                try:
                    if wish is None:
                        self._look(api)
                    else:
                        self._carry_out(api, name, wish)
                    failures, until = 0, 0.0
                    self._say("")
                except ApiFailed as error:
                    failures += 1
                    until = self._clock() + pause_s(failures, error.retry_s)
                    self._say(f"the cluster does not take orders: {error}")
        finally:
            api.close()

    def _opened(self) -> PodApi | None:
        failures = 0
        while True:
            try:
                return self._open_api()
            except (ApiFailed, NotSupported, Unavailable) as error:
                failures += 1
                self._say(f"the cluster can't be reached: {error}")
            with self._changed:
                if self._stopping or self._changed.wait_for(
                    lambda: self._stopping, pause_s(failures, 0.0)
                ):
                    return None

    def _say(self, trouble: str) -> None:
        with self._changed:
            if trouble and trouble != self._trouble:
                _log.warning("%s", trouble)
            self._trouble = trouble

    def _next(self, not_before: float) -> tuple[str, _Wish | None] | None:
        """What to do next: a wish to carry out, or a look at all of them; None at the end."""
        with self._changed:
            while True:
                now = self._clock()
                open_wishes = [
                    (wish.due, name)
                    for name, wish in self._wishes.items()
                    if wish.created != wish.wanted or not wish.wanted
                ]
                if self._stopping and (not open_wishes or now < not_before):
                    return None
                due, name = min(open_wishes, default=(float("inf"), ""))
                due = max(due, not_before)
                look_at = max(self._look_at, not_before)
                if due <= now:
                    return name, self._wishes[name]
                if look_at <= now:
                    return "", None
                self._changed.wait(min(due, look_at) - now)

    def _carry_out(self, api: PodApi, name: str, wish: _Wish) -> None:
        """Make or delete one pod. Raises ApiFailed where it is the cluster that does not answer."""
        deletes = not wish.wanted
        try:
            if deletes:
                api.delete(name, grace_s=wish.grace_s)
            else:
                api.create(wish.manifest)
        except ApiFailed as error:
            if not (deletes and error.code == 404) and not (not deletes and error.code == 409):
                if error.code not in REFUSED:
                    raise
                self._refused(name, wish, error)
                return
        with self._changed:
            if deletes:
                self._wishes.pop(name, None)
            else:
                wish.created, wish.failures = True, 0
                wish.outlook = Outlook()
                self._look_at = min(self._look_at, self._clock() + LOOK_S)

    def _refused(self, name: str, wish: _Wish, error: ApiFailed) -> None:
        with self._changed:
            wish.failures += 1
            wish.due = self._clock() + pause_s(wish.failures, error.retry_s)
            verb = "deleted" if not wish.wanted else "made"
            reason = f"its pod can't be {verb}: {error}"
            wish.outlook = Outlook(status="Pending", reason=reason, crashing=True)
        if wish.failures == 1:
            _log.warning("pod %s can't be %s: %s", name, verb, error)

    def _look(self, api: PodApi) -> None:
        """Compare what is there with what is wanted."""
        with self._changed:
            known = {name for name, wish in self._wishes.items() if wish.created}
        there = {str(pod["metadata"]["name"]): pod for pod in api.pods()}
        with self._changed:
            for name in known:
                wish = self._wishes.get(name)
                if wish is None or not wish.wanted:
                    continue
                if name in there:
                    wish.outlook = outlook_of(there[name])
                else:
                    why = wish.outlook.reason or "its pod was deleted, or its node is gone"
                    wish.outlook = Outlook(status="Gone", reason=why, gone=True)
            for name, pod in there.items():
                if name not in self._wishes and not pod["metadata"].get("deletionTimestamp"):
                    _log.info("pod %s is nobody's and is deleted", name)
                    self._wishes[name] = _Wish(manifest={}, created=True, wanted=False)
            hurry = any(w.wanted and not w.at_work for w in self._wishes.values())
            self._look_at = self._clock() + (LOOK_S if hurry else IDLE_LOOK_S)


class ClusterApi:
    """The pods of a cluster."""

    def __init__(self, namespace: str, labels: Mapping[str, str]) -> None:
        """Raises NotSupported where lightkube is missing, Unavailable where nothing says where."""
        self._line = Connection(namespace)
        self._pod = kind_of("v1", "Pod")
        self._labels = dict(labels)

    def create(self, manifest: Mapping[str, Any]) -> None:
        self._line.ask(lambda client: client.create(self._pod(manifest)))

    def delete(self, name: str, *, grace_s: int) -> None:
        self._line.ask(lambda client: client.delete(self._pod, name, grace_period=grace_s))

    def pods(self) -> Iterator[dict[str, Any]]:
        # No resourceVersion: the cache of an API server may lack a pod that was made just now, and
        # that would pass for gone.
        def listed(client: Any) -> list[dict[str, Any]]:
            found = client.list(self._pod, labels=self._labels, chunk_size=_CHUNK)
            return [dict(pod) for pod in found]

        yield from self._line.ask(listed)

    def close(self) -> None:
        self._line.close()
