"""What user code can do to its job: every outcome is a state with a reason, and nothing leaks."""

import os
import re
import resource
import time
from pathlib import Path

import pytest

from trunkline.model.jobs import DatumState, JobState

ONCE = {"datum_tries": 1}


@pytest.fixture
def data(engine):
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "apple\n", "b": "bear\n"})
    return engine


def test_a_datum_sees_its_file_and_the_variables_that_name_it(data) -> None:
    data.pipeline(
        "made", 'cp "$data" /pfs/out/; echo "$data $PACH_JOB_ID" >> /pfs/out/env-$(basename $data)'
    )

    job = data.job("made")

    assert job.state is JobState.SUCCESS
    assert data.tree("made") == {
        "a": "apple\n",
        "b": "bear\n",
        "env-a": f"/pfs/data/a {job.id}\n",
        "env-b": f"/pfs/data/b {job.id}\n",
    }


def test_workers_start_and_leave_where_very_many_files_are_open(open_engine) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held = [os.dup(0) for _ in range(1100)]  # `select` takes descriptors below 1,024
    try:
        driver = open_engine()
        driver.engine.repos.create_repo("data")
        driver.put("data", {"a": "apple\n"})
        driver.pipeline("made", 'cp "$data" /pfs/out/')
        assert driver.job("made").state is JobState.SUCCESS
        driver.engine.close()
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_command_that_does_not_exist_fails_with_its_name(data) -> None:
    data.pipeline("made", "", transform={"cmd": ["no-such-program"], "stdin": []}, **ONCE)

    job = data.job("made")

    assert job.state is JobState.FAILURE
    assert "no-such-program" in job.reason


def test_an_exit_code_fails_the_datum_after_three_tries_and_then_the_job(data) -> None:
    data.pipeline("made", 'echo "on $(basename $data)"; [ "$data" = /pfs/data/a ] || exit 7')

    job = data.job("made")
    [failed] = [d for d in data.engine.datums.list_datums(f"made@{job.id}") if d.tries == 3]

    assert (job.state, job.processed, job.failed) == (JobState.FAILURE, 1, 1)
    assert failed.state is DatumState.FAILED
    assert "7" in failed.reason
    assert job.reason.startswith(f"failed to process datum: {failed.id}")
    assert data.logs("made").count("on b") == 3


def test_a_failed_job_leaves_its_commit_marked_and_its_followers_unrunnable(data) -> None:
    data.pipeline("made", "exit 1", **ONCE)
    data.pipeline("next", "true", source="made", glob="/")

    job = data.job("next")
    commit = data.engine.commits.inspect_commit("made", "master")

    assert job.state is JobState.UNRUNNABLE
    assert job.reason == "unrunnable because the following upstream pipelines failed: made"
    assert commit.error is not None
    assert commit.finished is not None


def test_a_new_commit_after_a_failure_processes_only_what_is_not_done(data) -> None:
    data.pipeline("made", 'grep -q poison "$data" && exit 1; cp "$data" /pfs/out/', **ONCE)
    data.put("data", {"c": "poison\n"})
    assert data.job("made").state is JobState.FAILURE

    data.put("data", {"c": "cure\n"})
    job = data.job("made")

    assert (job.state, job.processed, job.skipped) == (JobState.SUCCESS, 1, 2)
    assert data.tree("made") == {"a": "apple\n", "b": "bear\n", "c": "cure\n"}


def test_a_signal_is_named(data) -> None:
    data.pipeline("made", "kill -9 $$", **ONCE)

    assert "SIGKILL" in data.job("made").reason


def test_a_datum_timeout_is_said_and_ends_everything_that_was_started(data) -> None:
    data.pipeline("made", "sleep 987 & sleep 987", datum_timeout="0.5s", **ONCE)

    job = data.job("made")

    assert job.state is JobState.FAILURE
    assert "0.5" in job.reason
    assert not _processes("sleep 987")


def test_a_job_timeout_kills_the_job(data) -> None:
    data.pipeline("made", "sleep 986", job_timeout="1s")

    job = data.job("made")

    assert job.state is JobState.KILLED
    assert "timed out" in job.reason


