"""`why` names exactly the datums that wrote a file, and `impact` is its inverse.

Whatever the pipelines and edits.

A slow and obvious model makes the outputs of each stage anew and remembers who wrote what.
"""

import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.api.changes import DeleteFile, PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.model.jobs import JobState
from trunkline.model.lineage import ImpactStep, WhyStep

Tree = dict[str, str]

# What a stage does with the files of a datum; as a shell script, and as the model has it.
SCRIPTS = {
    "copy": 'cd /pfs/in; find . -type f | while read f; do mkdir -p "/pfs/out/$(dirname "$f")"; '
    'cp "$f" "/pfs/out/$f"; done',
    "link": 'cd /pfs/in; find . -type f | while read f; do n=$(echo "$f" | tr / _); '
    'ln -s "/pfs/in/$f" "/pfs/out/l$n"; cp "$f" "/pfs/out/c$n"; done',
    "odd": 'cd /pfs/in; find . -type f -name "*1" | while read f; do '
    'cp "$f" "/pfs/out/$(echo "$f" | tr / _)"; done',
    "merge": "cd /pfs/in; find . -type f | LC_ALL=C sort | xargs cat > /pfs/out/all",
}
STAGES = st.lists(
    st.tuples(st.sampled_from(sorted(SCRIPTS)), st.sampled_from(["/", "/*", "/*/*"])),
    min_size=2,
    max_size=3,
)
TREES = st.dictionaries(
    st.sampled_from(["a1", "b2", "d/x1", "d/y2", "e/x1", "e/z/w1"]),
    st.sampled_from(["one\n", "two\n", "three\n"]),
    min_size=1,
    max_size=5,
)


@dataclass
class Stage:
    """What the model knows of the newest commit of one repo."""

    tree: Tree = field(default_factory=dict)
    writers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def datums(tree: Tree, glob: str) -> list[str]:
    """The paths that a glob matches; "" for the whole tree."""
    if glob == "/":
        return [""] if tree else []
    depth = glob.count("/")
    parts = [path.split("/") for path in tree]
    return sorted({"/".join(p[:depth]) for p in parts if len(p) >= depth})


def below(tree: Tree, path: str) -> list[str]:
    return sorted(p for p in tree if not path or p == path or p.startswith(path + "/"))


def run(script: str, files: Tree) -> Tree:
    """What one datum writes."""
    if script == "copy":
        return dict(files)
    if script == "merge":
        return {"all": "".join(files[path] for path in sorted(files))}
    names = {path: f"._{path.replace('/', '_')}" for path in files}
    if script == "odd":
        return {names[path]: text for path, text in files.items() if path.endswith("1")}
    return {sort + names[path]: text for path, text in files.items() for sort in "lc"}


def made(script: str, glob: str, source: Tree) -> Stage:
    stage = Stage()
    for datum in datums(source, glob):
        given = {path: source[path] for path in below(source, datum)}
        for path, text in run(script, given).items():
            stage.tree[path] = stage.tree.get(path, "") + text
            stage.writers[path].add(datum)
    return stage


