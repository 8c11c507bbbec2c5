"""The life of a job as a pure step."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline.jobs.state import (
    REASON_LENGTH_MAX,
    Action,
    Assembled,
    Broken,
    DatumsEnded,
    Egressed,
    Event,
    InputsFailed,
    InputsFinished,
    Planned,
    Progress,
    Stopped,
    resume,
    step,
)
from trunkline.model.jobs import JOB_MOVES, JobState

STARTING = Progress(state=JobState.STARTING)
RUNNING = Progress(state=JobState.RUNNING, total=3)


def test_a_job_with_its_inputs_finished_is_planned() -> None:
    assert step(STARTING, InputsFinished()) == (STARTING, (Action.PLAN,))


def test_a_plan_with_fresh_datums_leads_to_leases() -> None:
    job, actions = step(STARTING, Planned(total=3, skipped=1))

    assert (job.state, job.total, job.skipped) == (JobState.RUNNING, 3, 1)
    assert actions == (Action.LEASE,)


def test_a_plan_without_fresh_datums_leads_straight_to_the_output_tree() -> None:
    job, actions = step(STARTING, Planned(total=2, skipped=2))

    assert job.state is JobState.FINISHING
    assert actions == (Action.ASSEMBLE,)


def test_a_plan_of_no_datums_succeeds_with_an_empty_tree() -> None:
    job, actions = step(STARTING, Planned(total=0, skipped=0))

    assert (job.state, actions) == (JobState.FINISHING, (Action.ASSEMBLE,))


def test_the_other_datums_still_run_after_one_has_failed() -> None:
    job, actions = step(RUNNING, DatumsEnded(failed=1, failure="datum a: exit code 1"))

    assert job.state is JobState.RUNNING
    assert actions == (Action.LEASE,)


def test_a_job_fails_with_the_first_failure_when_all_datums_have_ended() -> None:
    job, _ = step(RUNNING, DatumsEnded(failed=1, failure="datum a: exit code 1"))
    job, actions = step(job, DatumsEnded(processed=1, failed=1, failure="datum b: exit code 2"))

    reason = "datum a: exit code 1; 2 of 3 datums failed"
    assert (job.state, job.reason) == (JobState.FAILURE, reason)
    assert actions == (Action.FAIL_COMMIT,)


def test_the_last_words_of_the_first_failed_datum_stand_below_the_reason() -> None:
    ended = DatumsEnded(failed=1, failure="datum a: exit code 1", last_words="Oh\n  no")
    job, _ = step(RUNNING, ended)
    job, _ = step(job, DatumsEnded(processed=2, failure="", last_words=""))

    assert job.reason.splitlines() == [
        "datum a: exit code 1; 1 of 3 datums failed",
        "the last lines of its stderr:",
        "  Oh",
        "    no",
    ]


def test_a_reason_stays_short_whatever_a_datum_says() -> None:
    ended = DatumsEnded(failed=3, failure="f" * 10_000, last_words="w" * 10_000)
    job, _ = step(RUNNING, ended)

    assert len(job.reason) <= REASON_LENGTH_MAX
    assert "; 3 of 3 datums failed" in job.reason


def test_recovered_datums_do_not_fail_a_job() -> None:
    job, actions = step(RUNNING, DatumsEnded(processed=2, recovered=1))

    assert (job.state, actions) == (JobState.FINISHING, (Action.ASSEMBLE,))


def test_failed_inputs_make_a_job_unrunnable_and_name_the_pipelines() -> None:
    job, actions = step(STARTING, InputsFailed(repos=("b", "a")))

    assert job.state is JobState.UNRUNNABLE
    assert job.reason == "unrunnable because the following upstream pipelines failed: a, b"
    assert actions == (Action.FAIL_COMMIT,)


def test_a_stopped_job_is_killed_and_its_workers_are_told() -> None:
    job, actions = step(RUNNING, Stopped(reason="stopped by a user"))

    assert (job.state, job.reason) == (JobState.KILLED, "stopped by a user")
    assert actions == (Action.CANCEL_LEASES, Action.FAIL_COMMIT)


def test_clashing_outputs_fail_a_running_job_at_once() -> None:
    job, actions = step(RUNNING, Broken(reason="duplicate path"))

    assert (job.state, job.reason) == (JobState.FAILURE, "duplicate path")
    assert Action.CANCEL_LEASES in actions


def test_a_restarted_scheduler_goes_on_where_the_record_says() -> None:
    assert resume(RUNNING) == (Action.LEASE,)
    assert resume(Progress(state=JobState.FINISHING)) == (Action.ASSEMBLE,)
    assert resume(STARTING) == ()
    assert resume(Progress(state=JobState.SUCCESS)) == ()


events = st.one_of(
    st.builds(InputsFinished),
    st.builds(InputsFailed, repos=st.just(("up",))),
    st.builds(Planned, total=st.integers(0, 5), skipped=st.just(0)),
    st.builds(DatumsEnded, processed=st.just(1)),
    st.builds(DatumsEnded, failed=st.just(1), failure=st.just("bad")),
    st.builds(Broken, reason=st.just("broken")),
    st.builds(Assembled),
    st.builds(Stopped, reason=st.just("stopped")),
)


@given(st.lists(events, max_size=30))
def test_a_job_finishes_its_commit_exactly_once_whatever_order_events_come_in(
    sequence: list[Event],
) -> None:
    job = STARTING
    finished = 0

    for event in sequence:
        if isinstance(event, DatumsEnded) and job.complete:
            continue  # the record of datums lets each outcome through once
        before = job
        job, actions = step(job, event)
        finished += Action.FINISH_COMMIT in actions or Action.FAIL_COMMIT in actions
        assert job.state is before.state or _reachable(before.state, job.state)

    assert finished == job.state.ended


def _reachable(start: JobState, end: JobState) -> bool:
    """Whether moves of the table lead from one state to the other (a step may make two)."""
    return end in JOB_MOVES[start] or any(end in JOB_MOVES[via] for via in JOB_MOVES[start])


def test_a_job_with_egress_finishes_its_commit_and_copies_it_before_it_succeeds() -> None:
    job, actions = step(Progress(state=JobState.FINISHING), Assembled(egress=True))

    assert (job.state, actions) == (JobState.EGRESSING, (Action.FINISH_COMMIT, Action.EGRESS))
    assert resume(job) == (Action.EGRESS,)
    done, actions = step(job, Egressed())
    assert (done.state, actions) == (JobState.SUCCESS, ())


def test_a_failed_or_stopped_egress_leaves_the_commit_alone() -> None:
    job = Progress(state=JobState.EGRESSING)

    failed, nothing = step(job, Broken(reason="egress failed"))
    killed, nothing_either = step(job, Stopped(reason="by you"))

    assert (failed.state, failed.reason, nothing) == (JobState.FAILURE, "egress failed", ())
    assert (killed.state, nothing_either) == (JobState.KILLED, ())


def test_an_egress_that_is_told_twice_changes_nothing() -> None:
    running = Progress(state=JobState.RUNNING, total=1)

    assert step(running, Egressed()) == (running, ())


def test_failed_datums_that_are_tolerated_lead_to_an_output_tree_and_a_reason() -> None:
    job = Progress(state=JobState.RUNNING, total=3, tolerated=1)
    job, _ = step(job, DatumsEnded(failed=1, failure="datum a: exit code 1"))
    job, actions = step(job, DatumsEnded(processed=2))
    done, _ = step(job, Assembled())

    assert (job.state, actions) == (JobState.FINISHING, (Action.ASSEMBLE,))
    assert done.state is JobState.SUCCESS
    assert done.reason == "datum a: exit code 1; 1 of 3 datums quarantined"


def test_failures_that_are_taken_over_count_as_failed_from_the_beginning() -> None:
    starting = Progress(state=JobState.STARTING, tolerated=2)
    job, actions = step(starting, Planned(total=2, skipped=1, failed=1, failure="datum a: no"))

    assert (job.state, job.failed, actions) == (JobState.FINISHING, 1, (Action.ASSEMBLE,))
