"""Services: a process that stays, sees the newest input, and is replaced without a gap."""

import errno
import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from process_ends import has_ended

from trunkline.errors import InvalidSpec
from trunkline.jobs import records
from trunkline.model.jobs import JobInfo, JobState
from trunkline.model.pipelines import PipelineInfo, PipelineState

# Serves what it sees. The file `a` may ask for other things.
CODE = """
import http.server, json, os, pathlib, sys, time
text = pathlib.Path("/pfs/data/a").read_text()
port = int(os.environ["PORT"])
if text == "fails":
    sys.exit("no such model")
if text.startswith("fixed"):
    port = int(os.environ["FIXED"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            print("out of luck", file=sys.stderr, flush=True)
            os._exit(3)
        seen = {"text": text, "pid": os.getpid(), "env": dict(os.environ)}
        self.send_response(503 if text == "never good" else 200)
        self.end_headers()
        self.wfile.write(json.dumps(seen).encode())
http.server.HTTPServer.request_queue_size = 100
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def until(wanted: Callable[[], Any]) -> Any:
    """What it gives, once that is something; no error of a connection counts."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if found := wanted():
                return found
        except (OSError, ValueError):
            pass
        time.sleep(0.02)
    raise AssertionError("it did not come to that within a minute")


def ask(port: int, path: str = "/") -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


class Web:
    """A service in an engine."""

    def __init__(self, driver: Any, port: int, fixed: int) -> None:
        self.driver, self.port, self.fixed = driver, port, fixed

    def create(self, text: str = "one", **service: Any) -> JobInfo:
        self.driver.engine.repos.create_repo("data")
        self.driver.put("data", {"a": text})
        self.define(**service)
        return self.job()

    def define(self, *, update: bool = False, **service: Any) -> None:
        spec = {
            "pipeline": {"name": "web"},
            "input": {"pfs": {"repo": "data", "glob": "/"}},
            "transform": {"cmd": ["python3", "-c", CODE], "env": {"FIXED": str(self.fixed)}},
            "service": {"internal_port": self.fixed, "external_port": self.port, **service},
            "datum_tries": 1,
        }
        self.driver.engine.pipelines.create_pipeline(spec, update=update)

    def put(self, text: str) -> JobInfo:
        self.driver.put("data", {"a": text})
        return self.job()

    def job(self) -> JobInfo:
        found: JobInfo = self.driver.job("web")
        return found

    def text(self) -> str:
        return str(ask(self.port)["text"])

    def info(self) -> PipelineInfo:
        found: PipelineInfo = self.driver.engine.pipelines.inspect_pipeline("web")
        return found


@pytest.fixture
def web(engine: Any, free_port: Callable[[], int]) -> Web:
    return Web(engine, free_port(), free_port())


