"""Incremental output = from-scratch output, whatever the sequence of edits."""

import shutil
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from trunkline.api.changes import DeleteFile, PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.jobs import assemble
from trunkline.model.jobs import JobState

NAMES = st.sampled_from(["a", "b", "c", "dir/a", "dir/b", "dir/sub/c", "other/x"])
WORDS = st.sampled_from(["one\n", "two\n", "three\n", "x" * 5000])

# What each pipeline computes, as the model computes it from {path: text} of its input.
UPPER = """
p=${src#/pfs/src/}
mkdir -p /pfs/out/$(dirname $p)
[ -f $src ] && tr a-z A-Z < $src > /pfs/out/$p
true
"""
COUNT = "find /pfs/src -type f | wc -l | tr -d ' ' > /pfs/out/count"


def upper(tree: dict[str, str]) -> dict[str, str]:
    return {path: text.upper() for path, text in tree.items() if "/" not in path}


def count(tree: dict[str, str]) -> dict[str, str]:
    return {"count": f"{len(tree)}\n"} if tree else {}


class Edits(RuleBasedStateMachine):
    """Random edits of a repo with a chain of pipelines below it, against a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="trunkline-test-"))
        self.little = mock.patch.object(assemble, "_WAITING_MAX", 2)  # so that both ways are gone
        self.little.start()
        self.engine = Engine(load(home=self.place))
        self.model: dict[str, str] = {}

    @initialize()
    def create(self) -> None:
        self.engine.repos.create_repo("data")
        self._pipeline("upper", "data", "/*", UPPER)
        self._pipeline("count", "upper", "/", COUNT)

    @rule(path=NAMES, text=WORDS)
    def put(self, path: str, text: str) -> None:
        self.model[path] = text
        self._modify(PutFile(path=path, content=[text.encode()]))

    @rule(path=NAMES, text=WORDS)
    def append(self, path: str, text: str) -> None:
        self.model[path] = self.model.get(path, "") + text
        self._modify(PutFile(path=path, content=[text.encode()], append=True))

    @rule(path=st.sampled_from(["a", "b", "dir", "dir/sub", "other"]))
    def delete(self, path: str) -> None:
        gone = [p for p in self.model if p == path or p.startswith(path + "/")]
        for name in gone:
            del self.model[name]
        self._modify(DeleteFile(path=path))

    @rule()
    def update_without_change(self) -> None:
        self._pipeline("upper", "data", "/*", UPPER, update=True)

    @rule()
    def reprocess(self) -> None:
        self._pipeline("upper", "data", "/*", UPPER, update=True, reprocess=True)

    @precondition(lambda self: self.model)
    @rule()
    def outputs_are_those_of_a_run_from_scratch(self) -> None:
        for name in ("upper", "count"):
            [job] = self.engine.jobs.list_jobs(pipeline=name, number=1)
            job = self.engine.jobs.inspect_job(f"{name}@{job.id}", wait=True, timeout_s=60)
            assert job.state is JobState.SUCCESS, job.reason
        expected = upper(self.model)
        assert self._tree("data") == self.model
        assert self._tree("upper") == expected
        assert self._tree("count") == count(expected)
        scratch = self.engine.files.create_file_set(
            [PutFile(path=path, content=[text.encode()]) for path, text in self.model.items()]
        )
        head = self.engine.commits.inspect_commit("data", "master")
        assert (scratch.root, scratch.files) == (head.root, head.files)

    def teardown(self) -> None:
        try:
            if self.model:
                self.outputs_are_those_of_a_run_from_scratch()
            assert self.engine.admin.fsck().damages == ()
        finally:
            self.little.stop()
            self.engine.close()
            shutil.rmtree(self.place)

    def _pipeline(self, name: str, source: str, glob: str, script: str, **how: bool) -> None:
        self.engine.pipelines.create_pipeline(
            {
                "pipeline": {"name": name},
                "input": {"pfs": {"name": "src", "repo": source, "glob": glob}},
                "transform": {"cmd": ["/bin/sh"], "stdin": [script]},
                "parallelism_spec": {"constant": 2},
            },
            **how,
        )

    def _modify(self, *changes: PutFile | DeleteFile) -> None:
        self.engine.files.modify_files("data", "master", changes)

    def _tree(self, repo: str) -> dict[str, str]:
        return {
            info.path: b"".join(self.engine.files.read_file(repo, "master", info.path)).decode()
            for info in self.engine.files.list_files(repo, "master", "/", recursive=True)
        }


TestEdits = Edits.TestCase
TestEdits.settings = settings(
    max_examples=max(6, settings.default.max_examples // 8),
    stateful_step_count=15,
    suppress_health_check=list(HealthCheck),
)
