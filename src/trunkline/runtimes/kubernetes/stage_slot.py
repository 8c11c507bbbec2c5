"""A slot whose commands are orders for objects of a cluster.

What `Command.stdin` has is an `Order`. A batch object is made under a name that hangs on its datum
alone, so that whoever comes after a crash finds it and goes on with it; it is deleted once its
output is stored. One that stays is applied anew for each job, and applied as it was when it does
not get healthy.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trunkline.errors import NotSupported, OperationFailed, TrunklineError, Unavailable
from trunkline.fetch.fetcher import Fetcher
from trunkline.fetch.objects import key_prefix
from trunkline.fetch.urls import StoreUrl, parse_url
from trunkline.model.conditions import found_at, parse_place, parse_question, spelled
from trunkline.runtimes.base import Command, ExitReport, OnOutput
from trunkline.runtimes.kubernetes.connection import ApiFailed
from trunkline.runtimes.kubernetes.following import (
    OF,
    Follower,
    StageCancelled,
    StageFailed,
    StageTimedOut,
)
from trunkline.runtimes.kubernetes.holdings import Holding, Holdings, Note
from trunkline.runtimes.kubernetes.objects import ClusterObjects, Named, ObjectApi
from trunkline.runtimes.kubernetes.pods import MANAGED, MANAGER
from trunkline.runtimes.scratch import ensure_directory

ISOLATION = "cluster"
STAGE = "trunkline/stage"  # label: what kind of object of ours it is
_BACK_S = 120.0  # for the cluster to take back what did not get healthy
STAYING_S = 600.0  # for what stays to get healthy, where the spec says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be made for a datum."""

    manifest: dict[str, Any]
    key: str  # of its holding
    pipeline: str
    job: str
    datum: str
    stays: bool
    success: list[str]
    failure: list[str]
    outputs: list[dict[str, str]]  # the fields of each `StageOutput`, filled

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def parse(data: bytes) -> "Order":
        return Order(**json.loads(data))

    @property
    def note(self) -> Note:
        one = Named.of(self.manifest)
        return Note(
            api_version=one.api_version,
            kind=one.kind,
            name=one.name,
            pipeline=self.pipeline,
            job=self.job,
            datum=self.datum,
            stays=self.stays,
        )

    def marked(self) -> dict[str, Any]:
        """The manifest with what says whose it is."""
        metadata = self.manifest["metadata"]
        ours = {OF: self.pipeline if self.stays else f"{self.job}/{self.datum}"}
        labels = {**(metadata.get("labels") or {}), MANAGED: MANAGER, STAGE: "datum"}
        annotations = {**(metadata.get("annotations") or {}), **ours}
        return {
            **self.manifest,
            "metadata": {**metadata, "labels": labels, "annotations": annotations},
        }


def open_slot(
    place: Path, *, holdings: Holdings, namespace: str, fetcher: Callable[[], Fetcher]
) -> "StageSlot":
    """A slot that keeps its files in `place`, and notes of its objects where those are kept."""
    return StageSlot(
        place,
        holdings=holdings,
        open_api=lambda: ClusterObjects(namespace),
        fetcher=fetcher,
    )


