"""The tutorial on a real cluster, end to end: what `make test-kubernetes` does.

It takes whatever cluster KUBECONFIG names, and an image of the server that its nodes have
(docs/guide/scale-out.md says how to load one); makes a namespace, runs the stages of
examples/iris in pods, breaks a few things, installs Python packages, has the server speak TLS,
says what it checked and how its times compare with those of Pachyderm, and deletes the namespace.
What an earlier run left is deleted first. The exit status is 1 when something was not as it should
be; a time that is longer than wanted is told, and changes nothing about it.

usage: check_cluster.py [--image trunkline] [--stage-image IMAGE] [--namespace NAME] [--keep]
                        [--storage-class NAME] [--patience SECONDS] [--only PART …]
"""

import argparse
import base64
import json
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from cluster_probe import TRUNKLINE, Broken, Check, Figure, Kubectl, page, run, table

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "iris"
for place in ("harness", "makers"):
    sys.path.insert(0, str(ROOT / "tests" / place))

DATUMS = 1000
MEGABYTE = 1_000_000
SHOUT = """
import sys, urllib.request as u
loud = u.urlopen(sys.argv[1]).read().upper()
print(loud.decode())
u.urlopen(u.Request(sys.argv[2] + "/word", loud, method="PUT"))
"""
MEMORY = """
import os, re
total = 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    if pid != str(os.getpid()):
        try:
            found = re.search(r"^Pss:\\s+(\\d+)", open(f"/proc/{pid}/smaps_rollup").read(), re.M)
        except OSError:
            continue
        total += 1024 * int(found[1]) if found else 0
print(total)
"""
DOOR = """
import socket, ssl, sys
context = ssl.create_default_context(cafile="/etc/trunkline/tls/ca.crt")
line = socket.create_connection(("trunkline", 30651), 10)
print(context.wrap_socket(line, server_hostname=sys.argv[1]).version())
"""


# --- coming and going -----------------------------------------------------------------------------


def prepare(check: Check) -> None:
    """Know the cluster, and have nothing of an earlier run in it. Raises Broken."""
    version = json.loads(check.kubectl("version", "-o", "json"))
    if "serverVersion" not in version:
        raise Broken("the cluster does not answer; see `kubectl version`")
    nodes = json.loads(check.kubectl("get", "nodes", "-o", "json"))["items"]
    print(f"cluster: {version['serverVersion']['gitVersion']}, {len(nodes)} nodes", flush=True)
    print(f"image: {check.image}, of stages: {check.stage_image}", flush=True)
    remove(check)


def remove(check: Check) -> None:
    """Delete the namespace, and wait until it is gone. Raises Broken."""
    words = ("get", "namespace", check.namespace, "--ignore-not-found", "-o", "json")
    if not (found := check.kubectl(*words).strip()):
        return
    if json.loads(found)["metadata"].get("labels", {}).get("app.kubernetes.io/name") != "trunkline":
        raise Broken(f"there is a namespace {check.namespace} that is not ours; choose another one")
    check.kubectl("delete", "namespace", check.namespace, "--wait=false")
    check.until(
        "the namespace is deleted, with all that was in it",
        lambda: not check.kubectl(*words).strip(),
    )


def deploy(check: Check, *more: str) -> None:
    """Have a server as the command prints it, and wait until it is ready. Raises Broken."""
    chosen = ["--namespace", check.namespace, "--image", check.image, "--storage-size", "2Gi"]
    chosen += ["--resource", "jobs.batch", "--resource", "deployments.apps"]
    chosen += ["--set", "UV_FIND_LINKS=http://wheels:8000/", "--set", "UV_NO_INDEX=1", *more]
    chosen += ["--storage-class", check.storage_class] if check.storage_class else []
    printed = run([TRUNKLINE, "deploy", "kubernetes", "--dry-run", *chosen], check.environment)
    check.kubectl("apply", "-f", "-", given=printed)

    def ready() -> bool:
        """The newest one, where one replaces the other."""
        text = check.kubectl("get", "statefulset", "trunkline", "-o", "json")
        made, status = (json.loads(text)[part] for part in ("metadata", "status"))
        looked = status.get("observedGeneration") == made["generation"]
        newest = status.get("updateRevision") == status.get("currentRevision")
        return looked and newest and status.get("readyReplicas", 0) == 1

    check.until("the server is ready", ready, never=lambda: check.hopeless("trunkline-0"))


