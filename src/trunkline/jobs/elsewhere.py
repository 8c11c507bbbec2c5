"""Starts workers that are no processes of this machine: each in a pod, which comes to our door."""

import itertools
import secrets
import socket
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from trunkline.errors import TrunklineError
from trunkline.jobs.channel import Channel
from trunkline.jobs.door import Door, places_of
from trunkline.jobs.pool import SUFFIX_LETTERS
from trunkline.runtimes.kubernetes.status import Outlook

LEAVING_S = 1  # a pod whose worker has ended by itself


class Places(Protocol):
    """Where workers are put; see `kubernetes.cluster.Pods`."""

    def start(self) -> None: ...

    def want(self, name: str, manifest: Mapping[str, Any]) -> None: ...

    def at_work(self, name: str) -> None: ...

    def drop(self, name: str, *, grace_s: int = 0) -> None: ...

    def outlook(self, name: str) -> Outlook | None: ...

    def close(self) -> None: ...


class PodLauncher:
    """Starts workers in pods; see `pool.Launcher`. The numbers of workers are its own."""

    def __init__(
        self,
        open_door: Callable[[], Door],
        places: Places,
        manifest_of: Callable[[str, str, int], Mapping[str, Any]],
        settings: Mapping[str, str],
        serve_places: Callable[[socket.socket], None] | None = None,
    ) -> None:
        """`manifest_of` gives the pod of a worker, by its name and a version of a pipeline.

        `serve_places` answers a worker at our end of a second line, which it has where it does not
        share the disk of the server.
        """
        self._serve_places = serve_places
        self._open_door = open_door
        self._door: Door | None = None
        self._places = places
        self._manifest_of = manifest_of
        self._settings = settings
        self._numbers = itertools.count(-1, -1)  # no process has such a one
        self._names: dict[int, str] = {}

    def start(self) -> None:
        if self._door is None:
            self._door = self._open_door()
        self._places.start()

    def new_suffix(self) -> str:
        return "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))

    def launch(self, name: str, pipeline: str, version: int) -> tuple[int, Channel]:
        try:
            self.start()
            assert self._door is not None, "it was opened just now"
            manifest = self._manifest_of(name, pipeline, version)
            ours, theirs = socket.socketpair()
            self._door.expect(name, theirs, {**self._settings, "name": name})
            if self._serve_places is not None:
                near, far = socket.socketpair()
                self._serve_places(near)
                self._door.expect(places_of(name), far, {})
        except TrunklineError as error:
            raise OSError(str(error)) from error
        self._places.want(name, manifest)
        number = next(self._numbers)
        self._names[number] = name
        return number, Channel(ours)

    def outlook(self, pid: int) -> Outlook | None:
        name = self._names.get(pid)
        if name is None or self._door is None:
            return None
        if self._door.has_come(name):
            self._places.at_work(name)
        return self._places.outlook(name)

    def has_come(self, pid: int) -> bool:
        return self._door is not None and self._door.has_come(self._names.get(pid, ""))

    def kill(self, pid: int) -> None:
        self._end(self._names.get(pid, ""), grace_s=0)

    def forget(self, pid: int) -> None:
        self._end(self._names.pop(pid, ""), grace_s=LEAVING_S)

    def close(self) -> None:
        self._places.close()
        if self._door is not None:
            self._door.close()
            self._door = None

    def _end(self, name: str, *, grace_s: int) -> None:
        if self._door is not None and name:
            self._door.drop(name)
            self._door.drop(places_of(name))
        self._places.drop(name, grace_s=grace_s)
