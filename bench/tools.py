"""The tools that are compared: how each is installed, gets a new store, and takes a tree into it.

A tool works on a *source* (a directory or a file) that stays where it is, and on a store of its own
below the directory it is given. `fresh` begins anew, and is never timed; old stores stay on the
disk until the end of the run, because on ext4 a creation right after a deletion is many times
slower. A tool that can't do a step has no method for it.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from data import tree_bytes
from measure import run


class Trunkline:
    """Ours: a server that is running, as it is from the first command on."""

    name = "trunkline"

    def __init__(self) -> None:
        self._home = Path()

    @staticmethod
    def install(_: Path) -> bool:
        return True

    def fresh(self, place: Path) -> None:
        self.stop()
        self._home = place / "home"
        os.environ["TRUNKLINE_HOME"] = str(self._home)
        run("trunkline", "create", "repo", "bench")

    def store(self, source: Path) -> None:
        """Take in all that is there now; what has not changed since the last time is not read."""
        if source.is_dir():
            run(*["trunkline", "put", "file", "-r", "bench@master:/", "-f"], str(source))
        else:
            run(*["trunkline", "put", "file", "bench@master:/large.bin", "-f"], str(source))

    def sync(self, source: Path) -> None:
        """As `store`; what is gone from the source goes."""
        run(*["trunkline", "put", "file", "-r", "--delete", "bench@master:/", "-f"], str(source))

    def restore(self, place: Path) -> None:
        """Write the newest state out."""
        run("trunkline", "get", "file", "-r", "bench@master:/", "-o", str(place / "out"))

    def differences(self) -> None:
        """Name the files that differ between the last two states."""
        run("trunkline", "diff", "file", "bench@master", "--name-only")

    def names(self) -> None:
        """Name all files."""
        run("trunkline", "list", "file", "-r", "--name-only", "bench@master")

    def stored_bytes(self) -> int:
        return tree_bytes(self._home / "store" / "packs")

    def stop(self) -> None:
        if self._home.name:
            os.environ["TRUNKLINE_HOME"] = str(self._home)
            subprocess.run(["trunkline", "down"], capture_output=True)
            self._home = Path()


class Restic:
    name = "restic"

    def __init__(self) -> None:
        self._repository = Path()

    @staticmethod
    def install(_: Path) -> bool:
        return _by_apt("restic", "restic")

    def fresh(self, place: Path) -> None:
        self._repository = place / "repository"
        os.environ["RESTIC_PASSWORD"] = "bench"
        os.environ["RESTIC_CACHE_DIR"] = str(place / "cache")
        self._run("init")

    def store(self, source: Path) -> None:
        self._run("backup", str(source))

    sync = store

    def restore(self, place: Path) -> None:
        self._run("restore", "latest", "--target", str(place))

    def differences(self) -> None:
        found = run("restic", "-q", "-r", str(self._repository), "snapshots", "--json")
        ids = [snapshot["short_id"] for snapshot in json.loads(found)]
        self._run("diff", *ids[-2:])

    def names(self) -> None:
        self._run("ls", "latest")

    def stored_bytes(self) -> int:
        return tree_bytes(self._repository)

    def stop(self) -> None:
        pass

    def _run(self, *words: str) -> None:
        run("restic", "-q", "-r", str(self._repository), *words)


class Git:
    name = "git"

    def __init__(self) -> None:
        self._repository = Path()

    @staticmethod
    def install(_: Path) -> bool:
        return _by_apt("git", "git")

    def fresh(self, place: Path) -> None:
        self._repository = place / "repository"
        run("git", "init", "-q", "--bare", str(self._repository))

    def store(self, source: Path) -> None:
        tree = source if source.is_dir() else source.parent
        git = ["git", f"--git-dir={self._repository}", f"--work-tree={tree}"]
        run(*git, "-c", "core.bare=false", "add", "-A", cwd=tree)
        who = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
        run(
            *git,
            "-c",
            "core.bare=false",
            *who,
            *["commit", "-q", "--allow-empty", "-m", "x"],
            cwd=tree,
        )

    sync = store

    def restore(self, place: Path) -> None:
        git = ["git", f"--git-dir={self._repository}", "-c", "core.bare=false"]
        run(*git, f"--work-tree={place}", "checkout", "-f", "HEAD", "--", ".", cwd=place)

    def differences(self) -> None:
        run("git", f"--git-dir={self._repository}", "diff", "--name-status", "HEAD~", "HEAD")

    def names(self) -> None:
        run("git", f"--git-dir={self._repository}", "ls-tree", "-r", "HEAD")

    def stored_bytes(self) -> int:
        return tree_bytes(self._repository)

    def stop(self) -> None:
        pass


class Borg:
    name = "borg"

    def __init__(self) -> None:
        self._repository = Path()
        self._count = 0

    @staticmethod
    def install(_: Path) -> bool:
        return _by_apt("borg", "borgbackup")

    def fresh(self, place: Path) -> None:
        self._repository = place / "repository"
        os.environ["BORG_BASE_DIR"] = str(place)
        os.environ["BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK"] = "yes"
        run("borg", "init", "-e", "none", str(self._repository))

    def store(self, source: Path) -> None:
        self._count += 1
        run("borg", "create", f"{self._repository}::{self._count}", str(source))

    sync = store

    def stored_bytes(self) -> int:
        return tree_bytes(self._repository)

    def stop(self) -> None:
        pass


class Dvc:
    """Needs its workspace around the data; its cache and its files are moved aside by `fresh`."""

    name = "dvc"

    def __init__(self) -> None:
        self._cache = Path()
        self._place = Path()
        self._program = "dvc"

    @staticmethod
    def install(place: Path) -> bool:
        if not Path(sys.executable).with_name("dvc").exists() and shutil.which("dvc") is None:
            try:
                venv.create(place / "dvc", with_pip=True)
                pip = [str(place / "dvc/bin/pip"), "install", "-q", "dvc"]
                subprocess.run(pip, check=True, capture_output=True, timeout=600)
            except (OSError, subprocess.SubprocessError):
                return False
            os.environ["PATH"] += f"{os.pathsep}{place / 'dvc/bin'}"
        return shutil.which("dvc") is not None

    def fresh(self, place: Path) -> None:
        self._place, self._cache = place, place / "cache"

    def store(self, source: Path) -> None:
        workspace = source.parent
        if not (self._place / "begun").exists():
            for left in (workspace / ".dvc", workspace / f"{source.name}.dvc"):
                if left.exists():
                    left.rename(self._place / f"old-{left.name.lstrip('.')}")
            run("dvc", "init", "-q", "--no-scm", cwd=workspace)
            run("dvc", "cache", "dir", "-q", str(self._cache), cwd=workspace)
            (self._place / "begun").touch()
        run("dvc", "add", "-q", source.name, cwd=workspace)

    sync = store

    def stored_bytes(self) -> int:
        return tree_bytes(self._cache)

    def stop(self) -> None:
        pass


PEERS = {tool.name: tool for tool in (Restic, Git, Borg, Dvc)}


def installed(names: Sequence[str], place: Path) -> tuple[list[object], list[str]]:
    """Ours and the named tools, as far as they can be had; and a line for each that can't."""
    tools: list[object] = [Trunkline()]
    missing: list[str] = []
    for name in names:
        if PEERS[name].install(place):
            tools.append(PEERS[name]())
        else:
            missing.append(f"{name}: it could not be installed")
    return tools, missing


def _by_apt(program: str, package: str) -> bool:
    if shutil.which(program) is None:
        subprocess.run(["apt-get", "install", "-y", "-qq", package], capture_output=True)
    return shutil.which(program) is not None