def rights(check: Check) -> None:
    """It may do what it does, and nothing else."""
    account = f"system:serviceaccount:{check.namespace}:trunkline"
    for verb, what, wanted in (
        ("create", "pods", "yes"),
        ("patch", "services", "yes"),
        ("create", "jobs.batch", "yes"),
        ("get", "secrets", "no"),
        ("create", "pods/exec", "no"),
        ("list", "nodes", "no"),
    ):
        words = ("auth", "can-i", verb, what, f"--as={account}")
        said = check.kubectl(*words, good=False).strip().splitlines()[-1:]
        check.check(f"the server may {verb} {what}: {wanted}", said == [wanted], *said)


# --- what it does ---------------------------------------------------------------------------------


def tutorial(check: Check) -> None:
    """The stages of the tutorial, each in pods; and how long they take."""
    for repo in ("training", "attributes"):
        check.trunkline("create", "repo", repo)
    first = (EXAMPLE / "data" / "iris.csv").read_text("utf-8")
    check.put("training@master:/iris.csv", first)
    for number, line in enumerate(("5.1,3.5,1.4,0.2", "6.2,2.9,4.3,1.3")):
        check.put(f"attributes@master:/{number + 1}.csv", line + "\n")
    took = []
    for name, file in (("pre_process", "pre-process"), ("train", "train"), ("inference", "infer")):
        began = time.monotonic()
        check.create(name, stage(file))
        check.succeeded(name)
        took.append(time.monotonic() - began)
        check.check(f"{name} has processed its data in a cold pod", True, f"{took[-1]:.1f} s")
    middle = sorted(took)[1]
    check.measured(Figure("create pipeline → success, cold pod", middle, "s", (5, 8), 0.7))
    shape = re.compile(r"pipeline-pre-process-v1-[a-z0-9]{5}")
    found = check.pods("pre-process")
    check.check(
        "its pod is named and ready as it is with Pachyderm",
        len(found) == 1 and bool(shape.fullmatch(found[0][0])) and found[0][1] == "2/2",
        found,
    )
    files = check.trunkline("list", "file", "inference@master:/").splitlines()
    check.check("both flowers have a species", len(files) - 1 == 2, len(files) - 1)
    cascade(check, first)
    began = time.monotonic()
    check.create("inference", {**stage("infer"), "parallelism_spec": {"constant": 3}}, "update")
    check.until("three workers are three pods", lambda: check.ready("inference", 3))
    took_s = time.monotonic() - began
    check.measured(Figure("update to 3 workers → all ready", took_s, "s", (13, 13), 0.7))
    job = check.job("inference")
    check.check("a change of parallelism processes nothing anew", job.get("processed") == 0)
    for name in ("inference", "train", "pre_process"):
        check.trunkline("delete", "pipeline", name)


def cascade(check: Check, first: str) -> None:
    """A change goes through all stages, in pods that are there and in new ones."""
    changed = (EXAMPLE / "data" / "iris-changed.csv").read_text("utf-8")
    warm = put_through(check, changed)
    check.measured(Figure("put → three stages done, warm pods", warm, "s", (3.8, 5.9), most=1.5))
    check.kubectl("delete", "pods", "-l", "app.kubernetes.io/component=worker", "--wait=false")
    check.until("pods that were deleted are gone", lambda: not check.pods())
    cold = put_through(check, "\n".join(first.splitlines()[:-1]) + "\n")
    check.measured(Figure("put → three stages done, cold pods", cold, "s", (3.8, 5.9), 0.7))


def stage(name: str) -> dict[str, Any]:
    """A spec of the example, with the image of this check."""
    spec: dict[str, Any] = json.loads((EXAMPLE / f"{name}.json").read_text("utf-8"))
    del spec["transform"]["image"]
    return spec


def put_through(check: Check, flowers: str) -> float:
    """Seconds from a put until the last stage is done."""
    began = time.monotonic()
    check.put("training@master:/iris.csv", flowers)
    check.succeeded("inference")
    return time.monotonic() - began


