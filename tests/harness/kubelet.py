"""What a node does with the pods of a `ClusterModel`, by processes of this machine. Needs root.

The init container is a call, the user's container is `pod_containers.UserContainer`, the storage
container is the worker that the manifest names, with the data directory of the server itself, or
with an empty one and the variables of a Secret where the manifest says so.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster_model import ClusterModel
from pod_containers import UserContainer, make_pod

from trunkline.runtimes.kubernetes.loop import prepare

MEMORY_BYTES = 1 << 40  # of the node


@dataclass
class _Pod:
    directory: Path
    user: UserContainer
    storage: "subprocess.Popen[bytes]"


@dataclass
class Kubelet:
    """Use in a `with` statement. Images in `missing` can't be pulled."""

    model: ClusterModel
    directory: Path
    home: Path
    ca_file: Path | None = None  # what the Secret with the certificate has besides
    missing: set[str] = field(default_factory=set)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)  # variables, by name
    pods: dict[str, _Pod] = field(default_factory=dict)
    ends: bool = False

    def __enter__(self) -> "Kubelet":
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self.model.lock:
            self.ends = True
            self.model.lock.notify_all()
        self._thread.join(30)
        for name in list(self.pods):
            self._stop(name)

    def freeze(self, name: str) -> None:
        """As when its node is cut off: its pod is there, and says nothing any more."""
        self.pods[name].storage.send_signal(signal.SIGSTOP)

    def _run(self) -> None:
        while True:
            with self.model.lock:
                self.model.lock.wait_for(lambda: self.ends or self._has_work(), 0.2)
                if self.ends:
                    return
                wanted = {name: pod for name, pod in self.model.pods.items() if "spec" in pod}
            for name in self.pods.keys() - wanted.keys():
                self._stop(name)
            for name, pod in wanted.items():
                if name not in self.pods:
                    self._begin(name, pod)

    def _has_work(self) -> bool:
        startable = {n for n, pod in self.model.pods.items() if not self._refused(pod)}
        return bool(self.pods.keys() - self.model.pods.keys() or startable - self.pods.keys())

    def _begin(self, name: str, manifest: dict[str, Any]) -> None:
        if refused := self._refused(manifest):
            self._say(name, phase="Pending", **refused)
            return
        user, storage = manifest["spec"]["containers"]
        places = {
            mount["name"]: mount["mountPath"]
            for mount in user["volumeMounts"]
            if mount["name"].startswith("secret-")
        }
        pod = self.directory / name
        make_pod(pod, secrets=len(places))
        prepare(pod)
        places |= self._packages(pod, user["volumeMounts"])
        container = UserContainer(pod, places)
        container.__enter__()
        home = self.home
        if any(mount["name"] == "home" for mount in storage["volumeMounts"]):
            home = pod / "home"
            home.mkdir()
        words = [self._here(word, pod, home) for word in storage["command"]]
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "UV_")) or name == "UV_CACHE_DIR"
        }
        for source in storage.get("envFrom", ()):
            environment |= self.secrets[source["secretRef"]["name"]]
        process = subprocess.Popen(words, env=environment)
        self.pods[name] = _Pod(pod, container, process)
        running = [
            {"name": one, "image": "i", "ready": True, "restartCount": 0, "state": {"running": {}}}
            for one in ("user", "storage")
        ]
        self._say(name, phase="Running", containerStatuses=running)

    def _refused(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Why it does not start, as parts of its status; nothing if it does."""
        if "spec" not in pod:
            return {"reason": "it is somebody else's"}
        user = pod["spec"]["containers"][0]
        wanted = int(user.get("resources", {}).get("requests", {}).get("memory", 0))
        if wanted > MEMORY_BYTES:
            told = {"message": "0/1 nodes are available: 1 Insufficient memory."}
            return {"conditions": [{"type": "PodScheduled", "status": "False", **told}]}
        if user["image"] not in self.missing:
            return {}
        waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
        status = {"name": "user", "image": user["image"], "state": {"waiting": waiting}}
        return {"containerStatuses": [status]}

    def _packages(self, pod: Path, mounts: list[dict[str, Any]]) -> dict[str, str]:
        """What the user's container has of Python environments: the pod's own, or the server's."""
        for mount in mounts:
            if mount["name"] == "packages":
                (pod / "packages").mkdir()
                return {"packages": mount["mountPath"]}
            if "subPath" in mount:
                assert mount["readOnly"], "user code must not write to the volume"
                part = self.home / mount["subPath"].removeprefix("data/")
                (pod / "packages").symlink_to(part)
                return {str(part): mount["mountPath"]}
        return {}

    def _here(self, word: str, pod: Path, home: Path) -> str:
        given = {
            "python3": sys.executable,
            "/pod": str(pod),
            "/var/lib/trunkline/data": home,
            "/etc/trunkline/tls/ca.crt": self.ca_file,
        }
        return str(given.get(word, word))

    def _say(self, name: str, **status: Any) -> None:
        with self.model.lock:
            if name in self.model.pods:
                self.model.pods[name]["status"] = status

    def _stop(self, name: str) -> None:
        pod = self.pods.pop(name)
        pod.storage.kill()
        pod.storage.wait()
        pod.user.__exit__()
        shutil.rmtree(pod.directory, ignore_errors=True)
