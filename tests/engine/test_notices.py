"""The ends of jobs are told to a URL: signed, at least once, over restarts."""

import hashlib
import hmac
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

from trunkline.errors import InvalidInput
from trunkline.jobs import tables
from trunkline.model.jobs import JobState

WAIT_S = 60
GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "notifications.md"


class Hook:
    """Takes what it is sent, and answers with the given statuses first."""

    def __init__(self, port: int = 0) -> None:
        hook = self
        self.got: Queue[tuple[dict[str, str], bytes]] = Queue()
        self.statuses: list[int] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = hook.statuses.pop(0) if hook.statuses else 204
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                hook.got.put((dict(self.headers), body))

            def log_message(self, *_: object) -> None:
                pass

        self._web = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._web.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?x=1"
        threading.Thread(target=self._web.serve_forever, args=(0.05,), daemon=True).start()

    def next(self) -> tuple[dict[str, str], dict[str, Any]]:
        headers, body = self.got.get(timeout=WAIT_S)
        return headers, json.loads(body)

    def close(self) -> None:
        self._web.shutdown()
        self._web.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()
    yield found
    found.close()


@pytest.fixture
def begin(open_engine: Callable[..., Any], hook: Hook) -> Callable[..., Any]:
    def begun(**environment: str) -> Any:
        driver = open_engine(
            TRUNKLINE_NOTIFY_URL=hook.url, TRUNKLINE_NOTIFY_RETRY_S="0.01", **environment
        )
        driver.engine.repos.create_repo("data")
        driver.put("data", {"a": "apple\n"})
        return driver

    return begun


def waiting(driver: Any) -> int:
    with driver.engine._services.database.read() as tx:
        notice = tables.next_notice(tx)
    return 0 if notice is None else 1


def test_the_end_of_a_job_is_told_with_a_signature(begin: Any, hook: Hook) -> None:
    driver = begin(TRUNKLINE_NOTIFY_KEY="key")
    driver.pipeline("made", "cp $data /pfs/out/")
    job = driver.job("made")

    headers, body = hook.got.get(timeout=WAIT_S)

    told = json.loads(body)
    assert (told["event"], told["job"]) == ("job.success", f"made@{job.id}")
    assert told["datums"] == {
        "total": 1, "processed": 1, "skipped": 0, "failed": 0, "recovered": 0
    }  # fmt: skip
    assert headers["X-Trunkline-Delivery"] == told["delivery"]
    signed = f"{headers['X-Trunkline-Timestamp']}.".encode() + body
    expected = hmac.new(b"key", signed, hashlib.sha256).hexdigest()
    assert headers["X-Trunkline-Signature"] == f"sha256={expected}"
    guide: dict[str, Any] = {}
    [block] = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.S)
    exec(block, guide)
    assert guide["is_ours"](b"key", headers, body)
    assert not guide["is_ours"](b"key", headers, body + b" ")


def test_only_the_wanted_ends_are_told(begin: Any, hook: Hook) -> None:
    driver = begin(TRUNKLINE_NOTIFY_STATES="failure, unrunnable")
    driver.pipeline("good", "true")
    assert driver.job("good").state is JobState.SUCCESS
    driver.pipeline("bad", "echo oh >&2; exit 3", datum_tries=1)
    driver.pipeline("next", "true", source="bad")
    driver.job("next")

    told = [hook.next()[1] for _ in range(2)]

    assert {(each["pipeline"], each["state"]) for each in told} == {
        ("bad", "failure"),
        ("next", "unrunnable"),
    }
    assert any("exited with code 3" in each["reason"] for each in told)
    with pytest.raises(Empty):
        hook.got.get_nowait()


def test_what_is_refused_is_told_again_under_the_same_number(begin: Any, hook: Hook) -> None:
    hook.statuses = [500, 302, 404]
    driver = begin()
    driver.pipeline("made", "true")
    driver.job("made")

    numbers = {hook.next()[0]["X-Trunkline-Delivery"] for _ in range(4)}

    assert len(numbers) == 1
    with pytest.raises(Empty):
        hook.got.get(timeout=0.3)


def test_what_nobody_took_is_told_after_the_next_start(open_engine: Any, hook: Hook) -> None:
    hook.close()
    driver = open_engine(TRUNKLINE_NOTIFY_URL=hook.url, TRUNKLINE_NOTIFY_RETRY_S="0.5")
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "apple\n"})
    driver.pipeline("made", "true")
    job = driver.job("made")
    assert waiting(driver)
    driver.engine.close()

    again = Hook(hook.port)
    try:
        open_engine(driver.home, TRUNKLINE_NOTIFY_URL=hook.url)
        assert again.next()[1]["job"] == f"made@{job.id}"
    finally:
        again.close()


def test_without_a_url_nothing_is_noted_and_what_was_is_forgotten(
    open_engine: Any, hook: Hook
) -> None:
    hook.close()
    driver = open_engine(TRUNKLINE_NOTIFY_URL=hook.url, TRUNKLINE_NOTIFY_RETRY_S="3600")
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "apple\n"})
    driver.pipeline("made", "true")
    driver.job("made")
    assert waiting(driver)
    driver.engine.close()

    quiet = open_engine(driver.home)
    assert not waiting(quiet)
    quiet.put("data", {"b": "bear\n"})
    quiet.job("made")
    assert not waiting(quiet)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"TRUNKLINE_NOTIFY_URL": "s3://bucket/x"}, "must begin with https:// or http://"),
        (
            {"TRUNKLINE_NOTIFY_URL": "http://h.example/", "TRUNKLINE_NOTIFY_STATES": "sucess"},
            "has 'sucess'",
        ),
    ],
)
def test_settings_that_can_not_be_are_refused(
    open_engine: Any, variables: dict[str, str], told: str
) -> None:
    with pytest.raises(InvalidInput, match=told):
        open_engine(**variables)
