"""Pipelines whose workers are in pods: a real engine, on an API server and a node of the test."""

import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from cluster_model import ClusterModel
from kubelet import Kubelet
from postgres_schemas import catalog_schema, needs_postgres
from s3_objects import needs_s3, new_bucket
from wheels import offline, wheel

from trunkline.api.changes import DeleteFile, PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import TrunklineError
from trunkline.jobs import residents
from trunkline.jobs.signing import stored_key
from trunkline.model.jobs import JobInfo, JobState
from trunkline.model.pipelines import PipelineState
from trunkline.model.signed import Signer
from trunkline.runtimes.kubernetes.pods import owned_labels
from trunkline.server.app import build_app
from trunkline.server.serve import make_server


@dataclass
class World:
    """A server whose workers are in pods."""

    home: Path
    model: ClusterModel
    kubelet: Kubelet
    engine: Engine
    port: int
    url: str

    def open(self) -> Engine:
        self.engine = open_engine(self.home, self.port, self.url)
        return self.engine

    def put(self, files: dict[str, str]) -> None:
        self.engine.files.modify_files(
            "data", "master", [PutFile(path=p, content=[t.encode()]) for p, t in files.items()]
        )

    def pipeline(self, name: str, script: str, *, update: bool = False, **more: Any) -> None:
        transform = {"cmd": ["sh"], "stdin": [script], **more.pop("transform", {})}
        spec = {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "transform": transform,
            **more,
        }
        self.engine.pipelines.create_pipeline(spec, update=update)

    def job(self, pipeline: str) -> JobInfo:
        [newest] = self.engine.jobs.list_jobs(pipeline=pipeline, number=1)
        return self.engine.jobs.inspect_job(f"{pipeline}@{newest.id}", wait=True, timeout_s=60)

    def tree(self, repo: str) -> dict[str, str]:
        found = self.engine.files.list_files(repo, "master", "/", recursive=True)
        read = self.engine.files.read_file
        return {f.path: b"".join(read(repo, "master", f.path)).decode() for f in found}


def open_engine(home: Path, port: int, url: str) -> Engine:
    settings = load(os.environ, home=home)
    return Engine(
        replace(
            settings,
            runtime="kubernetes",
            workers_listen=f"127.0.0.1:{port}",
            workers_address=f"127.0.0.1:{port}",
            pod_namespace="ml",
            data_url=url,
            lease_s=5.0,
        )
    )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    pods = Path(tempfile.mkdtemp(prefix="trunkline-pods-"))
    home, port, url = tmp_path / "home", free_port(), f"http://127.0.0.1:{free_port()}"
    ca_file = tmp_path / "authority" / "ca.pem"
    with ClusterModel() as model, Kubelet(model, pods, home, ca_file) as kubelet:
        monkeypatch.setenv("KUBECONFIG", str(model.kubeconfig(tmp_path)))
        made = World(home, model, kubelet, open_engine(home, port, url), port, url)
        made.engine.repos.create_repo("data")
        yield made
        made.engine.close()
    shutil.rmtree(pods)