def many(check: Check) -> None:
    """A thousand small datums on two warm pods; and again, with one that is deleted meanwhile."""
    check.trunkline("create", "repo", "numbers")
    check.put("numbers@master:/first", "0\n")
    check.put("numbers@master:/second", "0\n")
    spec = {
        "transform": {"cmd": ["sh"], "stdin": ["cp /pfs/numbers/* /pfs/out"]},
        "parallelism_spec": {"constant": 2},
        "input": {"pfs": {"repo": "numbers", "glob": "/*"}},
    }
    check.create("copies", spec)
    check.until("both pods of a pipeline run", lambda: check.ready("copies", 2))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(DATUMS):
            (Path(folder) / f"{number:04}").write_text(f"{number}\n")
        check.trunkline("put", "file", "numbers@master:/", "-r", "-f", folder)
    check.succeeded("copies")
    job = check.job("copies")
    check.check("all datums were processed", job.get("processed") == DATUMS, job.get("processed"))
    began, ended = (datetime.fromisoformat(job[name]) for name in ("started", "finished"))
    rate = DATUMS / max((ended - began).total_seconds(), 0.01)
    check.measured(
        Figure(f"{DATUMS} trivial datums, 2 pods", rate, "/s", (55, 62), ratio_max=1 / 5)
    )
    check.trunkline("rerun", "pipeline", "copies", "--reprocess")

    def second() -> list[str]:
        found = check.pods("copies")
        return [name for name, ready, _ in found if "-v2-" in name and ready == "2/2"]

    check.until("pods of the second version run", second)
    check.kubectl("delete", "pod", second()[0], "--wait=false")
    check.until(
        "it succeeds too when one of its pods is deleted",
        lambda: check.job("copies").get("state") == "success",
    )
    files = check.trunkline("list", "file", "copies@master:/").splitlines()
    check.check("all files are there", len(files) - 1 == DATUMS + 2, len(files) - 1)
    check.trunkline("delete", "pipeline", "copies")


