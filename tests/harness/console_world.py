"""Data and pipelines for the pages of the console, behind a real server with a real engine."""

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

from engine_state import open_engine
from memory_server import Answer, MemoryServer

from trunkline.api.changes import DeleteFile, FileChange, PutFile
from trunkline.engine.engine import Engine

README = """# Iris measurements

What was measured, **by whom**, and how; see [the notes](notes/about.md)
and ![a flower](flower.png).

| column | unit |
|---|---|
| sepal | cm |

<script>alert("readme")</script> [bad](javascript:alert(1))
"""
EVIL = "<script>alert('name')</script>"
EVIL_PATH = "<img src=x onerror=alert(1)> & \"quoted\" 'it' 100% #1 ?.txt"


class ConsoleWorld:
    """A server and a visitor who is logged in over TCP, as a browser would be."""

    def __init__(self, server: MemoryServer, engine: Engine) -> None:
        self.server = server
        self.engine = engine
        self.cookie = ""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def log_in(self) -> str:
        """Begin a session with the token; the cookie as a header has it."""
        body = urlencode({"token": self.server.token}).encode()
        answer = self.server.ask("POST", "/ui/login", body, tcp=True)
        cookie = SimpleCookie(answer.headers["set-cookie"])
        self.cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in cookie.items())
        return self.cookie

    def get(self, target: str, **headers: str) -> Answer:
        sent = {"Cookie": self.cookie, **headers}
        return self.server.ask("GET", target, headers=sent, tcp=True)

    def page(self, target: str, **headers: str) -> str:
        answer = self.get(target, **headers)
        assert answer.status == 200, answer.body.decode()
        return answer.body.decode()

    def post(self, target: str, form: Mapping[str, str], **headers: str) -> Answer:
        body = urlencode(form).encode()
        sent = {"Cookie": self.cookie, **headers}
        return self.server.ask("POST", target, body, headers=sent, tcp=True)

    def put(self, repo: str, files: Mapping[str, bytes], description: str = "") -> str:
        """Commit files to the branch `master` of a repo, which is made if there is none."""
        if repo not in [known.name for known in self.engine.repos.list_repos()]:
            self.engine.repos.create_repo(repo, description="")
        changes: list[FileChange] = [
            PutFile(path=path, content=[content]) for path, content in files.items()
        ]
        return self.engine.files.modify_files(repo, "master", changes, description=description).id

    def delete(self, repo: str, path: str) -> None:
        self.engine.files.modify_files(repo, "master", [DeleteFile(path=path)])

    def pipeline(
        self, name: str, repo: str, script: str, glob: str = "/*", *, command: str = "sh"
    ) -> None:
        self.engine.pipelines.create_pipeline(
            {
                "pipeline": {"name": name},
                "transform": {"cmd": [command], "stdin": [script]},
                "input": {"pfs": {"repo": repo, "glob": glob}},
            }
        )


@contextmanager
def console_world(directory: Path) -> Iterator[ConsoleWorld]:
    engine = open_engine(directory / "home")
    try:
        with MemoryServer(engine, directory) as server:
            world = ConsoleWorld(server, engine)
            world.log_in()
            yield world
    finally:
        engine.close()


def picture(width: int = 48, height: int = 32) -> bytes:
    """A PNG: violet, and darker from the left to the right."""
    row = b"\0" + b"".join(bytes((90 + x, 60 + x, 200 - x)) for x in range(width))
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(row * height),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts.items()
    )


def fill_with_iris(world: ConsoleWorld) -> None:
    """The repo `training` with a README and measurements, in three commits."""
    world.engine.repos.create_repo("training", description="Measurements of 150 flowers")
    rows = "".join(f"{5 + i % 7 / 10:.1f},{3 + i % 5 / 10:.1f},setosa\n" for i in range(150))
    header = "sepal_length,sepal_width,species\n"
    world.put("training", {"iris.csv": (header + rows).encode()}, "first measurements")
    said = {"README.md": README.encode(), "notes/about.md": b"# About\n", "flower.png": picture()}
    world.put("training", said, "readme")
    more = {f"photos/2026-{month:02}/flower.txt": b"petals\n" * month for month in range(1, 13)}
    lines = b'{"flower": 1, "ok": true}\n{"flower": 2, "note": "<b>bold</b>"}\n'
    world.put("training", {**more, "events.jsonl": lines, "run.log": b"line\n" * 4000}, "photos")


def fill_with_hostility(world: ConsoleWorld) -> None:
    """A repo whose description, names and contents would run if a page took them for HTML."""
    world.engine.repos.create_repo("hostile", description=EVIL)
    files = {
        EVIL_PATH: EVIL.encode(),
        "page.html": EVIL.encode(),
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "table.csv": f"{EVIL},b\n1,{EVIL}\n".encode(),
    }
    world.put("hostile", files, EVIL)
