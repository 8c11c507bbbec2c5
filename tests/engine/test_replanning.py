"""A job's plan is made from that of the last good job, and is the plan that would be made anew."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.conftest import Driver

from trunkline.jobs import plan, planning, replanning
from trunkline.model.jobs import DatumState, JobState

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
