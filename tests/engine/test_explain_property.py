"""`explain job` counts the datums of a job as a plain model does, whatever was changed before."""

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.api.changes import DeleteFile, PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.model.jobs import JobState
from trunkline.model.lineage import JobReason

Tree = dict[str, str]
Settings = tuple[str, str]  # value of a variable, command
Counts = dict[tuple[str, tuple[str, ...]], int]

TREES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["1\n", "2\n"]), min_size=1)
SETTINGS = st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(["cat", "wc"]))
CHANGES = st.lists(st.tuples(TREES, SETTINGS), min_size=2, max_size=5)


class Model:
    """What each job has to say, from the states before it."""

    def __init__(self) -> None:
        self._remembered: set[tuple[Settings, str, str]] = set()
        self._before: dict[str, tuple[Settings, str]] = {}

    def job(self, tree: Tree, now: Settings) -> Counts:
        counts: Counts = Counter()
        for path, text in tree.items():
            if (now, path, text) in self._remembered:
                counts["skipped", ()] += 1
            elif path not in self._before:
                counts["new", ()] += 1
            else:
                (variable, command), content = self._before[path]
                differs = {"input": content != text, "env": variable != now[0],
                           "stdin": command != now[1]}  # fmt: skip
                counts["changed", tuple(name for name, it in differs.items() if it)] += 1
        self._remembered |= {(now, path, text) for path, text in tree.items()}
        self._before = {path: (now, text) for path, text in tree.items()}
        return dict(counts)


class World:
    def __init__(self, place: Path) -> None:
        self.engine = Engine(load(home=place))
        self.engine.repos.create_repo("data")
        self._tree: Tree = {}

    def put(self, tree: Tree) -> None:
        gone = [DeleteFile(path=path) for path in self._tree if path not in tree]
        puts = [PutFile(path=path, content=[text.encode()]) for path, text in tree.items()]
        self.engine.files.modify_files("data", "master", [*gone, *puts])
        self._tree = tree

    def pipeline(self, now: Settings, *, update: bool) -> None:
        variable, command = now
        self.engine.pipelines.create_pipeline(
            {
                "pipeline": {"name": "one"},
                "input": {"pfs": {"repo": "data", "glob": "/*"}},
                "transform": {
                    "cmd": ["/bin/sh"],
                    "stdin": [f"{command} < $data > /pfs/out/$(basename $data)"],
                    "env": {"V": variable},
                },
            },
            update=update,
        )

    def counts(self) -> Counts:
        [job] = self.engine.jobs.list_jobs(pipeline="one", number=1)
        name = f"one@{job.id}"
        ended = self.engine.jobs.inspect_job(name, wait=True, timeout_s=60)
        assert ended.state is JobState.SUCCESS, ended.reason
        reason = self.engine.lineage.explain_job(name)
        self._check_datums(reason)
        return {(c.cause.value, c.parts): c.datums for c in reason.causes}

    def _check_datums(self, reason: JobReason) -> None:
        """What is said of each datum fits what is said of all, where both look at one job."""
        each: Counter[str] = Counter()
        for datum in self.engine.datums.list_datums(reason.job):
            found = self.engine.lineage.explain_datum(reason.job, datum.id)
            each[found.cause.value] += 1
            if found.cause == "changed" and found.before == reason.before:
                parts = tuple(dict.fromkeys(change.part for change in found.changes))
                assert parts in {c.parts for c in reason.causes}
        whole = Counter[str]()
        for count in reason.causes:
            whole[count.cause.value] += count.datums
        assert each["skipped"] == whole["skipped"]
        assert each["new"] <= whole["new"]  # one datum is looked for in older jobs too
        assert each.total() == whole.total()


@settings(max_examples=12, deadline=None)
@given(changes=CHANGES)
def test_a_job_counts_its_datums_as_the_model_does(changes: list[tuple[Tree, Settings]]) -> None:
    place = Path(tempfile.mkdtemp(prefix="trunkline-test-"))
    world, model = World(place), Model()
    before: Settings | None = None
    try:
        for tree, now in changes:
            world.put(tree)
            if before is not None:
                assert world.counts() == model.job(tree, before)
            if before != now:
                world.pipeline(now, update=before is not None)
                assert world.counts() == model.job(tree, now)
            before = now
    finally:
        world.engine.close()
        shutil.rmtree(place)
