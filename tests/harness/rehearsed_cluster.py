"""A cluster for the check of clusters (`deploy/check_cluster.py`), as far as that looks at one.

What it gives to kubectl is done here: a StatefulSet is a server, a process of this machine with the
settings of the manifest; its pods are those of a `ClusterModel`, on the node of `Kubelet`. Jobs are
run, Deployments become healthy. Needs root, as the kubelet does.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from cluster_model import ClusterModel
from kubelet import Kubelet

TRUNKLINE = str(Path(sys.executable).parent / "trunkline")
TLS = "/etc/trunkline/tls"
_LATER_S = 0.02


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class RehearsedCluster:
    """What `cluster_probe.Kubectl` is to the check. Use in a `with` statement."""

    def __init__(self, directory: Path, namespace: str) -> None:
        self.namespace = namespace
        self.missing_image = ""  # one that the node does not have
        self.commands: list[tuple[str, ...]] = []
        self._directory = directory
        self._model = ClusterModel(namespace)
        self._model.kinds = {"jobs.batch", "deployments.apps", "services"}
        self._port, self._door, self._wheels = _free_port(), _free_port(), _free_port()
        self._applied: dict[str, dict[str, Any]] = {}
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._ends = threading.Event()
        self._home = directory / "home"
        self._tls = directory / "tls"
        self._pods = Path(tempfile.mkdtemp(prefix="trunkline-rehearsal-"))
        self._kubelet = Kubelet(
            self._model,
            self._pods,
            self._home,
            self._tls / "ca.crt",
            {"trunkline-check.invalid/none:0"},
        )

    def __enter__(self) -> "RehearsedCluster":
        self._model.__enter__()
        self._kubelet.__enter__()
        self._operator = threading.Thread(target=self._operate, daemon=True)
        self._operator.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._operator.join(30)
        self._end_programs()
        self._kubelet.__exit__()
        self._model.__exit__()
        shutil.rmtree(self._pods, ignore_errors=True)

    # --- what the check asks for ------------------------------------------------------------------

    def __call__(self, *words: str, given: str | None = None, good: bool = True) -> str:
        self.commands.append(words)
        match words:
            case ("version", *_):
                return json.dumps({"serverVersion": {"gitVersion": "v1.37.0-model"}})
            case ("get", "nodes", *_):
                return json.dumps({"items": [{}]})
            case ("get", "namespace", *_):
                there = self._applied.get("Namespace")
                return json.dumps(there) if there else ""
            case ("apply", *_):
                self._apply([one for one in yaml.safe_load_all(given or "") if one])
            case ("auth", "can-i", verb, what, *_):
                return "yes\n" if self._allowed(verb, what) else "no\n"
            case ("get", "statefulset", *_):
                status = {"observedGeneration": 1, "readyReplicas": int(self._is_ready())}
                return json.dumps({"metadata": {"generation": 1}, "status": status})
            case ("get", "pod", name, "-o", "json"):
                return json.dumps({"status": self._status_of(name)})
            case ("get", "pods", "wheels", *_):
                return "wheels 1/1 Running 0 1s\n"
            case ("get", "pods", *_):
                return self._pod_rows()
            case ("get", "--raw", path):
                return self._through_service(path)
            case ("get", kind, "-o", "name"):
                kind = {"deployments": "deployments.apps"}.get(kind, kind)
                return "\n".join(key for key in self._model.objects if key.startswith(kind))
            case ("exec", "trunkline-0", "--", *inside):
                return self._inside(inside)
            case ("delete", "pod", name, *_):
                self._model.remove(name)
            case ("delete", "pods", *_):
                for name in list(self._model.pods):
                    self._model.remove(name)
            case ("delete", "namespace", *_):
                self._end_programs()
                for name in list(self._model.pods):
                    self._model.remove(name)
                shutil.rmtree(self._home, ignore_errors=True)
                self._applied.clear()
            case ("get", "events", *_) | ("logs", *_):
                return ""
            case _:
                raise AssertionError(f"the rehearsal knows no `kubectl {' '.join(words)}`")
        return ""

    @contextmanager
    def forwarded(self, port: int) -> Iterator[int]:
        assert port == 30650
        yield self._port

    def _apply(self, documents: list[dict[str, Any]]) -> None:
        for one in documents:
            for made in one.get("items", [one]):
                kind = made["kind"]
                self._applied[kind] = made
                if kind == "StatefulSet":
                    self._serve(made["spec"]["template"]["spec"]["containers"][0])
                elif kind == "ConfigMap":
                    self._publish(made["binaryData"])
                elif kind == "Secret":
                    self._tls.mkdir(exist_ok=True)
                    for name, text in made["stringData"].items():
                        (self._tls / name).write_text(text)

    def _allowed(self, verb: str, what: str) -> bool:
        resource, _, group = what.partition(".")
        return any(
            verb in rule["verbs"] and resource in rule["resources"] and group in rule["apiGroups"]
            for rule in self._applied["Role"]["rules"]
        )

    def _pod_rows(self) -> str:
        with self._model.lock:
            rows = ["trunkline-0 1/1 Running 0 1s"]
            for name, pod in self._model.pods.items():
                status = pod.get("status", {})
                ready = sum(one.get("ready", False) for one in status.get("containerStatuses", ()))
                rows.append(f"{name} {ready}/2 {status.get('phase')} 0 1s")
        return "\n".join(rows)

    def _status_of(self, name: str) -> dict[str, Any]:
        image = self._applied["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]["image"]
        if name != "trunkline-0" or image != self.missing_image:
            return {}
        waiting = {"reason": "ImagePullBackOff", "message": "no such host"}
        return {"containerStatuses": [{"image": image, "state": {"waiting": waiting}}]}

    def _through_service(self, path: str) -> str:
        name = path.split("/services/")[1].partition(":")[0]
        made = self._model.objects.get(f"services/{name}")
        with suppress(OSError, KeyError, TypeError):
            port = made["spec"]["ports"][0]["targetPort"]  # type: ignore[index]
            where = f"http://127.0.0.1:{port}/{path.partition('/proxy/')[2]}"
            with urllib.request.urlopen(where, timeout=5) as answer:
                return str(answer.read().decode())
        return ""

    def _inside(self, words: list[str]) -> str:
        if words[0] == "cat":
            return (self._home / "token").read_text()
        code = words[2].replace('"trunkline", 30651', f'"127.0.0.1", {self._door}')
        code = code.replace(TLS, str(self._tls))
        # Of the processes of this machine, those of the server.
        server = self._programs["server"].pid
        code = code.replace('os.listdir("/proc")', f'["{server}"]')
        done = subprocess.run(
            [sys.executable, "-c", code, *words[3:]], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    # --- the server -------------------------------------------------------------------------------

    def _serve(self, container: dict[str, Any]) -> None:
        self._end_program("server")
        if container["image"] == self.missing_image:
            return
        known = {"SERVER_POD": "trunkline-0", "SERVER_UID": "uid"}
        environment = dict(os.environ)
        for one in container["env"]:
            value = one.get("value", known.get(one["name"], self.namespace))
            for name, told in known.items():
                value = value.replace(f"$({name})", told)
            environment[one["name"]] = value
        environment |= {
            "TRUNKLINE_HOME": str(self._home),
            "TRUNKLINE_WORKERS_LISTEN": f"127.0.0.1:{self._door}",
            "TRUNKLINE_WORKERS_ADDRESS": f"127.0.0.1:{self._door}",
            "TRUNKLINE_DATA_URL": f"http://127.0.0.1:{self._port}",
            "UV_FIND_LINKS": f"http://127.0.0.1:{self._wheels}/",
            "UV_CACHE_DIR": str(self._directory / "uv"),
            "KUBECONFIG": str(self._model.kubeconfig(self._directory)),
            "HOME": str(self._directory),
        }
        words = [
            word.replace("0.0.0.0:30650", f"127.0.0.1:{self._port}").replace(TLS, str(self._tls))
            for word in container["args"]
        ]
        self._programs["server"] = subprocess.Popen([TRUNKLINE, *words], env=environment)

    def _is_ready(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
            return True
        return False

    def _publish(self, content: dict[str, str]) -> None:
        place = self._directory / "wheels"
        place.mkdir(exist_ok=True)
        for name, data in content.items():
            (place / name).write_bytes(base64.b64decode(data))
        words = ["-m", "http.server", str(self._wheels), "--directory", str(place)]
        self._programs["wheels"] = subprocess.Popen(
            [sys.executable, *words, "--bind", "127.0.0.1"], stderr=subprocess.DEVNULL
        )

    def _end_programs(self) -> None:
        for name in list(self._programs):
            self._end_program(name)

    def _end_program(self, name: str) -> None:
        if program := self._programs.pop(name, None):
            program.terminate()
            program.wait(60)

    # --- operators --------------------------------------------------------------------------------

    def _operate(self) -> None:
        """Run Jobs to their end, and have Deployments be healthy."""
        seen: set[str] = set()
        while not self._ends.wait(_LATER_S):
            with self._model.lock:
                found = {
                    k: o for k, o in self._model.objects.items() if o["metadata"]["uid"] not in seen
                }
            for key, one in found.items():
                seen.add(one["metadata"]["uid"])
                if key.startswith("jobs.batch/"):
                    self._run_job(key, one)
                elif key.startswith("deployments.apps/"):
                    told = {"type": "Available", "status": "True"}
                    one["spec"].setdefault("replicas", 1)  # as the API server does
                    generation = one["metadata"]["generation"]
                    status = {"observedGeneration": generation, "conditions": [told]}
                    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
                    self._model.say(key, **status, **dict.fromkeys(counts, 1))

    def _run_job(self, key: str, one: dict[str, Any]) -> None:
        words = one["spec"]["template"]["spec"]["containers"][0]["command"]
        done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True)
        name = one["metadata"]["name"]
        pod = f"{name}-abcde"
        with self._model.lock:
            self._model.logs[pod] = done.stdout + done.stderr
            labels = {"job-name": name}
            self._model.pods[pod] = {"metadata": {"name": pod, "labels": labels}, "status": {}}
        word = "Complete" if done.returncode == 0 else "Failed"
        self._model.say(key, conditions=[{"type": word, "status": "True"}])
        while key in self._model.objects and not self._ends.wait(_LATER_S):
            time.sleep(0)
        with self._model.lock:
            self._model.pods.pop(pod, None)
