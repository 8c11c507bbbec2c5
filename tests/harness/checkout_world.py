"""A repo whose commits are given as dicts, to be checked out directly or over a stream."""

import os
from pathlib import Path
from typing import Any

from trunkline.api.changes import DeleteFile, PutFile
from trunkline.config import load
from trunkline.connect.checkout import CheckedOut, check_out
from trunkline.connect.materialise import Origin
from trunkline.engine.engine import Engine
from trunkline.model.names import CHECKOUT_RECORD

Files = dict[str, bytes]


class World:
    """A repo whose commits are given as dicts, and a way to check them out."""

    def __init__(self, home: Path) -> None:
        self.engine = Engine(load({"HOME": str(home)}, home=home / "home"))
        self.engine.repos.create_repo("data")
        self.direct = Origin(operations=self.engine, home=home / "home")
        self.streamed = Origin(operations=self.engine, home=None)

    def commit(self, files: Files) -> str:
        changes: list[Any] = [DeleteFile(path="/")]
        changes += [PutFile(path=path, content=[content]) for path, content in files.items()]
        return self.engine.files.modify_files("data", "master", changes).id

    def out(
        self, commit: str, directory: Path, path: str = "", *, direct: bool = True, **options: Any
    ) -> CheckedOut:
        origin = self.direct if direct else self.streamed
        info = self.engine.commits.inspect_commit("data", commit)
        return check_out(origin, info, path, directory, **options)


def on_disk(directory: Path) -> Files:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != CHECKOUT_RECORD
    }


FIRST: Files = {"a": b"1", "d/b": b"2", "d/e/c": b"3", "big": os.urandom(5_000_000), "gone/x": b"x"}
