"""Records a session with an engine, and judges what is left of it after a crash at any step."""

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crash_images import Image, images
from engine_state import damages, open_engine, state
from recorded_disk import RecordedDisk, Recording

from trunkline.api.changes import PutFile
from trunkline.engine.engine import Engine

EVERY = int(os.environ.get("TRUNKLINE_CRASH_EVERY", "8"))  # try each n-th step only
SEEDS = int(os.environ.get("TRUNKLINE_CRASH_SEEDS", "1"))  # random power cuts at each step


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory where there is one: an image of a disk needs no disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
        yield Path(place).resolve()


@dataclass
class Session:
    """What was recorded: the state before and after each operation, and the step each ended at."""

    recording: Recording
    ends: list[int] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def allowed(self, at: int) -> list[tuple[str, dict[str, Any]]]:
        """The states that may be found when so many steps were done: nothing acknowledged is lost,
        and what was under way has happened or not.
        """
        done = sum(end <= at for end in self.ends)
        return list(zip(self.names, self.states, strict=True))[done : done + 2]


class Recorder:
    """Runs operations one by one on an engine whose disk is recorded."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.disk = RecordedDisk(home)
        self.session = Session(self.disk.recording, states=[{}], names=["nothing"])
        self.engine: Engine | None = None

    def run(self, name: str, operation: Callable[[Engine], object]) -> None:
        """One operation; the engine is opened for the first one."""
        if self.engine is None:
            self.engine = open_engine(self.home)
            if self.disk.recording.base_files and not self.session.ends:
                self.session.states[0] = state(self.engine)
        operation(self.engine)
        self.session.ends.append(len(self.disk.recording.steps))
        self.session.states.append(state(self.engine))
        self.session.names.append(name)

    def close(self) -> None:
        """Close the engine, as an operation that changes nothing."""
        assert self.engine is not None
        before = self.session.states[-1]
        self.engine.close()
        self.engine = None
        self.session.ends.append(len(self.disk.recording.steps))
        self.session.states.append(before)
        self.session.names.append("closed")


@contextmanager
def recorded(home: Path) -> Iterator[Recorder]:
    recorder = Recorder(home)
    with recorder.disk.installed():
        yield recorder
        if recorder.engine is not None:
            recorder.close()
    recorder.disk.recording.check()


def judge(session: Session, *, seeds: int = SEEDS, every: int = EVERY, first: int = 0) -> int:
    """Open the store that each crash leaves, and compare; returns how many crashes there were.

    Only those from the step `first` on.
    """
    tried = 0
    seen: set[tuple[int, int]] = set()
    with scratch() as place:
        for image in images(session.recording, seeds=seeds):
            if image.at % every or image.at < first:
                continue
            same = (hash(frozenset(image.files.items())), sum(e <= image.at for e in session.ends))
            if same in seen:
                continue
            seen.add(same)
            tried += 1
            _judge(session, image, place / "home")
            shutil.rmtree(place / "home")
            if tried % 50 == 0:
                gc.collect()
    return tried


def _judge(session: Session, image: Image, home: Path) -> None:
    steps = session.recording.steps
    last = steps[image.at - 1] if image.at else None
    what = f"after {image.at} of {len(steps)} steps ({last and last.kind} {last and last.path})"
    what += f", {image.how}"
    image.write(home)
    try:
        engine = open_engine(home)
    except Exception as error:
        raise AssertionError(f"{what}: the store can't be opened") from error
    try:
        allowed = session.allowed(image.at)
        found = state(engine)
        if found not in [wanted for _, wanted in allowed]:
            name, wanted = allowed[0]
            odd = sorted(k for k in found.keys() | wanted if found.get(k) != wanted.get(k))
            raise AssertionError(f"{what}: it is not as after '{name}', nor later: {odd}")
        found_damages = damages(engine)
        assert found_damages == [], f"{what}: {found_damages}"
        if "repo after" not in found:
            engine.repos.create_repo("after")
        engine.files.modify_files("after", "master", [PutFile(path="x", content=[b"works"])])
        assert damages(engine) == [], f"{what}, and a put after it"
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(what) from error
    finally:
        engine.close()
