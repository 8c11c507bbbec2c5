"""Tells somebody outside of the ends of jobs: a POST to the URL of the settings (a webhook).

What is to be told is written down in the transaction that ends the job, and forgotten once it was
taken: at least once, whatever dies meanwhile. The number of a delivery is the same each time.
"""

import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from trunkline.config import Config
from trunkline.db.database import Database
from trunkline.errors import InvalidInput, TrunklineError
from trunkline.fetch.posting import post
from trunkline.fetch.urls import WebUrl, parse_url
from trunkline.jobs import tables
from trunkline.jobs.tables import JobRecord, NoticeRecord
from trunkline.model.jobs import JOB_MOVES, JobState

_PAUSE_MAX_S = 3600.0
_TRIES_MAX = 100  # four days
_LOOK_S = 1.0
_TIMEOUT_S = 10.0

_log = logging.getLogger("trunkline.notices")


class Notices:
    """The thread that tells. Start once; without a URL in the settings there is none."""

    def __init__(
        self,
        config: Config,
        database: Database,
        *,
        program: str,
        clock: Callable[[], datetime],
    ) -> None:
        """`program` is what it calls itself where it tells something."""
        self._url, self._states = wanted(config)
        self._program = program
        self._key = config.notify_key.encode("utf-8")
        self._retry_s = config.notify_retry_s
        self._database = database
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="trunkline-notices", daemon=True)

    def start(self) -> None:
        """Before jobs may end: from here on it is written down what is to be told."""
        with self._database.read() as tx:
            before = tables.wanted_notices(tx)
        if before != self._states:
            with self._database.write() as tx:
                tables.want_notices(tx, sorted(self._states))
                if not self._states:
                    tables.forget_notices(tx)
        if self._states:
            self._thread.start()

    def close(self) -> None:
        """Stop; what is being told is finished first, or told again at the next start."""
        self._stopping.set()
        self._database.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _loop(self) -> None:
        seen = -1
        while not self._stopping.is_set():
            try:
                with self._database.read() as tx:
                    notice = tables.next_notice(tx)
                if notice is None or notice.due > self._clock():
                    seen = self._database.wait_for_change(seen, _LOOK_S)
                    continue
                self._tell(notice)
            except Exception:  # a full disk, say: what was not forgotten is told again
                _log.exception("notices begin again")
                self._stopping.wait(_LOOK_S)

    def _tell(self, notice: NoticeRecord) -> None:
        with self._database.read() as tx:
            job = tables.job_by_number(tx, notice.job)
        told = job is None  # deleted since: nobody could look it up
        if job is not None:
            try:
                self._post(job)
                told = True
            except TrunklineError as error:
                _log.warning("the end of job %s is not told: %s", job.name, error)
        if not told and notice.tries + 1 >= _TRIES_MAX:
            _log.error("the end of a job is told no more, after %s tries", _TRIES_MAX)
            told = True
        pause_s = min(self._retry_s * 2.0**notice.tries, _PAUSE_MAX_S)
        with self._database.write() as tx:
            if told:
                tables.delete_notice(tx, notice.job)
            else:
                due = self._clock() + timedelta(seconds=pause_s)
                tables.put_off_notice(tx, notice.job, due=due)

    def _post(self, job: JobRecord) -> None:
        assert self._url is not None
        body = json.dumps(_about(job), ensure_ascii=False).encode("utf-8")
        sent = str(int(self._clock().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": self._program,
            "X-Trunkline-Delivery": _delivery(job),
            "X-Trunkline-Timestamp": sent,
        }
        if self._key:
            signed = hmac.new(self._key, f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
            headers["X-Trunkline-Signature"] = f"sha256={signed}"
        post(self._url, body, headers, timeout_s=_TIMEOUT_S)


def wanted(config: Config) -> tuple[WebUrl | None, set[str]]:
    """Who is to be told of which ends; raises InvalidInput for settings that can't be."""
    url = _url_of(config.notify_url)
    states = _states_of(config.notify_states)
    return url, states if url is not None else set()


def _about(job: JobRecord) -> dict[str, object]:
    assert job.finished is not None
    return {
        "event": f"job.{job.state.value}",
        "delivery": _delivery(job),
        "job": job.name,
        "pipeline": job.pipeline,
        "run": job.id,
        "state": job.state.value,
        "reason": job.reason,
        "output": f"{job.output_repo}@{job.id}",
        "branch": job.output_branch,
        "created": job.created.isoformat(),
        "started": job.started.isoformat() if job.started is not None else None,
        "finished": job.finished.isoformat(),
        "datums": {
            "total": job.total,
            "processed": job.processed,
            "skipped": job.skipped,
            "failed": job.failed,
            "recovered": job.recovered,
        },
    }


def _delivery(job: JobRecord) -> str:
    """The same for each time that one end is told."""
    return hashlib.sha256(f"{job.name} {job.number}".encode()).hexdigest()[:32]


def _url_of(text: str) -> WebUrl | None:
    if not text:
        return None
    found = parse_url(text)
    if not isinstance(found, WebUrl):
        raise InvalidInput("TRUNKLINE_NOTIFY_URL must begin with https:// or http://")
    return found


def _states_of(text: str) -> set[str]:
    ends = {state.value for state in JobState if not JOB_MOVES[state]}
    found = set(text.replace(",", " ").split()) or ends
    unknown = sorted(found - ends)
    if unknown:
        raise InvalidInput(
            f"TRUNKLINE_NOTIFY_STATES has '{unknown[0]}'; there are {', '.join(sorted(ends))}"
        )
    return found
