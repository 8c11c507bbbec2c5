"""A history that a purge has to go through, recorded, and what has to be true afterwards."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crash_session import Recorder
from engine_state import damages, open_engine
from stored_bytes import places_of

from trunkline.api.changes import CopyFile, PutFile
from trunkline.engine.engine import Engine

SECRET = "jane-doe-4711"
TARGETS = [f"a:/{SECRET}*", f"a:/*/{SECRET}"]
_WAIT_S = 60.0


def settled(home: Path, **environment: str) -> Engine:
    """An engine, once a purge that was interrupted has come to its end."""
    engine = open_engine(home, **environment)
    deadline = time.monotonic() + _WAIT_S
    while any(purge.state != "done" for purge in engine.purges.list_purges()):
        assert time.monotonic() < deadline, "a purge does not come to its end"
        time.sleep(0.005)
    return engine


def all_damages(engine: Engine) -> list[str]:
    found = damages(engine)
    if engine.purges.list_purges():
        home = engine._services.config.home
        found += [f"{place} still has it" for place in places_of(home, SECRET)]
    return found


def modify(repo: str, *changes: Any) -> Callable[[Engine], object]:
    return lambda engine: engine.files.modify_files(repo, "master", list(changes))


def put(path: str, text: str) -> PutFile:
    return PutFile(path=path, content=[text.encode()])


def a_history(recorder: Recorder) -> None:
    """Commits, a deleted one, an open one, a copy elsewhere."""
    recorder.run("create repo", lambda e: e.repos.create_repo("a"))
    recorder.run("put", modify("a", put("x", "1"), put(SECRET, SECRET)))
    recorder.run("put more", modify("a", put("x", "2"), put(f"dir/{SECRET}", SECRET * 2)))
    recorder.run("put and drop", modify("a", put("y", "3")))
    recorder.run("drop", lambda e: e.commits.drop_commit("a", "master"))
    recorder.run("create another", lambda e: e.repos.create_repo("b"))
    copy = CopyFile(path="copy", source_repo="a", source_commit="master", source_path=SECRET)
    recorder.run("copy", modify("b", copy, put("z", "4")))
    recorder.run("start", lambda e: e.commits.start_commit("a", branch="master"))
    recorder.run("write", modify("a", put(f"{SECRET}-too", SECRET), put("w", "5")))


def the_purge(recorder: Recorder) -> None:
    """Of a file under several names."""
    recorder.run(
        "purge", lambda e: e.purges.purge(TARGETS, forget_names=True, copies=True, reason="17")
    )
