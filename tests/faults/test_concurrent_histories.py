"""Sixteen writers, readers and a collector at once: one history that fits what each of them saw."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from crash_session import scratch
from engine_state import damages, open_engine, tree, without_workers

from trunkline.api.changes import PutFile
from trunkline.engine.engine import Engine
from trunkline.errors import NotFound, StoreInUse

WRITERS = 16
ROUNDS = int(os.environ.get("TRUNKLINE_CONCURRENT_ROUNDS", "6"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """What one writer did and was told."""

    commit: str
    branch: str
    mark: bytes
    began: float
    ended: float


@pytest.fixture
def engine() -> Iterator[Engine]:
    with scratch() as place, without_workers():
        opened = open_engine(place / "home")
        opened.repos.create_repo("a")
        yield opened
        opened.close()


def write(engine: Engine, writer: int, branch: str) -> list[Put]:
    done = []
    for number in range(ROUNDS):
        mark = f"{writer}.{number};".encode()
        changes = [
            PutFile(path="log", content=[mark], append=True),
            PutFile(path=f"own/{writer}", content=[mark]),
        ]
        began = time.monotonic()
        info = engine.files.modify_files("a", branch, changes)
        ended = time.monotonic()
        done.append(Put(commit=info.id, branch=branch, mark=mark, began=began, ended=ended))
    return done


def violations(history: list[str], contents: dict[str, bytes], puts: list[Put]) -> list[str]:
    """Why a branch's history (oldest first) is not one order of the puts that fits their times.

    Each put is in it exactly once; each commit has what all before it appended, and its own mark;
    and a put that had ended before another one began comes before it.
    """
    found = []
    by_commit = {put.commit: put for put in puts}
    if sorted(history) != sorted(by_commit):
        found.append("the history is not that of the puts, each once")
    so_far = b""
    for commit in history:
        so_far += by_commit[commit].mark if commit in by_commit else b""
        if contents[commit] != so_far:
            found.append(f"{commit} lost an update")
    latest_began = 0.0
    for commit in history:
        put = by_commit.get(commit)
        if put and put.ended < latest_began:
            found.append(f"{commit} comes after one that began when it had ended")
        latest_began = max(latest_began, put.began if put else 0.0)
    return found


@pytest.mark.parametrize("branches", [1, 4], ids=["one branch", "many branches"])
def test_puts_at_once_are_one_history_in_which_each_is_once(
    engine: Engine, branches: int, tally: Callable[..., None]
) -> None:
    stop = threading.Event()

    def read() -> int:
        """Whatever a reader sees is whole, and never goes back."""
        for seen in itertools.count():
            if stop.is_set():
                return seen
            try:
                head = engine.commits.inspect_commit("a", "b0").id
                files = tree(engine, "a", head)
            except NotFound:  # nothing was put yet
                continue
            marks = files["log"].split(b";")[:-1]
            assert len(set(marks)) == len(marks)
            assert all(data[:-1] in marks for path, data in files.items() if path != "log")
        return 0

    def collect() -> int:
        for seen in itertools.count():
            if stop.is_set():
                return seen
            engine.admin.gc(grace_s=0)
        return 0

    with ThreadPoolExecutor(WRITERS + 3) as threads:
        others = [threads.submit(read), threads.submit(read), threads.submit(collect)]
        writers = [
            threads.submit(write, engine, writer, f"b{writer % branches}")
            for writer in range(WRITERS)
        ]
        try:
            puts = [put for writer in writers for put in writer.result()]
        finally:
            stop.set()
        for other in others:
            other.result()

    for number in range(branches):
        branch = f"b{number}"
        history = [c.id for c in engine.commits.list_commits("a", to=branch)][::-1]
        contents = {c: b"".join(engine.files.read_file("a", c, "log")) for c in history}
        mine = [put for put in puts if put.branch == branch]
        assert violations(history, contents, mine) == []
    assert damages(engine) == []
    tally("puts in concurrent histories", len(puts))


def test_a_history_with_a_fault_is_told_from_a_right_one() -> None:
    puts = [
        Put(commit=c, branch="b", mark=c.encode(), began=n, ended=n + 0.5)
        for n, c in enumerate("xyz", start=1)
    ]
    right = {"x": b"x", "y": b"xy", "z": b"xyz"}

    assert violations(["x", "y", "z"], right, puts) == []
    assert violations(["x", "z"], {"x": b"x", "z": b"xz"}, puts)
    assert violations(["x", "y", "z"], {**right, "z": b"xz"}, puts)
    assert violations(["y", "x", "z"], {"y": b"y", "x": b"yx", "z": b"yxz"}, puts)


def test_a_second_engine_on_one_store_is_refused(engine: Engine) -> None:
    home = engine._services.config.home

    with pytest.raises(StoreInUse, match=str(os.getpid())):
        open_engine(home)

    engine.files.modify_files("a", "master", [PutFile(path="x", content=[b"x"])])
