"""A datum's surroundings on this machine, for somebody who looks into what its code does."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from trunkline.config import terminal_kind, users_shell
from trunkline.model.jobs import DatumRecipe
from trunkline.runtimes import sessions
from trunkline.runtimes.sessions import Session

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def surroundings(home: Path, recipe: DatumRecipe) -> Iterator["Surroundings"]:
    """A place with the datum's inputs and what it last printed, gone afterwards."""
    session = sessions.begin(home / "scratch")
    try:
        if recipe.context["user"] or recipe.context["image"]:
            session.notes.chmod(0o755)  # the command is somebody else's, who can't see our home
        (session.notes / "stderr").write_text(recipe.stderr, "utf-8", errors="surrogateescape")
        yield Surroundings(home, recipe, session)
    finally:
        session.end()


class Surroundings:
    def __init__(self, home: Path, recipe: DatumRecipe, session: Session) -> None:
        self.stderr = session.notes / "stderr"
        self._session = session
        self._request: dict[str, object] = {
            "home": str(home),
            "scratch": str(session.directory),
            "notes": str(session.notes),
            "parent": os.getpid(),
            "isolation": recipe.isolation,
            "container_host": recipe.container_host,
            "output_bytes_max": recipe.output_bytes_max,
            "context": recipe.context,
            "datums": recipe.datums,
            "job": recipe.info.job.rpartition("@")[2],
            "shell": users_shell(),
            "terminal": terminal_kind(),
        }

    def run(self, command: str) -> int:
        """Run the command, for a shell, or (empty) a shell on the user's terminal to its end.

        Gives its exit status.
        """
        request = self._session.directory / "request"
        request.touch(mode=0o600)
        request.write_text(json.dumps({**self._request, "command": command}), "utf-8")
        words = [sys.executable, "-P", "-m", "trunkline.jobs.debugging", str(request)]
        process: subprocess.Popen[bytes] | None = None
        told: list[int] = []

        def pass_on(number: int, _: FrameType | None) -> None:
            told.append(number)
            if process is not None:
                process.send_signal(number)

        # Handlers, not SIG_IGN, which the process would inherit: ^C is for it.
        before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
        before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            process = subprocess.Popen(words, pass_fds=[self._session.lock])
            for number in told:  # before there was anybody to tell
                process.send_signal(number)
            return process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
