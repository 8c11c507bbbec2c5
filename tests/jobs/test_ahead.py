"""Whose datums idle workers may have before the turn of their job."""

from collections import deque
from dataclasses import replace
from datetime import UTC, datetime

from trunkline.jobs.ahead import Prospect, next_to_look_at
from trunkline.jobs.segments import PlannedDatum
from trunkline.jobs.tables import JobRecord
from trunkline.model.jobs import JobState
from trunkline.pipelines.datums import Datum

JOB = JobRecord(
    number=1,
    pipeline="made",
    id="1" * 32,
    version=1,
    spec_commit="a" * 32,
    output_repo="made",
    output_branch="master",
    state=JobState.RUNNING,
    reason="",
    created=datetime(2026, 1, 1, tzinfo=UTC),
    started=datetime(2026, 1, 1, tzinfo=UTC),
    finished=None,
    restarts=0,
    total=1,
    skipped=0,
    processed=0,
    failed=0,
    recovered=0,
    downloaded_bytes=0,
    uploaded_bytes=0,
    download_us=0,
    process_us=0,
    upload_us=0,
    leased=1,
    datums_digest="",
)
BEHIND = [replace(JOB, number=number, state=JobState.STARTING) for number in (2, 3, 4)]
DATUM = PlannedDatum(key="0" * 64, fresh=True, datum=Datum(files=()))


def looked(*, whole: bool = True, left: int = 0) -> Prospect:
    return Prospect(job=JOB, whole=whole, left=deque([DATUM] * left))


def test_the_oldest_job_that_is_not_known_is_next() -> None:
    assert next_to_look_at(JOB, BEHIND, {}) is BEHIND[0]
    assert next_to_look_at(JOB, BEHIND, {2: looked()}) is BEHIND[1]
    assert next_to_look_at(JOB, BEHIND, {2: looked(), 3: looked()}) is BEHIND[2]


def test_none_is_while_an_older_one_has_work_left() -> None:
    assert next_to_look_at(JOB, BEHIND, {2: looked(left=1)}) is None
    assert next_to_look_at(JOB, BEHIND, {2: looked(), 3: looked(left=1)}) is None


def test_none_is_behind_one_of_which_not_all_is_known() -> None:
    assert next_to_look_at(JOB, BEHIND, {2: looked(whole=False)}) is None


def test_none_is_of_another_version_or_under_way() -> None:
    other = replace(BEHIND[0], spec_commit="b" * 32)
    ended = replace(BEHIND[0], state=JobState.RUNNING)

    assert next_to_look_at(JOB, [other, *BEHIND[1:]], {}) is None
    assert next_to_look_at(JOB, [ended, *BEHIND[1:]], {}) is None
    assert next_to_look_at(JOB, [], {}) is None
