"""How the check of a cluster speaks to both sides, waits, and says what it found.

Nothing here waits without an end: a command has `COMMAND_S`, a wait its patience, and what will
never come true ends a wait at once, with a sentence and with what the cluster says.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMAND_S = 120.0  # one that takes longer hangs
FORWARD_S = 30.0  # until kubectl has a way to the server
UNREACHABLE = 6  # exit status of `trunkline`: it was not done, as the server did not answer
AGAIN_S = 30.0  # for how long that is tried again, as a forwarded port may break
STEP_S = 0.25  # between looks
ENDS = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
CRASHES = ("CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError")
TRUNKLINE = str(Path(sys.executable).parent / "trunkline")


class Broken(Exception):
    """What follows makes no sense any more; the sentence says why."""


@dataclass(frozen=True)
class Figure:
    """Something measured, beside what Pachyderm 1.7.0 took and what was wanted."""

    what: str
    here: float
    unit: str
    peer: tuple[float, float] | None  # its range
    ratio_max: float | None = None  # to the middle of that
    most: float | None = None  # or a bound of its own, in the unit

    @property
    def ratio(self) -> float | None:
        """How much of Pachyderm's cost it is, also of what is a rate."""
        if self.peer is None:
            return None
        middle = sum(self.peer) / 2
        return middle / self.here if self.unit.endswith("/s") else self.here / middle

    @property
    def good(self) -> bool:
        if self.ratio_max is not None and self.ratio is not None:
            return self.ratio <= self.ratio_max
        return self.most is None or self.here <= self.most

    def row(self) -> tuple[str, ...]:
        peer = (
            "–" if self.peer is None else "–".join(f"{one:g}" for one in dict.fromkeys(self.peer))
        )
        wanted = f"ratio ≤ {self.ratio_max:.2g}" if self.most is None else f"≤ {self.most:g}"
        return (
            self.what,
            f"{self.here:.{0 if self.here >= 100 else 1}f} {self.unit}",
            peer if self.peer is None else f"{peer} {self.unit}",
            "–" if self.ratio is None else f"{self.ratio:.2f}",
            f"{wanted}: {'yes' if self.good else 'NO'}",
        )


class Kubectl:
    """The cluster that KUBECONFIG names, through kubectl."""

    def __init__(self, namespace: str) -> None:
        """Raises Broken where there is no kubectl."""
        if shutil.which("kubectl") is None:
            raise Broken("there is no kubectl in PATH; install it, and set KUBECONFIG")
        self.namespace = namespace

    def __call__(self, *words: str, given: str | None = None, good: bool = True) -> str:
        """What a command prints. Raises Broken if it fails, unless `good` is False."""
        return run(["kubectl", "-n", self.namespace, *words], dict(os.environ), given, good=good)

    @contextmanager
    def forwarded(self, port: int) -> Iterator[int]:
        """A port of this machine for one of the Service; kept up though a pod behind it ends."""
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            here = int(found.getsockname()[1])
        words = ["kubectl", "-n", self.namespace, "port-forward", "svc/trunkline", f"{here}:{port}"]
        ends, processes = threading.Event(), []
        with tempfile.TemporaryFile("w+") as said:

            def keep() -> None:
                while not ends.is_set():
                    processes.append(subprocess.Popen(words, stdout=said, stderr=said))
                    processes[-1].wait()
                    ends.wait(0.5)

            thread = threading.Thread(target=keep, daemon=True)
            thread.start()
            try:
                if not _opens(here):
                    said.seek(0)
                    raise Broken(
                        f"`{' '.join(words)}` opens no port in {FORWARD_S:.0f} s: {said.read()}"
                    )
                yield here
            finally:
                ends.set()
                for process in processes:
                    process.terminate()
                thread.join(10)


def _opens(port: int) -> bool:
    deadline = time.monotonic() + FORWARD_S
    while time.monotonic() < deadline:
        with socket.socket() as door:
            if door.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(STEP_S)
    return False


