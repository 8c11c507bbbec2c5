"""Python environments for commands: what uv resolves, and what it builds of a lock.

An environment is a directory below one that is given, named by its lock and by the Python that it
is for. It is built aside, made durable and renamed, under a lock file: whoever finds it by its name
finds all of it, whatever died meanwhile. Whoever uses one holds its lock file shared.

One for the Python of an image (`pythons`) is built by our own, and then made to look as if that one
had: it works in a place that has both, whatever the environment is called there.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import astuple
from pathlib import Path

from trunkline.errors import NotSupported, OperationFailed, plain
from trunkline.runtimes.pythons import Python

ENVIRONMENTS = "cache/environments"  # of a data directory
SEEN_AT = "/.trunkline-packages"  # where containers have a directory of environments
_SEEN_MODE = 0o755  # of that, as code of any user reads there
_POLL_S = 0.05
_REASON_LINES = 12  # of what uv says last
_REASON_CHARACTERS = 1500
_ASIDE = "{aside}"  # stands for where an environment is built

_NO_UV = (
    "transform.requirements needs the program uv, which is not there; "
    "`pip install trunkline[environments]` brings it, or put it on the PATH of the server"
)

_LINUX_ALONE = """\
[project]
name = "lock"
version = "0"
[tool.uv]
environments = ["sys_platform == 'linux'"]
"""


class Cancelled(Exception):
    """Whoever asked does not want the environment any more."""


def find_uv(path: str) -> str:
    """The program uv: the one installed beside Trunkline, else the first on the path.

    Raises NotSupported.
    """
    beside = os.path.join(sysconfig.get_path("scripts"), "uv")
    found = shutil.which(beside) or shutil.which("uv", path=path)
    if found is None:
        raise NotSupported(_NO_UV)
    return found


def python_name() -> str:
    """The Python of Trunkline itself, as locks name those that they are made for."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{sys.implementation.name} {version} on {sysconfig.get_platform()}"


def resolve(
    uv: str,
    directory: Path,
    file: str,
    *,
    before: str,
    oldest: str,
    cancelled: Callable[[], bool],
) -> str:
    """Exact versions with hashes for the requirements file in the directory.

    For our own Python, or for any on Linux from the version `oldest` on, such as 3.11. Those of
    `before`, an earlier answer, are kept where they still fit. Where packages come from is what
    uv's own settings and variables say. Raises OperationFailed with what uv says, Cancelled.
    """
    with tempfile.TemporaryDirectory(prefix="trunkline-lock-") as aside:
        answer = Path(aside, "lock.txt")
        if before:
            answer.write_text(before, "utf-8")
        words = [uv, "pip", "compile", "--quiet", "--color=never", "--no-progress", "--no-header"]
        words += ["--generate-hashes", "--python", sys.executable, "-o", str(answer), file]
        if oldest:
            Path(aside, "pyproject.toml").write_text(_LINUX_ALONE, "utf-8")
            words += ["--universal", "--python-version", oldest, "--project", aside]
        problem = _run(words, directory, cancelled=cancelled)
        if problem:
            raise OperationFailed(f"transform.requirements can't be resolved: {problem}")
        return answer.read_text("utf-8")


def environments_below(home: Path) -> Path:
    """Where a data directory has its environments."""
    return home / ENVIRONMENTS


def open_to_all(home: Path) -> Path:
    """That directory, made if need be, so that containers can have it."""
    place = environments_below(home)
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(_SEEN_MODE)
    return place


