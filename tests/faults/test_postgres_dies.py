"""PostgreSQL dies under puts and jobs, and all that was acknowledged is there."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from postgres_schemas import needs_postgres

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import TrunklineError

DEATHS = 2
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
pytestmark = [
    needs_postgres,
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAMS, reason="no PostgreSQL is installed here"),
]


class Server:
    """A PostgreSQL of this test alone, which syncs what it writes."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._as = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self._as:  # it refuses to run as root
            os.chown(place, pwd.getpwnam("postgres").pw_uid, -1)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"postgresql://tests@127.0.0.1:{self.port}/postgres"
        self._run(
            "initdb", "-D", str(place / "data"), "-U", "tests", "-A", "trust", "-N", "-E", "UTF8"
        )
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -k {self.place} -c listen_addresses=127.0.0.1"
        options += " -c dynamic_shared_memory_type=mmap"
        log = str(self.place / "server.log")
        self._run("pg_ctl", "-D", str(self.place / "data"), "-w", "-l", log, "-o", options, "start")

    def die(self) -> None:
        """At once, as by a loss of power but for what the system still writes."""
        self._run("pg_ctl", "-D", str(self.place / "data"), "-m", "immediate", "stop")

    def _run(self, program: str, *words: str) -> None:
        subprocess.run(
            [*self._as, str(PROGRAMS[-1] / program), *words],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )


@pytest.fixture
def server() -> Iterator[Server]:
    place = Path(tempfile.mkdtemp(prefix="trunkline-pg-", dir="/tmp"))  # it has to get there
    made = Server(place)
    yield made
    made.die()
    shutil.rmtree(place)


def test_what_was_acknowledged_is_there_and_jobs_go_on(server: Server, tmp_path: Path) -> None:
    environment = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "TRUNKLINE_DATABASE": server.url,
    }
    with closing(Engine(load(environment, home=tmp_path / "home"))) as engine:
        engine.repos.create_repo("data")
        engine.pipelines.create_pipeline(
            {
                "pipeline": {"name": "copy"},
                "input": {"pfs": {"repo": "data", "glob": "/*"}},
                "transform": {"cmd": ["sh"], "stdin": ["cp /pfs/data/* /pfs/out/"]},
            }
        )
        acknowledged: set[str] = set()
        stopping = threading.Event()

        def put(who: int) -> None:
            number = 0
            while not stopping.is_set():
                number += 1
                name = f"{who}-{number}"
                try:
                    engine.files.modify_files(
                        "data", "master", [PutFile(path=f"/{name}", content=[name.encode()])]
                    )
                except TrunklineError:
                    stopping.wait(0.1)
                else:
                    acknowledged.add(name)
                stopping.wait(0.02)

        putting = [threading.Thread(target=put, args=(who,)) for who in range(2)]
        for thread in putting:
            thread.start()
        for _ in range(DEATHS):
            before = len(acknowledged)
            while len(acknowledged) < before + 20:
                time.sleep(0.01)
            server.die()
            server.start()
        stopping.set()
        for thread in putting:
            thread.join()

        there = {file.path for file in engine.files.list_files("data", "master", "/")}
        [newest] = engine.jobs.list_jobs(pipeline="copy", number=1)
        last = engine.jobs.inspect_job(f"copy@{newest.id}", wait=True, timeout_s=120)
        states = {job.state for job in engine.jobs.list_jobs(pipeline="copy")}
        made = {file.path for file in engine.files.list_files("copy", "master", "/")}
        damages = engine.admin.fsck().damages

    assert acknowledged <= there
    assert (last.state, states) == ("success", {"success"})
    assert made == there
    assert damages == ()
