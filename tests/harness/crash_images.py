"""What may be on a disk after a crash in the middle of a recording.

`Disk` is a model of a file system: contents and names are two things, each with what is durable and
what is only in memory. A crash of the process keeps everything. A crash of the machine keeps what
was synced, and of the rest any part: of each file, any of the 512-byte sectors written since its
last sync, in any order, with any of the sizes it had; of the names, any beginning of the changes in
each directory since that was last synced.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recorded_disk import Recording, Step, exchanged

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Image:
    """A possible state of the disk."""

    at: int  # steps that had been done
    how: str
    files: dict[str, bytes]
    directories: frozenset[str]

    def write(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        for directory in sorted(self.directories):
            (place / directory).mkdir(parents=True, exist_ok=True)
        for path, data in self.files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(data)


class Disk:
    def __init__(self, recording: Recording) -> None:
        self._names: dict[str, int] = {}
        self._data: dict[int, bytearray] = {}
        self._durable: dict[int, bytes] = {}
        self._unsynced: dict[int, list[Step]] = {}  # of each file
        self._directories = set(recording.base_directories)
        for number, (path, data) in enumerate(recording.base_files.items(), start=1):
            self._names[path] = number
            self._data[number] = bytearray(data)
            self._durable[number] = data
        self._durable_names = dict(self._names)
        self._durable_directories = set(self._directories)
        self._unsynced_names: list[Step] = []

    # --- steps ------------------------------------------------------------------------------------

    def apply(self, step: Step) -> None:
        match step.kind:
            case "write" | "truncate":
                self._data[step.file] = _changed(self._data[step.file], step)
                self._unsynced.setdefault(step.file, []).append(step)
            case "sync":
                self._durable[step.file] = bytes(self._data[step.file])
                self._unsynced.pop(step.file, None)
            case "name-sync":
                inside = [s for s in self._unsynced_names if step.path in _places(s)]
                for done in inside:
                    _rename(self._durable_names, self._durable_directories, done)
                    self._unsynced_names.remove(done)
            case _:
                if step.kind == "create":
                    self._data[step.file] = bytearray()
                    self._durable[step.file] = b""
                _rename(self._names, self._directories, step)
                self._unsynced_names.append(step)

    def tear(self, step: Step) -> None:
        """Apply the first half of a write."""
        half = step.data[: len(step.data) // 2]
        self.apply(Step("write", file=step.file, offset=step.offset, data=half))

    # --- images -----------------------------------------------------------------------------------

    def files(self) -> dict[str, bytes]:
        return {path: bytes(self._data[number]) for path, number in self._names.items()}

    def survived_process(self, at: int, how: str) -> Image:
        return Image(at, how, self.files(), frozenset(self._directories))

    def lost_all_unsynced(self, at: int) -> Image:
        directories = self._durable_directories
        names = _reachable(self._durable_names, directories)
        files = {path: self._durable[number] for path, number in names.items()}
        return Image(at, "power, nothing unsynced left", files, frozenset(directories))

    def lost_any_unsynced(self, at: int, seed: int) -> Image:
        chance = random.Random(seed)
        names, directories = dict(self._durable_names), set(self._durable_directories)
        kept = {place: chance.random() for place in map(_place, self._unsynced_names)}
        counts: dict[str, int] = {}
        for step in self._unsynced_names:
            counts[_place(step)] = counts.get(_place(step), 0) + 1
        left = {place: round(kept[place] * (count + 1)) for place, count in counts.items()}
        for step in self._unsynced_names:
            if left[_place(step)] > 0:
                left[_place(step)] -= 1
                _rename(names, directories, step)
        names = _reachable(names, directories)
        files = {path: self._remains(number, chance) for path, number in names.items()}
        return Image(at, f"power, seed {seed}", files, frozenset(directories))

    def _remains(self, number: int, chance: random.Random) -> bytes:
        durable, unsynced = self._durable[number], self._unsynced.get(number, [])
        if not unsynced:
            return durable
        share = chance.choice([0.1, 0.5, 0.9])
        data, sizes = bytearray(durable), [len(durable)]
        length = len(durable)
        for step in unsynced:
            if step.kind == "truncate":
                length = step.offset
                if chance.random() < share:
                    data = _changed(data, step)
            else:
                length = max(length, step.offset + len(step.data))
                for piece in _sectors(step):
                    if chance.random() < share:
                        data = _changed(data, piece)
            sizes.append(length)
        return bytes(_changed(data, Step("truncate", offset=chance.choice(sizes))))


def images(recording: Recording, *, seeds: int, torn: bool = True) -> Iterator[Image]:
    """Every state that a crash can leave after each step; `seeds` random ones of each power cut."""
    disk = Disk(recording)
    for at in range(len(recording.steps) + 1):
        yield disk.survived_process(at, "process")
        if (recording.steps[at - 1 : at] and recording.steps[at - 1].kind != "sync") or at == 0:
            yield disk.lost_all_unsynced(at)
            for seed in range(seeds):
                yield disk.lost_any_unsynced(at, at * 1000 + seed)
        if at < len(recording.steps):
            step = recording.steps[at]
            if torn and step.kind == "write" and len(step.data) > 1:
                torn_disk = Disk.__new__(Disk)
                torn_disk.__dict__ = {k: _copied(v) for k, v in disk.__dict__.items()}
                torn_disk.tear(step)
                yield torn_disk.survived_process(at, "process, torn write")
            disk.apply(step)


def _copied(value: object) -> object:
    if isinstance(value, dict):
        return {k: v.copy() if isinstance(v, list | bytearray) else v for k, v in value.items()}
    return value.copy() if isinstance(value, list | set) else value


def _changed(data: bytearray, step: Step) -> bytearray:
    changed = bytearray(data)
    if step.kind == "truncate":
        changed += bytes(max(0, step.offset - len(changed)))
        del changed[step.offset :]
        return changed
    if step.data:
        changed += bytes(max(0, step.offset - len(changed)))
        changed[step.offset : step.offset + len(step.data)] = step.data
    return changed


def _sectors(step: Step) -> Iterator[Step]:
    at, end = step.offset, step.offset + len(step.data)
    while at < end:
        stop = min(end, (at // SECTOR + 1) * SECTOR)
        piece = step.data[at - step.offset : stop - step.offset]
        yield Step("write", file=step.file, offset=at, data=piece)
        at = stop


def _rename(names: dict[str, int], directories: set[str], step: Step) -> None:
    match step.kind:
        case "create" | "link":
            names[step.path] = step.file
        case "mkdir":
            directories.add(step.path)
        case "rmdir":
            directories.discard(step.path)
        case "unlink":
            names.pop(step.path, None)
        case "exchange":
            for path, file in [(p, names.pop(p)) for p in list(names)]:
                names[exchanged(path, step.path, step.target)] = file
            there = {exchanged(path, step.path, step.target) for path in directories}
            directories.clear()
            directories |= there
        case "rename":
            for path in [p for p in names if p == step.path or p.startswith(step.path + "/")]:
                names[step.target + path[len(step.path) :]] = names.pop(path)
            below = step.path + "/"
            for path in [p for p in directories if p == step.path or p.startswith(below)]:
                directories.discard(path)
                directories.add(step.target + path[len(step.path) :])


def _reachable(names: dict[str, int], directories: set[str]) -> dict[str, int]:
    """The names all of whose directories are there."""
    return {
        path: number
        for path, number in names.items()
        if all(parent in directories for parent in _parents(path))
    }


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _place(step: Step) -> str:
    """The directory that a change of names belongs to (of a rename: where it ends up)."""
    return (step.target or step.path).rpartition("/")[0]


def _places(step: Step) -> set[str]:
    return {_place(step)}