def until(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
    return found


def test_a_pipeline_is_processed_by_the_pods_that_it_asks_for(world: World) -> None:
    world.put({f"f{number}": str(number) for number in range(30)})

    world.pipeline(
        "pre_process",
        'cp /pfs/data/* /pfs/out; echo "$data $IMAGE"',
        parallelism_spec={"constant": 3},
        transform={"image": "busybox:1"},
        metadata={"labels": {"team": "a"}},
    )
    job = world.job("pre_process")

    assert (job.state, job.processed, job.reason) == (JobState.SUCCESS, 30, "")
    assert world.tree("pre_process") == {f"f{number}": str(number) for number in range(30)}
    logs = [line.message for line in world.engine.datums.get_logs(pipeline="pre_process")]
    assert "/pfs/data/f7 has this" in logs
    assert len(world.model.pods) == 3
    assert all(re.fullmatch(r"pipeline-pre-process-v1-[a-z0-9]{5}", n) for n in world.model.pods)
    assert all(pod["metadata"]["labels"]["team"] == "a" for pod in world.model.pods.values())
    until(lambda: {w.ready for w in world.engine.jobs.list_workers()} == {"2/2"})
    info = world.engine.pipelines.inspect_pipeline("pre_process")
    assert (info.runtime, info.state, info.warnings) == ("kubernetes", PipelineState.RUNNING, ())


@pytest.mark.parametrize("how", ["deleted by hand", "evicted", "lost with its node"])
def test_a_pod_that_is_lost_costs_nothing_but_time(world: World, how: str) -> None:
    world.put({f"f{number}": str(number) for number in range(8)})
    world.pipeline("slow", "sleep 0.3; cp /pfs/data/* /pfs/out")
    until(lambda: any(w.datum for w in world.engine.jobs.list_workers()))

    [name] = list(world.model.pods)
    if how == "deleted by hand":
        world.model.remove(name)
    elif how == "evicted":
        world.model.set_status(name, phase="Failed", reason="Evicted", message="low on memory")
    else:
        world.kubelet.freeze(name)

    assert world.job("slow").state is JobState.SUCCESS
    assert len(world.tree("slow")) == 8
    assert name not in world.model.pods


def test_an_image_that_can_not_be_pulled_is_told_as_the_state_of_its_pipeline(
    world: World,
) -> None:
    world.kubelet.missing.add("no/such:1")
    world.put({"a": "1"})
    world.pipeline("edges", "cp /pfs/data/* /pfs/out", transform={"image": "no/such:1"})

    def told() -> bool:
        return world.engine.pipelines.inspect_pipeline("edges").state is PipelineState.CRASHING

    until(told)
    info = world.engine.pipelines.inspect_pipeline("edges")
    assert info.reason == "image no/such:1 can't be pulled (ImagePullBackOff): no such image"

    world.kubelet.missing.clear()
    assert world.job("edges").state is JobState.SUCCESS


def test_a_pod_that_never_gets_ready_goes_when_its_version_is_not_wanted_any_more(
    world: World,
) -> None:
    world.kubelet.missing.add("no/such:1")
    world.put({"a": "1"})
    for name in ("mended", "deleted"):
        world.pipeline(name, "cp /pfs/data/* /pfs/out", transform={"image": "no/such:1"})
    world.model.wait_for(lambda model: len(model.pods) == 2)

    world.pipeline("mended", "cp /pfs/data/* /pfs/out", update=True)
    world.engine.pipelines.delete_pipeline("deleted")

    assert world.job("mended").state is JobState.SUCCESS
    world.model.wait_for(
        lambda model: [n.split("-v")[0] for n in model.pods] == ["pipeline-mended"]
    )
    assert next(iter(world.model.pods)).startswith("pipeline-mended-v2-")


def test_a_server_that_begins_again_deletes_old_pods_and_goes_on(world: World) -> None:
    world.put({f"f{number}": str(number) for number in range(6)})
    world.pipeline("slow", "sleep 0.3; cp /pfs/data/* /pfs/out")
    until(lambda: any(w.datum for w in world.engine.jobs.list_workers()))
    before = set(world.model.pods)
    world.engine.close()

    world.open()

    assert world.job("slow").state is JobState.SUCCESS
    assert len(world.tree("slow")) == 6
    assert not before & set(world.model.pods)


def test_one_process_may_have_all_datums_and_its_pod_leaves_when_nobody_needs_it(
    world: World,
) -> None:
    world.put({"a": "1", "b": "2"})
    script = f"""
        while {sys.executable} -m trunkline next datum; do
            cp /pfs/data/* /pfs/out; echo $$ > /pfs/out/$(ls /pfs/data)-process
        done
    """
    batching = {"datum_batching": True, "env": {"HOME": "/pfs/out"}}
    world.pipeline("short", script, scale_down_threshold="0.1s", transform=batching)
    assert world.job("short").state is JobState.SUCCESS
    found = world.tree("short")
    assert (found["a"], found["b"]) == ("1", "2")
    assert found["a-process"] == found["b-process"]

    world.model.wait_for(lambda model: not model.pods)


ASKING = """
    python3 -c "import alpha; print(alpha.VERSION)" > /pfs/out/$(ls /pfs/data)
    say-alpha; touch "$VIRTUAL_ENV/mark" 2> /dev/null && echo written; true
"""


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(tmp_path / "wheels", "alpha", "1.0")
    for name, value in offline(tmp_path / "wheels", tmp_path / "uv-cache").items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The door of workers has a certificate, which is for no address."""
    authority = Authority(tmp_path / "authority")
    issued = authority.issue("DNS:trunkline.ml.svc")
    settings = {
        "TLS_CERT": issued.cert,
        "TLS_KEY": issued.key,
        "TLS_NAME": "trunkline.ml.svc",
        "POD_TLS_SECRET": "tls",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"TRUNKLINE_{name}", str(value))


def test_packages_are_installed_for_the_python_of_the_image_once_for_all_pods(
    wheels: None, tls: None, world: World
) -> None:
    world.put({"a": "", "b": "", "c": ""})
    more = {"parallelism_spec": {"constant": 2}, "datum_set_spec": {"number": 1}}
    world.pipeline("made", ASKING, transform={"requirements": "alpha", "user": "1234"}, **more)
    world.pipeline("again", ASKING, transform={"requirements": "alpha"})

    job, again = world.job("made"), world.job("again")

    assert (job.state, job.reason, job.packages) == (JobState.SUCCESS, "", ("alpha==1.0",))
    assert (again.state, again.reason) == (JobState.SUCCESS, "")
    assert world.tree("made") == {"a": "1.0\n", "b": "1.0\n", "c": "1.0\n"}
    logs = [line.message for line in world.engine.datums.get_logs(pipeline="made")]
    assert "alpha 1.0" in logs
    assert "written" not in logs
    [built] = (world.home / "cache" / "environments").glob("[!.]*")
    assert not (built / "mark").exists()
    for place in (built.parent, built, built / "bin" / "say-alpha"):
        assert place.stat().st_mode & 0o005 == 0o005, "code of any user reads it"
    spec = world.engine.pipelines.inspect_pipeline("made").spec_commit
    lock = b"".join(world.engine.files.read_file("__spec__", spec, "/requirements.lock")).decode()
    assert lock.startswith("# Trunkline lock 1, made for cpython 3.11 or newer on linux\n")
    assert "alpha==1.0 \\\n    --hash=sha256:" in lock


def test_packages_for_an_image_without_python_are_refused_in_one_sentence(
    wheels: None, world: World
) -> None:
    transform = {"cmd": ["/bin/sh"], "requirements": "alpha", "env": {"PATH": "/nowhere"}}
    world.put({"a": ""})
    world.pipeline("made", "true", transform=transform)

    job = world.job("made")

    assert job.state is JobState.FAILURE
    assert "there is no python3 in its PATH; use an image that has one" in job.reason


SERVING = "cd /pfs/data; test -e bad || exec python3 -m http.server $PORT"


def test_a_service_in_pods_is_behind_one_service_of_the_cluster_that_follows_the_data(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residents, "DRAIN_S", 0.2)
    world.model.kinds.add("services")
    left = {"app.kubernetes.io/component": "service", **owned_labels("trunkline")}
    world.model.objects["services/old"] = {"metadata": {"name": "old", "labels": left}}
    key = "services/pipeline-web"

    def page() -> str:
        [port] = world.model.objects[key]["spec"]["ports"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port['targetPort']}/a") as answer:
            return str(answer.read().decode())

    def behind() -> str:
        return str(world.model.objects[key]["spec"]["selector"]["trunkline/worker"])

    world.put({"a": "first"})
    service = {"internal_port": 8765, "external_port": 30080, "annotations": {"who": "me"}}
    world.pipeline(
        "web", SERVING, input={"pfs": {"repo": "data", "glob": "/"}}, service=service, datum_tries=1
    )
    world.model.wait_for(lambda model: key in model.objects)
    until(lambda: world.job("web").state is JobState.SUCCESS)
    first = until(lambda: (found := behind()) in world.model.pods and found)

    assert page() == "first"
    made = world.model.objects[key]
    assert made["spec"]["type"] == "NodePort"
    assert made["spec"]["ports"][0].items() >= {"port": 30080, "nodePort": 30080}.items()
    assert made["metadata"]["annotations"]["who"] == "me"
    resident = world.engine.pipelines.inspect_pipeline("web").resident
    assert resident is not None
    assert resident.address == "pipeline-web.ml:30080"
    world.model.wait_for(lambda model: "services/old" not in model.objects)

    world.put({"a": "second"})
    until(lambda: behind() != first)
    assert page() == "second"
    world.model.wait_for(lambda model: first not in model.pods)
    second = behind()

    world.put({"bad": ""})
    assert world.job("web").state is JobState.FAILURE
    assert (behind(), page()) == (second, "second")
    world.engine.files.modify_files("data", "master", [DeleteFile(path="bad")])
    until(lambda: behind() != second)
    assert page() == "second"

    world.engine.pipelines.delete_pipeline("web")
    world.model.wait_for(lambda model: not model.objects and not model.pods)


@contextmanager
def served(world: World) -> Iterator[None]:
    """The engine behind a server, where pods are told that it is."""
    signer, ready = Signer(key=stored_key(world.home)), threading.Event()
    app = build_app(world.engine, spec_bytes_max=1 << 20, token="secret", signer=signer)
    server = make_server(app, on_ready=ready.set)
    bound = socket.socket()
    bound.bind(("127.0.0.1", int(world.url.rpartition(":")[2])))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    assert ready.wait(60)
    yield
    server.stop()
    thread.join()


def test_a_spout_in_a_pod_puts_into_its_own_repo_and_no_other(world: World) -> None:
    put = f"{sys.executable} -m trunkline put file"
    script = f"""
        cd /pfs/out
        echo hello | {put} feed@master:/now -f -
        echo hello | {put} data@master:/now -f - 2>&1
        {sys.executable} -m trunkline copy file data@master:/secret feed@master:/secret 2>&1
        {sys.executable} -m trunkline list repo 2>&1
        sleep 90
    """
    world.put({"secret": "s"})
    transform = {"cmd": ["sh"], "stdin": [script], "env": {"HOME": "/pfs/out"}}
    spec = {"pipeline": {"name": "feed"}, "transform": transform, "spout": {}}

    def logs() -> list[str]:
        return [line.message for line in world.engine.datums.get_logs(pipeline="feed")]

    with served(world):
        world.engine.pipelines.create_pipeline(spec)
        until(lambda: sum("alone" in line for line in logs()) == 3)

    assert world.tree("feed") == {"now": "hello\n"}
    assert world.tree("data") == {"secret": "s"}
    assert "this token is good for the files and commits of repo 'feed' alone" in "".join(logs())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"store": "s3://bucket/x"}, "set both TRUNKLINE_STORE and TRUNKLINE_DATABASE"),
        ({"store": "s3://bucket/x", "database": "postgresql://"}, "TRUNKLINE_POD_SECRET must name"),
        (
            {"store": "s3://b/x", "database": "postgresql://", "pod_secret": "s"},
            "TRUNKLINE_WORKERS_KEY must be 64 hexadecimal digits",
        ),
    ],
)
def test_what_pods_on_any_node_lack_is_told(
    tmp_path: Path, settings: dict[str, str], told: str
) -> None:
    with pytest.raises(TrunklineError, match=told):
        Engine(replace(load({}, home=tmp_path), runtime="kubernetes", **settings))


@needs_postgres
@needs_s3
def test_pods_on_any_node_need_nothing_of_the_disk_of_their_server(
    wheels: None, tls: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, key = new_bucket(), os.urandom(32).hex()
    with catalog_schema() as url:
        settings = {
            "TRUNKLINE_DATABASE": url,
            "TRUNKLINE_STORE": bucket.url,
            "TRUNKLINE_POD_SECRET": "bucket",
            "TRUNKLINE_WORKERS_KEY": key,
        }
        for name, value in {**settings, **bucket.environment()}.items():
            monkeypatch.setenv(name, value)
        world: World = request.getfixturevalue("world")
        world.kubelet.secrets["bucket"] = {"TRUNKLINE_WORKERS_KEY": key, **bucket.environment()}
        world.put({f"f{number}": str(number) * 100 for number in range(12)})
        world.engine.secrets.create_secret("word", data={"value": "c2VjcmV0"})

        world.pipeline(
            "copy",
            'cp /pfs/data/* /pfs/out; echo "$W" > "/pfs/out/w$data_COMMIT"; say-alpha; sleep 0.1',
            parallelism_spec={"constant": 2},
            datum_set_spec={"number": 1},
            transform={
                "secrets": [{"name": "word", "env_var": "W", "key": "value"}],
                "requirements": "alpha",
            },
            input={"pfs": {"repo": "data", "glob": "/"}},
        )
        job = world.job("copy")

        assert (job.state, job.reason) == (JobState.SUCCESS, "")
        found = world.tree("copy")
        assert {text for name, text in found.items() if name.startswith("w")} == {"secret\n"}
        assert {n: t for n, t in found.items() if n[0] == "f"} == world.tree("data")
        logs = [line.message for line in world.engine.datums.get_logs(pipeline="copy")]
        assert "alpha 1.0" in logs
        [pod, *_] = world.model.pods.values()
        assert "affinity" not in pod["spec"]
        assert not any("persistentVolumeClaim" in volume for volume in pod["spec"]["volumes"])
        assert not (world.home / "door").exists()
        world.model.remove(next(iter(world.model.pods)))
        world.put({"f0": "changed"})
        assert world.job("copy").state is JobState.SUCCESS
        assert world.tree("copy")["f0"] == "changed"
        assert world.engine.admin.gc(grace_s=0).needed_objects
        assert world.engine.admin.fsck().damages == ()
        world.engine.close()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"transform": {"user": "nobody"}}, "Kubernetes takes a number"),
        ({"pod_patch": "[{"}, "pod_patch is no JSON"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_can_not_be_in_pods_is_refused_when_it_is_made(
    world: World, more: dict[str, Any], told: str
) -> None:
    with pytest.raises(TrunklineError, match=told):
        world.pipeline("edges", "true", **more)
