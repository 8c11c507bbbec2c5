"""What changes while somebody looks: one stream of events for each open page.

A page says which topics it shows. While anybody is interested in a topic, one task looks whether
it has changed, for all pages together; a page that is told so asks for itself anew. Each second
costs a look at the revision of the catalog and at the workers, which are in memory: what a topic
shows is asked for only where one of these differs, and then less often where that takes long.
Nothing is looked at while nobody is there.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import NamedTuple

from starlette.types import Receive, Send

from trunkline.api.connection import Operations, Served
from trunkline.errors import TrunklineError
from trunkline.model.jobs import JobState
from trunkline.server.console.headers import page_headers
from trunkline.server.threads import Threads

LOOK_S = 1.0
PAUSE = 20  # times as long as looks took, until the next ones: they are little work for the server
ANYWAY_S = 60.0  # until a topic is looked at though nothing seems to differ
SILENCE_S = 15.0  # until a comment is sent, so that either side notices when the other has died
_NEWEST = 50  # of a list that can be long
_AT_WORK = (JobState.RUNNING, JobState.FINISHING, JobState.EGRESSING)  # also behind newer ones

Look = Callable[[Operations], object]


def _commits(operations: Operations) -> object:
    newest = operations.commits.list_all_commits(number=_NEWEST)
    return [(commit.repo, commit.id, commit.finished, commit.error) for commit in newest]


def _jobs(operations: Operations) -> object:
    at_work = operations.jobs.list_jobs(states=list(_AT_WORK), number=_NEWEST)
    return [
        (job.pipeline, job.id, job.state, job.processed, job.skipped, job.failed, job.total)
        for job in (*operations.jobs.list_jobs(number=_NEWEST), *at_work)
    ]


def _pipelines(operations: Operations) -> object:
    found = operations.pipelines.list_pipelines()
    return [(pipeline.name, pipeline.version, pipeline.state) for pipeline in found]


def _repos(operations: Operations) -> object:
    found = operations.repos.list_repos()
    return [(repo.name, repo.description, repo.branches, repo.size_bytes) for repo in found]


def _workers(operations: Operations) -> object:
    return operations.jobs.list_workers()


def _upkeep(operations: Operations) -> object:
    return operations.admin.status().upkeep


TOPICS: dict[str, Look] = {
    "commits": _commits,
    "jobs": _jobs,
    "pipelines": _pipelines,
    "repos": _repos,
    "workers": _workers,
    "upkeep": _upkeep,
}


_OVER = ""  # in place of a topic: no more will come


class _Sight(NamedTuple):
    """When a topic was looked at last."""

    revision: int  # of the catalog, then
    at: float


class Live:
    """Tells pages what has changed."""

    def __init__(self, operations: Served, threads: Threads) -> None:
        self._operations = operations
        self._threads = threads
        self._looked_at: dict[str, bytes] = {}  # topic to a digest of what was seen last
        self._audience: dict[asyncio.Queue[str], frozenset[str]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def serve(self, topics: frozenset[str], receive: Receive, send: Send) -> None:
        """Send the names of topics as they change, until either side ends."""
        topics &= TOPICS.keys()
        for topic in sorted(topics - self._looked_at.keys()):  # what changes from now on is told
            await self._has_changed(topic)
        headers = [*page_headers(), (b"content-type", b"text/event-stream")]
        changes: asyncio.Queue[str] = asyncio.Queue()
        self._audience[changes] = topics
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        gone = asyncio.create_task(_hung_up(receive, changes))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await _event(send, b"retry: 2000\n\n")
            while True:
                try:
                    topic = await asyncio.wait_for(changes.get(), SILENCE_S)
                except TimeoutError:
                    await _event(send, b":\n\n")
                    continue
                if topic == _OVER:
                    break
                await _event(send, f"event: change\ndata: {topic}\n\n".encode())
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            del self._audience[changes]

    def tell(self, topic: str) -> None:
        """Tell all who are interested in a topic that it has changed."""
        for changes, topics in self._audience.items():
            if topic in topics:
                changes.put_nowait(topic)

    async def _look(self) -> None:
        seen: dict[str, _Sight] = {}
        due = 0.0  # when topics are looked at next
        try:
            while self._audience and not self._threads.stopping:
                began = time.monotonic()
                if began >= due:
                    await self._look_at(frozenset[str]().union(*self._audience.values()), seen)
                    due = began + PAUSE * (time.monotonic() - began)
                await asyncio.sleep(LOOK_S)
        finally:
            self._looking = None
            self._looked_at.clear()
            for changes in self._audience:
                changes.put_nowait(_OVER)

    async def _look_at(self, wanted: frozenset[str], seen: dict[str, _Sight]) -> None:
        """Tell of those topics that have changed."""
        now, revision = time.monotonic(), self._operations.revision()
        workers = None
        if "workers" in wanted or "pipelines" in wanted:
            workers = await self._has_changed("workers")
        if workers:
            self.tell("workers")
        for topic in sorted(wanted - {"workers"}):
            last = seen.get(topic)
            moved = last is None or last.revision != revision or now >= last.at + ANYWAY_S
            # What state a pipeline is in depends on its workers too.
            if not moved and not (workers and topic == "pipelines"):
                continue
            changed = await self._has_changed(topic)
            if changed is not None:
                seen[topic] = _Sight(revision=revision, at=now)
            if changed:
                self.tell(topic)

    async def _has_changed(self, topic: str) -> bool | None:
        """Whether it has since it was looked at last; None if it can't be told."""

        def digest() -> bytes:
            seen = repr(TOPICS[topic](self._operations))
            return hashlib.blake2b(seen.encode("utf-8", "backslashreplace")).digest()

        try:
            now = await self._threads.short(digest)
        except TrunklineError:  # a catalog that is away tells nothing; the next look may
            return None
        before = self._looked_at.setdefault(topic, now)
        self._looked_at[topic] = now
        return before != now


async def _event(send: Send, text: bytes) -> None:
    await send({"type": "http.response.body", "body": text, "more_body": True})


async def _hung_up(receive: Receive, changes: asyncio.Queue[str]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    changes.put_nowait(_OVER)
