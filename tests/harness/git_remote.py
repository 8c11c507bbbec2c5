"""Git repositories that are served on this machine, over http by git's own backend or by its
daemon.
"""

import base64
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_WHO = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "A U Thor"), ("EMAIL", "author@example.com"))
}


class Repository:
    """A bare repository below a directory, and the checkout that pushes to it."""

    def __init__(self, base: Path, name: str = "models", branch: str = "master") -> None:
        self.base = base
        self.branch = branch
        self.bare = base / f"{name}.git"
        self.work = base / f"{name}-work"
        for directory, bare in ((self.bare, ["--bare"]), (self.work, [])):
            directory.mkdir(parents=True)
            self.git("init", "-q", *bare, "-b", branch, ".", cwd=directory)
        (self.bare / "git-daemon-export-ok").touch()
        self.git("remote", "add", "there", str(self.bare))

    def git(self, *words: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=cwd or self.work,
            env={
                "PATH": os.environ["PATH"],
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_CONFIG_NOSYSTEM": "1",
                **_WHO,
            },
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def push(self, files: dict[str, str | bytes], message: str = "Change", branch: str = "") -> str:
        """Commit these files beside those that there are and push that; the id of the commit."""
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        self.git("push", "-q", "--force", "there", f"HEAD:refs/heads/{branch or self.branch}")
        return self.head()

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def delete(self, branch: str) -> None:
        self.git("update-ref", "-d", f"refs/heads/{branch}", cwd=self.bare)


class GitServer(ThreadingHTTPServer):
    """Serves the repositories below a directory over http; counts what it is asked."""

    daemon_threads = True

    def __init__(self, base: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.base = base
        self.asked: list[str] = []  # targets
        self.hosts: list[str] = []
        self.password = ""  # that callers need, as user:password
        self.redirect = ""  # where all is sent to
        self.held = threading.Event()  # no pack is sent before it is set
        self.held.set()

    def handle_error(self, *_: object) -> None:
        """Nothing: who asked has hung up."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def looks(self) -> int:
        return sum(1 for target in self.asked if "info/refs" in target)

    def fetches(self) -> int:
        return sum(1 for target in self.asked if target.startswith("POST fetch"))


class _Handler(BaseHTTPRequestHandler):
    server: GitServer

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def _serve(self, body: bytes) -> None:
        server = self.server
        # The second protocol asks what is there by POST too.
        kind = "fetch" if b"command=fetch" in body or b"want " in body else "ask"
        server.asked.append(f"{self.command} {kind} {self.path}")
        server.hosts.append(self.headers["Host"])
        if server.redirect:
            self.send_response(301)
            self.send_header("Location", server.redirect + self.path)
            self.end_headers()
            return
        given = self.headers.get("Authorization", "")
        if server.password and given != f"Basic {_encoded(server.password)}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if kind == "fetch":
            server.held.wait()
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_PROJECT_ROOT": str(self.server.base),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "REMOTE_ADDR": "127.0.0.1",
            },
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if line)
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: what is asked is counted."""


def _encoded(password: str) -> str:
    return base64.b64encode(password.encode()).decode()


@contextmanager
def served(base: Path) -> Iterator[GitServer]:
    """A server over http, in threads of this process."""
    server = GitServer(base)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.held.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def daemon(base: Path) -> Iterator[str]:
    """`git daemon` over the repositories below a directory; gives its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *("git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}"),
            *(f"--base-path={base}", str(base)),
        ],
        stderr=sys.stderr,
    )
    try:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.01)
        yield f"git://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