def run(
    words: list[str], environment: dict[str, str], given: str | None = None, *, good: bool = True
) -> str:
    """What a program prints. Raises Broken if it hangs, or fails where it should not."""
    try:
        done = subprocess.run(
            words, env=environment, input=given, capture_output=True, text=True, timeout=COMMAND_S
        )
    except subprocess.TimeoutExpired:
        raise Broken(f"`{' '.join(words)}` has not ended in {COMMAND_S:.0f} s") from None
    if good and done.returncode != 0:
        raise Broken(f"`{' '.join(words)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


@dataclass
class Check:
    """One run: what was found, and how to speak to both sides."""

    kubectl: Kubectl
    image: str
    stage_image: str
    storage_class: str = ""
    patience_s: float = 180.0
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    folder: Path = field(default_factory=Path)  # in which commands of trunkline are run
    checked: int = 0
    failed: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        return self.kubectl.namespace

    def check(self, what: str, good: bool, found: object = "") -> None:
        """Note and print whether something is as it should be."""
        shown = "" if found in ("", None) else f" ({found})"
        print(f"{'ok    ' if good else 'FAILED'} {what}{shown}", flush=True)
        self.checked += 1
        if not good:
            self.failed.append(what)

    def measured(self, figure: Figure) -> None:
        self.figures.append(figure)
        what, here, peer, _, wanted = figure.row()
        print(f"       {what}: {here} (Pachyderm {peer}; wanted {wanted})", flush=True)

    def until(
        self,
        what: str,
        true: Callable[[], Any],
        *,
        never: Callable[[], str] = lambda: "",
    ) -> float:
        """Wait for something, and note it with the seconds that it took.

        `never` says why it won't come to that, or nothing. Raises Broken if it does not.
        """
        began, found, why = time.monotonic(), None, ""
        while not found and not why and time.monotonic() - began < self.patience_s:
            if not (found := true()) and not (why := never()):
                time.sleep(STEP_S)
        took = time.monotonic() - began
        if not found:
            why = why or f"not in {self.patience_s:.0f} s"
            self.check(what, False, why)
            self.tell()
            raise Broken(f"{what}: {why}")
        self.check(what, True, f"{took:.1f} s")
        return took

    def tell(self) -> None:
        """What the cluster says, for whoever has to find out why."""
        for title, words in (
            ("pods", ("get", "pods", "-o", "wide")),
            ("events", ("get", "events", "--sort-by=.lastTimestamp")),
            ("the server's log", ("logs", "trunkline-0", "--tail=20")),
        ):
            lines = self.kubectl(*words, good=False).splitlines()[-20:]
            print(f"       -- {title}", *lines, sep="\n       ", flush=True)

    # --- trunkline --------------------------------------------------------------------------------

    def trunkline(self, *words: str, given: str | None = None) -> str:
        """What a command prints; one that did not reach the server is tried again for a while."""
        deadline = time.monotonic() + AGAIN_S
        while True:
            done = subprocess.run(
                [TRUNKLINE, *words],
                env=self.environment,
                cwd=self.folder,
                input=given,
                capture_output=True,
                text=True,
                timeout=COMMAND_S + self.patience_s,
            )
            if done.returncode == UNREACHABLE and time.monotonic() < deadline:
                time.sleep(1)
                continue
            if done.returncode != 0:
                raise Broken(f"`trunkline {' '.join(words)}` failed: {done.stderr.strip()}")
            return done.stdout

    @contextmanager
    def connected(self, authority: Path | None = None) -> Iterator[None]:
        """Reach the server through kubectl, with its token; by TLS if somebody vouches for it."""
        token = self.kubectl("exec", "trunkline-0", "--", "cat", "/var/lib/trunkline/data/token")
        with self.kubectl.forwarded(30650) as port:
            scheme, host = ("http", "127.0.0.1") if authority is None else ("https", "localhost")
            self.environment |= {
                "TRUNKLINE_ADDRESS": f"{scheme}://{host}:{port}",
                "TRUNKLINE_TOKEN": token.strip(),
                "TRUNKLINE_CA_FILE": "" if authority is None else str(authority),
            }
            yield

    def create(self, name: str, spec: dict[str, Any], verb: str = "create") -> None:
        """Have a pipeline, in the image for stages if it names none."""
        if "kubernetes" not in spec["transform"]:
            spec["transform"] = {"image": self.stage_image, **spec["transform"]}
        spec = {**spec, "pipeline": {"name": name}}
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(spec), "utf-8")
        self.trunkline(verb, "pipeline", "-f", str(file))

    def put(self, target: str, text: str) -> None:
        self.trunkline("put", "file", target, "-f", "-", given=text)

    def succeeded(self, pipeline: str) -> float:
        """Wait for the newest commit of a pipeline; the seconds that it took. Raises Broken."""
        began = time.monotonic()
        wait = ("--timeout", f"{self.patience_s:.0f}s")
        try:
            self.trunkline("wait", "commit", f"{pipeline}@master", *wait)
        except Broken as error:
            self.check(f"{pipeline} succeeds", False, error)
            self.tell()
            raise
        return time.monotonic() - began

    def job(self, pipeline: str) -> dict[str, Any]:
        """Its newest one."""
        listed = json.loads(self.trunkline("list", "job", "-p", pipeline, "-o", "json") or "[]")
        return dict(listed[0]) if listed else {}

    def pods(self, pipeline: str = "") -> list[tuple[str, str, str]]:
        """Name, READY and STATUS of pods of pipelines, as `kubectl get pods` shows them."""
        rows = [line.split() for line in self.kubectl("get", "pods", "--no-headers").splitlines()]
        begin = f"pipeline-{pipeline}-v" if pipeline else "pipeline-"
        return [(row[0], row[1], row[2]) for row in rows if row[0].startswith(begin)]

    def ready(self, pipeline: str, count: int) -> bool:
        found = self.pods(pipeline)
        return len(found) == count and all(ready == "2/2" for _, ready, _ in found)

    def hopeless(self, pod: str) -> str:
        """Why a pod will not get ready however long one waits, or nothing."""
        text = self.kubectl("get", "pod", pod, "-o", "json", good=False)
        status = json.loads(text)["status"] if text.strip() else {}
        for one in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
            waiting = one.get("state", {}).get("waiting", {})
            reason, message = waiting.get("reason", ""), waiting.get("message", "")
            if reason in ENDS:
                return (
                    f"no node has the image {one['image']} ({reason}): load it, or push it to a "
                    "registry of yours; docs/guide/scale-out.md says how"
                )
            if reason in CRASHES:
                return f"{reason}: {message}"
        return ""


def page(url: str) -> str:
    """What is at an address; empty where nobody answers, or badly."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 (ours)
            return str(answer.read().decode())
    except (OSError, urllib.error.URLError):
        return ""


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows with columns below each other."""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
