"""The image of the server, tried as a container: what `make test-image` does.

It starts a server of the image as compose.yaml does (not root, read-only, without capabilities),
without any network, runs a pipeline in it, stops it while a datum is at work, starts it again, and
removes all that it made. It says what it checked; the exit status is 1 when something was not as
it should be.

usage: check_image.py [--image trunkline] [--program docker]
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

PATIENCE_S = 120.0
ACCOUNT = "10001"
LEAVES_S = 15.0  # GRACE_S of the server for requests, and a little more
HARDENED = (
    *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),  # noqa: S108 - of the container
    *("--security-opt", "no-new-privileges", "--network", "none"),
)
READY = "import urllib.request as u; u.urlopen('http://127.0.0.1:30650/readyz', timeout=5)"
SLOW = "sleep 20; cp /pfs/data/* /pfs/out/"  # longer than a server that ends waits for anything
QUICK = "cp /pfs/data/* /pfs/out/"


@dataclass
class Check:
    """One run: what was found, and how to speak to the engine and to the server."""

    program: str
    image: str
    name: str = field(default_factory=lambda: f"trunkline-check-{uuid4().hex[:8]}")
    failed: list[str] = field(default_factory=list)

    def engine(self, *words: str, given: str = "", good: bool = True) -> str:
        done = subprocess.run(
            [self.program, *words], input=given, capture_output=True, text=True, timeout=PATIENCE_S
        )
        if good and done.returncode != 0:
            raise RuntimeError(f"{self.program} {' '.join(words)}: {done.stderr.strip()}")
        return (done.stdout if good else done.stdout + done.stderr).strip()

    def inside(self, *words: str, given: str = "", good: bool = True) -> str:
        return self.engine("exec", "-i", self.name, *words, given=given, good=good)

    def trunkline(self, *words: str, given: str = "") -> str:
        return self.inside("trunkline", *words, given=given)

    def check(self, what: str, good: bool, found: object = "") -> None:
        """Note and print whether something is as it should be."""
        shown = f" ({found})" if found != "" else ""
        print(f"{'ok    ' if good else 'FAILED'} {what}{shown}", flush=True)
        if not good:
            self.failed.append(what)

    def until(self, what: str, true: Callable[[], bool]) -> None:
        """Wait for something, and note it with the seconds that it took."""
        began = time.monotonic()
        while not (good := true()) and time.monotonic() - began < PATIENCE_S:
            time.sleep(0.1)
        self.check(what, good, f"{time.monotonic() - began:.1f} s")

    def ready(self) -> bool:
        return self.inside("python3", "-c", READY, good=False) == ""

    def pipeline(self, name: str, script: str) -> None:
        spec = {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "transform": {"cmd": ["sh"], "stdin": [script]},
        }
        self.trunkline("create", "pipeline", "-f", "-", given=json.dumps(spec))

    def state(self, pipeline: str) -> str:
        """Of its newest job."""
        jobs = json.loads(self.trunkline("list", "job", "--pipeline", pipeline, "-o", "json"))
        return str(jobs[0]["state"]) if jobs else ""


def check_image(run: Check) -> None:
    [image] = json.loads(run.engine("image", "inspect", run.image))
    user = str(image["Config"].get("User") or "root")
    run.check("the image has a user of its own", user.split(":")[0] == ACCOUNT, user)
    run.check("its size is known", image["Size"] > 0, f"{image['Size'] / 1e6:.0f} MB with its base")
    run.engine("volume", "create", run.name)
    run.engine(
        *("run", "--detach", "--name", run.name, *HARDENED),
        *("--volume", f"{run.name}:/var/lib/trunkline", run.image),
    )
    run.until("a server of it is ready, read-only and without capabilities", run.ready)
    status = dict(
        line.split(":\t", 1)
        for line in run.inside("cat", "/proc/1/status").splitlines()
        if ":\t" in line
    )
    run.check("it runs as that user", status["Uid"].split()[0] == ACCOUNT, status["Uid"].split()[0])
    run.check("it has no capabilities", int(status["CapEff"], 16) == 0)
    run.check("it can get no new privileges", status["NoNewPrivs"] == "1")
    refused = run.inside("sh", "-c", "echo x > /opt/trunkline/x", good=False)
    run.check("nobody can write into its programs", "ead-only" in refused or "denied" in refused)
    memory = int(status["VmRSS"].split()[0]) / 1024
    run.check("it takes little memory", memory < 150, f"{memory:.0f} MiB")
    check_work(run)


def check_work(run: Check) -> None:
    run.trunkline("create", "repo", "data")
    run.pipeline("quick", QUICK)
    run.trunkline("put", "file", "data@master:/a", "-f", "-", given="apple")
    run.until("a pipeline has run", lambda: run.state("quick") == "success")
    run.check("its result is there", run.trunkline("get", "file", "quick@master:/a") == "apple")
    run.pipeline("slow", SLOW)
    run.until("a datum is at work", lambda: run.state("slow") == "running")
    began = time.monotonic()
    run.engine("stop", "--time", "60", run.name)
    took = time.monotonic() - began
    [container] = json.loads(run.engine("inspect", run.name))
    code = container["State"]["ExitCode"]
    run.check("SIGTERM ends it in good order", code == 0 and took < LEAVES_S, f"{took:.1f} s")
    run.engine("start", run.name)
    run.until("it is ready again, with its data", run.ready)
    run.check(
        "results are as they were", run.trunkline("get", "file", "quick@master:/a") == "apple"
    )
    run.until("the datum was begun anew and has ended", lambda: run.state("slow") == "success")


def main() -> int:
    wanted = argparse.ArgumentParser(description="Try the image of the server as a container.")
    wanted.add_argument("--image", default="trunkline")
    wanted.add_argument("--program", default="docker", help="or podman")
    given = wanted.parse_args()
    run = Check(program=given.program, image=given.image)
    try:
        check_image(run)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        run.check("nothing else went wrong", False, error)
        print(run.engine("logs", run.name, good=False)[-2000:])
    finally:
        run.engine("rm", "--force", run.name, good=False)
        run.engine("volume", "rm", "--force", run.name, good=False)
    print(f"{len(run.failed)} checks failed" if run.failed else "all is as it should be")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
