"""Images on their way: pulled beside everything else, while versions of pipelines wait for them.

A pull is a thread of its own, as the engine may take hours; whoever wants the same image meanwhile
joins it. What comes of it is looked at in the turns of the scheduler, which completes the versions
that waited, or tries again after a pause. Nothing of it is stored: after a restart the engine is
asked for the images of unsettled versions again, and goes on where it was.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from trunkline.config import Config
from trunkline.db.database import Database
from trunkline.errors import TrunklineError, Unavailable
from trunkline.jobs.secrets import SecretStore
from trunkline.model.images import Image, ImageStep
from trunkline.model.pipelines import PipelineSpec, PipelineState
from trunkline.pipelines import lifecycle
from trunkline.pipelines.lifecycle import PipelineRecord
from trunkline.runtimes.bounds import amount
from trunkline.runtimes.containers import images
from trunkline.runtimes.containers.engine import open_engine

_SOON_S = 2.0  # that a caller waits for the rest of a pull, once the registry has the image
_LOOK_S = 0.1
_FIRST_PAUSE_S = 5.0  # after a pull that failed, then doubled
_LAST_PAUSE_S = 300.0

_log = logging.getLogger("trunkline.scheduler")


def without_command(image: Image) -> str:
    """Why a version without a command can't run in an image that has none either."""
    return f"transform must specify a cmd: image '{image.reference}' has no entry point either"


