"""Data that is collected on one branch and processed when another one is moved: by hand or trigger.

Whatever is moved, taken back, brought back or collected: each output is what its pipeline makes of
the very commit that its provenance names.
"""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from trunkline.api.changes import DeleteFile, PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import TrunklineError
from trunkline.model.jobs import JobState
from trunkline.model.versions import BranchTrigger

Texts = dict[str, str]
UPPER = "tr a-z A-Z < $src > /pfs/out/$(basename $src)"
COUNT = "ls /pfs/src | wc -l | tr -d ' ' > /pfs/out/count"

picks = st.integers(0, 10**6)


class Deferred(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="trunkline-test-"))
        self.engine = Engine(load(home=self.place))
        self.trees: dict[str, Texts] = {}  # of commits of data, by id
        self.deleted: list[tuple[str, str, int]] = []

    @initialize()
    def create(self) -> None:
        self.engine.repos.create_repo("data")
        self.engine.branches.create_branch("data", "master")
        for name, source, glob, script in (
            ("upper", "data", "/*", UPPER),
            ("count", "upper", "/", COUNT),
        ):
            self.engine.pipelines.create_pipeline(
                {
                    "pipeline": {"name": name},
                    "input": {"pfs": {"name": "src", "repo": source, "glob": glob}},
                    "transform": {"cmd": ["/bin/sh"], "stdin": [script]},
                }
            )

    def head(self, branch: str) -> str | None:
        found = {b.name: b.head for b in self.engine.branches.list_branches("data")}
        return found.get(branch)

    @rule(name=st.sampled_from("abc"), text=st.sampled_from(["one\n", "two\n", ""]))
    def put(self, name: str, text: str) -> None:
        before = self.trees.get(self.head("staging") or "", {})
        change = PutFile(path=name, content=[text.encode()]) if text else DeleteFile(path=name)
        commit = self.engine.files.modify_files("data", "staging", [change])
        self.trees[commit.id] = {p: t for p, t in {**before, name: text}.items() if t}

    @rule(pick=picks)
    def move(self, pick: int) -> None:
        there = [c.id for c in self.engine.commits.list_commits("data")]
        if there:
            self.engine.branches.create_branch("data", "master", head=there[pick % len(there)])

    @rule(commits=st.integers(1, 2), on=st.booleans())
    def follow(self, commits: int, on: bool) -> None:
        trigger = BranchTrigger(source="staging" if on else "", commits=commits if on else 0)
        self.engine.branches.create_branch("data", "master", trigger=trigger)

    @rule(pick=picks, how=st.sampled_from(["squash", "drop"]))
    def remove(self, pick: int, how: str) -> None:
        there = [c.id for c in self.engine.commits.list_commits("data")]
        if there:
            commit = there[pick % len(there)]
            try:
                gone = getattr(self.engine.commits, f"{how}_commit")("data", commit, recursive=True)
            except TrunklineError:
                return  # a head, or something on top of it
            self.deleted.append(("commit", f"data@{commit}", gone.number))

    @rule()
    def undelete(self) -> None:
        if self.deleted:
            kind, name, number = self.deleted.pop()
            self.engine.trash.undelete(kind, name, number=number)

    @rule()
    def collect(self) -> None:
        self.engine.admin.gc(grace_s=0)

    @rule()
    def outputs_are_what_is_made_of_what_they_name(self) -> None:
        for job in list(self.engine.jobs.list_jobs()):
            name = f"{job.pipeline}@{job.id}"
            ended = self.engine.jobs.inspect_job(name, wait=True, timeout_s=60)
            assert ended.state is JobState.SUCCESS, ended.reason
        for commit, wanted in self.trees.items():
            if commit in {c.id for c in self.engine.commits.list_commits("data")}:
                assert self._tree("data", commit) == wanted
        for name in ("upper", "count"):
            for made in self.engine.commits.list_commits(name):
                [source] = [p.id for p in made.provenance if p.repo == "data"]
                upper = {p: t.upper() for p, t in self.trees[source].items()}
                count = {"count": f"{len(upper)}\n"} if upper else {}
                assert self._tree(name, made.id) == (upper if name == "upper" else count)
            self._stands_on_the_head(name)

    def _stands_on_the_head(self, name: str) -> None:
        head = self.head("master")
        if head is not None:
            newest = self.engine.commits.inspect_commit(name, "master")
            assert [p.id for p in newest.provenance if p.repo == "data"] == [head]

    def _tree(self, repo: str, commit: str) -> Texts:
        return {
            info.path: b"".join(self.engine.files.read_file(repo, commit, info.path)).decode()
            for info in self.engine.files.list_files(repo, commit, "/", recursive=True)
        }

    def teardown(self) -> None:
        try:
            self.outputs_are_what_is_made_of_what_they_name()
            assert self.engine.admin.fsck().damages == ()
        finally:
            self.engine.close()
            shutil.rmtree(self.place)


TestDeferred = Deferred.TestCase
TestDeferred.settings = settings(
    max_examples=max(6, settings.default.max_examples // 10),
    stateful_step_count=15,
    suppress_health_check=list(HealthCheck),
)
