"""A datum's surroundings on this machine, for somebody who looks into what its code does."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trunkline.model.jobs import DatumRecipe


@contextmanager
def surroundings(home: Path, recipe: DatumRecipe) -> Iterator["Surroundings"]:
    """A place with the datum's inputs and what it last printed, gone afterwards."""
    (home / "scratch").mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="debug-", dir=home / "scratch"))
    notes = Path(tempfile.mkdtemp(prefix="trunkline-debug-"))
    try:
        if recipe.context["user"]:
            notes.chmod(0o755)  # the command is somebody else's, who can't look into our home
        (notes / "stderr").write_text(recipe.stderr, "utf-8", errors="surrogateescape")
        yield Surroundings(home, recipe, scratch, notes)
    finally:
        shutil.rmtree(notes, ignore_errors=True)
        shutil.rmtree(scratch, ignore_errors=True)


class Surroundings:
    def __init__(self, home: Path, recipe: DatumRecipe, scratch: Path, notes: Path) -> None:
        self.stderr = notes / "stderr"
        self._scratch = scratch
        self._request: dict[str, object] = {
            "home": str(home),
            "scratch": str(scratch),
            "notes": str(notes),
            "isolation": recipe.isolation,
            "context": recipe.context,
            "datums": recipe.datums,
            "job": recipe.info.job.rpartition("@")[2],
        }

    def run(self, command: str) -> int:
        """Run the command, for a shell, to its end; gives its exit status."""
        request = self._scratch / "request"
        request.touch(mode=0o600)
        request.write_text(json.dumps({**self._request, "command": command}), "utf-8")
        # A handler, not SIG_IGN, which the process would inherit: ^C is for it.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            words = [sys.executable, "-P", "-m", "trunkline.jobs.debugging", str(request)]
            return subprocess.run(words, check=False).returncode
        finally:
            signal.signal(signal.SIGINT, before)
