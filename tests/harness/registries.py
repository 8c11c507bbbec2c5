"""A registry of images on a free port: the few calls that a pull makes, and what can go wrong."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

BUSYBOX = Path("/bin/busybox")
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def layer(files: Mapping[str, bytes | str | Path]) -> bytes:
    """A layer of some files (text: of a symbolic link's target), as an uncompressed archive."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
                continue
            data = content.read_bytes() if isinstance(content, Path) else content
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    return held.getvalue()


def busybox(*commands: str, **more: bytes) -> bytes:
    """A layer with a shell and some other commands, all of them the busybox of this machine."""
    names = ("sh", "cat", "cp", "echo", "ls", "env", "sleep", *commands)
    links = {f"bin/{name}": "/bin/busybox" for name in names}
    return layer({"bin/busybox": BUSYBOX, **links, **more})


@dataclass(slots=True)
class Registry:
    """Images that can be pulled as `place/name:tag`; no other registry ever had such names."""

    address: str
    login: tuple[str, str] | None = None  # user and password that it wants
    refuses: int = 0  # an HTTP status in place of every manifest
    slow: threading.Event | None = None  # layers come one half now, the other when it is set
    pulls: list[str] = field(default_factory=list)  # manifests that were asked for
    _scope: str = field(default_factory=lambda: uuid4().hex[:12])
    _blobs: dict[str, bytes] = field(default_factory=dict)
    _manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"{self.address}/{self._scope}"

    def put(
        self,
        name: str,
        content: bytes,
        *,
        tag: str = "latest",
        architecture: str = "",
        **config: object,
    ) -> str:
        """Have a tag name an image of one layer; the whole name. `config` as Docker writes it."""
        name = f"{self._scope}/{name}"
        document = {
            "architecture": "amd64",
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [_digest(content)]},
        }
        packed = gzip.compress(content, mtime=0)
        made = json.dumps(document).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._blob(made, _CONFIG),
            "layers": [self._blob(packed, _LAYER)],
        }
        self._manifest(name, tag, _MANIFEST, manifest)
        if architecture:
            platform = {"architecture": architecture, "os": "linux"}
            data = json.dumps(manifest).encode()
            one = {"mediaType": _MANIFEST, "size": len(data), "digest": _digest(data)}
            several = {"schemaVersion": 2, "mediaType": _LIST}
            self._manifest(
                name, tag, _LIST, {**several, "manifests": [{**one, "platform": platform}]}
            )
        return f"{self.address}/{name}:{tag}"

    def _blob(self, data: bytes, kind: str) -> dict[str, object]:
        self._blobs[_digest(data)] = data
        return {"mediaType": kind, "size": len(data), "digest": _digest(data)}

    def _manifest(self, name: str, tag: str, kind: str, document: object) -> None:
        data = json.dumps(document).encode()
        self._manifests[(name, tag)] = self._manifests[(name, _digest(data))] = (kind, data)

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, str], bytes]:
        if self.login is not None:
            wanted = base64.b64encode(":".join(self.login).encode()).decode()
            if authorization != f"Basic {wanted}":
                error = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
                headers = {"WWW-Authenticate": 'Basic realm="tests"'}
                return 401, headers, json.dumps(error).encode()
        parts = path.removeprefix("/v2/").split("/")
        if len(parts) < 3:
            return 200, {}, b"{}"
        name, kind, wanted = "/".join(parts[:-2]), parts[-2], parts[-1]
        if kind == "blobs" and wanted in self._blobs:
            return 200, {"Content-Type": "application/octet-stream"}, self._blobs[wanted]
        if kind == "manifests":
            self.pulls.append(f"{name}:{wanted}")
            if self.refuses:
                code = "TOOMANYREQUESTS" if self.refuses == 429 else "UNKNOWN"
                told = {"errors": [{"code": code, "message": "not now"}]}
                return self.refuses, {"Content-Type": "application/json"}, json.dumps(told).encode()
            if (name, wanted) in self._manifests:
                media, data = self._manifests[(name, wanted)]
                headers = {"Content-Type": media, "Docker-Content-Digest": _digest(data)}
                return 200, headers, data
        error = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
        return 404, {"Content-Type": "application/json"}, json.dumps(error).encode()


@contextmanager
def registry(login: tuple[str, str] | None = None) -> Iterator[Registry]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = served.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            half = len(body) // 2 if served.slow is not None and "/blobs/" in self.path else 0
            self.wfile.write(body[:half])
            if half and served.slow is not None:
                self.wfile.flush()
                served.slow.wait()
            self.wfile.write(body[half:])

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = Registry(f"127.0.0.1:{server.server_address[1]}", login)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
