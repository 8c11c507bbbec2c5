"""What changes while somebody looks: one stream of events for each open page.

A page says which topics it shows. While anybody is interested in a topic, one task asks the
operations for the little that tells whether it has changed, once a second for all pages together,
and less often where that takes long; a page that is told so asks for itself anew. Nothing is asked
while nobody looks.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable

from starlette.types import Receive, Send

from trunkline.api.connection import Operations
from trunkline.errors import TrunklineError
from trunkline.model.jobs import JobState
from trunkline.server.console.headers import page_headers
from trunkline.server.threads import Threads

LOOK_S = 1.0
PAUSE = 20  # times as long as a look took, until the next one: it is little work for the server
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


class Live:
    """Tells pages what has changed."""

    def __init__(self, operations: Operations, threads: Threads) -> None:
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
        gone = asyncio.create_task(_hung_up(receive))
        silent_s = 0.0
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await _event(send, b"retry: 2000\n\n")
            while not gone.done() and not self._threads.stopping:
                try:
                    topic = await asyncio.wait_for(changes.get(), LOOK_S)
                except TimeoutError:
                    silent_s += LOOK_S
                    if silent_s >= SILENCE_S:
                        silent_s = 0.0
                        await _event(send, b":\n\n")
                else:
                    silent_s = 0.0
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
        due: dict[str, float] = {}  # topic to when it is looked at next
        try:
            while self._audience and not self._threads.stopping:
                wanted = frozenset[str]().union(*self._audience.values())
                for topic in sorted(wanted):
                    began = time.monotonic()
                    if due.get(topic, began) > began:
                        continue
                    if await self._has_changed(topic):
                        self.tell(topic)
                    due[topic] = began + PAUSE * (time.monotonic() - began)
                await asyncio.sleep(LOOK_S)
        finally:
            self._looking = None
            self._looked_at.clear()

    async def _has_changed(self, topic: str) -> bool:
        def digest() -> bytes:
            seen = repr(TOPICS[topic](self._operations))
            return hashlib.blake2b(seen.encode("utf-8", "backslashreplace")).digest()

        try:
            now = await self._threads.short(digest)
        except TrunklineError:  # a catalog that is away tells nothing; the next look may
            return False
        before = self._looked_at.setdefault(topic, now)
        self._looked_at[topic] = now
        return before != now


async def _event(send: Send, text: bytes) -> None:
    await send({"type": "http.response.body", "body": text, "more_body": True})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