def test_background_children_do_not_outlive_their_datum(data) -> None:
    data.pipeline("made", "setsid sleep 985 >/dev/null 2>&1 & cp $data /pfs/out/")

    job = data.job("made")

    assert job.state is JobState.SUCCESS
    assert not _processes("sleep 985")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("mkfifo /pfs/out/pipe", "named pipe"),
        (
            "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('/pfs/out/s')\"",
            "socket",
        ),
        ("ln -s /etc/passwd /pfs/out/link", "/etc/passwd"),
        ("ln -s ../../../../etc/passwd /pfs/out/link", "not in an input"),
        ("ln -s nowhere /pfs/out/link", "not in an input"),
        ("printf x > \"/pfs/out/$(printf 'a\\nb')\"", "control character"),
        ("printf x > \"/pfs/out/$(printf '\\377')\"", "UTF-8"),
    ],
)
def test_what_no_commit_can_hold_fails_the_datum_with_a_reason(
    data, script: str, reason: str
) -> None:
    data.pipeline("made", script, glob="/", **ONCE)

    job = data.job("made")

    assert job.state is JobState.FAILURE
    assert reason in job.reason


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make device nodes")
def test_a_device_node_in_the_output_fails_the_datum(data) -> None:
    data.pipeline("made", "mknod /pfs/out/null c 1 3", glob="/", **ONCE)

    assert "character device" in data.job("made").reason


def test_links_to_inputs_and_outputs_share_their_content(data) -> None:
    script = """
        ln -s $data/a /pfs/out/one
        ln -s $data /pfs/out/all
        echo x > /pfs/out/x
        ln -s x /pfs/out/y
    """
    data.pipeline("made", script, glob="/")

    job = data.job("made")

    assert job.state is JobState.SUCCESS, job.reason
    assert data.tree("made") == {
        "one": "apple\n",
        "all/a": "apple\n",
        "all/b": "bear\n",
        "x": "x\n",
        "y": "x\n",
    }


def test_a_link_to_a_directory_takes_what_the_datum_was_given_and_no_more(data) -> None:
    data.put("data", {"d/x": "x\n", "d/y": "y\n"})
    data.pipeline("made", "ln -s /pfs/data/d /pfs/out/$(basename $data)", glob="/d/*")

    job = data.job("made")

    assert job.state is JobState.SUCCESS, job.reason
    assert data.tree("made") == {"x/x": "x\n", "y/y": "y\n"}


def test_a_link_that_makes_a_path_too_long_fails_the_datum(data) -> None:
    below = "/".join([*["d" * 250] * 16, "d" * 40])
    data.put("data", {below: "deep\n"})
    deep = f"/pfs/out/{'e' * 250}"
    script = f"mkdir {deep}; ln -s /pfs/data/d* {deep}/{'l' * 250}"
    data.pipeline("made", script, glob="/", **ONCE)

    job = data.job("made")

    assert job.state is JobState.FAILURE
    assert "is not a file path: it is longer than 4096 bytes" in job.reason


def test_the_same_path_from_two_datums_fails_the_job_and_names_both(data) -> None:
    data.pipeline("made", "echo hello > /pfs/out/same")

    job = data.job("made")
    keys = [datum.id for datum in data.engine.datums.list_datums(f"made@{job.id}")]

    assert job.state is JobState.FAILURE
    assert "duplicate path output by different datums: 'same'" in job.reason
    assert all(key in job.reason for key in keys)


def test_a_new_datum_that_writes_what_a_remembered_one_wrote_is_refused_too(data) -> None:
    data.delete("data", "b")
    data.pipeline("made", "echo hello > /pfs/out/same")
    assert data.job("made").state is JobState.SUCCESS

    data.put("data", {"b": "bear\n"})
    job = data.job("made")

    assert job.state is JobState.FAILURE
    assert "duplicate path output by different datums: 'same'" in job.reason


def test_concat_merges_what_datums_write_to_one_path_in_their_order(data) -> None:
    data.pipeline("made", "cat $data >> /pfs/out/same", output_merge="concat")

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {"same": "apple\nbear\n"}


def test_datums_that_one_worker_runs_in_a_row_keep_what_each_wrote_to_one_path(data) -> None:
    words = {f"{n:02}": f"{n}\n" for n in range(24)}
    data.engine.repos.create_repo("numbers")
    data.put("numbers", words)
    data.pipeline("made", "cat $numbers > /pfs/out/same", "numbers", output_merge="concat")
    data.pipeline(
        "clash",
        "case $numbers in */0[01]) cp $numbers /pfs/out/same;; *) cp $numbers /pfs/out/;; esac",
        "numbers",
    )

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {"same": "".join(words.values())}
    assert "duplicate path output by different datums: 'same'" in data.job("clash").reason