def packages(check: Check) -> None:
    """`transform.requirements`: a package that a pod of this check serves; none is downloaded."""
    from wheels import wheel

    with tempfile.TemporaryDirectory() as folder:
        made = wheel(Path(folder), "alpha", "1.0")
        content = base64.b64encode(made.read_bytes()).decode()
    labels = {"app": "wheels"}
    place = {"name": "wheels", "namespace": check.namespace, "labels": labels}
    container = {
        "name": "main",
        "image": check.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "http.server", "8000", "--directory", "/wheels"],
        "volumeMounts": [{"name": "wheels", "mountPath": "/wheels"}],
    }
    spec: dict[str, Any] = {
        "containers": [container],
        "volumes": [{"name": "wheels", "configMap": {"name": "wheels"}}],
    }
    objects = [
        {"kind": "ConfigMap", "binaryData": {made.name: content}},
        {"kind": "Pod", "spec": spec},
        {"kind": "Service", "spec": {"selector": labels, "ports": [{"port": 8000}]}},
    ]
    items = [{"apiVersion": "v1", "metadata": place, **one} for one in objects]
    check.kubectl(
        "apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    )
    check.until(
        "a pod serves a Python package",
        lambda: check.kubectl("get", "pods", "wheels", "--no-headers").split()[1:2] == ["1/1"],
        never=lambda: check.hopeless("wheels"),
    )
    asking = "python3 -c 'import alpha; print(alpha.VERSION)' > /pfs/out/version; say-alpha"
    transform = {"cmd": ["sh"], "stdin": [asking], "requirements": "alpha", "image": check.image}
    check.trunkline("create", "repo", "papers")
    check.put("papers@master:/one", "1")
    source = {"pfs": {"repo": "papers", "glob": "/"}}
    check.create("packed", {"transform": transform, "input": source})
    took = check.succeeded("packed")
    check.check("its package is installed beside the image", True, f"{took:.1f} s")
    said = check.trunkline("get", "file", "packed@master:/version")
    check.check("code of the pipeline imports it", said == "1.0\n", said.strip())
    said = check.trunkline("logs", "-p", "packed")
    check.check("its command is in PATH", "alpha 1.0" in said)
    check.check(
        "the job says what was installed", "alpha==1.0" in check.job("packed").get("packages", ())
    )
    check.trunkline("delete", "pipeline", "packed")


def trouble(check: Check) -> None:
    """An image that is nowhere, a pod that no node can take, and pipelines that are deleted."""
    check.trunkline("create", "repo", "rare")
    check.put("rare@master:/one", "1")
    source = {"pfs": {"repo": "rare", "glob": "/"}}
    nowhere = {"cmd": ["true"], "image": "trunkline-check.invalid/none:0"}
    check.create("lost", {"transform": nowhere, "input": source})
    huge = {"resource_requests": {"memory": "900Ti"}}
    check.create("huge", {"transform": {"cmd": ["true"]}, "input": source, **huge})

    def told(pipeline: str, state: str, words: str) -> Callable[[], bool]:
        def look() -> bool:
            shown = json.loads(check.trunkline("inspect", "pipeline", pipeline, "-o", "json"))
            return shown["state"] == state and words in shown["reason"]

        return look

    check.until(
        "an image that can't be pulled is the state of its pipeline",
        told("lost", "crashing", "can't be pulled"),
    )
    check.until(
        "so is that no node has so much memory", told("huge", "starting", "no node takes its pod")
    )
    for name in ("lost", "huge"):
        check.trunkline("delete", "pipeline", name)
    check.until("no pod is left of deleted pipelines", lambda: not check.pods())


def objects(check: Check) -> None:
    """Stages that are objects of the cluster, and a service that is a pod behind a Service."""
    check.trunkline("create", "repo", "words")
    check.put("words@master:/word", "hello")
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
        check.create(name, {"transform": {"kubernetes": {"manifest": manifest}}, "input": source})
    check.check("a Job of the cluster succeeds", True, f"{check.succeeded('shouts'):.1f} s")
    said = check.trunkline("get", "file", "shouts@master:/word")
    check.check("it read its datum and put its output", said == "HELLO", said)
    said = check.trunkline("logs", "-p", "shouts")
    check.check("its log has what its pod printed", "HELLO" in said)
    check.until(
        "it is deleted", lambda: "shouts" not in check.kubectl("get", "jobs.batch", "-o", "name")
    )
    check.check("a Deployment gets healthy", True, f"{check.succeeded('holds'):.1f} s")
    serve = "exec python3 -m http.server $PORT --directory /pfs/words"
    service = {"internal_port": 8000, "type": "ClusterIP"}
    whole = {"pfs": {"repo": "words", "glob": "/"}}
    transform = {"cmd": ["sh"], "stdin": [serve], "image": check.image}
    check.create("web", {"input": whole, "service": service, "transform": transform})
    raw = f"/api/v1/namespaces/{check.namespace}/services/pipeline-web:8000/proxy/word"

    def served() -> str:
        return check.kubectl("get", "--raw", raw, good=False)

    check.until("a service is reached through its Service", lambda: served() == "hello")
    check.put("words@master:/word", "bye")
    check.until("it follows a new commit", lambda: served() == "bye")
    for name in ("web", "holds", "shouts"):
        check.trunkline("delete", "pipeline", name)
    check.until(
        "nothing is left of them",
        lambda: not check.pods() and not check.kubectl("get", "deployments", "-o", "name").strip(),
    )


def idle(check: Check) -> None:
    """What the server takes when there is nothing to do, all of its processes together."""
    said = check.kubectl("exec", "trunkline-0", "--", "python3", "-c", MEMORY)
    used = int(said) / MEGABYTE
    check.check("the memory of the server can be told", used > 1)
    check.measured(Figure("idle: server and its database", used, "MB", (780, 780), most=250))


def encrypted(check: Check) -> None:
    """The server is replaced by one with a certificate, in the middle of a job."""
    from certificates import Authority

    service = f"trunkline.{check.namespace}.svc"
    slow = "sleep 1; cp /pfs/letters/* /pfs/out"
    source = {"pfs": {"repo": "letters", "glob": "/*"}}
    with check.connected():
        check.trunkline("create", "repo", "letters")
        for number in range(10):
            check.put(f"letters@master:/{number}", str(number))
        check.create("slow", {"transform": {"cmd": ["sh"], "stdin": [slow]}, "input": source})
        check.until("a pod works", lambda: check.job("slow").get("processed", 0) > 0)
    authority = Authority(check.folder / "authority")
    issued = authority.issue(f"DNS:{service}", "DNS:localhost", "IP:127.0.0.1")
    files = {"tls.crt": issued.cert, "tls.key": issued.key, "ca.crt": authority.file}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "trunkline-tls", "namespace": check.namespace},
        "stringData": {name: file.read_text("utf-8") for name, file in files.items()},
    }
    check.kubectl("apply", "-f", "-", given=json.dumps(secret))
    deploy(check, "--tls-secret", "trunkline-tls")
    with check.connected(authority.file):
        said = check.trunkline("list", "repo")
        check.check("the new server has the data of the one before, by https", "letters" in said)
        plain = page(check.environment["TRUNKLINE_ADDRESS"].replace("https", "http") + "/healthz")
        check.check("and answers nothing in the clear", plain == "", plain)
        said = check.kubectl("exec", "trunkline-0", "--", "python3", "-c", DOOR, service)
        check.check(
            f"workers reach it by TLS, at the name {service}", "TLSv1" in said, said.strip()
        )
        check.succeeded("slow")
        files_made = check.trunkline("list", "file", "slow@master:/").splitlines()
        check.check("the job went on where it was", len(files_made) - 1 == 10, len(files_made) - 1)


