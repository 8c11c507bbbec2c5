"""Two servers of compose.nodes.yaml, one of which is killed: what `make test-compose` does.

It starts the files as they are, under a project of its own, with images that are there or can be
pulled (trunkline, postgres:17, minio/minio, minio/mc); has both servers work on one store, kills
the one that leads while a job runs, and removes all that it made. It says what it checked; the
exit status is 1 when something was not as it should be.

usage: check_compose.py [--program docker] [--compose "docker compose"]
"""

import argparse
import json
import os
import secrets
import shlex
import subprocess
import sys
import time
from pathlib import Path

from check_image import READY, Check

HERE = Path(__file__).resolve().parent
FILES = ("compose.yaml", "compose.nodes.yaml")
START_S = 600.0  # images may have to be pulled
SERVERS = ("server", "second")
SLOW = "sleep 2; cp /pfs/data/* /pfs/out/"
COPY = "cp /pfs/data/* /pfs/out/"


class Nodes:
    """The servers of one project."""

    def __init__(self, run: Check, compose: list[str]) -> None:
        self.run = run
        files = [word for name in FILES for word in ("--file", str(HERE / name))]
        self._words = [*compose, "--project-name", run.name, *files]
        self._environment = {
            **os.environ,
            "DATABASE_PASSWORD": secrets.token_hex(16),
            "OBJECTS_PASSWORD": secrets.token_hex(16),
        }

    def compose(self, *words: str) -> str:
        done = subprocess.run(
            [*self._words, *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=START_S,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()[-1000:]}")
        return done.stdout

    def container(self, server: str) -> str:
        return f"{self.run.name}-{server}-1"

    def inside(self, server: str, *words: str, given: str = "", good: bool = True) -> str:
        container = self.container(server)
        return self.run.engine("exec", "-i", container, *words, given=given, good=good)

    def trunkline(self, server: str, *words: str, given: str = "") -> str:
        return self.inside(server, "trunkline", *words, given=given)

    def ready(self, server: str) -> bool:
        return self.inside(server, "python3", "-c", READY, good=False) == ""

    def leads(self, server: str) -> bool:
        """Whether it has workers, which only one has."""
        return "trunkline.jobs.host" in self.run.engine("top", self.container(server), good=False)

    def pipeline(self, server: str, name: str, script: str) -> None:
        spec = {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "transform": {"cmd": ["sh"], "stdin": [script]},
        }
        self.trunkline(server, "create", "pipeline", "-f", "-", given=json.dumps(spec))

    def state(self, server: str, pipeline: str) -> str:
        """Of its newest job, or what keeps the server from telling."""
        words = ("trunkline", "list", "job", "--pipeline", pipeline, "-o", "json")
        said = self.inside(server, *words, good=False)
        return str(json.loads(said)[0]["state"]) if said.startswith("[") else said


def check_nodes(nodes: Nodes) -> None:
    run = nodes.run
    began = time.monotonic()
    nodes.compose("up", "--detach", "--no-build")
    run.check("all of it starts", True, f"{time.monotonic() - began:.0f} s")
    for server in SERVERS:
        run.until(f"{server} is ready", lambda server=server: nodes.ready(server))
    tokens = {nodes.inside(s, "cat", "/var/lib/trunkline/data/token") for s in SERVERS}
    run.check("they have one token", len(tokens) == 1)
    nodes.trunkline("server", "create", "repo", "data")
    nodes.trunkline("second", "put", "file", "data@master:/a", "-f", "-", given="apple")
    read = nodes.trunkline("server", "get", "file", "data@master:/a")
    run.check("one reads what the other was given", read == "apple", read)
    nodes.pipeline("second", "quick", COPY)
    run.until("a pipeline has run", lambda: nodes.state("server", "quick") == "success")
    for number in range(6):
        put = ("put", "file", f"data@master:/{number}", "-f", "-")
        nodes.trunkline(SERVERS[number % 2], *put, given=str(number))
    leaders = [server for server in SERVERS if nodes.leads(server)]
    run.check("one of them leads", len(leaders) == 1, ", ".join(leaders))
    check_failover(nodes, *leaders)


def check_failover(nodes: Nodes, leader: str) -> None:
    run = nodes.run
    [other] = set(SERVERS) - {leader}
    nodes.pipeline(other, "slow", SLOW)
    run.until("a datum is at work", lambda: nodes.state(other, "slow") == "running")
    run.engine("kill", nodes.container(leader))
    run.until("the other one leads", lambda: nodes.leads(other))
    run.until("the job goes on to its end", lambda: nodes.state(other, "slow") == "success")
    files = nodes.trunkline(other, "list", "file", "slow@master:/").splitlines()
    run.check("all files are there", len(files) - 1 == 7, len(files) - 1)
    run.engine("start", nodes.container(leader))
    run.until("the one that was killed is back", lambda: nodes.ready(leader))
    read = nodes.trunkline(leader, "get", "file", "slow@master:/a")
    run.check("and reads what was made meanwhile", read == "apple", read)


def main() -> int:
    wanted = argparse.ArgumentParser(description="Try two servers of the compose files.")
    wanted.add_argument("--program", default="docker", help="of the container engine")
    wanted.add_argument("--compose", default="docker compose", help="how Docker Compose is called")
    given = wanted.parse_args()
    run = Check(program=given.program, image="")
    nodes = Nodes(run, shlex.split(given.compose))
    try:
        check_nodes(nodes)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        run.check("nothing else went wrong", False, error)
    finally:
        nodes.compose("down", "--volumes")
    print(f"{len(run.failed)} checks failed" if run.failed else "all is as it should be")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