class Pull:
    """An image on its way from its registry. Any thread may ask."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        self.image: Image | None = None  # once it is here
        self.error: TrunklineError | None = None  # once it has failed
        self._step: ImageStep | None = None  # the last that was told
        self._ended = threading.Event()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def told(self) -> str:
        """How far it is."""
        step = self._step
        if step is None:
            return f"pulling image {self.reference}: its registry has not answered yet"
        if not step.total_bytes:
            return f"pulling image {self.reference}"
        done, total = amount(step.done_bytes), amount(step.total_bytes)
        return f"pulling image {self.reference}: {done} of {total}"

    def first_word(
        self, cancelled: Callable[[], bool], *, answer_s: float | None = None
    ) -> Image | None:
        """The image if it is here soon, None if it takes longer.

        Waits until the registry has said that it has it, though not for more than `answer_s`, and
        for a moment more. Raises why it can't be had, and NotWanted.
        """
        began = time.monotonic()
        answered: float | None = None
        while not self._ended.wait(_LOOK_S):
            now = time.monotonic()
            if cancelled():
                raise images.NotWanted
            if answered is None and self._step is not None:
                answered = now
            if answered is not None and now - answered >= _SOON_S:
                return None
            if answered is None and answer_s is not None and now - began >= answer_s:
                return None
        if self.error is not None:
            raise self.error
        return self.image

    def note(self, step: ImageStep) -> None:
        self._step = step
        self.image = step.image or self.image

    def end(self, error: TrunklineError | None) -> None:
        self.error = error
        self._ended.set()


class Pulls:
    """The pulls that go on, each wanted image once. Any thread may ask."""

    def __init__(self, config: Config, *, wake: Callable[[], None]) -> None:
        """`wake` is called when one has ended."""
        self._config = config
        self._wake = wake
        self._lock = threading.Lock()
        self._going: dict[tuple[str, tuple[str, ...]], Pull] = {}
        self._closing = threading.Event()

    def begin(self, reference: str, pull_secrets: tuple[str, ...]) -> Pull:
        """The pull of an image, which begins unless it goes on already."""
        key = (reference, pull_secrets)
        with self._lock:
            if (found := self._going.get(key)) is not None:
                return found
            pull = self._going[key] = Pull(reference)
        threading.Thread(
            target=self._run, args=(key, pull), name="trunkline-pull", daemon=True
        ).start()
        return pull

    def close(self) -> None:
        """Have nobody wait any more; the engine goes on with what it has begun."""
        self._closing.set()

    def _run(self, key: tuple[str, tuple[str, ...]], pull: Pull) -> None:
        error: TrunklineError | None = None
        try:
            reference, pull_secrets = key
            credentials = SecretStore(self._config.home).logins(pull_secrets)
            with closing(open_engine(self._config)) as engine:
                for step in images.pull(
                    engine, reference, credentials=credentials, cancelled=self._closing.is_set
                ):
                    pull.note(step)
        except images.NotWanted:
            error = Unavailable("the server is shutting down")
        except TrunklineError as failure:
            error = failure
        except Exception as failure:  # who waits has to hear of it
            _log.exception("pulling image %s", pull.reference)
            error = Unavailable(f"image '{pull.reference}' can't be pulled: {failure}")
        with self._lock:
            del self._going[key]
        pull.end(error)
        self._wake()


@dataclass(slots=True, kw_only=True)
class _Awaited:
    """A version that waits for its image."""

    record: PipelineRecord
    spec: PipelineSpec
    pull: Pull | None = None  # that goes on
    failures: int = 0  # of pulls, in a row
    reason: str = ""  # of the last failure
    again_s: float = 0.0  # when to try again
    never: str = ""  # why no image of that name will do


class Arrivals:
    """The versions that wait for their images. Its turns are the scheduler's; any thread may ask
    for `condition`.
    """

    def __init__(
        self,
        database: Database,
        pulls: Pulls,
        *,
        monotonic: Callable[[], float],
        arrived: Callable[[str], None],
    ) -> None:
        """`arrived` is called with the name of a pipeline whose newest version can run now."""
        self._database = database
        self._pulls = pulls
        self._monotonic = monotonic
        self._arrived = arrived
        self._awaited: dict[str, _Awaited] = {}  # by pipeline

    def expect(self, record: PipelineRecord) -> None:
        """A version waits for its image; one that is known already begins anew only if another."""
        known = self._awaited.get(record.name)
        if known is None or known.record.spec_commit != record.spec_commit:
            spec = lifecycle.spec_of(record)
            self._awaited[record.name] = _Awaited(record=record, spec=spec)

    def condition(self, record: PipelineRecord) -> tuple[PipelineState, str]:
        """The state of a pipeline whose version waits for its image, and how far that is."""
        told = self.reason(record.name, record.spec_commit)
        known = self._awaited.get(record.name)
        if known is not None and known.never:
            return PipelineState.FAILURE, told
        if known is not None and known.reason:
            return PipelineState.CRASHING, told
        return PipelineState.STARTING, told or "its image is pulled"

    def reason(self, pipeline: str, spec_commit: str) -> str:
        """What a version of a pipeline waits for, or nothing."""
        known = self._awaited.get(pipeline)
        if known is None or known.record.spec_commit != spec_commit:
            return ""
        if known.never or known.reason:
            return known.never or self._failing(known)
        pull = known.pull
        return "" if pull is None else pull.told()

    def _failing(self, known: _Awaited) -> str:
        times = f" ({known.failures} times in a row)" if known.failures > 1 else ""
        if known.pull is not None:
            return f"{known.reason}{times}; it is tried again now"
        left_s = max(known.again_s - self._monotonic(), 0.0)
        return f"{known.reason}{times}; it is tried again in {left_s:.0f} s"

    def turn(self) -> None:
        """Begin pulls that are due, and take what came of those that have ended."""
        for name, known in list(self._awaited.items()):
            if not known.never:
                self._look_at(name, known)

    def _look_at(self, name: str, known: _Awaited) -> None:
        now = self._monotonic()
        pull = known.pull
        if pull is None:
            if now >= known.again_s and self._still(name, known):
                transform = known.spec.transform
                known.pull = self._pulls.begin(transform.image, transform.pull_secrets)
            return
        if not pull.ended:
            return
        known.pull = None
        if pull.image is not None and pull.error is None:
            self._settle(name, known, pull.image)
            return
        known.failures += 1
        known.reason = str(pull.error)
        known.again_s = now + min(_FIRST_PAUSE_S * 2 ** min(known.failures - 1, 10), _LAST_PAUSE_S)
        _log.warning("pipeline %s: %s", name, known.reason)
        self._database.notify()  # who waits for the state of the pipeline

    def _still(self, name: str, known: _Awaited) -> bool:
        """Whether a version still waits; it is forgotten if not."""
        with self._database.read() as tx:
            newest = lifecycle.find(tx, name)
        waits = (
            newest is not None
            and newest.spec_commit == known.record.spec_commit
            and newest.state is not PipelineState.PAUSED
            and not newest.placement.settled
        )
        if not waits:
            self._awaited.pop(name, None)
        return waits

    def _settle(self, name: str, known: _Awaited, image: Image) -> None:
        if not known.spec.transform.cmd and not image.command:
            known.never = without_command(image)
            return
        with self._database.write() as tx:
            settled = lifecycle.settle_image(tx, known.record, image)
        self._awaited.pop(name, None)
        if settled:
            _log.info("pipeline %s has its image %s", name, image.shown)
            self._arrived(name)