class Environments:
    """The environments below one directory; several processes may use it at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def ensure(
        self,
        name: str,
        lock: str,
        *,
        hashed: bool,
        python: Python | None = None,
        path: str,
        on_build: Callable[[], None],
        cancelled: Callable[[], bool],
    ) -> tuple[Path, int]:
        """The environment of a lock, built if it is not there; `name` is that of the lock.

        Also the descriptor that keeps it from being removed as long as it is open. It is for
        another Python than our own if one is given. `path` is where uv is looked for; `on_build` is
        called where it takes a while. Raises OperationFailed with what uv says, NotSupported,
        Cancelled.
        """
        place = self._directory / f"{name}-{_of_python(python)}"
        self._directory.mkdir(parents=True, exist_ok=True)
        held = os.open(self._lock_file(place), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                _wait_for(held, fcntl.LOCK_SH, cancelled)
                if _is_whole(place, python):
                    return place, held
                _wait_for(held, fcntl.LOCK_EX, cancelled)
                if not _is_whole(place, python):  # nor did somebody else build it meanwhile
                    on_build()
                    steps = _steps(find_uv(path), hashed, python)
                    self._build(steps, place, lock, python, cancelled)
        except BaseException:
            os.close(held)
            raise

    def remove_unused(self, needed: Collection[str]) -> int:
        """Remove those whose lock is not among the names and that nobody uses; how many."""
        removed = 0
        for place in sorted(self._directory.glob("[!.]*")):
            if place.name.partition("-")[0] in needed:
                continue
            held = os.open(self._lock_file(place), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                aside = place.with_name(f".{place.name}.old")
                place.rename(aside)  # at once, so that no half of it is ever found
                shutil.rmtree(aside, ignore_errors=True)
                removed += 1
            except OSError:  # in use; or not ours to remove
                continue
            finally:
                os.close(held)
        return removed

    def _build(
        self,
        steps: list[list[str]],
        place: Path,
        lock: str,
        python: Python | None,
        cancelled: Callable[[], bool],
    ) -> None:
        for leftover in [place, *self._directory.glob(f".{place.name}.*")]:
            if leftover != self._lock_file(place):
                shutil.rmtree(leftover, ignore_errors=True)
        aside = place.with_name(f".{place.name}.new")
        with tempfile.TemporaryDirectory(prefix="trunkline-lock-") as directory:
            Path(directory, "lock.txt").write_text(lock, "utf-8")
            for step in steps:
                words = [word.replace(_ASIDE, str(aside)) for word in step]
                problem = _run(words, Path(directory), cancelled=cancelled)
                if problem:
                    shutil.rmtree(aside, ignore_errors=True)
                    raise OperationFailed(f"its Python environment can't be built: {problem}")
        if python is not None:
            _hand_over(aside, python)
        os.sync()  # thousands of files, which a power cut must not leave torn behind a whole name
        aside.rename(place)

    def _lock_file(self, place: Path) -> Path:
        return place.with_name(f".{place.name}.lock")


def variables(environment: Path, path: str) -> dict[str, str]:
    """What a command needs in its environment to be run in that Python."""
    return {"VIRTUAL_ENV": str(environment), "PATH": f"{environment / 'bin'}:{path}"}


def _steps(uv: str, hashed: bool, python: Python | None) -> list[list[str]]:
    """The commands that build an environment in `_ASIDE` of lock.txt. Raises NotSupported."""
    quiet = ["--quiet", "--color=never", "--no-progress"]
    # Relocatable, as it gets its name only when it is whole.
    made = [uv, "venv", *quiet, "--relocatable", "--python", sys.executable, _ASIDE]
    filled = [uv, "pip", "sync", *quiet, "--python", f"{_ASIDE}/bin/python"]
    if python is not None:
        filled += python.words_for_uv()
        if python.reads_our_bytecode:  # its commands can't write any
            # Not where that of the server is, in its image.
            filled = ["env", "-u", "PYTHONPYCACHEPREFIX", *filled, "--compile-bytecode"]
    if hashed:
        filled.append("--require-hashes")
    return [made, [*filled, "--allow-empty-requirements", "lock.txt"]]


def _hand_over(aside: Path, python: Python) -> None:
    """Make an environment of our own Python one of another, which is not here."""
    [packages] = (aside / "lib").glob("python*")
    packages.rename(packages.with_name(f"python{python.minor}"))
    programs = aside / "bin"
    for link in programs.glob("python*"):
        if link.is_symlink():
            link.unlink()
    (programs / "python").symlink_to(python.executable)
    for name in ("python3", f"python{python.minor}"):
        (programs / name).symlink_to("python")
    (aside / "pyvenv.cfg").write_text(
        f"home = {os.path.dirname(python.executable)}\nversion_info = {python.version}\n"
        "include-system-site-packages = false\n",
        "utf-8",
    )


def _of_python(python: Python | None) -> str:
    """Short for the Python that an environment is for and the place where it is."""
    if python is None:
        words = f"{python_name()}\0{os.path.realpath(sys.executable)}"
    else:
        words = "\0".join(astuple(python))
    return hashlib.blake2b(words.encode(), digest_size=6).hexdigest()


def _is_whole(place: Path, python: Python | None) -> bool:
    """Whether it was built, and its Python is still there, if that is ours."""
    program = place / "bin" / "python"
    return program.exists() if python is None else program.is_symlink()


def _wait_for(held: int, kind: int, cancelled: Callable[[], bool]) -> None:
    while True:
        try:
            fcntl.flock(held, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if cancelled():
                raise Cancelled from None
            time.sleep(_POLL_S)


def _run(words: list[str], directory: Path, *, cancelled: Callable[[], bool]) -> str:
    """Run uv; what it said last where it failed. Raises Cancelled, after ending it."""
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                words,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        except OSError as error:
            return f"{words[0]}: {error.strerror}"
        try:
            while process.poll() is None:
                if cancelled():
                    raise Cancelled
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_S)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if process.returncode == 0:
            return ""
        said.seek(0)
        lines = [line.strip() for line in said.read().decode("utf-8", "replace").splitlines()]
        last = " | ".join(plain(line) for line in lines[-_REASON_LINES:] if line)
        return last[-_REASON_CHARACTERS:] or f"uv ended with status {process.returncode}"
