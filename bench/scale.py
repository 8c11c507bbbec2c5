"""Scenario of `versioning.py`: commits of a million files and more, and the memory they take."""

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from measure import run, seconds
from results import OURS, Results

Places = Iterator[Path]  # new, empty directories

SIZES = (1_000_000,)
IN_DIRECTORY = 1000
ASKED = 7
# Peak of the server's resident memory, in MiB: for a million files, and for ten.
MEMORY = {1_000_000: 200, 10_000_000: 1024}


def scale(results: Results, _: list[Any], data_place: Path, places: Places) -> None:
    """One repetition of taking trees of all sizes in, as a tar stream and as a directory."""
    for size in results.growth or SIZES:
        count = max(IN_DIRECTORY, round(size * results.scale))
        _stream(results, size, count, next(places))
        if size <= SIZES[0]:
            tree = data_place / f"tree-{count}"
            if not tree.exists():
                _directory(tree, count)
            _from_directory(results, size, count, tree, next(places))


def _stream(results: Results, size: int, count: int, place: Path) -> None:
    words = ["trunkline", "put", "file", "bench@master:/", "--untar", "-f", "-"]
    server = _server(place)
    with subprocess.Popen(words, stdin=subprocess.PIPE) as put:

        def send() -> None:
            assert put.stdin is not None
            for piece in _archive(count):
                put.stdin.write(piece)
            put.stdin.close()
            assert put.wait() == 0

        taken = seconds(send)
    _report(results, size, f"{count:,} files taken in from a tar stream", "tar", taken, server)
    _questions(results, count)
    run("trunkline", "down")


def _from_directory(results: Results, size: int, count: int, tree: Path, place: Path) -> None:
    server = _server(place)
    put = partial(run, "trunkline", "put", "file", "-r", "bench@master:/", "-f", str(tree))
    taken = seconds(put)
    _report(results, size, f"{count:,} files taken in from a directory", "directory", taken, server)
    run("trunkline", "down")


def _report(results: Results, size: int, title: str, kind: str, taken: float, server: Path) -> None:
    key = f"scale-{kind}-{size}"
    results.declare(key, title).add(OURS, taken)
    peak = results.declare(
        f"{key}-memory",
        f"{title}: peak memory of the server",
        unit="MiB",
        targets={OURS: MEMORY[size]} if size in MEMORY else {},
    )
    peak.add(OURS, _peak_mib(server))


def _questions(results: Results, count: int) -> None:
    """What people ask of a large tree, from a client and a server that run already."""
    import trunkline
    from trunkline.api.changes import PutFile

    middle = count // 2
    with trunkline.connect() as connection:
        files = connection.files
        asked: dict[str, tuple[str, float | None, Callable[[], object]]] = {
            "list": (
                f"one directory of {IN_DIRECTORY:,}",
                20.0,
                lambda: list(files.list_files("bench", "master", _directory_of(middle))),
            ),
            "find": (
                "one file looked up",
                None,
                lambda: files.inspect_file("bench", "master", _name(middle)),
            ),
            "commit": (
                "one changed file committed",
                None,
                lambda: files.modify_files(
                    "bench", "master", [PutFile(path=_name(middle), content=[os.urandom(20)])]
                ),
            ),
            "diff": (
                "the difference that it made",
                None,
                lambda: list(files.diff_files("bench", "master", "/")),
            ),
        }
        for key, (title, most, ask) in asked.items():
            workload = results.declare(
                f"scale-{key}-{count}",
                f"{title}, among {count:,}",
                unit="ms",
                targets={} if most is None else {OURS: most},
            )
            ask()
            for _ in range(ASKED):
                workload.add(OURS, 1000 * seconds(ask))


def _server(place: Path) -> Path:
    """A new server with an empty repo; where it says what memory it takes."""
    os.environ["TRUNKLINE_HOME"] = str(place / "home")
    run("trunkline", "create", "repo", "bench")
    pid = json.loads((place / "home" / "server.json").read_text())["pid"]
    return Path(f"/proc/{pid}/status")


def _peak_mib(status: Path) -> float:
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"{status} has no VmHWM")


def _directory_of(number: int) -> str:
    return f"dir-{number // IN_DIRECTORY:05}"


def _name(number: int) -> str:
    return f"{_directory_of(number)}/file-{number:08}.csv"


def _archive(count: int) -> Iterator[bytes]:
    """A tar of so many small files, each with a content of its own; about 1 KiB of tar each."""
    header = tarfile.TarInfo(_name(0))
    header.size = 8
    blank = bytearray(header.tobuf(format=tarfile.USTAR_FORMAT))
    blank[148:156] = b" " * 8
    name_sum = sum(blank[:100])
    rest_sum = sum(blank) - name_sum
    tail = bytes(blank[156:])
    middle = bytes(blank[100:148])
    padding = bytes(504)
    out = io.BytesIO()
    for number in range(count):
        name = _name(number).encode().ljust(100, b"\0")
        out.write(name + middle + b"%06o\0 " % (sum(name) + rest_sum) + tail)
        out.write(b"%08d" % number + padding)
        if out.tell() >= 1 << 20:
            yield out.getvalue()
            out = io.BytesIO()
    yield out.getvalue() + bytes(1024)


def _directory(tree: Path, count: int) -> None:
    """The same files in a directory."""
    for first in range(0, count, IN_DIRECTORY):
        (tree / _directory_of(first)).mkdir(parents=True)
        for number in range(first, min(first + IN_DIRECTORY, count)):
            (tree / _name(number)).write_bytes(b"%08d" % number)


SCENARIOS = {"scale": scale}
