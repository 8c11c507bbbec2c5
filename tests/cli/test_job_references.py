"""An id names a run; commands on jobs act on all jobs of it, commands on datums need one."""

RUN = "5c0606144d234fa09d25e682589b0a8b"
OLD_RUN = "c3212f2403b44754bb11676f3cbb4ed2"  # has one job, of pre_process
UNKNOWN = "00000000000040000000000000000000"
JOBS = [f"pre_process@{RUN}", f"train@{RUN}", f"inference@{RUN}"]


def asked(stub, operation):
    return [args[0] for args, _ in stub.all_called(operation)]


def test_stopping_a_run_stops_all_its_jobs_upstream_first(cli, stub):
    assert cli("stop-job", RUN).status == 0

    assert asked(stub, "stop_job") == JOBS


def test_inspecting_a_run_shows_all_its_jobs(cli, stub):
    result = cli("inspect-job", RUN)

    assert asked(stub, "inspect_job") == JOBS
    assert result.out.count(f"ID: {RUN} \n") == 3


def test_waiting_for_a_run_waits_for_all_its_jobs(cli, stub):
    cli("wait", "job", RUN)

    assert asked(stub, "inspect_job") == JOBS


def test_logs_of_a_run_are_those_of_all_its_jobs(cli, stub):
    result = cli("get-logs", f"--job={RUN}")

    assert [given["job"] for _, given in stub.all_called("get_logs")] == JOBS
    assert result.out == "trained\n" * 3


def test_an_id_with_one_job_names_that_job(cli, stub):
    cli("list-datum", OLD_RUN)

    assert asked(stub, "list_datums") == [f"pre_process@{OLD_RUN}"]


def test_datums_of_several_jobs_are_refused_with_their_names(cli, stub):
    results = [
        cli("list", "datum", RUN),
        cli("inspect", "datum", RUN, "01"),
        cli("restart", "datum", RUN, "/a"),
    ]

    assert [result.status for result in results] == [2, 2, 2]
    assert all(", ".join(JOBS) in result.err for result in results)
    assert not asked(stub, "list_datums")


def test_a_named_job_is_not_looked_up(cli, stub):
    cli("stop-job", f"train/{RUN}")

    assert [call[0] for call in stub.calls] == ["stop_job"]
    assert asked(stub, "stop_job") == [f"train@{RUN}"]


def test_a_branch_and_a_pipeline_are_left_to_the_operation_with_their_project(cli, stub):
    for text in ("train@master^", "q/train"):
        cli("--project=p", "stop", "job", text)
        cli("--project=p", "list", "datum", text)

    assert asked(stub, "stop_job") == ["p/train@master^", "q/train"]
    assert asked(stub, "list_datums") == ["p/train@master^", "q/train"]


def test_a_text_that_names_no_job_is_refused_with_the_spellings(cli, stub):
    result = cli("inspect", "job", "train^")

    assert result.status == 2
    assert "write pipeline@id, pipeline@branch or pipeline@branch^" in result.err


def test_an_unknown_id_is_left_to_the_operation(cli, stub):
    cli("stop-job", UNKNOWN)

    assert asked(stub, "stop_job") == [UNKNOWN]


def test_the_jobs_of_a_run_are_listed_by_its_id(cli, stub):
    result = cli("list", "job", RUN)

    assert stub.called("list_jobs")[1]["run"] == RUN
    assert len(result.out.splitlines()) == 4
