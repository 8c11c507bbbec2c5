"""What fields of a spec do, as user code and users see it; one test for each effect."""

import os
import time

import pytest

from trunkline.model.jobs import JobState

ONCE = {"datum_tries": 1}


@pytest.fixture
def data(engine):
    """A repo with two files."""
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "apple\n", "b": "bear\n"})
    return engine


def test_a_description_is_told(data) -> None:
    data.pipeline("made", "true", description="Copies fruit.")

    assert data.engine.pipelines.inspect_pipeline("made").description == "Copies fruit."


def test_a_command_gets_its_arguments_as_they_are_and_its_input_line_by_line(data) -> None:
    script = 'printf "%s|" "$@" > /pfs/out/$(basename $data); cat > /pfs/out/all'
    command = ["sh", "-c", script, "sh", "two words", "$HOME", "*"]
    transform = {"cmd": command, "stdin": ["first", "second"]}
    data.pipeline("made", "", glob="/a", transform=transform, **ONCE)

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {"a": "two words|$HOME|*|", "all": "first\nsecond\n"}


def test_variables_and_the_working_directory_are_those_of_the_spec(data) -> None:
    transform = {"env": {"FRUIT": "pear", "EMPTY": ""}, "working_dir": "/usr"}
    script = 'echo "$FRUIT,${EMPTY-unset},$(pwd)" > /pfs/out/said'
    data.pipeline("made", script, glob="/", transform=transform, **ONCE)

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {"said": "pear,,/usr\n"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root runs code as somebody else")
def test_code_runs_as_the_user_of_the_spec(data) -> None:
    script = "id -un > /pfs/out/who"
    data.pipeline("made", script, glob="/", transform={"user": "nobody"}, **ONCE)

    job = data.job("made")

    assert job.state is JobState.SUCCESS, job.reason
    assert data.tree("made") == {"who": "nobody\n"}


@pytest.mark.parametrize("more", [{"transform": {"image": "fruit:2"}}, {"salt": "another"}])
def test_another_image_or_salt_computes_everything_anew(data, more) -> None:
    data.pipeline("made", "cp $data /pfs/out/")
    assert data.job("made").processed == 2

    data.pipeline("made", "cp $data /pfs/out/", update=True, **more)

    job = data.job("made")
    assert (job.processed, job.skipped) == (2, 0)


def test_output_goes_to_the_branch_that_is_named(data) -> None:
    data.pipeline("made", "cp $data /pfs/out/", output_branch="ripe")

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made", "ripe") == {"a": "apple\n", "b": "bear\n"}
    assert [branch.name for branch in data.engine.branches.list_branches("made")] == ["ripe"]


def test_an_input_has_the_name_and_is_the_branch_that_are_given(data) -> None:
    data.put("data", {"c": "cherry\n"}, branch="green")
    source = {"pfs": {"repo": "data", "name": "fruit", "branch": "green", "glob": "/c"}}
    script = "cp $fruit /pfs/out/; ls /pfs > /pfs/out/ls; echo $fruit > /pfs/out/path"
    data.pipeline("made", script, input=source, **ONCE)

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {"c": "cherry\n", "ls": "fruit\nout\n", "path": "/pfs/fruit/c\n"}


def test_files_may_be_there_without_their_content(data) -> None:
    source = {"pfs": {"repo": "data", "glob": "/", "empty_files": True}}
    data.pipeline("made", "cd /pfs/data; wc -c a b > /pfs/out/sizes", input=source, **ONCE)

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made")["sizes"].split()[::2] == ["0", "0", "0"]


@pytest.mark.parametrize(("tries", "state"), [(2, JobState.FAILURE), (4, JobState.SUCCESS)])
def test_a_datum_is_tried_so_often(data, tmp_path, tries, state) -> None:
    count = tmp_path / "count"
    data.pipeline("made", f"echo >> {count}; [ $(wc -l < {count}) = 4 ]", "data", "/",
                  datum_tries=tries)  # fmt: skip

    assert data.job("made").state is state


@pytest.mark.parametrize("spelling", ["autoscaling", "standby"])
def test_no_worker_is_started_before_there_is_work_where_that_is_asked(data, spelling) -> None:
    data.engine.repos.create_repo("later")
    data.pipeline("made", "cp $later /pfs/out/", source="later", **{spelling: True})
    data.pipeline("warm", "cp $later /pfs/out/", source="later")
    data.pipeline("other", "true")
    assert data.job("other").state is JobState.SUCCESS  # the scheduler has seen all three

    assert data.engine.jobs.list_workers(pipeline="made") == []
    assert len(data.engine.jobs.list_workers(pipeline="warm")) == 1
    data.put("later", {"x": "x"})
    assert data.job("made").state is JobState.SUCCESS


def test_workers_without_work_leave_after_the_time_of_the_spec(data) -> None:
    data.pipeline("brief", "cp $data /pfs/out/", scale_down_threshold="50ms")
    data.pipeline("usual", "cp $data /pfs/out/")
    assert data.job("brief").state is JobState.SUCCESS
    assert data.job("usual").state is JobState.SUCCESS

    deadline = time.monotonic() + 60
    while data.engine.jobs.list_workers(pipeline="brief"):
        assert time.monotonic() < deadline
        time.sleep(0.01)

    assert len(data.engine.jobs.list_workers(pipeline="usual")) == 1
    data.put("data", {"late": "x"})
    assert data.job("brief").state is JobState.SUCCESS


def test_a_job_that_runs_for_longer_than_expected_is_an_alert_until_it_ends(data, tmp_path) -> None:
    begun, end = tmp_path / "begun", tmp_path / "end"
    os.mkfifo(begun)
    os.mkfifo(end)
    data.pipeline("made", f"cat {begun}; cat {end}", glob="/", maximum_expected_uptime="1ms")

    def alerts() -> tuple[str, ...]:
        return data.engine.pipelines.inspect_pipeline("made").alerts

    begun.write_bytes(b"")  # returns once the command has opened it
    [late] = alerts()
    end.write_bytes(b"")

    assert data.job("made").state is JobState.SUCCESS
    assert late.startswith("job made@")
    assert late.endswith(" s; at most 0.001 s are expected")
    assert alerts() == ()


def test_there_are_as_many_workers_as_cores_times_the_coefficient(data) -> None:
    wanted = 3 * (os.cpu_count() or 1)
    data.pipeline("made", "true", parallelism_spec={"coefficient": 3})

    assert data.job("made").state is JobState.SUCCESS
    assert data.engine.pipelines.inspect_pipeline("made").workers == wanted
    assert len(data.engine.jobs.list_workers(pipeline="made")) == min(wanted, 64)


def test_datums_are_recorded_with_and_without_stats(data) -> None:
    data.pipeline("made", "cp $data /pfs/out/", enable_stats=False)

    job = data.job("made")

    assert data.engine.pipelines.inspect_pipeline("made").warnings == ()
    assert len(list(data.engine.datums.list_datums(f"made@{job.id}"))) == 2