@pytest.fixture
def caller() -> Iterator[Callable[[int], list[str]]]:
    """Calls a port all the time; gives the answers, and errors as they come."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def call(port: int) -> list[str]:
        heard: list[str] = []

        def run() -> None:
            while not over.is_set():
                try:
                    heard.append(str(ask(port)["text"]))
                except (OSError, ValueError) as error:
                    heard.append(f"refused: {error!r}")

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return heard

    yield call
    over.set()
    for thread in threads:
        thread.join()


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_the_job_succeeds_once_the_code_serves_what_it_sees(web: Web) -> None:
    job = web.create()

    seen = ask(web.port)
    info = web.info()

    assert (job.state, job.processed, job.total) == (JobState.SUCCESS, 1, 1)
    assert seen["text"] == "one"
    assert seen["env"]["PACH_JOB_ID"] == job.id
    assert seen["env"]["data_COMMIT"] == web.driver.head("data")
    assert info.state is PipelineState.RUNNING
    assert info.resident is not None
    assert info.resident.address == f"127.0.0.1:{web.port}"
    assert info.resident.job == f"web@{job.id}"
    assert info.resident.commits == (f"data@{web.driver.head('data')}",)
    assert info.resident.healthy
    assert [w.job for w in web.driver.engine.jobs.list_workers()] == [f"web@{job.id}"]
    assert web.driver.tree("web") == {}


def test_a_new_commit_takes_over_and_no_caller_is_ever_refused(
    web: Web, caller: Callable[[int], list[str]]
) -> None:
    web.create("one")
    heard = caller(web.port)

    for text in ("two", "three", "four"):
        assert web.put(text).state is JobState.SUCCESS
        count = len(heard)
        until(lambda count=count: len(heard) > count + 20)
        assert heard[-1] == text

    assert list(dict.fromkeys(heard)) == ["one", "two", "three", "four"]


def test_code_that_fails_on_a_new_commit_leaves_the_old_one_serving(web: Web) -> None:
    good = web.create("one")

    job = web.put("fails")
    info = web.info()

    assert job.state is JobState.FAILURE
    assert f"did not get ready: the command exited with code 1; job web@{good.id}" in job.reason
    assert "no such model" in job.reason
    assert web.text() == "one"
    assert info.state is PipelineState.RUNNING
    assert until(lambda: f"job web@{good.id} is still served" in web.info().reason)

    assert web.put("two").state is JobState.SUCCESS
    assert (web.text(), web.info().reason) == ("two", "")


def test_code_that_never_answers_well_is_given_up(web: Web) -> None:
    web.create("one", health={"path": "/", "timeout": "8s"})

    job = web.put("never good")

    assert job.state is JobState.FAILURE
    assert "it listens, but / did not answer with 2xx within 8 s" in job.reason
    assert web.text() == "one"


def test_moving_the_input_back_serves_what_was_served_before(web: Web) -> None:
    web.create("one")
    first = web.driver.head("data")
    web.put("two")

    web.driver.engine.branches.create_branch("data", "master", head=first)

    assert web.job().state is JobState.SUCCESS
    assert web.text() == "one"


def test_a_process_that_is_killed_or_dies_comes_back(web: Web) -> None:
    web.create("one")
    first = ask(web.port)["pid"]
    os.kill(first, signal.SIGKILL)

    second = until(lambda: (pid := ask(web.port)["pid"]) != first and pid)
    with pytest.raises((OSError, ValueError)):
        ask(web.port, "/die")
    crashing = until(lambda: web.info().state is PipelineState.CRASHING and web.info())

    assert "ended: the command exited with code 3" in crashing.reason
    assert "out of luck" in crashing.reason
    assert until(lambda: ask(web.port)["pid"] not in (first, second))
    until(lambda: web.info().state is PipelineState.RUNNING)
    assert web.job().state is JobState.SUCCESS


def test_a_worker_that_is_killed_leaves_nothing_and_comes_back(web: Web) -> None:
    web.create("one")
    first = ask(web.port)["pid"]
    [worker] = web.driver.engine.jobs.list_workers()
    assert worker.pid

    os.kill(worker.pid, signal.SIGKILL)

    assert until(lambda: ask(web.port)["pid"] != first)
    until(lambda: has_ended(first))


def test_code_that_listens_on_a_fixed_port_is_stopped_before_the_next_one_starts(
    web: Web, caller: Callable[[int], list[str]]
) -> None:
    web.create("fixed one")
    heard = caller(web.port)
    until(lambda: heard)

    job = web.put("fixed two")
    until(lambda: heard[-1] == "fixed two")

    assert job.state is JobState.SUCCESS
    assert not [text for text in heard if "refused" in text]
    assert web.put("fails").state is JobState.FAILURE
    assert until(lambda: web.text() == "fixed two")


def test_without_an_external_port_it_is_reached_at_the_internal_one(web: Web) -> None:
    web.create("one", external_port=0)
    assert ask(web.fixed)["text"] == "one"
    web.driver.engine.pipelines.delete_pipeline("web")
    until(lambda: refuses(web.fixed))
    web.driver.put("data", {"a": "fixed one"})
    web.define(external_port=0)

    assert web.job().state is JobState.SUCCESS
    assert ask(web.fixed)["text"] == "fixed one"
    resident = web.info().resident
    assert resident is not None
    assert resident.address == f"127.0.0.1:{web.fixed}"


def test_a_port_that_somebody_has_fails_the_job_with_its_name(web: Web) -> None:
    with socket.create_server(("127.0.0.1", web.port)):
        job = web.create("one")

    assert job.state is JobState.FAILURE
    assert f"127.0.0.1:{web.port} can't be listened on" in job.reason
    assert until(lambda: web.text() == "one")


def test_stopping_starting_updating_and_deleting(web: Web) -> None:
    web.create("one")
    pid = ask(web.port)["pid"]

    web.driver.engine.pipelines.stop_pipeline("web")
    until(lambda: refuses(web.port) and has_ended(pid))
    assert web.info().state is PipelineState.PAUSED
    web.driver.engine.pipelines.start_pipeline("web")
    assert until(lambda: web.text() == "one")
    before = ask(web.port)["pid"]
    web.define(update=True)
    assert web.job().state is JobState.SUCCESS
    after = ask(web.port)
    assert after["pid"] != before
    until(lambda: has_ended(before))
    web.driver.engine.pipelines.delete_pipeline("web")

    until(lambda: refuses(web.port) and has_ended(after["pid"]))


def test_its_log_is_there_while_it_runs_and_afterwards(web: Web) -> None:
    job = web.create("one")
    name = f"web@{job.id}"
    lines = web.driver.engine.datums.get_logs(job=name, follow=True)
    ask(web.port)

    assert '"GET / HTTP/1.1" 200' in next(lines).message
    ask(web.port)
    assert '"GET / HTTP/1.1" 200' in next(lines).message
    assert web.put("two").state is JobState.SUCCESS
    assert list(lines) == []  # its process has ended, and so has its log
    kept = [line.message for line in web.driver.engine.datums.get_logs(job=name)]
    assert len(kept) == 2


def test_an_input_of_several_datums_is_refused_when_its_job_comes(web: Web) -> None:
    web.driver.engine.repos.create_repo("data")
    web.driver.put("data", {"a": "1", "b": "2"})
    web.driver.engine.pipelines.create_pipeline(
        {
            "pipeline": {"name": "web"},
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "transform": {"cmd": ["true"]},
            "service": {"internal_port": web.fixed},
        }
    )

    job = web.job()

    assert job.state is JobState.FAILURE
    assert 'a service sees one datum, and its input makes 2: give the input the glob "/"' in (
        job.reason
    )


def test_it_comes_back_on_the_newest_commit_when_the_engine_is_opened_again(
    open_engine: Callable[..., Any], free_port: Callable[[], int]
) -> None:
    web = Web(open_engine(), free_port(), free_port())
    web.create("one")
    web.put("two")
    pid = ask(web.port)["pid"]
    web.driver.engine.close()
    assert has_ended(pid)
    assert refuses(web.port)

    web.driver = open_engine()

    assert until(lambda: web.text() == "two")
    assert [job.state for job in web.driver.engine.jobs.list_jobs()] == [JobState.SUCCESS] * 2


def test_nothing_of_it_outlives_a_server_that_is_killed(
    remote: Any, free_port: Callable[[], int]
) -> None:
    web = Web(remote, free_port(), free_port())
    web.create("one")
    pid = ask(web.port)["pid"]

    os.kill(remote.engine.admin.status().pid, signal.SIGKILL)

    until(lambda: has_ended(pid) and refuses(web.port))
    web.put("two")  # starts another server
    assert until(lambda: web.text() == "two")


def test_what_it_requests_is_counted_and_two_that_do_not_fit_take_turns(
    open_engine: Callable[..., Any], free_port: Callable[[], int]
) -> None:
    driver = open_engine(TRUNKLINE_CPUS="1")
    web = Web(driver, free_port(), free_port())
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "one"})
    spec = {
        "pipeline": {"name": "web"},
        "input": {"pfs": {"repo": "data", "glob": "/"}},
        "transform": {"cmd": ["python3", "-c", CODE]},
        "service": {"internal_port": web.fixed, "external_port": web.port},
        "resource_requests": {"cpu": 1},
    }
    driver.engine.pipelines.create_pipeline(spec)
    assert web.job().state is JobState.SUCCESS

    assert web.put("two").state is JobState.SUCCESS

    assert web.text() == "two"


def test_specs_of_services_are_checked(web: Web) -> None:
    for service, more, sentence in (
        ({}, {}, "'service' has no internal_port"),
        ({"internal_port": 80, "ip": "here"}, {}, "'service.ip' is not an address"),
        ({"internal_port": 80, "health": {"path": "x"}}, {}, "must begin with a slash"),
        (
            {"internal_port": 80},
            {"parallelism_spec": {"constant": 2}},
            "services can only be run with a constant parallelism of 1",
        ),
        ({"internal_port": 80}, {"autoscaling": True}, "autoscaling can't be used with services"),
    ):
        spec = {
            "pipeline": {"name": "web"},
            "input": {"pfs": {"repo": "data", "glob": "/"}},
            "transform": {"cmd": ["true"]},
            "service": service,
            **more,
        }
        with pytest.raises(InvalidSpec, match=sentence.replace("(", r"\(")):
            web.driver.engine.pipelines.create_pipeline(spec)


# --- the server can't record what becomes of it ---------------------------------------------------


@pytest.fixture
def flawed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception, int], None]:
    """Has the next times that the state of a service is recorded fail."""

    def spoil(error: Exception, times: int) -> None:
        left = [error] * times

        def recording(*arguments: Any, **named: Any) -> Any:
            if left:
                raise left.pop()
            return records.apply_event(*arguments, **named)

        monkeypatch.setattr("trunkline.jobs.residents.apply_event", recording)

    return spoil


def test_a_service_whose_readiness_can_not_be_recorded_comes_again(
    web: Web, flawed: Callable[[Exception, int], None]
) -> None:
    web.create("one")
    flawed(OSError(errno.ENOSPC, "No space left on device"), 2)

    assert web.put("two").state is JobState.SUCCESS
    assert until(lambda: web.text() == "two")


def test_a_defect_in_the_steps_for_a_service_fails_its_job_and_the_old_one_stands_again(
    web: Web, flawed: Callable[[Exception, int], None]
) -> None:
    web.create("one")
    flawed(KeyError("colour"), 1)

    job = web.put("two")

    assert job.state is JobState.FAILURE
    assert job.reason.startswith("an internal error while recording how its service is: KeyError")
    assert until(lambda: web.text() == "one")
    assert web.put("three").state is JobState.SUCCESS
    assert until(lambda: web.text() == "three")