class StageSlot:
    """See `runtimes.base.Slot`; nothing is staged, and nothing runs on this machine."""

    isolation = ISOLATION

    def __init__(
        self,
        place: Path,
        *,
        holdings: Holdings,
        open_api: Callable[[], ObjectApi],
        fetcher: Callable[[], Fetcher],
    ) -> None:
        self._staged = ensure_directory(place / "pfs")
        self._out = ensure_directory(place / "out")
        self._place, self._holdings = place, holdings
        self._open_api, self._fetcher = open_api, fetcher
        self._api: ObjectApi | None = None
        self._holding: Holding | None = None
        self._judged: set[str] = set()  # uids of objects of earlier tries

    @property
    def out(self) -> Path:
        return self._out

    def stage(self, size_bytes: int, *, files: int = 1) -> Path:
        self.clear()
        return self._staged

    def set_code(self, directory: Path | None) -> None:
        """An object has no /code."""

    def set_secrets(self, directories: Mapping[str, Mapping[str, bytes]]) -> None:
        if directories:
            raise NotSupported(
                "an object of a cluster gets no secrets of Trunkline; name a Secret of the cluster "
                "in its manifest"
            )

    def prepare(self, command: Command) -> None:
        """Nothing takes long here."""

    def run(
        self,
        command: Command,
        *,
        on_output: OnOutput,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> ExitReport:
        began = time.monotonic()
        order = Order.parse(command.stdin or b"")
        timeout_s = command.timeout_s or (STAYING_S if order.stays else None)
        if self._api is None:
            self._api = self._open_api()
        follower = Follower(
            api=self._api,
            say=lambda text: on_output("stdout", f"{text}\n".encode()),
            cancelled=cancelled,
            tick=tick,
            deadline=None if timeout_s is None else began + timeout_s,
        )
        reason, timed_out, unwanted = "", False, False
        try:
            self._carry_out(order, follower)
        except StageCancelled:
            reason, unwanted = "it was stopped", True
        except StageTimedOut as error:
            reason, timed_out = f"{error} ({timeout_s:g} s)", True
        except StageFailed as error:
            reason = str(error)
        if not order.stays and not unwanted:
            self._copy_logs(order.note.object, on_output)
        if reason:
            self.clear()
        return ExitReport(
            code=1 if reason else 0,
            reason=reason,
            timed_out=timed_out,
            cancelled=unwanted,
            seconds=time.monotonic() - began,
        )

    def run_next(
        self,
        command: Command,
        told: Mapping[str, str],
        *,
        on_output: OnOutput,
        cancelled: Callable[[], bool],
        tick: Callable[[], None],
    ) -> ExitReport:
        raise NotSupported("datum_batching needs a command")

    def end_batch(self) -> None:
        """There is none."""

    def clear(self) -> None:
        holding, self._holding = self._holding, None
        if holding is not None:
            self._leave(holding)
        for place in (self._staged, self._out):
            shutil.rmtree(place, ignore_errors=True)
            ensure_directory(place)

    def close(self) -> None:
        self.clear()
        shutil.rmtree(self._place, ignore_errors=True)
        if self._api is not None:
            self._api.close()

    # --- one order --------------------------------------------------------------------------------

    def _carry_out(self, order: Order, follower: Follower) -> None:
        holding = self._holdings.of(order.key)
        while not holding.lock(make=True):
            follower.wait(0.2)
        self._holding = holding
        before = holding.note()
        same_job = before is not None and order.stays and before.job == order.job
        if before is not None and same_job and before.datum != order.datum:
            raise StageFailed(
                "the job has several datums, and what stays is one object: let the glob be /"
            )
        changed = before is not None and order.stays and before.object != order.note.object
        if before is not None and (before.ended or changed):
            # One that was judged and could not be deleted, or is of an earlier version.
            with suppress(ApiFailed):
                follower.api.delete(before.object)
        holding.write_note(order.note)
        success = tuple(parse_question(text) for text in order.success)
        failure = tuple(parse_question(text) for text in order.failure)
        if order.stays:
            found = self._serve(order, holding, follower, success, failure)
        else:
            made = follower.begin(order.marked(), self._judged)
            self._judged.add(str(made["metadata"].get("uid")))
            found = follower.to_end(order.note.object, success, failure)
        self._collect(order, holding, found)

    def _serve(
        self, order: Order, holding: Holding, follower: Follower, *questions: Any
    ) -> dict[str, Any]:
        manifest = order.marked()
        try:
            found = follower.to_health(manifest, *questions)
        except (StageFailed, StageCancelled) as error:
            former = holding.healthy()
            if former is None:
                raise
            follower.deadline = follower.clock() + _BACK_S
            follower.cancelled = lambda: False
            told = "it was rolled back to what was healthy before"
            try:
                follower.apply(former)
            except StageFailed as refusal:
                told = f"it can't be rolled back: {refusal}"
            if isinstance(error, StageCancelled):
                raise
            holding.write_refused(str(error))
            raise type(error)(f"{error}; {told}") from error
        holding.write_healthy(manifest)
        return found

    def _collect(self, order: Order, holding: Holding, found: Mapping[str, Any]) -> None:
        """Everything that the datum has put out, below `out`."""
        try:
            holding.copy_out(self._out)
            for output in order.outputs:
                target = self._out / output["path"].strip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                if output["status"]:
                    target.write_text(_at(found, output["status"]), "utf-8")
                else:
                    self._fetch(output["url"], target)
        except (OSError, TrunklineError) as error:
            raise StageFailed(f"its output can't be collected: {error}") from error

    def _fetch(self, url: str, target: Path) -> None:
        """An object, or all below a prefix that ends with a slash."""
        fetcher = self._fetcher()
        if not url.endswith("/"):
            _write(target, fetcher.read(url))
            return
        parsed = parse_url(url)
        if not isinstance(parsed, StoreUrl):
            raise OperationFailed(f"{url} is no object store: a web server can't be listed")
        prefix = key_prefix(parsed)
        for key, content in fetcher.read_all(url):
            path = target / key.removeprefix(prefix).lstrip("/")
            if not path.resolve().is_relative_to(target.resolve()):
                raise OperationFailed(f"{key} would leave its directory")
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, content)

    def _copy_logs(self, one: Named, on_output: OnOutput) -> None:
        assert self._api is not None, "it was opened for this order"
        try:
            for pod, text in self._api.logs(one):
                for line in text.splitlines():
                    on_output("stdout", f"{pod}: {line}\n".encode())
        except ApiFailed as error:
            on_output("stdout", f"the logs of its pods can't be read: {error}\n".encode())

    def _leave(self, holding: Holding) -> None:
        """Delete what does not stay; what can't be deleted now is left to who looks after it."""
        assert self._api is not None, "nothing is held before it is opened"
        try:
            note = holding.note()
            if note is not None and (not note.stays or holding.healthy() is None):
                holding.end()
                self._api.delete(note.object)
                holding.remove()
        except (ApiFailed, Unavailable):
            pass
        finally:
            holding.let_go()


def _at(found: Mapping[str, Any], place: str) -> str:
    value = found_at(found, parse_place(place))
    if value is None:
        raise OperationFailed(f"there is nothing at {place}")
    return spelled(value) or json.dumps(value, sort_keys=True)


def _write(path: Path, content: Any) -> None:
    with open(path, "wb") as file:
        for piece in content:
            file.write(piece)
