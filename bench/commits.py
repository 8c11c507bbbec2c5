"""Scenario of `versioning.py`: many small commits, each durable before the next one begins."""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from measure import run, seconds
from results import OURS, Results

Places = Iterator[Path]  # new, empty directories

COMMITS = 500
COMMANDS = 20
CLIENTS = 16
PACKED_BYTES, LOGGED_BYTES = 11_000, 70_000  # that a commit appends to its pack and to the log
REPO = "commits"


def commits(results: Results, tools: list[Any], data_place: Path, places: Places) -> None:
    """One repetition: one client, many clients, and a loop in the shell."""
    del tools, data_place
    number = max(CLIENTS, int(COMMITS * results.scale))
    loops = max(2, int(COMMANDS * results.scale))
    alone = results.declare(
        "commits",
        f"{number:,} commits of one small file each, through one Python client",
        floor="two appends + fdatasync",
        targets={OURS: number / 500, "git": 0.5},
    )
    together = results.declare(
        "commits-many",
        f"{number:,} of them, through {CLIENTS} clients at once, on one branch",
        targets={"one client": 1.2},
    )
    shell = results.declare(
        "commits-cli",
        f"{loops} of them, by a command each",
        targets={OURS: loops / 20},
    )
    run("trunkline", "up")
    if REPO not in run("trunkline", "list", "repo", "--raw"):
        run("trunkline", "create", "repo", REPO)
    git = _Git(next(places))
    once = _clients(1, number)
    alone.add(OURS, once)
    alone.add("two appends + fdatasync", _synced(next(places), number))
    alone.add("git", seconds(lambda: git.commit(loops)) * number / loops)
    together.add("one client", once)
    together.add(OURS, _clients(CLIENTS, number))
    shell.add(OURS, seconds(lambda: _commands(loops)))
    shell.add("git", seconds(lambda: git.commit(loops)))
    shell.add(
        "python -c pass", seconds(lambda: [run("python", "-c", "pass") for _ in range(loops)])
    )


def _clients(number: int, commits: int) -> float:
    """How long so many connected clients take to make so many commits, in seconds."""
    import trunkline
    from trunkline.api.changes import PutFile

    started = threading.Barrier(number + 1)

    def work(client: int) -> None:
        with trunkline.connect() as connection:
            connection.repos.inspect_repo(REPO)
            started.wait()
            for n in range(commits // number):
                content = f"{client} {n} {os.urandom(8).hex()}".encode()
                change = PutFile(path=f"/c{client}/f{n % 1000}", content=[content])
                connection.files.modify_files(REPO, "master", [change])

    threads = [threading.Thread(target=work, args=(client,)) for client in range(number)]
    for thread in threads:
        thread.start()

    def all_of_it() -> None:
        started.wait()
        for thread in threads:
            thread.join()

    return seconds(all_of_it)


def _synced(place: Path, commits: int) -> float:
    """The least that the disk lets so many commits take: their bytes, in a pack and in a log."""
    with (place / "pack").open("wb", 0) as pack, (place / "log").open("wb", 0) as log:

        def append() -> None:
            for _ in range(commits):
                for file, size in ((pack, PACKED_BYTES), (log, LOGGED_BYTES)):
                    file.write(os.urandom(size))
                    os.fdatasync(file.fileno())

        return seconds(append)


def _commands(number: int) -> None:
    command = ("trunkline", "put", "file", f"{REPO}@master:/g", "-f", "-")
    for _ in range(number):
        _fed(command, os.urandom(8))


def _fed(command: tuple[str, ...], content: bytes) -> None:
    subprocess.run(command, input=content, check=True, stderr=subprocess.DEVNULL)


class _Git:
    """A user who commits one file again and again, everything synced as ours is."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._git: Callable[..., str] = lambda *words: run(
            *("git", "-C", str(place), "-c", "core.fsync=all", "-c", "user.name=bench"),
            *("-c", "user.email=bench@localhost", "-c", "gc.auto=0", *words),
        )
        self._git("init", "-q")

    def commit(self, number: int) -> None:
        for _ in range(number):
            (self._place / "g").write_bytes(os.urandom(8))
            self._git("add", "g")
            self._git("commit", "-qm", "one")
