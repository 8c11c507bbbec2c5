"""An embedded engine in a directory of its own, and short words to drive it."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from checkout_world import World
from engine_places import BOTH_CATALOGS, EVERYWHERE, FILES, settings_at
from ready_hosts import ready_server

from trunkline.api.changes import DeleteFile, FileChange, PutFile
from trunkline.api.connection import Operations
from trunkline.config import load
from trunkline.connect.checkout import CheckedOut
from trunkline.connect.local import ensure_server, stop_server
from trunkline.connect.opening import local_client
from trunkline.engine.engine import Engine
from trunkline.model.jobs import JobInfo
from trunkline.model.versions import CommitInfo


class Driver:
    """Operations with the arguments that tests leave out filled in."""

    def __init__(self, engine: Operations, home: Path) -> None:
        self.engine = engine
        self.home = home

    def put(self, repo: str, files: dict[str, bytes | str], branch: str = "master") -> CommitInfo:
        changes: list[FileChange] = [
            PutFile(path=path, content=[text.encode() if isinstance(text, str) else text])
            for path, text in files.items()
        ]
        return self.engine.files.modify_files(repo, branch, changes)

    def delete(self, repo: str, *paths: str, branch: str = "master") -> CommitInfo:
        return self.engine.files.modify_files(repo, branch, [DeleteFile(path=p) for p in paths])

    def read(self, repo: str, path: str, commit: str = "master") -> str:
        return b"".join(self.engine.files.read_file(repo, commit, path)).decode()

    def tree(self, repo: str, commit: str = "master") -> dict[str, str]:
        found = self.engine.files.list_files(repo, commit, "/", recursive=True)
        return {info.path: self.read(repo, info.path, commit) for info in found}

    def head(self, repo: str, branch: str = "master") -> str | None:
        return self.engine.branches.inspect_branch(repo, branch).head

    def pipeline(
        self, name: str, script: str, source: str = "data", glob: str = "/*", **more: Any
    ) -> str:
        """Create (or with update=True update) a pipeline that runs a shell script per datum."""
        options = {key: more.pop(key) for key in ("update", "reprocess") if key in more}
        transform = {"cmd": ["/bin/sh"], "stdin": [script], **more.pop("transform", {})}
        spec = {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": source, "glob": glob}},
            "transform": transform,
            **more,
        }
        self.engine.pipelines.create_pipeline(spec, **options)
        return name

    def job(self, pipeline: str, *, timeout_s: float = 60) -> JobInfo:
        """The newest job of a pipeline, once it has ended."""
        [newest] = self.engine.jobs.list_jobs(pipeline=pipeline, number=1)
        name = f"{newest.pipeline}@{newest.id}"
        return self.engine.jobs.inspect_job(name, wait=True, timeout_s=timeout_s)

    def logs(self, pipeline: str) -> list[str]:
        return [line.message for line in self.engine.datums.get_logs(pipeline=pipeline)]


# Modules whose tests also run with the catalog in PostgreSQL, and those with contents in S3 too.
# `make conformance` runs all of this directory everywhere.
ON_BOTH = {"test_crons", "test_plans", "test_retention", "test_transactions", "test_trash"}
ON_ALL = {"test_versions_and_jobs"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine_place" not in metafunc.fixturenames:
        return
    module = metafunc.module.__name__.rpartition(".")[2]
    if module in ON_ALL or "TRUNKLINE_TEST_EVERYWHERE" in os.environ:
        metafunc.parametrize("engine_place", EVERYWHERE)
    elif module in ON_BOTH:
        metafunc.parametrize("engine_place", BOTH_CATALOGS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Over HTTP the same place is behind all of them: once is enough."""
    items[:] = [item for item in items if not _is_twice(item)]


def _is_twice(item: pytest.Item) -> bool:
    chosen = item.callspec.params if hasattr(item, "callspec") else {}
    return chosen.get("engine") == "remote" and chosen.get("engine_place", FILES) != FILES


@pytest.fixture
def engine_place() -> str:
    """Where engines of the test have their catalogs and contents."""
    return FILES


@pytest.fixture
def open_engine(tmp_path: Path, engine_place: str) -> Iterator[Callable[..., Driver]]:
    """Opens engines that are closed at the end of the test."""
    opened: list[Engine] = []
    with settings_at(engine_place) as settings:

        def open_it(home: Path | None = None, **environment: str) -> Driver:
            place = home or tmp_path / "home"
            settled = {**settings(place), **environment}
            engine = Engine(load(_environment(tmp_path, settled), home=place))
            opened.append(engine)
            return Driver(engine, place)

        yield open_it
        for engine in opened:
            engine.close()


@pytest.fixture
def engine(open_engine: Callable[..., Driver]) -> Driver:
    return open_engine()


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Driver]:
    """The same operations over HTTP, from a server process of its own."""
    config = load(_environment(tmp_path, {}), home=tmp_path / "served")
    with ready_server():
        ensure_server(config)
    client = local_client(config)
    yield Driver(client, config.home)
    client.close()
    stop_server(config)


def _environment(home: Path, more: dict[str, str]) -> dict[str, str]:
    plain = {"HOME": str(home), "PATH": os.environ["PATH"], "TRUNKLINE_RUNTIME": "process"}
    return {**plain, **more}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.engine.close()


@pytest.fixture(params=["direct", "streamed"])
def out(request: pytest.FixtureRequest, world: World) -> Callable[..., CheckedOut]:
    def run(*words: Any, **options: Any) -> CheckedOut:
        return world.out(*words, direct=request.param == "direct", **options)

    return run


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Where a backup is to be."""
    return tmp_path / "backup"


@pytest.fixture
def made(engine: Driver, backup: Path) -> Path:
    """The backup of an engine that has two files."""
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "1", "b": os.urandom(100_000)})
    engine.engine.admin.backup(str(backup))
    return backup


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives ports of this machine that nobody listens on."""

    def find() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as found:
            found.bind(("127.0.0.1", 0))
            return int(found.getsockname()[1])

    return find
