"""The output of a job is copied elsewhere once its commit is finished (`egress`)."""

import http.server
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trunkline.errors import InvalidSpec
from trunkline.model.jobs import JobState

QUICK = {"TRUNKLINE_EGRESS_RETRY_S": "0"}
COPY = "cp $data /pfs/out/"


@pytest.fixture
def data(open_engine: Any) -> Any:
    driver = open_engine(**QUICK)
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "apple\n", "b": "bear\n"})
    return driver


def found_below(place: Path) -> dict[str, str]:
    return {
        str(file.relative_to(place)): file.read_text()
        for file in place.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize(
    "how", [lambda url: {"URL": url}, lambda url: {"objectStorage": {"url": url}}]
)
def test_the_output_is_copied_into_a_directory(data: Any, tmp_path: Path, how: Any) -> None:
    target = tmp_path / "a b" / "c"
    url = f"file://{urllib.parse.quote(str(target))}"
    data.pipeline("made", "mkdir /pfs/out/d; cp $data /pfs/out/d/", egress=how(url))

    job = data.job("made")

    assert (job.state, job.reason) == (JobState.SUCCESS, "")
    assert found_below(target) == {"d/a": "apple\n", "d/b": "bear\n"}
    assert data.engine.pipelines.inspect_pipeline("made").warnings == ()


def test_the_next_job_replaces_what_changed(data: Any, tmp_path: Path) -> None:
    data.pipeline("made", COPY, egress={"URL": f"file://{tmp_path}/t"})
    data.job("made")

    data.put("data", {"a": "avocado\n"})
    data.job("made")

    assert found_below(tmp_path / "t") == {"a": "avocado\n", "b": "bear\n"}


def test_a_failure_is_tried_three_times_and_then_the_jobs_while_its_commit_stays(
    data: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    data.pipeline("made", COPY, egress={"URL": f"file://{tmp_path}/file"})
    data.pipeline("next", COPY.replace("data", "made"), source="made")

    job, after = data.job("made"), data.job("next")
    commit = data.engine.commits.inspect_commit("made", "master")

    assert job.state is JobState.FAILURE
    assert job.reason.startswith(f"egress to file://{tmp_path}/file failed 3 times: ")
    assert (commit.error, commit.finished is not None) == (None, True)
    assert data.tree("made") == {"a": "apple\n", "b": "bear\n"}
    assert (after.state, data.tree("next")) == (JobState.SUCCESS, data.tree("made"))
    assert data.engine.admin.fsck().damages == ()


def test_a_run_goes_on_until_its_output_was_copied_and_fails_with_that(
    data: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    data.put("data", {"a": "1"})
    data.pipeline("copy", COPY, egress={"URL": f"file://{tmp_path}/file"})
    [newest] = data.engine.jobs.list_jobs(pipeline="copy", number=1)

    run = data.engine.commits.inspect_run(newest.id, wait=True, timeout_s=60)

    job = data.job("copy")
    assert (run.state, run.finished) == ("failure", job.finished)
    commit = data.engine.commits.inspect_commit("copy", job.id)
    assert commit.error is None
    assert commit.finished is not None
    assert run.finished > commit.finished
    assert data.engine.commits.list_runs(number=1)[0].state == "failure"


def test_the_job_after_a_failed_egress_copies_everything(data: Any, tmp_path: Path) -> None:
    (tmp_path / "t").touch()
    data.pipeline("made", COPY, egress={"URL": f"file://{tmp_path}/t"})
    data.job("made")

    (tmp_path / "t").unlink()
    data.put("data", {"c": "cat\n"})
    job = data.job("made")

    assert (job.state, job.processed, job.skipped) == (JobState.SUCCESS, 1, 2)
    assert found_below(tmp_path / "t") == {"a": "apple\n", "b": "bear\n", "c": "cat\n"}


def test_a_failed_job_copies_nothing(data: Any, tmp_path: Path) -> None:
    data.pipeline("made", "exit 1", datum_tries=1, egress={"URL": f"file://{tmp_path}/t"})

    assert data.job("made").state is JobState.FAILURE
    assert not (tmp_path / "t").exists()


def wait_for(driver: Any, state: JobState) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        [job] = driver.engine.jobs.list_jobs(pipeline="made", number=1)
        if job.state is state:
            return job
        time.sleep(0.02)
    raise AssertionError(f"the job never was {state}")


@pytest.fixture
def in_the_way(open_engine: Any, tmp_path: Path) -> tuple[Any, Any]:
    """An engine, and its job whose output can't be copied for now: a file is at the target."""
    driver = open_engine(TRUNKLINE_EGRESS_RETRY_S="3600")
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "apple\n"})
    (tmp_path / "t").touch()
    driver.pipeline("made", COPY, egress={"URL": f"file://{tmp_path}/t"})
    job = wait_for(driver, JobState.EGRESSING)
    return driver, job


def test_a_server_that_stops_goes_on_with_it_after_the_next_start(
    in_the_way: tuple[Any, Any], open_engine: Any, tmp_path: Path
) -> None:
    driver, job = in_the_way
    assert driver.tree("made") == {"a": "apple\n"}  # its commit is finished
    driver.engine.close()
    (tmp_path / "t").unlink()

    again = open_engine(driver.home)
    ended = again.job("made")

    assert (ended.id, ended.state, ended.restarts) == (job.id, JobState.SUCCESS, 1)
    assert found_below(tmp_path / "t") == {"a": "apple\n"}


def test_a_job_tells_why_the_last_attempt_failed_until_it_goes_well(
    in_the_way: tuple[Any, Any], tmp_path: Path
) -> None:
    driver, job = in_the_way
    said = f"attempt 1 of 3 of egress to file://{tmp_path}/t failed: "

    deadline = time.monotonic() + 60
    while not driver.engine.jobs.inspect_job(f"made@{job.id}").reason.startswith(said):
        assert time.monotonic() < deadline, "the job never said why"
        time.sleep(0.02)
    driver.engine.jobs.stop_job(f"made@{job.id}")
    assert not driver.engine.jobs.inspect_job(f"made@{job.id}").reason.startswith(said)


def test_a_job_that_is_stopped_meanwhile_keeps_its_commit(in_the_way: tuple[Any, Any]) -> None:
    driver, job = in_the_way

    driver.engine.jobs.stop_job(f"made@{job.id}")

    assert driver.job("made").state is JobState.KILLED
    assert driver.engine.commits.inspect_commit("made", "master").error is None
    assert driver.tree("made") == {"a": "apple\n"}


def test_the_output_is_copied_though_its_pipeline_is_stopped_and_started_meanwhile(
    in_the_way: tuple[Any, Any], open_engine: Any, tmp_path: Path
) -> None:
    driver, job = in_the_way

    driver.engine.pipelines.stop_pipeline("made")
    driver.engine.close()  # which begins the copying anew, without an hour's pause
    (tmp_path / "t").unlink()
    again = open_engine(driver.home)
    again.engine.pipelines.start_pipeline("made")

    assert (again.job("made").id, again.job("made").state) == (job.id, JobState.SUCCESS)
    assert found_below(tmp_path / "t") == {"a": "apple\n"}


def test_a_job_that_was_deleted_meanwhile_comes_back_with_its_commit(
    open_engine: Any, tmp_path: Path
) -> None:
    driver = open_engine(TRUNKLINE_EGRESS_RETRY_S="3600")
    driver.engine.repos.create_repo("data")
    put = driver.put("data", {"a": "apple\n"})
    (tmp_path / "t").touch()
    driver.pipeline("made", COPY, egress={"URL": f"file://{tmp_path}/t"})
    wait_for(driver, JobState.EGRESSING)

    driver.engine.commits.drop_commit("data", put.id, recursive=True)
    driver.engine.trash.undelete("commit", f"data@{put.id}")

    job = driver.job("made")
    assert job.state is JobState.KILLED
    assert job.reason.startswith("deleted while its output was copied")
    assert driver.tree("made") == {"a": "apple\n"}


class _Store(http.server.BaseHTTPRequestHandler):
    """Takes single objects as S3 does, and fails as often as it is told to."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    failures: list[int]
    before: Callable[[bytes], None]  # what is done with a body before it is there

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.before(body)
        status = self.failures.pop() if self.failures else 200
        if status == 200:
            self.objects[urllib.parse.unquote(self.path)] = body
        self.send_response(status)
        self.send_header("ETag", '"x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def object_store(
    failures: list[int], before: Callable[[bytes], None] = lambda _: None
) -> Iterator[tuple[str, dict[str, bytes]]]:
    names = {"objects": {}, "failures": failures, "before": staticmethod(before)}
    handler = type("Handler", (_Store,), names)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{web.server_address[1]}", handler.objects
        web.shutdown()


def credentials_for(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }


@pytest.fixture
def at_store(
    open_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, list[int]], tuple[Any, dict[str, bytes]]]]:
    """A job whose output goes to a bucket of a store that fails in the given ways first."""
    pytest.importorskip("obstore")
    stack = []

    def run(bucket: str, failures: list[int]) -> tuple[Any, dict[str, bytes]]:
        context = object_store(failures)
        endpoint, objects = context.__enter__()
        stack.append(context)
        variables = credentials_for(endpoint)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        driver = open_engine(**QUICK, **variables)
        driver.engine.repos.create_repo("data")
        driver.put("data", {"a b": "apple\n", "c/ü": "bear\n"})
        script = "cp -r /pfs/data/. /pfs/out/"
        driver.pipeline("made", script, glob="/", egress={"URL": f"s3://{bucket}/pre/fix/"})
        return driver.job("made"), objects

    yield run
    for context in stack:
        context.__exit__(None, None, None)


def test_the_output_is_copied_into_an_object_store(at_store: Any) -> None:
    job, objects = at_store("bucket-one", [])

    assert job.state is JobState.SUCCESS
    assert objects == {
        "/bucket-one/pre/fix/a b": b"apple\n",
        "/bucket-one/pre/fix/c/ü": b"bear\n",
    }


def test_an_object_store_that_refuses_fails_the_job_with_its_reason(at_store: Any) -> None:
    job, objects = at_store("bucket-two", [403] * 50)

    assert job.state is JobState.FAILURE
    assert re.search(
        "egress to s3://bucket-two/pre/fix/ failed 3 times: .* credentials", job.reason
    )
    assert objects == {}


def test_what_a_stopped_job_was_about_to_write_never_comes_after_the_next_jobs_output(
    open_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore")
    seen: list[bytes] = []
    arrived, overtaken = threading.Event(), threading.Event()

    def before(body: bytes) -> None:
        seen.append(body)
        if body == b"old":
            arrived.set()
            assert overtaken.wait(28)  # the store would ask again after 30
            seen.append(b"old is there")

    with object_store([], before) as (endpoint, objects):
        variables = credentials_for(endpoint)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        driver = open_engine(**QUICK, **variables)
        driver.engine.repos.create_repo("data")
        driver.put("data", {"a": "old"})
        driver.pipeline("made", COPY, egress={"URL": "s3://bucket-three"})
        assert arrived.wait(60)
        [old] = driver.engine.jobs.list_jobs(pipeline="made")

        driver.engine.jobs.stop_job(f"made@{old.id}")
        driver.put("data", {"a": "new"})
        wait_for(driver, JobState.EGRESSING)
        driver.pipeline("other", "echo other > /pfs/out/b", egress={"URL": "s3://bucket-three"})
        assert driver.job("other").state is JobState.SUCCESS  # there is a thread for others
        overtaken.set()

        assert driver.job("made").state is JobState.SUCCESS
        assert seen == [b"old", b"other\n", b"old is there", b"new"]
        assert objects == {"/bucket-three/a": b"new", "/bucket-three/b": b"other\n"}


def test_a_large_output_reaches_a_real_store_in_parts(
    open_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import urllib.request
    import uuid

    endpoint = os.environ.get("TRUNKLINE_TEST_S3")
    if not endpoint:
        pytest.skip("TRUNKLINE_TEST_S3 names no server (.ci/run starts one)")
    bucket = f"bucket-{uuid.uuid4().hex}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{bucket}", data=b"", method="PUT"))
    variables = credentials_for(endpoint)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    driver = open_engine(**variables)
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "x"})
    script = "head -c 30000000 /dev/zero > /pfs/out/big"
    driver.pipeline("made", script, egress={"URL": f"s3://{bucket}/"})

    assert driver.job("made").state is JobState.SUCCESS
    with urllib.request.urlopen(f"{endpoint}/{bucket}/big") as answer:
        assert answer.read() == bytes(30_000_000)


@pytest.mark.parametrize(
    ("egress", "told"),
    [
        ({"URL": "http://host.example/x"}, "only object stores .* and file:///path can"),
        ({"URL": "file://host/x"}, "write file:///path/to/it"),
        ({"URL": "s3://b"}, "bucket is no name"),
        ({}, None),
        ({"object_storage": {"url": ""}}, "needs a `url`"),
        ({"URL": "s3://bucket/x", "object_storage": {"url": "s3://bucket/x"}}, "exactly one of"),
    ],
)
def test_a_target_that_can_not_be_is_refused(data: Any, egress: Any, told: str | None) -> None:
    if told is None:
        data.pipeline("made", COPY, egress=egress)
        return
    with pytest.raises(InvalidSpec, match=told):
        data.pipeline("made", COPY, egress=egress)
