"""What a step that fails means for its job: when it is tried again, and when the job fails."""

import errno

import pytest

from trunkline.errors import Corrupt, StorageFull, TooManyDatums, Unavailable
from trunkline.jobs.mishaps import Trouble, meet
from trunkline.jobs.state import Progress
from trunkline.model.jobs import JobState

AT_FIRST = Progress(state=JobState.STARTING)
NO_SPACE = OSError(errno.ENOSPC, "No space left on device", "/data/packs/1")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def met(
    error: Exception,
    before: Trouble | None = None,
    *,
    stands: Progress = AT_FIRST,
    now_s: float = 100.0,
) -> Trouble:
    return meet(before, error, doing="planning", stands=stands, now_s=now_s, patience_s=60.0)


def test_a_defect_fails_the_job_at_once_and_says_where_to_look() -> None:
    trouble = met(KeyError("colour"))

    assert trouble.fails
    assert trouble.reason == (
        "an internal error while planning: KeyError: 'colour'; it is in the server's log"
    )


@pytest.mark.parametrize(
    "error",
    [
        Corrupt("chunk abc", "its bytes", "others"),
        TooManyDatums("copy", 11, 10),
        caused(Corrupt("chunk abc", "bytes", "none"), FileNotFoundError(2, "No such file")),
    ],
)
def test_what_is_wrong_with_its_data_fails_the_job_at_once_in_its_own_words(
    error: Exception,
) -> None:
    trouble = met(error)

    assert trouble.fails
    assert trouble.reason == str(error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NO_SPACE, "No space left on device: /data/packs/1"),
        (StorageFull("/data"), "no space is left on the device of /data"),
        (Unavailable("the database can't be used now: locked"), "locked"),
        (MemoryError(), "MemoryError"),
        (caused(Corrupt("chunk abc", "bytes", "[Errno 5]"), OSError(errno.EIO, "EIO")), "abc"),
    ],
)
def test_what_the_machine_lacks_is_waited_for(error: Exception, words: str) -> None:
    trouble = met(error)

    assert not trouble.fails
    assert trouble.reason.startswith("planning is not possible now, and is tried again: ")
    assert words in trouble.reason


def test_pauses_grow_up_to_a_quarter_of_a_minute() -> None:
    trouble, pauses = None, []
    for _ in range(7):
        trouble = met(NO_SPACE, trouble)
        pauses.append(trouble.again_s - 100.0)

    assert pauses == [1, 2, 4, 8, 15, 15, 15]


def test_a_job_that_stays_where_it_is_fails_when_its_time_is_over() -> None:
    first = met(NO_SPACE)
    before = met(NO_SPACE, first, now_s=159.0)
    after = met(NO_SPACE, before, now_s=160.0)

    assert (before.fails, after.fails) == (False, True)
    assert after.reason == (
        "planning was not possible for 60 s: No space left on device: /data/packs/1"
    )


def test_a_job_that_has_moved_on_begins_to_wait_anew() -> None:
    first = met(NO_SPACE)
    moved = met(NO_SPACE, first, stands=Progress(state=JobState.RUNNING, total=1), now_s=160.0)

    assert not moved.fails
    assert (moved.since_s, moved.tries) == (160.0, 1)
