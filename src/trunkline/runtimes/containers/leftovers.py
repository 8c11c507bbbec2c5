"""Containers of workers that are gone: found by what was noted before they were made, and removed.

A note is a file below the data directory, with the name of the worker in it. Where there is none
no container engine is asked anything.
"""

import json
import logging
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from trunkline.config import load
from trunkline.errors import TrunklineError
from trunkline.runtimes.containers import container
from trunkline.runtimes.containers.container import MEMORY, Owner
from trunkline.runtimes.containers.engine import open_engine

_log = logging.getLogger("trunkline.containers")


def note(owner: Owner, socket: str) -> None:
    """Note that somebody is about to have containers of the engine behind a socket."""
    place = _place(owner.home, owner.worker)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    aside = place.with_suffix(".new")
    aside.write_text(json.dumps({"socket": socket, "marker": owner.marker}), "utf-8")
    aside.rename(place)  # whole, or not there


def forget(owner: Owner) -> None:
    """It has none any more."""
    _place(owner.home, owner.worker).unlink(missing_ok=True)


def are_there(home: Path, worker: str) -> bool:
    """Whether a worker may have left something."""
    return _place(str(home), worker).exists()


def clear(home: Path, worker: str) -> None:
    """Remove what a worker left that is gone; what can't be removed now is for the next time."""
    try:
        noted = json.loads(_place(str(home), worker).read_text("utf-8"))
        owner = Owner(home=str(home), marker=str(noted["marker"]), worker=worker)
        for left in MEMORY.glob(f"{owner.memory_prefix}*"):
            with suppress(OSError):
                if left.lstat().st_uid == os.geteuid():
                    shutil.rmtree(left, ignore_errors=True)
        engine = open_engine(replace(load(home=home), container_host=str(noted["socket"])))
        try:
            container.remove_of(engine, owner)
        finally:
            engine.close()
    except (TrunklineError, OSError, ValueError, KeyError) as error:
        _log.warning("containers of worker %s may be left: %s", worker, error)
    else:
        forget(owner)


def clear_all(home: Path) -> None:
    """The same for all whose scratch directory is gone."""
    for found in sorted((home / "containers").glob("*.json")):
        if not (home / "scratch" / found.stem).exists():
            clear(home, found.stem)


def _place(home: str, worker: str) -> Path:
    return Path(home, "containers", f"{worker}.json")
