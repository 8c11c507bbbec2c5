"""An API server that keeps pods and objects of other kinds: enough of Kubernetes for whoever makes,
lists, applies and deletes them.

Real clients speak to it over HTTP. Faults are asked for by the test: answers that it gives instead
of doing what it is told (or after doing it), and times in which it is not there.
"""

import json
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

TOKEN = "a token of the model"
_OBJECT = re.compile(
    r"/(apis/(?P<group>[^/]+)|api)/[^/]+/namespaces/[^/]+/"
    r"(?P<plural>(?!pods)[^/]+)(/(?P<name>[^/]+))?"
)
_LOG = re.compile(r"/api/v1/namespaces/[^/]+/pods/([^/]+)/log")


@dataclass
class Fault:
    """What one request gets: a status, with headers, before or after it is carried out."""

    status: int
    verb: str = ""  # POST, GET or DELETE; empty: any
    headers: dict[str, str] = field(default_factory=dict)
    done: bool = False
    path: str = ""  # part of that of the request
    cut: bool = False  # the line ends in the middle of the answer


class ClusterModel:
    """Use in a `with` statement."""

    def __init__(self, namespace: str = "ml") -> None:
        self.namespace = namespace
        self.lock = threading.Condition()
        self.pods: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, dict[str, Any]] = {}  # by plural.group/name
        self.kinds: set[str] = set()  # plural.group of those that somebody may make
        self.logs: dict[str, str] = {}  # of pods
        self.faults: deque[Fault] = deque()
        self.asked: list[str] = []  # verb and path of all requests
        self.lists: list[dict[str, list[str]]] = []  # what lists of pods were asked for
        self.port = 0
        self._number = 0
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> "ClusterModel":
        self.come()
        return self

    def __exit__(self, *_: object) -> None:
        self.go()

    def come(self) -> None:
        """Begin to answer, at the same port as before."""
        model = self

        class Handler(_Handler):
            cluster = model

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def there(self) -> bool:
        return self._server is not None

    def go(self) -> None:
        """Answer no more; what is stored stays."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def kubeconfig(self, directory: Path) -> Path:
        """A file that tells clients where this is."""
        path = directory / "kubeconfig"
        cluster = {"server": f"http://127.0.0.1:{self.port}"}
        context = {"cluster": "model", "user": "model", "namespace": self.namespace}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "model",
            "clusters": [{"name": "model", "cluster": cluster}],
            "users": [{"name": "model", "user": {"token": TOKEN}}],
            "contexts": [{"name": "model", "context": context}],
        }
        path.write_text(yaml.safe_dump(document), "utf-8")
        return path

    def wait_for(self, true: Callable[["ClusterModel"], bool], timeout_s: float = 30.0) -> None:
        """Wait until the model is in some state."""
        with self.lock:
            assert self.lock.wait_for(lambda: true(self), timeout_s), sorted(self.pods)

    def set_status(self, name: str, **status: Any) -> None:
        """What a kubelet would say of a pod."""
        with self.lock:
            self.pods[name]["status"] = status
            self.lock.notify_all()

    def remove(self, name: str) -> None:
        """As when its node is gone, or somebody deletes it."""
        with self.lock:
            del self.pods[name]
            self.lock.notify_all()

    def say(self, name: str, **status: Any) -> None:
        """What an operator would say of an object, by its key."""
        with self.lock:
            self.objects[name]["status"] = status
            self.lock.notify_all()

    # --- requests ---------------------------------------------------------------------------------

    def fault_for(self, verb: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.verb in ("", verb) and fault.path in path:
                self.faults.remove(fault)
                return fault
        return None

    def create(self, pod: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = pod["metadata"]["name"]
        if name in self.pods:
            return 409, _status(409, f'pods "{name}" already exists')
        self._number += 1
        pod["metadata"]["uid"] = f"uid-{self._number}"
        self.pods[name] = {**pod, "status": {"phase": "Pending"}}
        return 201, self.pods[name]

    def delete(self, name: str) -> tuple[int, dict[str, Any]]:
        if name not in self.pods:
            return 404, _status(404, f'pods "{name}" not found')
        return 200, self.pods.pop(name)

    def of_kind(self, verb: str, kind: str, name: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """A request for an object that is no pod."""
        plural = kind.partition(".")[0]
        if kind not in self.kinds:
            return 403, _status(403, f'{plural} is forbidden: cannot {verb} resource "{plural}"')
        key, there = f"{kind}/{name}", self.objects.get(f"{kind}/{name}")
        if verb == "POST":
            made = json.loads(body)
            key = f"{kind}/{made['metadata']['name']}"
            if key in self.objects:
                return 409, _status(409, f'{plural} "{made["metadata"]["name"]}" already exists')
            return 201, self._keep(key, made)
        if verb == "PATCH":
            wanted = json.loads(body)
            if there is None:
                return 201, self._keep(key, wanted)
            if there.get("spec") != wanted.get("spec"):
                there["metadata"]["generation"] += 1
            kept = {name: there["metadata"][name] for name in ("uid", "generation")}
            self.objects[key] = {
                **wanted,
                "metadata": {**wanted["metadata"], **kept},
                "status": there.get("status", {}),
            }
            return 200, self.objects[key]
        if there is None:
            return 404, _status(404, f'{plural} "{name}" not found')
        if verb == "DELETE":
            del self.objects[key]
        return 200, there

    def all_of_kind(self, kind: str, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """A list of them."""
        wanted = dict(one.split("=", 1) for one in query["labelSelector"][0].split(","))
        items = [
            one
            for key, one in sorted(self.objects.items())
            if key.startswith(f"{kind}/") and wanted.items() <= one["metadata"]["labels"].items()
        ]
        metadata = {"resourceVersion": "1"}
        return 200, {"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items}

    def _keep(self, key: str, made: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        made["metadata"] |= {"uid": f"uid-{self._number}", "generation": 1}
        self.objects[key] = made
        return made

    def listed(self, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        self.lists.append(query)
        wanted = dict(
            one.split("=", 1) for one in query.get("labelSelector", [""])[0].split(",") if one
        )
        found = [
            pod
            for _, pod in sorted(self.pods.items())
            if wanted.items() <= pod["metadata"].get("labels", {}).items()
        ]
        begin = int(query.get("continue", ["0"])[0])
        most = int(query.get("limit", ["0"])[0]) or len(found)
        rest = begin + most < len(found)
        metadata = {"resourceVersion": "1"} | ({"continue": str(begin + most)} if rest else {})
        items = found[begin : begin + most]
        return 200, {"apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items}


class _Handler(BaseHTTPRequestHandler):
    cluster: ClusterModel
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer("GET", lambda _, query: self.cluster.listed(query))

    def do_PATCH(self) -> None:
        self._answer("PATCH", lambda *_: (405, _status(405, "pods are not patched here")))

    def do_POST(self) -> None:
        self._answer("POST", lambda body, _: self.cluster.create(json.loads(body)))

    def do_DELETE(self) -> None:
        name = urlsplit(self.path).path.rpartition("/")[2]
        self._answer("DELETE", lambda *_: self.cluster.delete(name))

    def _answer(
        self, verb: str, act: Callable[[bytes, dict[str, list[str]]], tuple[int, dict[str, Any]]]
    ) -> None:
        if not self.cluster.there:
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = urlsplit(self.path)
        pods = f"/api/v1/namespaces/{self.cluster.namespace}/pods"
        with self.cluster.lock:
            self.cluster.asked.append(f"{verb} {parts.path}")
            fault = self.cluster.fault_for(verb, parts.path)
            found = _OBJECT.fullmatch(parts.path)
            if self.headers.get("authorization") != f"Bearer {TOKEN}":
                status, answer = 401, _status(401, "Unauthorized")
            elif fault is None and (log := _LOG.fullmatch(parts.path)):
                self._text(self.cluster.logs.get(log[1], ""))
                return
            elif not parts.path.startswith(pods) and not found:
                status, answer = 403, _status(403, f"{verb} {parts.path} is forbidden")
            elif fault is not None and not fault.done:
                status, answer = fault.status, _status(fault.status, "the model was told to fail")
            else:
                if found is None:
                    status, answer = act(body, parse_qs(parts.query))
                else:
                    kind = ".".join(filter(None, (found["plural"], found["group"])))
                    name = found["name"] or ""
                    if verb == "GET" and not name:
                        status, answer = self.cluster.all_of_kind(kind, parse_qs(parts.query))
                    else:
                        status, answer = self.cluster.of_kind(verb, kind, name, body)
                if fault is not None and not fault.cut:
                    status, answer = fault.status, _status(fault.status, "the answer was lost")
            self.cluster.lock.notify_all()
        data = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in (fault.headers if fault is not None else {}).items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if fault is not None and fault.cut:
            self.close_connection, data = True, data[: len(data) // 2]
        self.wfile.write(data)

    def _text(self, text: str) -> None:
        data = text.encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def _status(code: int, message: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "message": message,
        "code": code,
    }
