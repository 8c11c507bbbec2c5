"""A job's plan is made from that of the last good job, and is the plan that would be made anew."""

from collections.abc import Callable
from typing import Any

import pytest
from composed import composed, named
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.conftest import Driver

from trunkline.api.changes import DeleteFile, FileChange, PutFile
from trunkline.jobs import plan, plan_writer, planning, replanning
from trunkline.jobs.plan_writer import Plan
from trunkline.jobs.segments import PlannedDatum, segment_in_job
from trunkline.model.jobs import DatumState, JobState
from trunkline.pipelines import datums, lifecycle, places
from trunkline.store.chunks import ChunkId

COPY = "cp -r /pfs/data/* /pfs/out/"
EDITS = st.lists(
    st.tuples(
        st.dictionaries(st.integers(0, 30), st.sampled_from(["x", "y", "z"]), max_size=5),
        st.sets(st.integers(0, 30), max_size=4),
    ),
    min_size=1,
    max_size=6,
)


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pipelines of the plans that were made anew; segments have few datums."""
    monkeypatch.setattr(plan, "SEGMENT_DATUMS", 3)
    monkeypatch.setattr(replanning, "SEGMENT_DATUMS", 3)
    made: list[str] = []
    real = planning._plan_anew
    monkeypatch.setattr(
        planning,
        "_plan_anew",
        lambda *args, **more: made.append(args[2].name) or real(*args, **more),
    )
    return made


def states(driver: Driver, pipeline: str) -> dict[str, tuple[DatumState, str]]:
    """Path → state and commit of all datums of the newest job."""
    job = driver.job(pipeline)
    assert job.state is JobState.SUCCESS, job.reason
    return {
        source.path: (info.state, source.commit)
        for info in driver.engine.datums.list_datums(f"{pipeline}@{job.id}")
        for source in info.inputs
    }


def name(number: int) -> str:
    return f"f{number:02}" if number % 3 else f"d{number:02}/inside"


def shown(path: str) -> str:
    return path.split("/")[0]


def test_only_the_first_plan_is_made_anew(engine: Driver, anew: list[str]) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {name(n): "old\n" for n in range(20)})
    engine.pipeline("copy", COPY)
    engine.job("copy")

    engine.put("data", {name(7): "new\n", name(20): "more\n"})
    engine.delete("data", name(3))
    found = states(engine, "copy")

    assert anew == ["copy"]
    head = engine.head("data")
    assert {commit for _, commit in found.values()} == {head}
    assert sorted(found) == sorted(shown(name(n)) for n in range(21) if n != 3)
    assert {state for state, _ in found.values()} == {DatumState.SKIPPED}
    assert engine.tree("copy") == engine.tree("data")


def test_a_commit_that_the_glob_does_not_see_takes_the_whole_plan_over(
    engine: Driver, anew: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {f"seen/{name(n)}": "old\n" for n in range(20)})
    engine.pipeline("copy", "cp -r /pfs/data/seen/* /pfs/out/", glob="/seen/*")
    engine.job("copy")
    stored: list[bytes] = []
    monkeypatch.setattr(
        "trunkline.jobs.plan_writer.encode_segment", lambda datums: stored.append(datums)
    )

    engine.put("data", {"unseen/x": "new\n"})
    found = states(engine, "copy")

    assert (anew, stored) == (["copy"], [])
    assert len(found) == 20
    assert {state for state, _ in found.values()} == {DatumState.SKIPPED}
    job = engine.job("copy")
    assert (job.processed, job.skipped, job.total) == (0, 20, 20)


@pytest.mark.parametrize("why", ["code", "glob", "recovered", "reprocess"])
def test_a_plan_that_can_not_be_gone_on_from_is_made_anew(
    engine: Driver, anew: list[str], why: str
) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "old\n", "b": "old\n"})
    script = {"recovered": "grep -q old /pfs/data/a && exit 1; " + COPY}.get(why, COPY)
    more = {"transform": {"err_cmd": ["true"]}, "datum_tries": 1} if why == "recovered" else {}
    if why == "reprocess":
        more = {"reprocess_spec": "every_job"}
    engine.pipeline("copy", script, **more)
    engine.job("copy")
    anew.clear()

    if why == "code":
        engine.pipeline("copy", COPY + "; true", update=True)
    elif why == "glob":
        engine.pipeline("copy", COPY, glob="/{a,b,c}", update=True)
    else:
        engine.put("data", {"b": "new\n"})
    engine.job("copy")

    assert anew == ["copy"]
    assert engine.tree("copy")["b"] == engine.tree("data")["b"]


@given(edits=EDITS)
@settings(
    max_examples=max(5, settings.default.max_examples // 8),
    suppress_health_check=list(HealthCheck),
)
def test_any_edits_give_the_datums_and_the_output_of_a_run_from_scratch(
    edits: list[tuple[dict[int, str], set[int]]],
    open_engine: Callable[..., Driver],
    tmp_path_factory: pytest.TempPathFactory,
    anew: list[str],
) -> None:
    driver = open_engine(tmp_path_factory.mktemp("edits") / "home")
    driver.engine.repos.create_repo("data")
    driver.put("data", {name(n): "old" for n in range(0, 30, 2)})
    driver.pipeline("copy", COPY)
    driver.job("copy")
    for puts, gone in edits:
        driver.put("data", {name(n): text for n, text in puts.items()})
        there = driver.tree("data").keys() & {name(n) for n in gone}
        if there:
            driver.delete("data", *there)

        found = states(driver, "copy")

        tree = driver.tree("data")
        assert found.keys() == {shown(path) for path in tree}
        assert {commit for _, commit in found.values()} <= {driver.head("data")}
        assert driver.tree("copy") == tree
    driver.pipeline("scratch", COPY)
    driver.job("scratch")
    roots = {driver.engine.files.inspect_file(p, "master", "/").digest for p in ("copy", "scratch")}
    assert len(roots) == 1
    assert driver.engine.admin.fsck().damages == ()


# --- inputs of several inputs ---------------------------------------------------------------------

Compared = tuple[list[PlannedDatum], list[PlannedDatum]]
REPOS = ("one", "two", "three")
LEAVES = st.fixed_dictionaries(
    {"repo": st.sampled_from(REPOS), "glob": st.sampled_from(["/", "/*", "/a*", "/*/*", "/**"])}
).map(lambda leaf: {"pfs": leaf})
KEYED_LEAVES = st.fixed_dictionaries(
    {
        "repo": st.sampled_from(REPOS),
        "glob": st.sampled_from(["/(?)*", "/(*)", "/(*)/(*)", "/*(?)", "/(a|b)**"]),
        "outer_join": st.booleans(),
        "join_on": st.just("$1"),
        "group_by": st.sampled_from(["$1", "k$1"]),
    }
).map(lambda leaf: {"pfs": leaf})
MATCHED = st.builds(
    lambda kind, members: {kind: members},
    st.sampled_from(["join", "join", "group"]),
    st.lists(composed(KEYED_LEAVES, ["union"], max_leaves=2), min_size=1, max_size=3),
)
INPUTS = st.one_of(
    composed(LEAVES, ["cross", "union"], max_leaves=3),
    MATCHED,
    composed(st.one_of(MATCHED, LEAVES), ["cross", "union"], max_leaves=2),
)
# To have, or (None) not to: what is a file in one commit may be a directory in the next.
PATHS = st.sampled_from(["a", "a/x", "a/y", "ab", "b", "b/x", "c", "c/x/y"])
COMMITS = st.lists(
    st.tuples(
        st.sampled_from(REPOS),
        st.dictionaries(PATHS, st.sampled_from(["x", "y", None]), min_size=1, max_size=3),
        st.one_of(st.none(), st.none(), st.none(), INPUTS),
    ),
    min_size=2,
    max_size=6,
)


def edit(driver: Driver, repo: str, edits: dict[str, str | None]) -> None:
    """One commit that leaves a tree in which no file is below another one."""
    there = set(driver.tree(repo)) if driver.head(repo) else set()
    puts = {path: text for path, text in edits.items() if text is not None}
    for path in list(puts):
        if any(other.startswith(f"{path}/") for other in puts):
            del puts[path]
    in_the_way = {
        old
        for old in there
        for new in puts
        if old.startswith(f"{new}/") or new.startswith(f"{old}/")
    }
    gone = (in_the_way | (edits.keys() - puts.keys()) & there) - puts.keys()
    changes: list[FileChange] = [DeleteFile(path=path) for path in sorted(gone)]
    changes += [PutFile(path=path, content=[text.encode()]) for path, text in puts.items()]
    driver.engine.files.modify_files(repo, "master", changes)


@pytest.fixture
def compared(anew: list[str], monkeypatch: pytest.MonkeyPatch) -> list[Compared | None]:
    """For each plan: its datums and those that it would have made anew; None where it was."""
    plans: list[Compared | None] = []

    def both(*asked: Any, datums_max: int) -> Plan | None:
        database, trees, _, record, heads = asked
        made = replanning.replan(*asked, datums_max=datums_max)
        if made is None:
            plans.append(None)
            return None
        sources = {branch.repo: head for branch, head in heads.items() if head is not None}
        found = [
            one
            for segment in made.segments
            for one in segment_in_job(
                trees.chunks.get(ChunkId(segment.chunk)),
                fresh=segment.fresh,
                sources=sources,
            )
        ]
        expected = [
            one
            for segment in planning.planned_segments(
                *(database, trees, lifecycle.spec_of(record), dict(heads)),
                salt=record.salt,
                datums_max=datums_max,
            )
            for one in segment.datums
        ]
        assert (made.total, made.fresh) == (len(found), sum(one.fresh for one in found))
        plans.append((found, expected))
        return made

    monkeypatch.setattr(planning, "replan", both)
    return plans


@given(document=INPUTS, shared=st.booleans(), edits=COMMITS)
@settings(
    max_examples=max(5, settings.default.max_examples // 4),
    suppress_health_check=list(HealthCheck),
)
def test_any_edits_give_any_input_the_plans_that_are_made_anew(
    document: dict[str, Any],
    shared: bool,
    edits: list[tuple[str, dict[str, str | None], dict[str, Any] | None]],
    open_engine: Callable[..., Driver],
    tmp_path_factory: pytest.TempPathFactory,
    compared: list[Compared | None],
) -> None:
    driver = open_engine(tmp_path_factory.mktemp("edits") / "home")
    for repo in REPOS:
        driver.engine.repos.create_repo(repo)
        driver.put(repo, {"a": "x", "b/x": "y", "c/x/y": "x"})
    print_paths = "env | grep ^i[0-9] | sort > /pfs/out/$TRUNKLINE_DATUM_ID"
    named(document, shared, [])
    driver.pipeline("copy", print_paths, input=document)
    assert driver.job("copy").state is JobState.SUCCESS
    for repo, edited, other in edits:
        if other is not None:
            named(other, shared, [])
            driver.pipeline("copy", print_paths, update=True, input=other)
        edit(driver, repo, edited)
        job = driver.job("copy")
        assert job.state is JobState.SUCCESS, job.reason
    plans = list(compared)
    compared.clear()
    assert all(one is None or one[0] == one[1] for one in plans)
    assert driver.engine.admin.fsck().damages == ()


def test_a_commit_to_one_side_of_a_cross_is_planned_by_changes(
    engine: Driver, compared: list[Compared | None]
) -> None:
    engine.engine.repos.create_repo("model")
    engine.engine.repos.create_repo("data")
    engine.put("model", {"m": "1\n"})
    engine.put("data", {f"f{n:02}": "old\n" for n in range(20)})
    sides = [{"pfs": {"repo": "model", "glob": "/"}}, {"pfs": {"repo": "data", "glob": "/*"}}]
    engine.pipeline("apply", "cp $data /pfs/out/", input={"cross": sides})
    engine.job("apply")

    engine.put("data", {"f07": "new\n", "f20": "more\n"})
    engine.delete("data", "f03")
    job = engine.job("apply")

    assert [one is None for one in compared] == [True, False, False]
    assert (job.state, job.total, job.processed) == (JobState.SUCCESS, 20, 0)
    listed = list(engine.engine.datums.list_datums(f"apply@{job.id}"))
    head = {"model": engine.head("model"), "data": engine.head("data")}
    assert {(file.repo, file.commit) for info in listed for file in info.inputs} == {*head.items()}
    assert engine.tree("apply") == engine.tree("data")

    engine.put("model", {"m": "2\n"})
    job = engine.job("apply")
    assert (job.state, job.processed) == (JobState.SUCCESS, 20)


KEYED = {"glob": "/(*).txt", "join_on": "$1", "group_by": "$1"}


@pytest.mark.parametrize("kind", ["join", "group", "union"])
def test_a_commit_that_no_member_sees_takes_the_plan_of_any_input_over(
    engine: Driver, compared: list[Compared | None], kind: str
) -> None:
    for repo in ("one", "two"):
        engine.engine.repos.create_repo(repo)
        engine.put(repo, {f"{n}.txt": f"{n} {n % 3 or repo}\n" for n in range(10)})
    name = {"name": "same"} if kind == "union" else {}  # one of equal files of both is left out
    members = [{"pfs": {"repo": repo, **KEYED, **name}} for repo in ("one", "two")]
    engine.pipeline("match", "true", input={kind: members})
    first = engine.job("match")

    engine.put("two", {"seen by nobody": "new\n"})
    job = engine.job("match")
    engine.put("two", {"3.txt": "new\n"})
    last = engine.job("match")

    assert (first.state, job.state, last.state) == (JobState.SUCCESS,) * 3
    anew, by_changes, seen = compared
    assert anew is None
    assert by_changes is not None
    assert by_changes[0] == by_changes[1]
    assert (seen is None) == (kind == "union")
    assert (job.total, job.processed) == (first.total, 0)
    assert last.processed == 1
    listed = list(engine.engine.datums.list_datums(f"match@{job.id}"))
    assert {file.repo for info in listed for file in info.inputs} == {"one", "two"}
    assert engine.engine.admin.fsck().damages == ()


@pytest.fixture
def pairs(engine: Driver) -> Driver:
    """`match` joins the files of one and two by name, those of one also alone."""
    for repo in ("one", "two"):
        engine.engine.repos.create_repo(repo)
        engine.put(repo, {f"{n:02}.txt": f"{repo} {n}\n" for n in range(20)})
    sides = [{"pfs": {"repo": repo, **KEYED}} for repo in ("one", "two")]
    sides[0]["pfs"]["outer_join"] = True
    script = "for f in $one $two; do echo $f; done > /pfs/out/$TRUNKLINE_DATUM_ID"
    engine.pipeline("match", script, input={"join": sides})
    assert engine.job("match").total == 20
    return engine


def test_a_partner_that_goes_and_comes_makes_another_datum_of_an_outer_join(
    pairs: Driver, compared: list[Compared | None]
) -> None:
    pairs.delete("two", "07.txt")
    alone = pairs.job("match")
    pairs.put("two", {"07.txt": "new\n"})
    together = pairs.job("match")
    pairs.delete("one", "07.txt")
    gone = pairs.job("match")

    assert [job.state for job in (alone, together, gone)] == [JobState.SUCCESS] * 3
    assert [(job.total, job.processed) for job in (alone, together, gone)] == [
        (20, 1),
        (20, 1),
        (19, 0),
    ]
    assert all(one is not None and one[0] == one[1] for one in compared)
    assert len(compared) == 3


def test_datums_of_one_key_are_replaced_in_all_segments_that_have_some(
    engine: Driver, compared: list[Compared | None]
) -> None:
    for repo in ("one", "two"):
        engine.engine.repos.create_repo(repo)
        engine.put(repo, {f"{key}-{n}": f"{repo}\n" for key in "abc" for n in range(4)})
    leaf = {"glob": "/(*)-*", "join_on": "$1"}
    sides = [{"pfs": {"repo": repo, **leaf}} for repo in ("one", "two")]
    engine.pipeline("match", "true", input={"join": sides})
    first = engine.job("match")

    engine.delete("one", "b-0", "b-1")
    engine.put("two", {"b-0": "new\n"})
    job = engine.job("match")

    assert (first.total, job.total) == (3 * 16, 2 * 16 + 2 * 4)
    assert job.processed == 2
    assert [one is not None and one[0] == one[1] for one in compared] == [False, True, True]


def test_a_file_without_a_partner_takes_the_whole_plan_over(
    engine: Driver, compared: list[Compared | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for repo, number in (("one", 20), ("two", 10)):
        engine.engine.repos.create_repo(repo)
        engine.put(repo, {f"{n:02}.txt": f"{n}\n" for n in range(number)})
    sides = [{"pfs": {"repo": repo, **KEYED}} for repo in ("one", "two")]
    engine.pipeline("match", "true", input={"join": sides})
    engine.job("match")
    stored: list[bytes] = []
    monkeypatch.setattr(
        "trunkline.jobs.plan_writer.encode_segment", lambda datums: stored.append(datums)
    )

    engine.put("one", {"17.txt": "new\n"})
    job = engine.job("match")

    assert (job.state, job.total, job.processed) == (JobState.SUCCESS, 10, 0)
    assert not stored
    assert compared[1] is not None
    assert compared[1][0] == compared[1][1]


def gather(engine: Driver) -> None:
    """A pipeline with a group for each directory, whose first job has ended."""
    leaf = {"repo": "data", "glob": "/(*)/*", "group_by": "$1"}
    engine.pipeline("gather", "true", input={"group": [{"pfs": leaf}]})
    engine.job("gather")


def test_groups_of_many_files_go_on_in_segments_of_their_own(
    engine: Driver, compared: list[Compared | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "SEGMENT_FILES", 10)
    monkeypatch.setattr(replanning, "SEGMENT_FILES", 10)
    engine.engine.repos.create_repo("data")
    sizes = {f"k{n:02}": 15 if n % 3 == 0 else 4 for n in range(30)}
    engine.put("data", {f"{key}/{n:02}": "x\n" for key, size in sizes.items() for n in range(size)})
    gather(engine)
    lengths: list[list[int]] = []
    real = plan_writer.encode_segment
    monkeypatch.setattr(
        plan_writer,
        "encode_segment",
        lambda ones: lengths.append([one.file_count for one in ones]) or real(ones),
    )

    engine.put("data", {f"k07/{n:02}": "x\n" for n in range(4, 20)} | {"k06a/1": "x\n"})
    job = engine.job("gather")

    assert (job.state, job.total, job.processed) == (JobState.SUCCESS, 31, 2)
    assert [one is not None and one[0] == one[1] for one in compared] == [False, True]
    assert [20] in lengths
    assert all(len(one) == 1 or sum(one) <= 10 for one in lengths)


def test_a_group_that_comes_with_more_files_than_there_are_groups_is_planned_by_changes(
    engine: Driver, compared: list[Compared | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replanning, "_DIFFERING_LEAST", 8)
    engine.engine.repos.create_repo("data")
    engine.put("data", {f"{key}/{n:02}": "x\n" for key in "abcd" for n in range(20)})
    gather(engine)

    engine.put("data", {f"bb/{n:02}": "x\n" for n in range(20)})
    job = engine.job("gather")

    assert (job.state, job.total, job.processed) == (JobState.SUCCESS, 5, 1)
    assert [one is not None and one[0] == one[1] for one in compared] == [False, True]


def test_a_group_that_gets_too_many_files_fails_as_if_it_was_planned_anew(
    engine: Driver, compared: list[Compared | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (datums, places):
        monkeypatch.setattr(room, "DATUM_FILES_MAX", 10)
    engine.engine.repos.create_repo("data")
    engine.put("data", {f"{key}/{n}": "x\n" for key in "abc" for n in range(8)})
    gather(engine)

    engine.put("data", {f"b/{n}": "x\n" for n in range(11)})
    job = engine.job("gather")

    assert job.state is JobState.FAILURE
    assert "the group with the key 'b'" in job.reason
    assert compared == [None, None]
