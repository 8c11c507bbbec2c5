"""The tutorial on a real cluster, end to end: what `make test-kubernetes` does.

It takes whatever cluster KUBECONFIG names, and an image of the server that its nodes have
(docs/guide/scale-out.md says how to load one); makes a namespace, runs the stages of
examples/iris in pods, breaks a few things, says what it checked and how long that took, and
deletes the namespace. The exit status is 1 when something was not as it should be.

usage: check_cluster.py [--image trunkline] [--stage-image IMAGE] [--namespace NAME] [--keep]
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "iris"
TRUNKLINE = str(Path(sys.executable).parent / "trunkline")
PATIENCE_S = 300.0
DATUMS = 1000
SHOUT = """
import sys, urllib.request as u
loud = u.urlopen(sys.argv[1]).read().upper()
print(loud.decode())
u.urlopen(u.Request(sys.argv[2] + "/word", loud, method="PUT"))
"""


@dataclass
class Check:
    """One run: what was found, and how to speak to both sides."""

    image: str
    stage_image: str
    namespace: str
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    failed: list[str] = field(default_factory=list)

    def kubectl(self, *words: str, given: str | None = None) -> str:
        return run(["kubectl", "-n", self.namespace, *words], dict(os.environ), given)

    def trunkline(self, *words: str, given: str | None = None) -> str:
        return run([TRUNKLINE, *words], self.environment, given)

    def check(self, what: str, good: bool, found: object = "") -> None:
        """Note and print whether something is as it should be."""
        print(
            f"{'ok    ' if good else 'FAILED'} {what}{f' ({found})' if found else ''}", flush=True
        )
        if not good:
            self.failed.append(what)

    def until(self, what: str, true: Callable[[], Any]) -> float:
        """Wait for something, and note it with the seconds that it took."""
        began = time.monotonic()
        found = None
        while time.monotonic() - began < PATIENCE_S:
            if found := true():
                break
            time.sleep(0.2)
        took = time.monotonic() - began
        self.check(what, bool(found), f"{took:.1f} s")
        return took

    def pods(self, pipeline: str) -> list[tuple[str, str, str]]:
        """Name, READY and STATUS of the pods of a pipeline, as `kubectl get pods` shows them."""
        lines = self.kubectl("get", "pods", "--no-headers").splitlines()
        rows = [line.split() for line in lines]
        begin = f"pipeline-{pipeline}-v" if pipeline else "pipeline-"
        return [(row[0], row[1], row[2]) for row in rows if row[0].startswith(begin)]

    def create(self, name: str, spec: dict[str, Any], verb: str = "create") -> None:
        if "kubernetes" not in spec["transform"]:
            spec["transform"].update({"image": self.stage_image})
        with tempfile.NamedTemporaryFile("w", suffix=".json", dir=EXAMPLE) as file:
            json.dump(spec, file)
            file.flush()
            self.trunkline(verb, "pipeline", "-f", file.name)

    def job(self, pipeline: str) -> dict[str, Any]:
        listed = json.loads(self.trunkline("list", "job", "-p", pipeline, "-o", "json") or "[]")
        return dict(listed[0]) if listed else {}


def run(words: list[str], environment: dict[str, str], given: str | None = None) -> str:
    done = subprocess.run(
        words, env=environment, input=given, capture_output=True, text=True, timeout=PATIENCE_S
    )
    if done.returncode != 0:
        raise SystemExit(f"`{' '.join(words)}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def forwarded(check: Check) -> Iterator[None]:
    """Reach the server through kubectl, with its token."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    token = check.kubectl("exec", "trunkline-0", "--", "cat", "/var/lib/trunkline/data/token")
    words = ["kubectl", "-n", check.namespace, "port-forward", "svc/trunkline", f"{port}:30650"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None, "it was asked for"
        process.stdout.readline()
        check.environment |= {
            "TRUNKLINE_ADDRESS": f"http://127.0.0.1:{port}",
            "TRUNKLINE_TOKEN": token.strip(),
        }
        try:
            yield
        finally:
            process.terminate()


def install(check: Check) -> None:
    """Have a server in a namespace of its own."""
    chosen = ["--namespace", check.namespace, "--image", check.image, "--storage-size", "2Gi"]
    chosen += ["--resource", "jobs.batch", "--resource", "deployments.apps"]
    printed = run([TRUNKLINE, "deploy", "kubernetes", "--dry-run", *chosen], dict(os.environ))
    run(["kubectl", "apply", "-f", "-"], dict(os.environ), printed)

    def ready() -> bool:
        rows = check.kubectl("get", "pods", "--no-headers").split()
        return rows[:3] == ["trunkline-0", "1/1", "Running"]

    check.until("the server is ready", ready)
    account = f"system:serviceaccount:{check.namespace}:trunkline"
    for verb, what, wanted in (
        ("create", "pods", "yes"),
        ("patch", "services", "yes"),
        ("create", "jobs.batch", "yes"),
        ("get", "secrets", "no"),
        ("create", "pods/exec", "no"),
    ):
        words = ["kubectl", "-n", check.namespace, "auth", "can-i", verb, what, f"--as={account}"]
        said = subprocess.run(words, capture_output=True, text=True).stdout.strip()
        check.check(f"the server may {verb} {what}: {wanted}", said == wanted, said)


def tutorial(check: Check) -> None:
    """The stages of the tutorial, each in pods."""
    for repo in ("training", "attributes"):
        check.trunkline("create", "repo", repo)
    first, changed = (str(EXAMPLE / "data" / n) for n in ("iris.csv", "iris-changed.csv"))
    check.trunkline("put", "file", "training@master:/iris.csv", "-f", first)
    began = time.monotonic()
    for name, file in (("pre-process", "pre-process"), ("train", "train"), ("inference", "infer")):
        check.create(name, json.loads((EXAMPLE / f"{file}.json").read_text("utf-8")))
    seen: set[tuple[str, str]] = set()

    def pre_processed() -> bool:
        seen.update((ready, status) for _, ready, status in check.pods("pre-process"))
        return check.job("pre_process").get("state") == "success"

    check.until("the first stage has processed its file, from cold pods", pre_processed)
    check.until("the second stage too", lambda: check.job("train").get("state") == "success")
    check.check("both took less than two minutes", time.monotonic() - began < 120)
    names = [name for name, _, _ in check.pods("pre-process")]
    shape = re.compile(r"pipeline-pre-process-v1-[a-z0-9]{5}")
    check.check(
        "its pod has the name that it has with Pachyderm",
        bool(names) and all(shape.fullmatch(name) for name in names),
        ", ".join(names),
    )
    check.check("kubectl showed Init:0/1 or later", bool(seen), sorted(seen))
    check.until("then 2/2", lambda: {r for _, r, _ in check.pods("pre-process")} == {"2/2"})
    for number, line in enumerate(("5.1,3.5,1.4,0.2", "6.2,2.9,4.3,1.3")):
        target = f"attributes@master:/{number + 1}.csv"
        check.trunkline("put", "file", target, "-f", "-", given=line + "\n")
    check.until(
        "warm pods infer what was put", lambda: check.job("inference").get("state") == "success"
    )
    began = time.monotonic()
    check.trunkline("put", "file", "training@master:/iris.csv", "-f", changed)
    check.trunkline("wait", "commit", "inference@master")
    took = time.monotonic() - began
    check.check("a change goes through all stages", True, f"{took:.1f} s with warm pods")
    spec = json.loads((EXAMPLE / "infer.json").read_text("utf-8"))
    check.create("inference", {**spec, "parallelism_spec": {"constant": 3}}, "update")
    check.until("three workers are three pods", lambda: len(check.pods("inference")) == 3)
    job = check.job("inference")
    check.check("a change of parallelism processes nothing anew", job.get("processed") == 0)


def many(check: Check) -> None:
    """A thousand small datums, with a pod that is deleted in the middle."""
    check.trunkline("create", "repo", "numbers")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(DATUMS):
            (Path(folder) / f"{number:04}").write_text(f"{number}\n")
        check.trunkline("put", "file", "numbers@master:/", "-r", "-f", folder)
    spec = {
        "pipeline": {"name": "copies"},
        "transform": {"cmd": ["sh"], "stdin": ["cp /pfs/numbers/* /pfs/out"]},
        "parallelism_spec": {"constant": 2},
        "input": {"pfs": {"repo": "numbers", "glob": "/*"}},
    }
    check.create("copies", spec)
    check.until(
        "both pods of a pipeline run",
        lambda: [ready for _, ready, _ in check.pods("copies")] == ["2/2", "2/2"],
    )
    began = time.monotonic()
    check.until("it succeeds", lambda: check.job("copies").get("state") == "success")
    rate = DATUMS / max(time.monotonic() - began, 0.1)
    print(f"       about {rate:.0f} datums a second (an underestimate: some ran before)")
    check.trunkline("rerun", "pipeline", "copies", "--reprocess")

    def second() -> list[str]:
        return [
            name for name, ready, _ in check.pods("copies") if "-v2-" in name and ready == "2/2"
        ]

    check.until("pods of the second version run", second)
    check.kubectl("delete", "pod", second()[0], "--wait=false")
    check.until(
        "it does so too when one of its pods is deleted",
        lambda: check.job("copies").get("state") == "success",
    )
    files = check.trunkline("list", "file", "copies@master:/").splitlines()
    check.check("all files are there", len(files) - 1 == DATUMS, len(files) - 1)


def trouble(check: Check) -> None:
    """An image that is nowhere, and pipelines that are deleted."""
    spec: dict[str, Any] = {
        "pipeline": {"name": "lost"},
        "transform": {"cmd": ["true"]},
        "input": {"pfs": {"repo": "numbers", "glob": "/"}},
    }
    kept, check.stage_image = check.stage_image, "trunkline-check.invalid/none:0"
    check.create("lost", spec)
    check.stage_image = kept

    def told() -> bool:
        shown = json.loads(check.trunkline("inspect", "pipeline", "lost", "-o", "json"))
        return shown["state"] == "crashing" and "can't be pulled" in shown["reason"]

    check.until("an image that can't be pulled is the state of its pipeline", told)
    for name in ("lost", "copies", "inference", "train", "pre_process"):
        check.trunkline("delete", "pipeline", name)
    check.until("no pod is left of deleted pipelines", lambda: not check.pods(""))


def objects(check: Check) -> None:
    """Stages that are objects of the cluster, and a service that is a pod behind a Service."""
    check.trunkline("create", "repo", "words")
    check.trunkline("put", "file", "words@master:/word", "-f", "-", given="hello")
    container = {
        "name": "main",
        "image": check.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", SHOUT, "{{input.words.url}}", "{{output.url}}"],
    }
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    inside = {"backoffLimit": 0, "template": template}
    job = {"apiVersion": "batch/v1", "kind": "Job", "spec": inside}
    labels = {"app": "holds"}
    waits = {**container, "command": ["sleep", "86400"]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"annotations": {"commit": "{{input.words.commit}}"}},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [waits]}},
        },
    }
    source = {"pfs": {"repo": "words", "glob": "/word"}}
    for name, manifest in (("shouts", job), ("holds", deployment)):
        transform = {"kubernetes": {"manifest": manifest}}
        check.create(name, {"pipeline": {"name": name}, "transform": transform, "input": source})
    done = ("success", "failure")
    check.until("a Job of the cluster ends", lambda: check.job("shouts").get("state") in done)
    check.check("it succeeded", check.job("shouts").get("state") == "success", check.job("shouts"))
    said = check.trunkline("get", "file", "shouts@master:/word")
    check.check("it read its datum and put its output", said == "HELLO", said)
    check.check(
        "its log has what its pod printed", "HELLO" in check.trunkline("logs", "-p", "shouts")
    )
    check.until(
        "it is deleted", lambda: "shouts" not in check.kubectl("get", "jobs.batch", "-o", "name")
    )
    check.until("a Deployment gets healthy", lambda: check.job("holds").get("state") in done)
    check.check("it succeeded", check.job("holds").get("state") == "success", check.job("holds"))
    serve = "exec python3 -m http.server $PORT --directory /pfs/words"
    service = {"internal_port": 8000, "type": "ClusterIP"}
    whole = {"pfs": {"repo": "words", "glob": "/"}}
    spec = {"pipeline": {"name": "web"}, "input": whole, "service": service}
    check.create("web", {**spec, "transform": {"cmd": ["sh"], "stdin": [serve]}})
    raw = f"/api/v1/namespaces/{check.namespace}/services/pipeline-web:8000/proxy/word"

    def served() -> str:
        words = ["kubectl", "get", "--raw", raw]
        return subprocess.run(words, capture_output=True, text=True).stdout

    check.until("a service is reached through its Service", lambda: served() == "hello")
    check.trunkline("put", "file", "words@master:/word", "-f", "-", given="bye")
    check.until("it follows a new commit", lambda: served() == "bye")
    for name in ("web", "holds", "shouts"):
        check.trunkline("delete", "pipeline", name)
    check.until(
        "nothing is left of them",
        lambda: not check.pods("") and not check.kubectl("get", "deployments", "-o", "name"),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default="trunkline", help="of the server")
    parser.add_argument("--stage-image", default="", help="with bash and Python; else the server's")
    parser.add_argument("--namespace", default="trunkline-check")
    parser.add_argument("--keep", action="store_true", help="do not delete the namespace")
    given = parser.parse_args()
    check = Check(given.image, given.stage_image or given.image, given.namespace)
    version = run(["kubectl", "version", "-o", "json"], dict(os.environ))
    print(f"cluster: {json.loads(version)['serverVersion']['gitVersion']}, image {check.image}")
    try:
        install(check)
        with forwarded(check):
            tutorial(check)
            many(check)
            trouble(check)
            objects(check)
    finally:
        if not given.keep:
            run(
                ["kubectl", "delete", "namespace", check.namespace, "--wait=false"],
                dict(os.environ),
            )
    print(f"{len(check.failed)} of the checks failed" if check.failed else "all is well")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
