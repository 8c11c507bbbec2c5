"""An engine that follows a real repository behind a real server, when it is asked to look."""

import os
from pathlib import Path
from typing import Any

from git_remote import GitServer, Repository

from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import GitInfo

COPY = "cp -r /pfs/models/. /pfs/out/"
ONCE = (JobState.SUCCESS, 1, 0)


class GitWorld:
    """A repository, its server, and an engine that looks at it only when it is asked."""

    def __init__(self, tmp: Path, server: GitServer) -> None:
        self.tmp = tmp
        self.server = server
        self.code = Repository(server.base)
        self.environment = {"TRUNKLINE_FETCH_ALLOW": "127.0.0.1", "TRUNKLINE_GIT_POLL_S": "0"}
        self.start()

    def start(self, **more: str) -> None:
        environment = {"HOME": str(self.tmp), "PATH": os.environ["PATH"]}
        config = load({**environment, **self.environment, **more}, home=self.tmp / "home")
        self.engine = Engine(config)

    def restart(self, **more: str) -> None:
        self.engine.close()
        self.start(**more)

    def create(self, name: str = "build", script: str = COPY, *, update: bool = False, **git: Any):
        given = git.pop("input", None) or {"git": {"URL": f"{self.server.url}/models.git", **git}}
        self.engine.pipelines.create_pipeline(
            {
                "pipeline": {"name": name},
                "transform": {"cmd": ["/bin/sh"], "stdin": [script]},
                "input": given,
            },
            update=update,
        )

    def look(self, name: str = "build") -> str:
        """The run of what is new, or nothing."""
        return self.engine.pipelines.run_git(name, wait=True).run

    def files(self, repo: str = "build_models", commit: str = "master") -> dict[str, str]:
        found = self.engine.files.list_files(repo, commit, "/", recursive=True)
        read = self.engine.files.read_file
        return {one.path: b"".join(read(repo, commit, one.path)).decode() for one in found}

    def told(self, repo: str = "build_models") -> list[str]:
        """What the commits of a repo say of themselves, oldest first."""
        return [info.description for info in self.engine.commits.list_commits(repo)][::-1]

    def jobs(self, pipeline: str = "build") -> list[tuple[JobState, int, int]]:
        """State, datums processed and skipped of each job, oldest first."""
        found = [f"{j.pipeline}@{j.id}" for j in self.engine.jobs.list_jobs(pipeline=pipeline)]
        ended = [self.engine.jobs.inspect_job(n, wait=True, timeout_s=60) for n in found[::-1]]
        return [(job.state, job.processed, job.skipped) for job in ended]

    def git(self, name: str = "build") -> GitInfo:
        [info] = self.engine.pipelines.inspect_pipeline(name).gits
        return info
