"""Joins and groups from the put to the output, and that increments come to what one run would."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from stored_bytes import places_of

from trunkline.api.changes import DeleteFile, PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import TooManyDatums
from trunkline.jobs import leasing
from trunkline.model.jobs import JobState

# One line per datum: what it was given, and what it was told.
JOINED = """
echo "$(cat $left) $(cat $right) $PACH_DATUM_left_JOIN_ON $TRUNKLINE_DATUM_right_JOIN_ON" \
    > /pfs/out/$(basename $left)_$(basename $right)
"""
GROUPED = """
(cd /pfs; for f in $(find . -path ./out -prune -o -type f -print | sort); do
    echo "$f $(cat $f)"
done) > /pfs/out/${PACH_DATUM_left_GROUP_BY:-$PACH_DATUM_right_GROUP_BY}
"""


def pfs(repo: str, glob: str, **more: object) -> dict[str, Any]:
    return {"pfs": {"repo": repo, "glob": glob, **more}}


JOIN = {"join": [pfs("left", "/(*)-*", join_on="$1"), pfs("right", "/(*)", join_on="$1")]}
GROUP = {"group": [pfs("left", "/(*)-*", group_by="$1"), pfs("right", "/(*)", group_by="$1")]}


def spec(name: str, source: dict[str, Any], script: str, **more: object) -> dict[str, Any]:
    return {
        "pipeline": {"name": name},
        "input": source,
        "transform": {"cmd": ["/bin/sh"], "stdin": [script]},
        **more,
    }


@pytest.fixture
def sides(engine: Any) -> Any:
    """Two repos whose files have keys in common."""
    for repo in ("left", "right"):
        engine.engine.repos.create_repo(repo)
    engine.put("left", {"a-1": "one", "a-2": "two", "b-1": "three"})
    engine.put("right", {"a": "A", "c": "C"})
    return engine


def test_a_join_runs_once_for_each_pair_and_tells_the_code_the_key(sides: Any) -> None:
    sides.engine.pipelines.create_pipeline(spec("joined", JOIN, JOINED))

    job = sides.job("joined")

    assert job.state is JobState.SUCCESS, job.reason
    assert sides.tree("joined") == {"a-1_a": "one A a a\n", "a-2_a": "two A a a\n"}
    assert sides.engine.pipelines.inspect_pipeline("joined").input == "(left:/(*)-* ⋈ right:/(*))"


def test_an_outer_join_runs_with_one_side_alone(sides: Any) -> None:
    outer = {"join": [JOIN["join"][0], pfs("right", "/(*)", join_on="$1", outer_join=True)]}
    script = "ls /pfs/*/* | sort > /pfs/out/$(basename $right)${left:+-$(basename $left)}"
    sides.engine.pipelines.create_pipeline(spec("joined", outer, script))

    assert sides.job("joined").state is JobState.SUCCESS
    assert set(sides.tree("joined")) == {"a-a-1", "a-a-2", "c"}


def test_a_group_runs_once_for_each_key_with_all_of_its_files(sides: Any) -> None:
    sides.engine.pipelines.create_pipeline(spec("grouped", GROUP, GROUPED))

    job = sides.job("grouped")

    assert job.state is JobState.SUCCESS, job.reason
    assert sides.tree("grouped") == {
        "a": "./left/a-1 one\n./left/a-2 two\n./right/a A\n",
        "b": "./left/b-1 three\n",
        "c": "./right/c C\n",
    }
    [largest] = [
        datum
        for datum in sides.engine.datums.list_datums(f"grouped@{job.id}")
        if len(datum.inputs) == 3
    ]
    assert [(given.name, given.path) for given in largest.inputs] == [
        ("left", "a-1"),
        ("left", "a-2"),
        ("right", "a"),
    ]


@pytest.mark.parametrize(("source", "script"), [(JOIN, JOINED), (GROUP, GROUPED)])
def test_only_the_datums_of_a_changed_key_are_processed_again(
    source: dict[str, Any], script: str, sides: Any
) -> None:
    sides.engine.pipelines.create_pipeline(spec("matched", source, script))
    before = sides.job("matched")
    sides.put("right", {"b": "B"})

    after = sides.job("matched")

    assert (after.processed, after.skipped) == (1, before.total - (source is GROUP))


def test_another_key_for_the_same_file_is_other_work(sides: Any) -> None:
    script = "echo $PACH_DATUM_left_GROUP_BY > /pfs/out/$(basename $left)"
    first = {"group": [pfs("left", "/(b)-(*)", group_by="$1")]}
    second = {"group": [pfs("left", "/(b)-(*)", group_by="$2")]}
    sides.engine.pipelines.create_pipeline(spec("grouped", first, script))
    sides.job("grouped")

    sides.engine.pipelines.create_pipeline(spec("grouped", second, script), update=True)

    assert sides.job("grouped").processed == 1
    assert sides.tree("grouped") == {"b-1": "1\n"}


def test_groups_with_many_files_are_handed_out_a_few_at_once(
    sides: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasing, "LEASE_FILES", 5)
    files = {f"{group}-{n}": f"{n}" for group in "abcdefgh" for n in range(3)}
    sides.put("left", files | {f"z-{n}": "" for n in range(7)})
    group = {"group": GROUP["group"][:1]}
    script = "ls /pfs/left | wc -l > /pfs/out/$PACH_DATUM_left_GROUP_BY"
    sides.engine.pipelines.create_pipeline(spec("grouped", group, script, datum_tries=1))

    job = sides.job("grouped")

    assert job.state is JobState.SUCCESS, job.reason
    assert {path: int(text) for path, text in sides.tree("grouped").items()} == {
        "z": 7,
        **dict.fromkeys("abcdefgh", 3),
    }


# --- names that are shared ------------------------------------------------------------------------


def shared(glob: str = "/(*)") -> dict[str, Any]:
    return {"group": [pfs(r, glob, name="in", group_by="all") for r in ("left", "right")]}


def test_inputs_of_one_name_are_found_in_one_directory(sides: Any) -> None:
    script = "ls /pfs/in > /pfs/out/all; basename $in > /pfs/out/last; ln -s /pfs/in /pfs/out/in"
    sides.engine.pipelines.create_pipeline(spec("grouped", shared(), script))

    job = sides.job("grouped")

    assert job.state is JobState.SUCCESS, job.reason
    tree = sides.tree("grouped")
    assert tree.pop("all").split() == ["a", "a-1", "a-2", "b-1", "c"]
    assert tree.pop("last") == "c\n"
    assert tree == {
        "in/a": "A", "in/a-1": "one", "in/a-2": "two", "in/b-1": "three", "in/c": "C",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("left", "right", "path"),
    [
        ({"x": "1"}, {"x": "1"}, "x"),
        ({"x/y": "1"}, {"x": "1"}, "x"),
        ({"x": "1"}, {"x/y": "1"}, "x"),
        ({"d/x": "1"}, {"d/x": "2"}, "d/x"),
    ],
)
def test_two_repos_that_give_one_path_under_one_name_fail_the_datum(
    left: dict[str, str], right: dict[str, str], path: str, sides: Any
) -> None:
    sides.put("left", left)
    sides.put("right", right)
    sides.engine.pipelines.create_pipeline(spec("grouped", shared("/[xd]"), "true", datum_tries=1))

    job = sides.job("grouped")

    assert job.state is JobState.FAILURE
    heads = [f"{repo}@{sides.head(repo)}" for repo in ("left", "right")]
    assert (
        f"'/pfs/in/{path}' would come from {heads[0]} and from {heads[1]}: give the inputs "
        "different names"
    ) in job.reason


def test_a_directory_and_files_in_it_may_be_in_one_group(sides: Any) -> None:
    sides.put("left", {"d/x": "1", "d/e/y": "2"})
    source = {"group": [pfs("left", "/d**", name="in", group_by="all")]}
    script = "cd /pfs/in; find d -type f | sort | xargs cat > /pfs/out/all"
    sides.engine.pipelines.create_pipeline(spec("grouped", source, script))

    job = sides.job("grouped")

    assert job.state is JobState.SUCCESS, job.reason
    [datum] = sides.engine.datums.list_datums(f"grouped@{job.id}")
    assert [given.path for given in datum.inputs] == ["d", "d/e", "d/e/y", "d/x"]
    assert sides.tree("grouped") == {"all": "21"}


def test_two_repos_may_give_files_in_one_directory(sides: Any) -> None:
    sides.put("left", {"d/x": "1"})
    sides.put("right", {"d/y": "2"})
    script = "cat /pfs/in/d/x /pfs/in/d/y > /pfs/out/both"
    sides.engine.pipelines.create_pipeline(spec("grouped", shared("/d"), script))

    assert sides.job("grouped").state is JobState.SUCCESS
    assert sides.tree("grouped") == {"both": "12"}


def test_a_join_of_too_many_combinations_is_refused_before_it_is_made(sides: Any) -> None:
    sides.put("left", {f"{n}": "" for n in range(3997)})
    members = [pfs("left", "/*", name=name, join_on="all") for name in ("one", "other")]

    with pytest.raises(TooManyDatums, match="16,000,000 datums"):
        sides.engine.pipelines.create_pipeline(spec("joined", {"join": members}, "true"))


def test_what_a_purge_erased_is_not_told_by_a_key_either(sides: Any) -> None:
    sides.put("left", {"janedoe-1": "x"})
    script = "true; : a key is a part of a path"
    sides.engine.pipelines.create_pipeline(spec("grouped", GROUP, script))
    assert sides.job("grouped").state is JobState.SUCCESS

    report = sides.engine.purges.purge(["left:/j*"], forget_names=True)

    assert report.state == "done"
    assert places_of(sides.home, "janedoe") == []


# --- increments -----------------------------------------------------------------------------------

LEFT = st.sampled_from(["a-1", "a-2", "b-1", "c-1"])
RIGHT = st.sampled_from(["a", "b", "c"])
WORDS = st.sampled_from(["one", "two", "three"])


def joined(left: dict[str, str], right: dict[str, str]) -> dict[str, str]:
    return {
        f"{one}_{other}": f"{left[one]} {right[other]} {other} {other}\n"
        for one in left
        for other in right
        if one.split("-")[0] == other
    }


def grouped(left: dict[str, str], right: dict[str, str]) -> dict[str, str]:
    lines: dict[str, list[str]] = {}
    for side, files in (("left", left), ("right", right)):
        for path in sorted(files):
            lines.setdefault(path.split("-")[0], []).append(f"./{side}/{path} {files[path]}\n")
    return {key: "".join(of_key) for key, of_key in lines.items()}


class Edits(RuleBasedStateMachine):
    """Random edits of two repos with a join and a group below them, against two dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="trunkline-test-"))
        self.engine = Engine(load(home=self.place))
        self.model: dict[str, dict[str, str]] = {"left": {}, "right": {}}
        self.fresh = 0

    @initialize()
    def create(self) -> None:
        for repo in self.model:
            self.engine.repos.create_repo(repo)
        self._create("joined", JOIN, JOINED)
        self._create("grouped", GROUP, GROUPED)

    @rule(path=LEFT, text=WORDS)
    def put_left(self, path: str, text: str) -> None:
        self._put("left", path, text)

    @rule(path=RIGHT, text=WORDS)
    def put_right(self, path: str, text: str) -> None:
        self._put("right", path, text)

    @precondition(lambda self: any(self.model.values()))
    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        repo, path = data.draw(st.sampled_from([(r, p) for r in self.model for p in self.model[r]]))
        del self.model[repo][path]
        self.engine.files.modify_files(repo, "master", [DeleteFile(path=path)])

    @precondition(lambda self: all(self.model.values()))
    @rule()
    def outputs_are_those_of_a_run_from_scratch(self) -> None:
        expected = {"joined": joined(**self.model), "grouped": grouped(**self.model)}
        for name, source, script in (("joined", JOIN, JOINED), ("grouped", GROUP, GROUPED)):
            self.fresh += 1
            again = f"again{self.fresh}"
            self._create(again, source, script)
            assert self._output(name) == self._output(again) == expected[name]
            self.engine.pipelines.delete_pipeline(again)

    def teardown(self) -> None:
        try:
            if all(self.model.values()):
                self.outputs_are_those_of_a_run_from_scratch()
        finally:
            self.engine.close()
            shutil.rmtree(self.place)

    def _create(self, name: str, source: dict[str, Any], script: str) -> None:
        self.engine.pipelines.create_pipeline(
            spec(name, source, script, parallelism_spec={"constant": 2})
        )

    def _put(self, repo: str, path: str, text: str) -> None:
        self.model[repo][path] = text
        change = PutFile(path=path, content=[text.encode()])
        self.engine.files.modify_files(repo, "master", [change])

    def _output(self, name: str) -> dict[str, str]:
        [job] = self.engine.jobs.list_jobs(pipeline=name, number=1)
        job = self.engine.jobs.inspect_job(f"{name}@{job.id}", wait=True, timeout_s=60)
        assert job.state is JobState.SUCCESS, job.reason
        return {
            info.path: b"".join(self.engine.files.read_file(name, "master", info.path)).decode()
            for info in self.engine.files.list_files(name, "master", "/", recursive=True)
        }


TestEdits = Edits.TestCase
TestEdits.settings = settings(
    max_examples=max(4, settings.default.max_examples // 12),
    stateful_step_count=12,
    suppress_health_check=list(HealthCheck),
)