def test_of_a_flood_of_logs_the_beginning_and_the_end_are_kept_with_a_notice(open_engine) -> None:
    driver = open_engine(TRUNKLINE_LOG_BYTES_MAX="1000000")
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "apple\n"})
    script = "echo begun; yes 0123456789 | head -c 50000000; echo; echo done"
    driver.pipeline("made", script, glob="/")

    job = driver.job("made", timeout_s=120)
    lines = driver.logs("made")

    assert job.state is JobState.SUCCESS
    assert (lines[0], lines[-1]) == ("begun", "done")
    assert sum("bytes of this datum's log were left out" in line for line in lines) == 1
    assert sum(map(len, lines)) < 1_000_000


def test_a_failed_job_says_how_many_datums_failed_and_what_the_first_printed_last(data) -> None:
    script = """
        [ "$data" = /pfs/data/a ] || exit 0
        printf '\\033[31mloading\\r50%%\\rloaded\\n' >&2
        echo "$data has no column 'width'" >&2
        exit 7
    """
    data.pipeline("made", script, **ONCE)

    job = data.job("made")
    commit = data.engine.commits.inspect_commit("made", "master")
    [failed] = [d for d in data.engine.datums.list_datums(f"made@{job.id}") if d.tries and d.reason]

    assert job.reason.splitlines() == [
        f"failed to process datum: {failed.id}: the command exited with code 7; "
        "1 of 2 datums failed",
        "the last lines of its stderr:",
        "  loaded",
        "  /pfs/data/a has no column 'width'",
    ]
    assert commit.error.endswith("1 of 2 datums failed")


def test_binary_garbage_on_stderr_stays_readable(data) -> None:
    data.pipeline("made", "head -c 100000 /dev/urandom >&2; echo >&2; echo end >&2; exit 1", **ONCE)

    job = data.job("made")

    assert job.state is JobState.FAILURE
    assert len(job.reason) <= 2000
    assert all(line.isprintable() for line in job.reason.splitlines())
    assert job.reason.endswith("  end")


def test_a_command_that_ignores_sigterm_is_ended_by_its_timeout(data) -> None:
    script = "trap '' TERM; echo waiting >&2; while true; do sleep 984; done"
    data.pipeline("made", script, datum_timeout="0.5s", **ONCE)

    job = data.job("made")

    assert "the command timed out after 0.5 s" in job.reason
    assert job.reason.endswith("  waiting")
    assert not _processes("sleep 984")


def test_a_command_starts_with_the_usual_signals_not_ignored(data) -> None:
    script = "import signal; print([signal.getsignal(n) is signal.SIG_IGN for n in (2, 15)])"
    data.pipeline("made", f"python3 -c '{script}' > /pfs/out/ignored", glob="/", **ONCE)

    assert data.job("made").state is JobState.SUCCESS
    assert data.read("made", "ignored") == "[False, False]\n"


def test_a_datum_that_fills_memory_is_stopped_at_its_limit_and_says_so(data) -> None:
    script = "python3 -c 'x = [bytearray(1 << 20) for _ in range(500)]'"
    data.pipeline("made", script, resource_limits={"memory": "64Mi", "cpu": 1}, **ONCE)

    job = data.job("made")
    failed = next(iter(data.engine.datums.list_datums(f"made@{job.id}")))

    assert job.state is JobState.FAILURE
    assert re.fullmatch(r"out of memory: peak [0-9.]+ MiB, limit 64 MiB", failed.reason)
    assert f"{failed.id}: {failed.reason}; 2 of 2 datums failed" in job.reason


def test_a_daemon_of_a_failed_datum_is_ended_too(data) -> None:
    data.pipeline("made", "(setsid setsid sleep 983 </dev/null >/dev/null 2>&1 &); exit 1", **ONCE)

    assert data.job("made").state is JobState.FAILURE
    assert not _processes("sleep 983")


def test_inputs_are_read_only_and_outputs_start_empty(data) -> None:
    script = """
        (echo x >> $data) 2>/dev/null && exit 9
        ls -A /pfs/out | grep . && exit 8
        echo ok > /pfs/out/$(basename $data)
    """
    data.pipeline("made", script, **ONCE)

    job = data.job("made")

    assert job.state is JobState.SUCCESS, job.reason
    assert data.tree("data") == {"a": "apple\n", "b": "bear\n"}


