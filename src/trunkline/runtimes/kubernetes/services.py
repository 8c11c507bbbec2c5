"""Services of a cluster for the services of pipelines: each has one pod behind it, or none.

`Services` keeps them as they are wanted, in a thread; whatever fails is tried again.
"""

import hashlib
import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from trunkline.errors import TrunklineError
from trunkline.runtimes.kubernetes.connection import ApiFailed, pause_s
from trunkline.runtimes.kubernetes.installation import NAME
from trunkline.runtimes.kubernetes.objects import Named, ObjectApi
from trunkline.runtimes.kubernetes.pods import PIPELINE, WORKER, owned_labels, worker_label

LABELS = {**owned_labels(NAME), "app.kubernetes.io/component": "service"}  # of them, and no others
NODE_PORTS = range(30000, 32768)
_NAME_MAX = 63
_CLOSE_S = 5.0
_NO_NAME = re.compile(r"[^a-z0-9-]+")

_log = logging.getLogger("trunkline.kubernetes")


def service_name(pipeline: str) -> str:
    """What the Service of a pipeline is called, which is the name of its host too."""
    words = _NO_NAME.sub("-", pipeline.lower()).strip("-")
    name = f"pipeline-{words}"
    if len(name) <= _NAME_MAX and words == pipeline:
        return name
    digest = hashlib.sha256(pipeline.encode()).hexdigest()[:8]  # no two pipelines have one
    return f"{name[: _NAME_MAX - 9]}-{digest}"


def service_manifest(
    pipeline: str,
    *,
    namespace: str,
    worker: str,
    port: int,
    target_port: int,
    kind: str,
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    """The Service whose connections go to the pod of a worker; `worker` "": to none."""
    entry: dict[str, Any] = {"name": "user", "port": port, "targetPort": target_port}
    if kind == "NodePort" and port in NODE_PORTS:
        entry["nodePort"] = port
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": service_name(pipeline),
            "namespace": namespace,
            "labels": LABELS,
            "annotations": {**annotations, PIPELINE: pipeline},
        },
        "spec": {
            "type": kind,
            "selector": {WORKER: worker_label(worker) if worker else "none"},
            "ports": [entry],
        },
    }


@dataclass(slots=True, kw_only=True, eq=False)
class _Wish:
    one: Named
    manifest: Mapping[str, Any] | None  # None: it is to be gone
    done: bool = False
    failures: int = 0
    due: float = 0.0
    trouble: str = ""


class Services:
    """Those of one server, by the names of pipelines. Thread-safe."""

    def __init__(
        self,
        open_api: Callable[[], ObjectApi],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_api = open_api
        self._clock = clock
        self._changed = threading.Condition()
        self._wishes: dict[str, _Wish] = {}
        self._kept: Collection[str] | None = None  # names of Services that may be there
        self._stopping = False
        self._thread: threading.Thread | None = None

    def want(self, pipeline: str, manifest: Mapping[str, Any]) -> None:
        """Have the Service of a pipeline as a manifest says."""
        self._put(pipeline, _Wish(one=Named.of(manifest), manifest=manifest))

    def drop(self, pipeline: str) -> None:
        """Have it deleted."""
        one = Named(api_version="v1", kind="Service", name=service_name(pipeline))
        self._put(pipeline, _Wish(one=one, manifest=None))

    def keep(self, names: Collection[str]) -> None:
        """Have all others of ours deleted, that an earlier server left."""
        with self._changed:
            self._kept = names
            self._wake()

    def trouble(self, pipeline: str) -> str:
        """Why it is not as it is wanted, if that does not pass at once."""
        with self._changed:
            wish = self._wishes.get(pipeline)
            return "" if wish is None else wish.trouble

    def close(self) -> None:
        """All stay as they are, once what was wanted last is carried out, if that goes quickly."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(_CLOSE_S)

    def _put(self, pipeline: str, wish: _Wish) -> None:
        with self._changed:
            self._wishes[pipeline] = wish
            self._wake()

    def _wake(self) -> None:
        if self._thread is None and not self._stopping:
            self._thread = threading.Thread(
                target=self._run, name="trunkline-services", daemon=True
            )
            self._thread.start()
        self._changed.notify()

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        api: ObjectApi | None = None
        failures = 0
        while (work := self._next()) is not None:
            pipeline, wish = work
            try:
                api = api or self._open_api()
                if wish is None:
                    self._clear(api)
                elif wish.manifest is None:
                    api.delete(wish.one)
                else:
                    api.apply(wish.manifest)
            except (ApiFailed, TrunklineError) as error:
                failures += 1
                self._failed(pipeline, wish, error, failures)
            else:
                failures = 0
                self._carried_out(pipeline, wish)
        if api is not None:
            api.close()

    def _next(self) -> tuple[str, _Wish | None] | None:
        """What to do next; None at the end."""
        with self._changed:
            while True:
                now = self._clock()
                waiting = [(w.due, name) for name, w in self._wishes.items() if not w.done]
                due, name = min(waiting, default=(float("inf"), ""))
                if due <= now:
                    return name, self._wishes[name]
                if self._stopping:
                    return None
                if self._kept is not None and not waiting:
                    return "", None
                self._changed.wait(None if due == float("inf") else due - now)

    def _clear(self, api: ObjectApi) -> None:
        with self._changed:
            kept = {*(self._kept or ()), *(wish.one.name for wish in self._wishes.values())}
        for name in api.names("v1", "Service", LABELS):
            if name not in kept:
                _log.info("service %s is nobody's and is deleted", name)
                api.delete(Named(api_version="v1", kind="Service", name=name))

    def _carried_out(self, pipeline: str, wish: _Wish | None) -> None:
        with self._changed:
            if wish is None:
                self._kept = None
                return
            wish.done, wish.trouble, wish.failures = True, "", 0
            if wish.manifest is None and self._wishes.get(pipeline) is wish:
                del self._wishes[pipeline]

    def _failed(self, pipeline: str, wish: _Wish | None, error: Exception, failures: int) -> None:
        retry_s = error.retry_s if isinstance(error, ApiFailed) else 0.0
        with self._changed:
            if wish is None:
                _log.warning("services of an earlier server can't be looked for: %s", error)
                self._kept = None
                return
            if wish.failures == 0:
                _log.warning("the Service of pipeline %s can't be seen to: %s", pipeline, error)
            wish.failures += 1
            wish.due = self._clock() + pause_s(max(failures, wish.failures), retry_s)
            wish.trouble = f"its {wish.one} can't be made: {error}"
