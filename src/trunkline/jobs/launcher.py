"""The worker host as the server sees it: asks it for workers, and ends them."""

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from trunkline.jobs.channel import Channel
from trunkline.jobs.host import spawn_request
from trunkline.jobs.pool import SUFFIX_LETTERS
from trunkline.jobs.worker import WorkerSettings
from trunkline.runtimes.kubernetes.status import Outlook


class ProcessLauncher:
    """Starts workers as processes of this machine; see `pool.Launcher`."""

    def __init__(
        self,
        *,
        home: Path,
        isolation: str,
        marker: str,
        container_host: str,
        output_bytes_max: int | None,
        serve_places: Callable[[socket.socket], None] | None = None,
    ) -> None:
        """`serve_places` answers workers at our end of a line, where they have no index."""
        self._serve_places = serve_places
        self._home = home
        self._isolation = isolation
        self._marker = marker
        self._container_host = container_host
        self._output_bytes_max = output_bytes_max
        self._host: subprocess.Popen[bytes] | None = None
        self._asked = False  # it for a worker
        self._control: socket.socket | None = None

    def start(self) -> None:
        if self._host is not None and self._host.poll() is None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._host = subprocess.Popen(
            [sys.executable, "-m", "trunkline.jobs.host", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        theirs.close()
        if self._control is not None:
            self._control.close()
        self._control = ours
        self._asked = False

    def new_suffix(self) -> str:
        return "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))

    def launch(self, name: str, pipeline: str, version: int) -> tuple[int, Channel]:
        settings = WorkerSettings(
            name=name,
            home=str(self._home),
            isolation=self._isolation,
            marker=self._marker,
            container_host=self._container_host,
            output_bytes_max=self._output_bytes_max or 0,
        )
        ours, theirs = socket.socketpair()
        lines = [theirs]
        if self._serve_places is not None:
            near, far = socket.socketpair()
            self._serve_places(near)
            lines.append(far)
        try:
            pid = self._ask(settings, lines)
        except BaseException:
            ours.close()
            raise
        finally:
            for line in lines:
                line.close()
        return pid, Channel(ours)

    def _ask(self, settings: WorkerSettings, lines: Sequence[socket.socket]) -> int:
        self.start()
        assert self._control is not None
        self._asked = True
        try:
            return spawn_request(self._control, settings, lines)
        except OSError:
            # The host died since; a new one takes over.
            assert self._host is not None
            self._host.kill()
            self._host.wait()
            self.start()
            self._asked = True
            return spawn_request(self._control, settings, lines)

    def kill(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def outlook(self, pid: int) -> Outlook | None:
        return None

    def has_come(self, pid: int) -> bool:
        return True

    def forget(self, pid: int) -> None:
        """Its host has reaped or will reap it."""

    def close(self) -> None:
        """End the host and with it all workers and what they started."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._host is not None:
            if not self._asked:  # it has nothing to end, and may still be starting
                self._host.kill()
            self._host.wait()
            self._host = None