def test_accepted_return_codes_are_success(data) -> None:
    data.pipeline("made", "exit 3", transform={"accept_return_code": [3]}, **ONCE)

    assert data.job("made").state is JobState.SUCCESS


def test_err_cmd_recovers_a_datum_without_output(data) -> None:
    transform = {"err_cmd": ["/bin/sh"], "err_stdin": ["true"]}
    data.pipeline("made", "echo x > /pfs/out/x; exit 1", transform=transform, **ONCE)

    job = data.job("made")

    assert (job.state, job.recovered) == (JobState.SUCCESS, 2)
    assert data.tree("made") == {}


def test_a_datum_is_restarted_while_err_cmd_runs_after_its_last_try(data, tmp_path) -> None:
    recovery = f"echo recovering; mkdir {tmp_path}/once && sleep 600; true"
    transform = {"err_cmd": ["/bin/sh", "-c", recovery]}
    data.pipeline("talk", "exit 1", glob="/a", datum_tries=1, transform=transform)
    [job] = data.engine.jobs.list_jobs(pipeline="talk", number=1)
    stream = data.engine.datums.get_logs(job=f"talk@{job.id}", follow=True)
    while next(stream).message != "recovering":
        pass

    assert data.engine.datums.restart_datums(f"talk@{job.id}", ["a"]) == 1

    ended = data.job("talk")
    assert (ended.state, ended.failed) == (JobState.SUCCESS, 0), ended.reason
    assert ended.recovered == ended.total


def test_too_much_output_is_stopped_where_a_limit_is_set(open_engine) -> None:
    driver = open_engine(TRUNKLINE_OUTPUT_BYTES_MAX="1000000")
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "apple\n"})
    driver.pipeline("made", "head -c 50000000 /dev/zero > /pfs/out/zeros; sleep 1", **ONCE)

    job = driver.job("made")

    assert job.state is JobState.FAILURE
    assert "/pfs/out" in job.reason or "File too large" in "\n".join(driver.logs("made"))


def test_code_is_versioned_with_the_spec_and_read_only(data) -> None:
    from trunkline.api.changes import PutFile

    code = data.engine.files.create_file_set(
        [
            PutFile(
                path="run.sh", content=[b"#!/bin/sh\necho from code > /pfs/out/$(basename $data)\n"]
            )
        ]
    )
    spec = {
        "pipeline": {"name": "made"},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
        "transform": {"cmd": ["/code/run.sh"], "code": "code"},
    }

    data.engine.pipelines.create_pipeline(spec, code=code.root)

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {"a": "from code\n", "b": "from code\n"}
    assert data.read("__spec__", "code/run.sh", commit="made").startswith("#!/bin/sh")


def _processes(words: str) -> list[str]:
    """Command lines of living processes that contain these words, given a moment to go."""
    deadline = time.monotonic() + 5
    while True:
        found = [line for line in map(_command_line, Path("/proc").glob("[0-9]*")) if words in line]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def test_workers_that_can_not_be_started_fail_the_job_with_the_reason(data) -> None:
    scratch = data.home / "scratch"
    scratch.write_text("in the way\n")

    data.pipeline("made", "true")
    job = data.job("made")
    scratch.unlink()
    data.put("data", {"c": "cat\n"})

    assert job.state is JobState.FAILURE
    assert job.reason.startswith("its workers can't be started: ")
    assert data.job("made").state is JobState.SUCCESS


def test_a_refused_try_leaves_nothing_to_the_next_one(data) -> None:
    script = """
        if [ -e /tmp/$PACH_JOB_ID ]; then echo good > /pfs/out/good; rm /tmp/$PACH_JOB_ID
        else echo bad > /pfs/out/bad; mkfifo /pfs/out/zzz; touch /tmp/$PACH_JOB_ID; fi
    """
    data.pipeline("made", script, glob="/")

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {"good": "good\n"}


@pytest.mark.parametrize(("files", "size"), [(100, 100), (3, 200_000)])
def test_outputs_are_stored_whether_they_are_small_or_not(data, files: int, size: int) -> None:
    script = f"""
        for n in $(seq {files}); do head -c {size} /dev/zero | tr '\\0' "$((n % 10))" > /pfs/out/$n
        done; ln -s 1 /pfs/out/link; ln -s /pfs/data/a /pfs/out/a
    """
    data.pipeline("made", script, glob="/", **ONCE)

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {
        **{str(n): str(n % 10) * size for n in range(1, files + 1)},
        "link": "1" * size,
        "a": "apple\n",
    }
