"""Git remotes: what a branch is at, and its tree, through the program `git`.

A remote is anybody's, and so is its URL. Nothing but the settings of the server says where `git`
connects to (the host is looked up here, its addresses are checked, and `git` is given those), and
nothing else than what is written here says what it does: no configuration file of the machine or
the user, no hooks, helpers, prompts, redirects or other protocols
(docs/decisions/0044-git-inputs.md).
"""

import base64
import contextlib
import ipaddress
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from trunkline.errors import NotAllowed, NotFound, NotSupported, OperationFailed, plain, shown
from trunkline.fetch.addresses import Address, kind_of
from trunkline.fetch.policy import AllowList
from trunkline.fetch.urls import GitUrl, bracketed
from trunkline.fetch.web import Internet, Limits, Net
from trunkline.values import dataclass, field

_LOOK_S = 60.0  # for the question what a branch is at
_LOCAL_S = 3600.0  # for what needs no network
_SILENCE_S = 300.0  # without a byte of what is fetched
_POLL_S = 0.05
_MEASURE_S = 0.5  # between two looks at how much has come
_ANSWER_BYTES_MAX = 1024 * 1024
_SAID_BYTES_MAX = 4 * 1024 * 1024  # of error messages, which the remote may add to
_PIECE_BYTES = 256 * 1024
_ADDRESSES_MAX = 4
_PACKS_MAX = 20  # of a mirror before they are made one
_SUBJECT_LETTERS_MAX = 200
_REASON_LETTERS_MAX = 300
_VERSION_MIN = (2, 37)  # the first that can be told the addresses of a host
_HEAD = "refs/trunkline/head"
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_USER = "x-access-token"  # whose password a token is; most services take any name

# What a tree has is taken as it is tracked: no attribute of it leaves files out, fills in texts,
# or changes the ends of lines.
_ATTRIBUTES = (
    "* -export-ignore -export-subst -filter -ident -text -eol !working-tree-encoding -diff\n"
)
_SETTINGS = {
    "core.askPass": "",
    "core.attributesFile": os.devnull,
    "core.bigFileThreshold": "16m",  # larger files are streamed
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",  # a pack for each fetch, never thousands of files
    "gc.auto": "0",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "transfer.bundleURI": "false",
}


class Interrupted(Exception):
    """Whoever asked does not want it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A branch of a repository elsewhere, and who asks for it."""

    url: GitUrl
    branch: str
    credentials: str = field(default="", repr=False)  # a token, or user:password


@dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """The program, and all that it is bound by."""

    path: str  # where it is looked for (PATH)
    directory: Path  # of mirrors; also its home, where it finds nothing
    policy: AllowList
    limits: Limits
    marker: tuple[str, str]  # a variable by which processes that a crash left are found
    cancelled: Callable[[], bool]
    net: Net = field(default_factory=Internet)

    def head(self, remote: Remote) -> str:
        """The id of the commit that the branch is at.

        Raises NotAllowed, NotFound (no such repository or branch), NotSupported, OperationFailed,
        Interrupted.
        """
        url, settings, variables = self.reached(remote)
        words = ["ls-remote", "--symref", "--", url, "HEAD", f"refs/heads/{remote.branch}"]
        said = self.answer(
            words, _LOOK_S, remote, settings=settings, variables=variables, directory=None
        )
        found: dict[str, str] = {}
        for line in said.splitlines():
            left, _, name = line.partition("\t")
            if left.startswith("ref: ") and name == "HEAD":
                found["default"] = left.removeprefix("ref: ").removeprefix("refs/heads/")
            else:
                found[name] = left
        commit = found.get(f"refs/heads/{remote.branch}", "")
        if _ID.fullmatch(commit):
            return commit
        default = found.get("default", "")
        hint = f"; its own is {shown(default)}" if default else ""
        raise NotFound(f"{remote.url} has no branch {shown(remote.branch)}{hint}")

    def mirror(self, name: str) -> "Mirror":
        """The copy of a branch that has this name."""
        return Mirror(git=self, directory=self.directory / name)

    def reached(self, remote: Remote) -> tuple[str, dict[str, str], dict[str, str]]:
        """The URL for `git`, with settings and variables that let it connect there alone."""
        web, scheme = remote.url.web, remote.url.scheme
        self._check_version()
        self.policy.check_name(web)
        try:
            addresses = self.net.resolve(web.host, web.port)
        except OSError:
            addresses = []
        if self.cancelled():
            raise Interrupted
        if not addresses:
            raise OperationFailed(f"{remote.url} can't be reached: its host has no address")
        self.policy.check(web, addresses, came_from=None, public_before=False)
        settings = {f"protocol.{scheme}.allow": "always"}
        if remote.credentials:
            settings["http.extraHeader"] = _header(remote, addresses)
        if scheme == "git":
            port = f":{web.port}"
            there = f"git://{bracketed(str(addresses[0]))}{port}{web.target}"
            return there, settings, {"GIT_OVERRIDE_VIRTUAL_HOST": remote.url.authority}
        if not _is_address(web.host):
            known = ",".join(bracketed(str(address)) for address in addresses[:_ADDRESSES_MAX])
            settings["http.curloptResolve"] = f"{web.host}:{web.port}:{known}"
        return str(remote.url), settings, {}

    def _check_version(self) -> None:
        """Raise NotSupported where there is no `git`, or one that connects to where it likes."""
        said = self.answer(["version"], _LOOK_S, None)
        found = re.search(r"(\d+)\.(\d+)", said)
        if found is None or (int(found[1]), int(found[2])) < _VERSION_MIN:
            least = ".".join(map(str, _VERSION_MIN))
            raise NotSupported(f"git inputs need git {least} or newer, and this is {shown(said)}")

    # --- running it -------------------------------------------------------------------------------

    def answer(
        self,
        words: Sequence[str],
        most_s: float,
        remote: Remote | None,
        *,
        settings: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> str:
        """What it prints, which is short. Raises as `head` does."""
        with tempfile.TemporaryFile() as answer:
            with self.started(words, answer, settings, variables, directory) as (process, said):
                self.wait(process, said, most_s, remote, growing=None)
            if os.fstat(answer.fileno()).st_size > _ANSWER_BYTES_MAX:
                raise OperationFailed(f"{_place(remote)} answers more than can be read")
            answer.seek(0)
            return answer.read().decode("utf-8", "backslashreplace")

    @contextmanager
    def started(
        self,
        words: Sequence[str],
        output: IO[bytes] | int,
        settings: Mapping[str, str] | None,
        variables: Mapping[str, str] | None,
        directory: Path | None,
    ) -> Iterator[tuple["subprocess.Popen[bytes]", IO[bytes]]]:
        """The running program, and what it complains of; it is gone afterwards, whatever happens.

        It is the leader of a group of its own, as it starts others that do the work.
        """
        program = shutil.which("git", path=self.path)
        if program is None:
            raise NotSupported("git inputs need the program `git` on the server, which has none")
        self.directory.mkdir(parents=True, exist_ok=True)
        environment = self._environment(settings or {})
        environment |= variables or {}
        # Never that of a checkout which the data directory may be in.
        environment["GIT_DIR"] = str(directory or self.directory / "none")
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                [program, *words],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=said,
                start_new_session=True,
            )
            try:
                yield process, said
            finally:
                if process.returncode is None:  # else the number may be that of another one
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(process.pid, signal.SIGKILL)
                if process.stdout is not None:
                    process.stdout.close()
                process.wait()

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """All of it: nothing of the server's own environment is passed on, nor written in words
        that a list of processes shows.
        """
        every = {**_SETTINGS, **settings}
        environment = {
            "PATH": self.path,
            "HOME": str(self.directory),
            "XDG_CONFIG_HOME": str(self.directory),
            "LC_ALL": "C",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": str(len(every)),
            "GIT_TERMINAL_PROMPT": "0",
            self.marker[0]: self.marker[1],
        }
        for number, (key, value) in enumerate(every.items()):
            environment[f"GIT_CONFIG_KEY_{number}"] = key
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        return environment

    def wait(
        self,
        process: "subprocess.Popen[bytes]",
        said: IO[bytes],
        most_s: float,
        remote: Remote | None,
        *,
        growing: Path | None,
    ) -> None:
        """Wait until it has ended well; `growing` is the directory that it fetches into."""
        began = grew = measured = time.monotonic()
        size = 0
        while process.poll() is None:
            self.heed(said, began, most_s, remote)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
            now = time.monotonic()
            if growing is None or now - measured < _MEASURE_S:
                continue
            before, size, measured = size, _size_of(growing), now
            grew = now if size != before else grew
            self._check_size(size, remote)
            if now - grew > _SILENCE_S:
                raise OperationFailed(f"{_place(remote)} sent nothing for {_SILENCE_S:g} s")
        if growing is not None:
            self._check_size(_size_of(growing), remote)
        if process.returncode:
            raise _problem(said, remote, process.returncode)

    def _check_size(self, size_bytes: int, remote: Remote | None) -> None:
        if size_bytes > self.limits.bytes_max:
            raise OperationFailed(
                f"{_place(remote)} has more than {self.limits.bytes_max:,} bytes; "
                "TRUNKLINE_FETCH_BYTES_MAX of the server allows more"
            )

    def heed(self, said: IO[bytes], began: float, most_s: float, remote: Remote | None) -> None:
        """Raise Interrupted, or OperationFailed for what takes too long or complains too much."""
        if self.cancelled():
            raise Interrupted
        if time.monotonic() - began > most_s:
            raise OperationFailed(f"{_place(remote)} took more than {most_s:,.0f} s")
        if os.fstat(said.fileno()).st_size > _SAID_BYTES_MAX:
            raise OperationFailed(f"{_place(remote)} sends messages without end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A bare copy of the newest commit of a branch, and of what it was before.

    It is derived: what is torn or in the way is removed, and fetched anew. For one at a time.
    """

    git: Git
    directory: Path

    def fetch(self, remote: Remote, commit: str) -> str:
        """Get the branch, which was at a commit just now; what it is at. Raises as `Git.head`."""
        fresh = not (self.directory / "HEAD").exists()
        try:
            if not fresh and len(list(self.directory.glob("objects/pack/*.pack"))) > _PACKS_MAX:
                self._run(["repack", "-a", "-d", "-q"])
            return self._fetch(remote, commit)
        except OperationFailed:
            self.remove()
            if fresh:
                raise
        except Interrupted:  # what had come is of no use, and nobody would clear it away
            self.remove()
            raise
        return self._fetch(remote, commit)

    def subject(self, commit: str) -> str:
        """The first line of a commit's message, cut to a readable length."""
        said = self._run(["log", "-1", "--no-show-signature", "--format=%s", commit])
        return plain(said.strip())[:_SUBJECT_LETTERS_MAX]

    def tree(self, commit: str) -> Generator[bytes, None, None]:
        """The tracked files of a commit as a tar archive. Raises OperationFailed, Interrupted.

        To be read to its end: only then is it known to be whole.
        """
        git = self.git
        words = ["archive", "--format=tar", commit]
        began = time.monotonic()
        with git.started(words, subprocess.PIPE, None, None, self.directory) as (process, said):
            assert process.stdout is not None
            pipe = process.stdout.fileno()
            ready = select.poll()  # `select` takes no descriptor above 1023
            ready.register(pipe, select.POLLIN)
            while True:
                git.heed(said, began, git.limits.seconds_max, None)
                if not ready.poll(_MEASURE_S * 1000):
                    continue
                piece = os.read(pipe, _PIECE_BYTES)
                if not piece:
                    break
                yield piece
            git.wait(process, said, _LOCAL_S, None, growing=None)

    def remove(self) -> None:
        """Forget all of it."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _fetch(self, remote: Remote, commit: str) -> str:
        git = self.git
        if not (self.directory / "HEAD").exists():
            form = "sha256" if len(commit) == 64 else "sha1"
            self._run(["init", "--quiet", "--bare", "--template=", f"--object-format={form}"])
            info = self.directory / "info"
            info.mkdir(exist_ok=True)
            (info / "attributes").write_text(_ATTRIBUTES, "utf-8")
        url, settings, variables = git.reached(remote)
        words = ["fetch", "--quiet", "--no-tags", "--depth=1", "--no-write-fetch-head"]
        words += ["--no-recurse-submodules", "--no-auto-maintenance", "--", url]
        words += [f"+refs/heads/{remote.branch}:{_HEAD}"]
        with git.started(words, subprocess.DEVNULL, settings, variables, self.directory) as (
            process,
            said,
        ):
            git.wait(process, said, git.limits.seconds_max, remote, growing=self.directory)
        found = self._run(["rev-parse", "--verify", f"{_HEAD}^{{commit}}"]).strip()
        if not _ID.fullmatch(found):
            raise OperationFailed(f"{remote.url} has something at its branch that is no commit")
        return found

    def _run(self, words: Sequence[str]) -> str:
        return self.git.answer(words, _LOCAL_S, None, directory=self.directory)


def _size_of(directory: Path) -> int:
    """The bytes of a mirror, which has few files; those that go meanwhile do not count."""
    size = 0
    for place, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(place, name)).st_size
    return size


def _header(remote: Remote, addresses: Sequence[Address]) -> str:
    """The header with which a server lets somebody in; raises NotAllowed where others read it."""
    here = all(kind_of(address) == "loopback" for address in addresses)
    if remote.url.scheme != "https" and not (remote.url.scheme == "http" and here):
        raise NotAllowed(
            f"the secret for {remote.url} is not sent: only https keeps it from being read on the "
            "way; write an https URL"
        )
    user, colon, password = remote.credentials.partition(":")
    pair = f"{user}:{password}" if colon else f"{_USER}:{user}"
    return f"Authorization: Basic {base64.b64encode(pair.encode('utf-8')).decode('ascii')}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _place(remote: Remote | None) -> str:
    return "git" if remote is None else str(remote.url)


_NOT_LET_IN = ("could not read Username", "Authentication failed", "returned error: 401")
_FORBIDDEN = ("returned error: 403", "access denied")
_NOTHING_THERE = (
    *("returned error: 404", "not found", "does not appear to be a git repository"),
    *("not valid: is this a git repository", "repository not exported", "no such repository"),
)
_REDIRECTED = re.compile(r"returned error: 30\d|unable to update url base from redirection")


def _problem(
    said: IO[bytes], remote: Remote | None, status: int
) -> NotAllowed | NotFound | OperationFailed:
    """One sentence for what it complained of last."""
    said.seek(max(os.fstat(said.fileno()).st_size - 64 * 1024, 0))
    text = said.read().decode("utf-8", "backslashreplace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    last = (fatal or lines or [f"it ended with status {status}"])[-1]
    reason = plain(last.removeprefix("fatal:").removeprefix("error:").strip())
    if remote is None:
        return OperationFailed(f"git failed: {reason[:_REASON_LETTERS_MAX]}")
    if any(word in text for word in (*_NOT_LET_IN, *_FORBIDDEN)):
        have = (
            "does not let in who has the token of its secret"
            if remote.credentials
            else ("asks who it is; give the input a `secret` with a token")
        )
        return NotAllowed(f"{remote.url} {have}")
    if _REDIRECTED.search(text):
        return OperationFailed(
            f"{remote.url} redirects elsewhere, which is not followed; write the URL that it leads "
            "to, often the same one with .git at its end"
        )
    if any(word in text for word in _NOTHING_THERE):
        return NotFound(f"there is no git repository at {remote.url}, or it is a private one")
    return OperationFailed(f"{remote.url} can't be fetched: {reason[:_REASON_LETTERS_MAX]}")