# --- all of it ------------------------------------------------------------------------------------


PARTS = {
    part.__name__: part
    for part in (rights, tutorial, many, packages, trouble, objects, idle, encrypted)
}


def everything(check: Check, wanted: list[str]) -> None:
    """The parts that are wanted; what is broken ends its part, and no other. Raises Broken."""
    prepare(check)
    deploy(check)
    with check.connected():
        for name in wanted:
            if name != "encrypted":
                _try(check, name, partial(PARTS[name], check))
    if "encrypted" in wanted:  # replaces the server, which has others be reached no more
        _try(check, "encrypted", partial(encrypted, check))


def _try(check: Check, name: str, part: Callable[[], None]) -> None:
    print(f"-- {name}", flush=True)
    try:
        part()
    except Broken as error:
        check.check(f"{name} came to its end", False, error)
    except Exception as error:  # of ours, or an answer that nobody thought of: the rest goes on
        traceback.print_exc()
        check.check(f"{name} came to its end", False, repr(error))


def report(check: Check) -> None:
    if check.figures:
        head = ("figure", "here", "Pachyderm 1.7.0", "ratio", "wanted")
        print("", table([head, *(one.row() for one in check.figures)]), sep="\n")
        print(
            "Pachyderm's were measured on another machine; ratios are to the middle of its range."
        )
        missed = sum(not one.good for one in check.figures)
        print(f"{len(check.figures) - missed} of {len(check.figures)} figures are as wanted")
    for what in check.failed:
        print(f"FAILED {what}")
    said = f"{len(check.failed)} failed" if check.failed else "all is well"
    print(f"{check.checked} checks: {said}")


def main(arguments: list[str], kubectl: Callable[[str], Kubectl] = Kubectl) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default="trunkline", help="of the server")
    parser.add_argument("--stage-image", default="", help="with bash and Python; else the server's")
    parser.add_argument("--namespace", default="trunkline-check")
    parser.add_argument("--storage-class", default="", help="of the volume; else the default one")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds of each wait")
    parser.add_argument("--keep", action="store_true", help="do not delete the namespace")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some parts")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(EXAMPLE / "code", Path(folder) / "code")
        try:
            check = Check(
                kubectl(given.namespace),
                given.image,
                given.stage_image or given.image,
                patience_s=given.patience,
                folder=Path(folder),
                storage_class=given.storage_class,
            )
        except Broken as error:
            print(error)
            return 1
        try:
            everything(check, given.only)
        except Broken as error:
            check.check("the check came to its end", False, error)
        finally:
            if not given.keep:
                _try(check, "remove", partial(remove, check))
            report(check)
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
