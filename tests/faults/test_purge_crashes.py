"""The process dies or the power goes at every single step of a purge: the next start ends it.

What is found is the history before it or after it, never a mixture; and once it is done, no byte of
what was purged is left, also where the power went in between.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import crash_session
import pytest
from crash_session import EVERY, Recorder, judge, recorded, scratch
from engine_state import damages, open_engine, without_workers
from stored_bytes import places_of

from trunkline.api.changes import CopyFile, PutFile
from trunkline.engine.engine import Engine

SECRET = "jane-doe-4711"
_WAIT_S = 60.0
_EVERY = 1 if EVERY == 1 else 9  # of its steps, of which there are many


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


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(crash_session, "open_engine", settled)
    monkeypatch.setattr(crash_session, "damages", all_damages)
    with without_workers():
        yield


def modify(repo: str, *changes: Any) -> Callable[[Engine], object]:
    return lambda engine: engine.files.modify_files(repo, "master", list(changes))


def put(path: str, text: str) -> PutFile:
    return PutFile(path=path, content=[text.encode()])


def a_history(recorder: Recorder) -> None:
    """Commits, a deleted one, an open one, a copy elsewhere, and then the purge of a file."""
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
    targets = [f"a:/{SECRET}*", f"a:/*/{SECRET}"]
    recorder.run(
        "purge", lambda e: e.purges.purge(targets, forget_names=True, copies=True, reason="17")
    )


@pytest.mark.slow
def test_a_crash_at_any_step_of_a_purge_is_healed_by_the_next_start(
    tally: Callable[..., None],
) -> None:
    with scratch() as place, recorded(place / "home") as recorder:
        a_history(recorder)
    session = recorder.session
    begun = session.ends[-3]  # the end of what came before the purge; the last one is the close

    tally("crash images", judge(session, first=begun, every=_EVERY))
    tally("steps crashed at", len(session.recording.steps) - begun)
