"""Lists of jobs and datums by state, text and page, and what is told of how a job went."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from engine_state import open_engine
from tests.engine.conftest import Driver

from trunkline.db.sqlite import SqliteTransaction
from trunkline.engine.engine import Engine
from trunkline.errors import InvalidInput, JobNotFound
from trunkline.model.jobs import DatumInfo, DatumState, JobState

FILES = 30
# Every tenth fails, and says so in words that differ in a number.
SCRIPT = """
    n=$(basename $data)
    case $n in *5) echo "flower $n has no petals" >&2; exit 3;; esac
    cp $data /pfs/out/
"""


@dataclass(frozen=True)
class Data:
    """A pipeline of three jobs, the first and third of which succeeded."""

    engine: Engine
    first: str
    failed: str
    third: str


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Data]:
    """In segments of 7 datums, so that pages and segments differ."""
    home = tmp_path_factory.mktemp("lists") / "home"
    engine = open_engine(home)
    driver = Driver(engine, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trunkline.jobs.plan.SEGMENT_DATUMS", 7)
        engine.repos.create_repo("data")
        driver.put("data", {f"{n:02}": str(n) for n in range(FILES) if n % 10 != 5})
        driver.pipeline("made", SCRIPT, datum_tries=1)
        first = driver.job("made")
        driver.put("data", {f"{n:02}": str(n) for n in (5, 15, 25)} | {"00": "new"})
        failed = driver.job("made")
        driver.delete("data", "05", "15", "25")
        third = driver.job("made")
    states = [job.state for job in (first, failed, third)]
    assert states == [JobState.SUCCESS, JobState.FAILURE, JobState.SUCCESS]
    yield Data(engine, *(f"made@{job.id}" for job in (first, failed, third)))
    engine.close()


def paged(data: Data, size: int, **which: Any) -> list[DatumInfo]:
    """All datums of the job that failed, page by page."""
    found: list[DatumInfo] = []
    page = 0
    while True:
        listed = list(
            data.engine.datums.list_datums(data.failed, page=page, page_size=size, **which)
        )
        found += listed
        if len(listed) < size:
            return found
        page += 1


def paths(found: list[DatumInfo]) -> list[str]:
    return [info.inputs[0].path for info in found]


@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_pages_have_each_datum_once_and_failed_ones_first(data: Data, size: int) -> None:
    found = paged(data, size)

    rest = [f"{n:02}" for n in range(FILES) if n % 10 != 5]
    assert paths(found) == ["05", "15", "25", *rest]


@pytest.mark.parametrize("size", [1, 4, 100])
def test_datums_are_listed_by_their_states(data: Data, size: int) -> None:
    failed = paged(data, size, states=["failed"])
    ran = paged(data, size, states=["success"])
    skipped = paged(data, size, states=["skipped"])
    both = paged(data, size, states=["success", "failed"])

    assert paths(failed) == ["05", "15", "25"]
    assert paths(ran) == ["00"]
    assert len(skipped) == FILES - 4
    assert {info.state for info in skipped} == {DatumState.SKIPPED}
    assert paths(both) == ["05", "15", "25", "00"]
    assert paged(data, size, states=["starting", "recovered"]) == []


def test_datums_are_found_by_a_part_of_a_path_and_by_their_id(data: Data) -> None:
    [one] = paged(data, 10, text="17")

    assert paths(paged(data, 3, text="/2")) == ["25", *(f"2{n}" for n in range(10) if n != 5)]
    assert paths(paged(data, 10, text=one.id[:20])) == ["17"]
    assert paths(paged(data, 10, text="2", states=["failed"])) == ["25"]
    assert paged(data, 10, text="no such") == []


def test_a_state_that_there_is_not_is_refused(data: Data) -> None:
    with pytest.raises(InvalidInput, match="success, skipped, recovered"):
        data.engine.datums.list_datums(data.failed, states=["good"])
    with pytest.raises(InvalidInput, match="there is no job state 'good'"):
        data.engine.jobs.list_jobs(states=["good"])


def test_jobs_are_listed_by_their_states_and_page_by_page(data: Data) -> None:
    def listed(**which: Any) -> list[str]:
        return [f"made@{job.id}" for job in data.engine.jobs.list_jobs(**which)]

    assert listed(states=["failure", "killed"]) == [data.failed]
    assert listed(pipeline="made", number=1) == [data.third]
    assert listed(pipeline="made", before=data.third, number=1) == [data.failed]
    assert listed(states=["success"], before=data.failed) == [data.first]
    assert listed(before=data.first) == []
    with pytest.raises(JobNotFound):
        data.engine.jobs.list_jobs(before="made@" + "0" * 32)


def test_a_profile_groups_what_failed_and_tells_who_worked(data: Data) -> None:
    profile = data.engine.jobs.profile_job(data.failed)

    [group] = profile.failures
    assert group.message == "the command exited with code 3\nflower 05 has no petals"
    assert (group.datums, profile.datums, profile.failures_read) == (3, 4, 3)
    assert sum(span.datums for span in profile.spans) == 4
    assert sum(span.failed for span in profile.spans) == 3
    assert len(profile.quantiles_s) == 21
    assert list(profile.quantiles_s) == sorted(profile.quantiles_s)


def test_the_files_that_a_datum_wrote_are_told_of_a_skipped_one_too(data: Data) -> None:
    [datum] = paged(data, 10, text="17")

    def wrote(job: str) -> list[str]:
        return [file.path for file in data.engine.datums.list_outputs(job, datum.id)]

    assert (wrote(data.first), wrote(data.failed), wrote(data.third)) == (["17"], [], ["17"])


def test_the_log_of_one_datum_has_its_lines_alone(data: Data) -> None:
    [failed] = paged(data, 10, text="15", states=["failed"])
    [skipped] = paged(data, 10, text="17")

    lines = [line.message for line in data.engine.datums.get_logs(job=data.failed, datum=failed.id)]
    none = list(data.engine.datums.get_logs(job=data.failed, datum=skipped.id, follow=True))

    assert "flower 15 has no petals" in lines
    assert not any("05" in line or "25" in line for line in lines)
    assert none == []


def test_the_newest_job_of_each_pipeline_is_listed_alone(data: Data) -> None:
    listed = data.engine.jobs.list_jobs

    assert [f"made@{job.id}" for job in listed(newest=True)] == [data.third]
    assert list(listed(newest=True, states=["failure"])) == []
    assert len(list(listed(pipeline="made"))) == 3


def test_lists_ask_as_much_for_many_as_for_few(engine: Driver, monkeypatch: Any) -> None:
    asked: list[str] = []
    here = threading.get_ident()  # the scheduler asks too
    for name in ("rows", "row"):
        real = getattr(SqliteTransaction, name)

        def noted(self: Any, sql: str, real: Any = real, **parameters: Any) -> Any:
            if threading.get_ident() == here:
                asked.append(sql)
            return real(self, sql, **parameters)

        monkeypatch.setattr(SqliteTransaction, name, noted)

    def statements(listed: Callable[[], Iterable[object]]) -> tuple[int, int]:
        """How many rows a list has, and how many questions to the catalog those took."""
        asked.clear()
        found = len(list(listed()))
        return found, len(asked)

    operations = engine.engine
    lists: list[Callable[[], Iterable[object]]] = [
        lambda: operations.jobs.list_jobs(number=4),
        operations.repos.list_repos,
        operations.pipelines.list_pipelines,
    ]
    operations.repos.create_repo("data")
    engine.put("data", {"x": "1"})
    engine.pipeline("copy-0", "cp $data /pfs/out/")
    assert engine.job("copy-0").state == "success"
    few = [statements(one) for one in lists]
    for number in range(1, 4):
        engine.pipeline(f"copy-{number}", "cp $data /pfs/out/")
        assert engine.job(f"copy-{number}").state == "success"

    many = [statements(one) for one in lists]

    assert [rows for rows, _ in many] == [4, 5, 4]
    assert [times for _, times in many] == [times for _, times in few]
