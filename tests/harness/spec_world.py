"""An engine with the small trees that the specs of `tests/specs` read, and what comes of each."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from engine_state import open_engine, without_workers
from spec_files import PLACE

from trunkline.api.changes import PutFile
from trunkline.connect.specs import create_one
from trunkline.engine.engine import Engine
from trunkline.errors import InvalidSpec
from trunkline.jobs.launcher import ProcessLauncher
from trunkline.model.jobs import JobInfo, JobState

_KEPT = re.compile(r"(?:this field is|these fields are) kept but (?:does|do) nothing yet: (.*)")


class SpecWorld:
    """An engine with the trees of `trees.yaml`, whose jobs are planned but not run."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        engine.projects.create_project("vision")
        for branch, paths in yaml.safe_load((PLACE / "trees.yaml").read_text()).items():
            repo, _, name = branch.partition("@")
            if repo not in {info.name for info in engine.repos.list_repos()}:
                engine.repos.create_repo(repo)
            changes = [PutFile(path=path, content=[path.encode()]) for path in paths]
            if changes:
                engine.files.modify_files(repo, name, changes)
        for secret, key in (("crm", "token"), ("sales-db", "password")):
            engine.secrets.create_secret(secret, data={key: "c2VjcmV0"})

    def outcome(self, spec: Path) -> dict[str, Any]:
        """What comes of a spec: why it is refused, or its warnings and the datums of its job."""
        try:
            info = create_one(self.engine, spec)
        except InvalidSpec as error:
            return {"refused": _sentence(error)}
        kept = [found.group(1) for warning in info.warnings if (found := _KEPT.match(warning))]
        found: dict[str, Any] = {
            "kept": ", ".join(kept).split(", ") if kept else [],
            "warnings": [warning for warning in info.warnings if not _KEPT.match(warning)],
        }
        jobs = list(self.engine.jobs.list_jobs(pipeline=info.name))
        found["datums"] = self._datums(jobs[0]) if jobs else "no job yet"
        self.engine.pipelines.delete_pipeline(info.name, force=True)
        return found

    def _datums(self, job: JobInfo) -> list[str]:
        name = f"{job.pipeline}@{job.id}"
        deadline = time.monotonic() + 30
        while self.engine.jobs.inspect_job(name).state is JobState.STARTING:
            assert time.monotonic() < deadline, f"{name} is not planned"
            time.sleep(0.005)
        return [
            " + ".join(f"{file.name}:/{file.path}" for file in datum.inputs)
            for datum in self.engine.datums.list_datums(name)
        ]


def _sentence(error: InvalidSpec) -> str:
    """What is wrong, without the place."""
    return str(error).splitlines()[0].partition(": ")[2]


@contextmanager
def spec_world(home: Path) -> Iterator[SpecWorld]:
    no_worker = mock.patch.object(ProcessLauncher, "launch", side_effect=OSError("not here"))
    logging.getLogger("trunkline.scheduler").setLevel(logging.CRITICAL)
    with without_workers(), no_worker:
        # Nobody looks at a remote.
        remotes = {"TRUNKLINE_FETCH_ALLOW": "git.example.com", "TRUNKLINE_GIT_POLL_S": "0"}
        engine = open_engine(home, **remotes)
        try:
            yield SpecWorld(engine)
        finally:
            engine.close()
            logging.getLogger("trunkline.scheduler").setLevel(logging.NOTSET)
