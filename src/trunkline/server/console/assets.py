"""Our own files for browsers: one style sheet and some small modules of JavaScript.

Their addresses have a digest of all of them in it, so a browser may keep them for ever, and what
one module imports is of the same version as itself.
"""

import hashlib
from functools import cached_property
from pathlib import Path

from trunkline.server.console.page import PLACE

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


class Assets:
    """The files below a directory, all of them in memory: they are few and small."""

    def __init__(self, directory: Path) -> None:
        self._files = {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in sorted(directory.rglob("*"))
            if path.suffix in _TYPES
        }

    @cached_property
    def place(self) -> str:
        """What all their addresses begin with."""
        digest = hashlib.sha256()
        for name, content in self._files.items():
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
        return f"{PLACE}/static/{digest.hexdigest()[:12]}/"

    def url(self, name: str) -> str:
        """The address of a file; raises KeyError where there is none."""
        assert name in self._files, f"there is no static file {name}"
        return self.place + name

    def find(self, path: str) -> tuple[str, bytes] | None:
        """Media type and content of the file at an address."""
        name = path.removeprefix(self.place)
        content = self._files.get(name)
        if content is None or name == path:
            return None
        return _TYPES[Path(name).suffix], content