class World:
    """An engine with a row of pipelines, and the model of it."""

    def __init__(self, place: Path, stages: list[tuple[str, str]]) -> None:
        self.engine = Engine(load(home=place))
        self.stages = stages
        self.names = ["data", *(f"p{n}" for n in range(len(stages)))]
        self.model: list[Stage] = []
        self.first_run: dict[tuple[str, str, str], str] = {}  # (repo, datum, digest): job
        self.engine.repos.create_repo("data")
        for n, (script, glob) in enumerate(stages):
            self.engine.pipelines.create_pipeline(
                {
                    "pipeline": {"name": self.names[n + 1]},
                    "input": {"pfs": {"repo": self.names[n], "glob": glob, "name": "in"}},
                    "transform": {"cmd": ["/bin/sh"], "stdin": [SCRIPTS[script]]},
                    "output_merge": "concat" if script == "merge" else "error",
                }
            )

    def edit(self, tree: Tree) -> None:
        before = self.model[0].tree if self.model else {}
        changes = [DeleteFile(path=path) for path in before if path not in tree]
        puts = [PutFile(path=path, content=[text.encode()]) for path, text in tree.items()]
        self.engine.files.modify_files("data", "master", [*changes, *puts])
        self.model = [Stage(tree=tree)]
        for script, glob in self.stages:
            self.model.append(made(script, glob, self.model[-1].tree))
        for name in self.names[1:]:
            [job] = self.engine.jobs.list_jobs(pipeline=name, number=1)
            ended = self.engine.jobs.inspect_job(f"{name}@{job.id}", wait=True, timeout_s=60)
            assert ended.state is JobState.SUCCESS, ended.reason
            for datum in self.engine.datums.list_datums(f"{name}@{job.id}"):
                [given] = datum.inputs
                key = (name, given.path, given.digest)
                self.first_run.setdefault(key, f"{name}@{job.id}")

    # --- checks -----------------------------------------------------------------------------------

    def check(self) -> int:
        steps = 0
        wrote: set[tuple[str, str, str]] = set()  # (repo of the input, its path, output)
        for stage, name in enumerate(self.names):
            found = self.engine.files.list_files(name, "master", "/", recursive=True)
            assert {info.path for info in found} == set(self.model[stage].tree)
            for path in self.model[stage].tree:
                answer = list(self.engine.lineage.why_file(name, "master", path))
                self._check_answer(answer)
                steps += len(answer)
                if stage:
                    above = self.names[stage - 1]
                    read = [s.file for s in answer if s.depth == 1 and s.file]
                    wrote |= {(above, file.path, path) for file in read}
        self._check_inverse(wrote)
        return steps

    def _check_inverse(self, wrote: set[tuple[str, str, str]]) -> None:
        for stage, name in enumerate(self.names):
            for path in self.model[stage].tree:
                steps = list(self.engine.lineage.impact_of_file(name, "master", path, files=True))
                expected = {
                    out
                    for repo, given, out in wrote
                    if repo == name and path in below(self.model[stage].tree, given)
                }
                near = [s for s in steps if s.depth == 1]
                assert {s.file.path for s in near if s.file} == expected
                assert sum(s.files for s in near if not s.file) == len(expected)
                self._check_whole(stage, path, steps)

    def _check_whole(self, stage: int, path: str, steps: list[ImpactStep]) -> None:
        """All stages behind: what the model finds by going through all datums."""
        reached = {path}
        for behind in range(stage + 1, len(self.names)):
            source, target = self.model[behind - 1], self.model[behind]
            glob = self.stages[behind - 1][1]
            reading = [d for d in datums(source.tree, glob) if reached & set(below(source.tree, d))]
            reached = {out for out in target.tree if target.writers[out] & set(reading)}
            found = [s for s in steps if s.job.startswith(f"{self.names[behind]}@")]
            assert sum(s.datums for s in found) == len(reading)
            assert {s.file.path for s in found if s.file} == reached

    def _check_answer(self, answer: list[WhyStep]) -> None:
        below_step: dict[int, list[WhyStep]] = defaultdict(list)
        for step in answer:
            below_step[step.parent].append(step)
        for step in answer:
            assert not step.remark
            children = below_step[step.same_as or step.number]
            if step.file is not None:
                stage = self.names.index(step.file.repo)
                paths = below(self.model[stage].tree, step.file.path)
                expected = {d for path in paths for d in self.model[stage].writers[path]}
                inputs = {below_step[c.same_as or c.number][0].file.path for c in children}
                assert inputs == expected
                assert len(children) == len(expected)
                assert (step.put is not None) == (stage == 0 and not step.same_as)
            else:
                [given] = children
                name = step.datum.job.partition("@")[0]
                first = self.first_run[(name, given.file.path, given.file.digest)]
                assert step.datum.made_by == first
                assert step.datum.skipped == (first != step.datum.job)


@settings(max_examples=10, deadline=None)
@given(stages=STAGES, edits=st.lists(TREES, min_size=1, max_size=2))
def test_why_names_exactly_the_datums_that_wrote_a_file_and_impact_is_its_inverse(
    stages: list[tuple[str, str]], edits: list[Tree]
) -> None:
    place = Path(tempfile.mkdtemp(prefix="trunkline-test-"))
    world = World(place, stages)
    try:
        for tree in edits:
            world.edit(tree)
            assert world.check()
    finally:
        world.engine.close()
        shutil.rmtree(place)
