"""Two kinds of workers under one server: in pods, and as processes of its own machine."""

from collections.abc import Callable

from trunkline.jobs.channel import Channel
from trunkline.jobs.pool import Launcher
from trunkline.runtimes.kubernetes.status import Outlook


class EitherLauncher:
    """Starts workers by one of two launchers; see `pool.Launcher`.

    Those that only order objects of the cluster need no pod of their own.
    """

    def __init__(
        self, pods: Launcher, processes: Launcher, is_here: Callable[[str, int], bool]
    ) -> None:
        """`pods` gives numbers below 0; `is_here` tells of a version whether it needs none."""
        self._pods = pods
        self._processes = processes
        self._is_here = is_here

    def start(self) -> None:
        self._pods.start()

    def new_suffix(self) -> str:
        return self._pods.new_suffix()

    def launch(self, name: str, pipeline: str, version: int) -> tuple[int, Channel]:
        chosen = self._processes if self._is_here(pipeline, version) else self._pods
        return chosen.launch(name, pipeline, version)

    def kill(self, pid: int) -> None:
        self._of(pid).kill(pid)

    def outlook(self, pid: int) -> Outlook | None:
        return self._of(pid).outlook(pid)

    def has_come(self, pid: int) -> bool:
        return self._of(pid).has_come(pid)

    def forget(self, pid: int) -> None:
        self._of(pid).forget(pid)

    def close(self) -> None:
        self._processes.close()
        self._pods.close()

    def _of(self, pid: int) -> Launcher:
        return self._pods if pid < 0 else self._processes
