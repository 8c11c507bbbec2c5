"""Datums of `incremental` pipelines go on from what they wrote the last time."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.errors import InvalidInput
from trunkline.model.jobs import JobInfo, JobState

# Adds the numbers that it is given to the sum that it finds; notes what it was given.
SUM = """
sum=$(cat /pfs/out/sum 2>/dev/null || echo 0)
for file in $(find /pfs/data -type f | sort); do sum=$((sum + $(cat $file))); done
echo $sum > /pfs/out/sum
find /pfs/data -type f | sort | xargs -rn1 basename | tr '\\n' ' ' > /pfs/out/seen
"""


@pytest.fixture(params=["namespace", "rewrite"])
def data(request, open_engine):
    driver = open_engine(TRUNKLINE_ISOLATION=request.param)
    driver.engine.repos.create_repo("data")
    driver.put("data", {"x/a": "1\n", "x/b": "2\n"})
    return driver


def summing(data: Any, script: str = SUM, glob: str = "/*", **more: Any) -> JobInfo:
    data.pipeline("made", script, glob=glob, **{"incremental": True, **more})
    job: JobInfo = data.job("made")
    return job


def sees(data: Any) -> tuple[str, str]:
    """The sum, and which files the last run was given."""
    assert data.job("made").state is JobState.SUCCESS
    return data.read("made", "sum").strip(), data.read("made", "seen").strip()


def test_a_datum_finds_its_output_and_only_what_was_added(data) -> None:
    summing(data)
    first = sees(data)
    data.put("data", {"x/c": "3\n", "x/deep/d": "4\n"})

    assert first == ("3", "a b")
    assert sees(data) == ("10", "c d")
    job = data.job("made")
    assert (job.processed, job.skipped) == (1, 0)


def test_what_was_downloaded_is_the_addition_and_the_earlier_output(data) -> None:
    data.put("data", {"x/large": f"{'0' * 100_000}7\n"})
    data.pipeline("made", "cat /pfs/data/x/* | wc -c >> /pfs/out/sizes", glob="/*",
                  incremental=True)  # fmt: skip
    data.job("made")
    data.put("data", {"x/c": "3\n"})

    assert data.job("made").downloaded_bytes == 2 + len("100006\n")
    assert data.tree("made") == {"sizes": "100006\n2\n"}


@pytest.mark.parametrize("change", ["changed", "removed"])
def test_it_begins_anew_with_everything_where_something_was_changed_or_removed(
    data, change
) -> None:
    summing(data)
    sees(data)

    if change == "changed":
        data.put("data", {"x/a": "10\n", "x/c": "3\n"})
        assert sees(data) == ("15", "a b c")
    else:
        data.delete("data", "x/a")
        assert sees(data) == ("2", "b")


def test_new_code_and_reprocessing_begin_anew(data) -> None:
    summing(data)
    summing(data, SUM + "\n: # changed", update=True)
    changed = sees(data)
    summing(data, SUM + "\n: # changed", update=True, reprocess=True)

    assert changed == ("3", "a b")
    assert sees(data) == ("3", "a b")


def test_making_a_pipeline_incremental_is_a_change_of_its_code(data) -> None:
    summing(data, incremental=False)

    job = summing(data, update=True)

    assert (job.processed, job.skipped) == (1, 0)
    assert sees(data) == ("3", "a b")


def test_every_job_anew_means_from_the_beginning(data) -> None:
    summing(data, reprocess_spec="every_job")
    data.put("data", {"x/c": "3\n"})

    assert sees(data) == ("6", "a b c")


def test_each_datum_goes_on_by_itself_and_one_that_is_the_same_is_skipped(data) -> None:
    script = "d=/pfs/out/$(basename $data); mkdir -p $d; find $data -type f | wc -l >> $d/counts"
    data.pipeline("made", script, incremental=True)
    data.put("data", {"y/a": "5\n"})
    data.job("made")
    data.put("data", {"x/c": "3\n"})

    job = data.job("made")

    assert (job.state, job.processed, job.skipped) == (JobState.SUCCESS, 1, 1)
    assert data.tree("made") == {"x/counts": "2\n1\n", "y/counts": "1\n"}


def test_a_failed_job_is_not_what_the_next_one_goes_on_from(data) -> None:
    summing(data, SUM + "\n[ ! -e /pfs/data/x/bad ]", datum_tries=2)
    data.put("data", {"x/bad": "1000\n"})
    failed = data.job("made")
    data.delete("data", "x/bad")
    data.put("data", {"x/c": "3\n"})

    assert failed.state is JobState.FAILURE
    assert sees(data) == ("6", "c")


def test_it_goes_on_after_a_restart_of_the_server(data, open_engine) -> None:
    summing(data)
    data.engine.close()
    again = open_engine(home=data.home)
    again.put("data", {"x/c": "3\n"})

    assert sees(again) == ("6", "c")


def test_what_dies_at_work_begins_once_more_from_the_same_output(
    data, open_engine, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    summing(data, f"{SUM}\nuntil [ ! -e {gate} ]; do sleep 0.02; done")
    gate.touch()
    data.put("data", {"x/c": "3\n"})

    def at_work(driver: Any) -> int:
        """The process of the worker that has the datum."""
        deadline = time.monotonic() + 60
        while not (busy := [w.pid for w in driver.engine.jobs.list_workers() if w.datum]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return int(busy[0])

    os.kill(at_work(data), signal.SIGKILL)
    at_work(data)
    data.engine.close()
    again = open_engine(home=data.home)
    at_work(again)
    gate.unlink()

    assert sees(again) == ("6", "c")


def test_it_begins_anew_where_its_last_job_is_gone(data) -> None:
    job = summing(data)
    data.engine.jobs.delete_job(f"made@{job.id}")
    data.put("data", {"x/c": "3\n"})

    assert sees(data) == ("6", "a b c")


def test_lazy_inputs_have_pipes_for_what_was_added(data) -> None:
    script = "find /pfs/data -type p | wc -l >> /pfs/out/pipes"
    source = {"pfs": {"repo": "data", "glob": "/*", "lazy": True}}
    data.pipeline("made", script, input=source, incremental=True)
    data.job("made")
    data.put("data", {"x/c": "3\n"})

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {"pipes": "2\n1\n"}


def test_inputs_with_shared_provenance_are_refused(data) -> None:
    data.pipeline("one", "cp -r $data /pfs/out/")
    source = {"cross": [{"pfs": {"repo": repo, "glob": "/"}} for repo in ("one", "data")]}

    with pytest.raises(InvalidInput) as refused:
        data.pipeline("made", "true", input=source, incremental=True)

    assert str(refused.value) == (
        "pipeline 'made' can't be incremental: its inputs one@master and data@master both have "
        "data@master in their provenance, so what is new in one goes with what the other had "
        "before; leave out `incremental`"
    )


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "delete", "rerun"]),
        st.sampled_from(["x/a", "x/b", "x/c/d", "y/a", "y/b"]),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits=EDITS)
def test_sums_are_those_of_a_plain_model_after_any_edits(open_engine, tmp_path_factory, edits):
    data = open_engine(home=tmp_path_factory.mktemp("home"))
    data.engine.repos.create_repo("data")
    script = SUM.replace("/pfs/data", "$data").replace("/pfs/out/", "/pfs/out/$(basename $data).")
    data.put("data", {"x/first": "100\n"})
    data.pipeline("made", script, incremental=True)
    model = {"x/first": 100}
    data.job("made")
    for kind, path, number in edits:
        if kind == "put":
            data.put("data", {path: f"{number}\n"})
            model[path] = number
        elif kind == "delete" and path in model:
            data.delete("data", path)
            del model[path]
        elif kind == "rerun":
            data.engine.pipelines.rerun_pipeline("made")
        assert data.job("made").state is JobState.SUCCESS
        sums: dict[str, int] = {}
        for place, value in model.items():
            folder = place.partition("/")[0]
            sums[f"{folder}.sum"] = sums.get(f"{folder}.sum", 0) + value
        found = data.tree("made")
        assert {name: int(text) for name, text in found.items() if "sum" in name} == sums
    data.engine.close()
