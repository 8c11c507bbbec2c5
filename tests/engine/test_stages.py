"""Pipelines whose datums are objects of a cluster: a real engine behind a real server, workers and
their client, on an API server that is a model; the operator is the test.
"""

import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cluster_model import ClusterModel, Fault
from postgres_schemas import catalog_schema, needs_postgres
from s3_objects import Objects, needs_s3, new_bucket

from trunkline.api.changes import PutFile
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import Conflict, NotSupported
from trunkline.jobs.signing import stored_key
from trunkline.model.jobs import JobInfo, JobState
from trunkline.model.pipelines import PipelineState
from trunkline.model.signed import Signer
from trunkline.server.app import build_app
from trunkline.server.serve import make_server

TRAINING = {
    "apiVersion": "kubeflow.org/v1",
    "kind": "PyTorchJob",
    "spec": {
        "pytorchReplicaSpecs": {
            "Master": {
                "replicas": 1,
                "template": {
                    "spec": {
                        "containers": [
                            {
                                "name": "pytorch",
                                "image": "iris-train:1",
                                "args": ["{{input.data.url}}", "{{output.url}}"],
                            }
                        ]
                    }
                },
            }
        }
    },
}
SERVING = {
    "apiVersion": "machinelearning.seldon.io/v1",
    "kind": "SeldonDeployment",
    "metadata": {"name": "iris"},
    "spec": {"predictors": [{"graph": {"modelUri": "{{input.data.tar}}"}}]},
}
JOBS, SELDON = "pytorchjobs.kubeflow.org", "seldondeployments.machinelearning.seldon.io"


@dataclass
class World:
    home: Path
    model: ClusterModel
    url: str
    engine: Any = None  # once it is open
    server: Any = None
    thread: Any = None

    def open(self, port: int) -> None:
        settings = replace(
            load(os.environ, home=self.home),
            runtime="kubernetes",
            workers_listen="127.0.0.1:0",
            pod_namespace="ml",
            data_url=self.url,
            lease_s=5.0,
        )
        self.engine = Engine(settings)
        signer = Signer(key=stored_key(self.home, settings.workers_key))
        app = build_app(self.engine, spec_bytes_max=1 << 20, token="secret", signer=signer)
        ready = threading.Event()
        self.server = make_server(app, on_ready=ready.set)
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [bound]})
        self.thread.start()
        assert ready.wait(60)

    def close(self) -> None:
        self.server.stop()
        self.thread.join()
        self.engine.close()

    def put(self, files: dict[str, str], branch: str = "master") -> str:
        changes = [PutFile(path=p, content=[t.encode()]) for p, t in files.items()]
        return self.engine.files.modify_files("data", branch, changes).id

    def pipeline(self, name: str, manifest: Any, *, glob: str = "/*", **more: Any) -> None:
        kubernetes = {"manifest": manifest, **more.pop("kubernetes", {})}
        spec = {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": "data", "glob": glob}},
            "transform": {"kubernetes": kubernetes},
            **more,
        }
        self.engine.pipelines.create_pipeline(spec, update=bool(more.pop("update", False)))

    def job(self, pipeline: str) -> JobInfo:
        [newest] = self.engine.jobs.list_jobs(pipeline=pipeline, number=1)
        return self.engine.jobs.inspect_job(f"{pipeline}@{newest.id}", wait=True, timeout_s=60)

    def tree(self, repo: str) -> dict[str, str]:
        found = self.engine.files.list_files(repo, "master", "/", recursive=True)
        read = self.engine.files.read_file
        return {f.path: b"".join(read(repo, "master", f.path)).decode() for f in found}

    def logs(self, pipeline: str) -> list[str]:
        return [line.message for line in self.engine.datums.get_logs(pipeline=pipeline)]

    def object(self, number: int = 1) -> tuple[str, dict[str, Any]]:
        """The one that is there, once there are so many."""
        self.model.wait_for(lambda model: len(model.objects) >= number)
        return sorted(self.model.objects.items())[-1]

    def succeed(self, name: str) -> None:
        told = {"type": "Succeeded", "status": "True", "reason": "PyTorchJobSucceeded"}
        self.model.say(name, conditions=[told])


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    with ClusterModel() as model:
        model.kinds = {JOBS, SELDON}
        monkeypatch.setenv("KUBECONFIG", str(model.kubeconfig(tmp_path)))
        made = World(tmp_path / "home", model, f"http://127.0.0.1:{port}")
        made.open(port)
        made.engine.repos.create_repo("data")
        yield made
        made.close()


def until(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)
    return found


def get(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


def put(url: str, content: bytes) -> bytes:
    request = urllib.request.Request(url, content, method="PUT")
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def arguments(found: dict[str, Any]) -> list[str]:
    replicas = found["spec"]["pytorchReplicaSpecs"]["Master"]
    return list(replicas["template"]["spec"]["containers"][0]["args"])


def test_a_training_job_reads_its_datum_and_puts_a_model(world: World) -> None:
    world.put({"iris.csv": "5.1,3.5"})
    world.pipeline("train", TRAINING)
    name, found = world.object()
    source, target = arguments(found)
    world.model.logs["train-master-0"] = "epoch 1\nepoch 2\n"
    world.model.pods["train-master-0"] = {
        "metadata": {
            "name": "train-master-0",
            "labels": {"training.kubeflow.org/job-name": found["metadata"]["name"]},
        }
    }
    world.model.say(name, conditions=[{"type": "Running", "status": "True", "reason": "r"}])
    until(lambda: "status: Running True (r)" in world.logs("train"))

    content = get(source)
    put(f"{target}/model/weights.pt", b"w" * 300_000)
    put(f"{target}/metrics.json", b"{}")
    world.succeed(name)
    job = world.job("train")

    assert content == b"5.1,3.5"
    assert (job.state, job.reason) == (JobState.SUCCESS, "")
    assert world.tree("train") == {"metrics.json": "{}", "model/weights.pt": "w" * 300_000}
    assert not world.model.objects, "it is deleted once its output is stored"
    told = world.logs("train")
    assert told[-3:] == [
        "status: Succeeded True (PyTorchJobSucceeded)",
        "train-master-0: epoch 1",
        "train-master-0: epoch 2",
    ]
    with pytest.raises(urllib.error.HTTPError, match="409"):
        put(f"{target}/late", b"x")


def test_a_failure_is_told_with_what_the_operator_says_and_tried_again(world: World) -> None:
    world.put({"a": "1"})
    world.pipeline("train", TRAINING, datum_tries=2)
    world.model.faults += [
        Fault(429, "GET", {"retry-after": "0"}, path=JOBS.split(".")[0]),
        Fault(500, "DELETE", done=True, path=JOBS.split(".")[0]),
    ]
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimit", "message": "exit 1."}

    name, first = world.object()
    world.model.say(name, conditions=[failed])
    uid = first["metadata"]["uid"]
    world.model.wait_for(lambda m: name in m.objects and m.objects[name]["metadata"]["uid"] != uid)
    world.model.say(name, conditions=[failed])
    job = world.job("train")

    assert job.state is JobState.FAILURE
    assert f"PyTorchJob '{first['metadata']['name']}' failed: BackoffLimit: exit 1" in job.reason
    assert "the cluster does not answer well (429): the model was told to fail" in world.logs(
        "train"
    )
    until(lambda: not world.model.objects)


def test_a_cluster_that_loses_answers_and_vanishes_costs_nothing_but_time(world: World) -> None:
    world.model.faults.append(Fault(504, "POST", done=True, path=JOBS.split(".")[0]))
    world.put({"a": "1"})
    world.pipeline("train", TRAINING)
    name, made = world.object()
    until(lambda: any("is there already" in line for line in world.logs("train")))

    world.model.go()
    until(lambda: any("does not answer well (0)" in line for line in world.logs("train")))
    world.model.come()
    world.succeed(name)

    assert world.model.objects[name]["metadata"]["uid"] == made["metadata"]["uid"]
    assert world.job("train").state is JobState.SUCCESS


def test_a_server_that_begins_again_goes_on_with_the_object_and_what_it_put(world: World) -> None:
    world.put({"a": "1"})
    world.pipeline("train", TRAINING)
    name, before = world.object()
    put(f"{arguments(before)[1]}/early", b"put before")
    port = int(world.url.rpartition(":")[2])

    world.close()
    world.open(port)
    put(f"{arguments(before)[1]}/late", b"put behind")
    world.succeed(name)

    assert world.job("train").state is JobState.SUCCESS
    assert world.tree("train") == {"early": "put before", "late": "put behind"}
    posted = [asked for asked in world.model.asked if asked.startswith("POST /apis/kubeflow.org")]
    assert len(posted) == 1


@pytest.fixture
def shared_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    """Servers have catalog and packs elsewhere, and nothing of their own lasts."""
    bucket = new_bucket()
    with catalog_schema() as url:
        settings = {"DATABASE": url, "STORE": bucket.url, "POD_SECRET": "s"}
        for name, value in {**settings, "WORKERS_KEY": os.urandom(32).hex()}.items():
            monkeypatch.setenv(f"TRUNKLINE_{name}", value)
        for name, value in bucket.environment().items():
            monkeypatch.setenv(name, value)
        yield bucket


@needs_postgres
@needs_s3
def test_another_server_goes_on_with_the_objects_of_one_that_is_lost_with_its_disk(
    shared_store: Objects, world: World
) -> None:
    outputs = {"outputs": [{"path": "url", "status": "status.address.url"}]}
    world.put({"a": "1"})
    world.pipeline("serve", SERVING, glob="/", kubernetes=outputs)
    iris, served = world.object()
    world.model.say(iris, state="Available", address={"url": "http://iris.ml"})
    assert world.job("serve").state is JobState.SUCCESS
    world.pipeline("train", TRAINING)
    [name] = until(lambda: [one for one in world.model.objects if one != iris])
    _, target = arguments(world.model.objects[name])
    put(f"{target}/early%20~*.txt", b"put before")

    world.close()
    world.home = world.home.with_name("another")
    world.open(int(world.url.rpartition(":")[2]))
    put(f"{target}/model/late", b"w" * 300_000)
    world.succeed(name)
    job = world.job("train")

    assert (job.state, job.reason) == (JobState.SUCCESS, "")
    assert world.tree("train") == {"early ~*.txt": "put before", "model/late": "w" * 300_000}
    posted = [asked for asked in world.model.asked if asked.startswith("POST /apis/kubeflow.org")]
    assert len(posted) == 1, "it went on with the object that was there"
    del world.model.objects[iris]  # somebody deletes it
    world.engine.repos.create_repo("wakes-up-who-looks-after-it")
    assert world.object()[1]["spec"] == served["spec"]
    world.engine.pipelines.delete_pipeline("serve")
    world.model.wait_for(lambda model: not model.objects)
    until(lambda: not shared_store.names("stages"))


@pytest.mark.parametrize("what", ["stop job", "stop pipeline", "delete pipeline", "timeout"])
def test_an_object_that_nobody_wants_is_deleted(world: World, what: str) -> None:
    world.put({"a": "1"})
    more = {"datum_timeout": "1.5s", "datum_tries": 1} if what == "timeout" else {}
    world.pipeline("train", TRAINING, **more)
    world.object()

    if what == "stop job":
        [job] = world.engine.jobs.list_jobs(pipeline="train")
        world.engine.jobs.stop_job(f"train@{job.id}")
    elif what == "stop pipeline":
        world.engine.pipelines.stop_pipeline("train")
    elif what == "delete pipeline":
        world.engine.pipelines.delete_pipeline("train")

    world.model.wait_for(lambda model: not model.objects)
    until(lambda: not any((world.home / "stages").iterdir()))
    if what == "timeout":
        assert "it took longer than datum_timeout allows (1.5 s)" in world.job("train").reason


def test_a_model_is_served_and_the_former_one_stays_if_the_next_is_not_healthy(
    world: World,
) -> None:
    key = f"{SELDON}/iris"

    def uri() -> str:
        return str(world.model.objects[key]["spec"]["predictors"][0]["graph"]["modelUri"])

    def say(**status: Any) -> None:
        generation = world.model.objects[key]["metadata"]["generation"]
        world.model.say(key, observedGeneration=generation, **status)

    first = world.put({"model.pt": "1"})
    outputs = {"outputs": [{"path": "url", "status": "status.address.url"}]}
    world.pipeline("serve", SERVING, glob="/", datum_timeout="5s", kubernetes=outputs)
    world.object()
    world.model.say(key, state="Available", address={"url": "http://iris.ml"})
    assert world.job("serve").state is JobState.SUCCESS
    assert world.tree("serve") == {"url": "http://iris.ml"}
    assert b"model.pt" in get(uri())
    served = uri()

    world.put({"model.pt": "2"})
    until(lambda: uri() != served)
    say(state="Failed", description="no model server")
    job = world.job("serve")

    assert job.state is JobState.FAILURE
    assert "SeldonDeployment 'iris' failed: status.state == Failed: no model server; it was " in (
        job.reason
    )
    assert uri() == served
    say(state="Available")
    told = until(lambda: world.engine.pipelines.inspect_pipeline("serve").reason)
    assert told.startswith("what was healthy before is served, as the newest is not: Seldon")
    assert world.engine.pipelines.inspect_pipeline("serve").state is PipelineState.RUNNING

    world.put({"model.pt": "3"})
    until(lambda: uri() != served)
    say(state="Available", address={"url": "http://iris.ml"})
    assert world.job("serve").state is JobState.SUCCESS
    until(lambda: not world.engine.pipelines.inspect_pipeline("serve").reason)

    world.engine.branches.create_branch("data", "master", head=first)
    until(lambda: uri() == served)
    say(state="Available", address={"url": "http://iris.ml"})
    assert world.job("serve").state is JobState.SUCCESS

    world.model.objects.clear()  # somebody deletes it
    world.engine.repos.create_repo("wakes-up-who-looks-after-it")
    world.object()
    assert uri() == served
    world.engine.pipelines.delete_pipeline("serve")
    world.model.wait_for(lambda model: not model.objects)


def test_what_the_cluster_refuses_and_what_is_somebody_elses_fail_the_datum(world: World) -> None:
    world.put({"a": "1"})
    world.model.kinds.remove(JOBS)
    world.pipeline("train", TRAINING, datum_tries=1)
    world.model.objects[f"{SELDON}/iris"] = {**SERVING, "metadata": {"name": "iris"}}
    world.pipeline("serve", SERVING, glob="/")

    refused, foreign = world.job("train"), world.job("serve")

    assert "the cluster refuses it (403): pytorchjobs is forbidden" in refused.reason
    assert "deploy kubernetes --resource" in refused.reason
    assert "there is a SeldonDeployment 'iris' already, which no pipeline made" in foreign.reason


def test_an_address_opens_what_it_was_given_out_for_and_nothing_else(world: World) -> None:
    commit = world.put({"d/a.csv": "1", "d/e/b.csv": "2", "other": "3"})
    signer = Signer(key=stored_key(world.home), server=world.url)
    folder = signer.file_url("data", commit, "d")

    assert (get(f"{folder}/a.csv"), get(f"{folder}/e/b.csv")) == (b"1", b"2")
    assert get(f"{folder}/") == b"d/a.csv\nd/e/b.csv\n"
    with urllib.request.urlopen(signer.tar_url("data", commit, "d", "data")) as answer:
        assert answer.headers["content-type"] == "application/x-tar"
        assert b"e/b.csv" in answer.read()

    stolen = folder.replace("/d", "/other")
    climbing = f"{folder}/%2e%2e/other"
    forged = Signer(key=b"x" * 32, server=world.url).file_url("data", commit, "d/a.csv")
    for url, code in ((stolen, 401), (forged, 401), (climbing, 400), (f"{folder}/no", 404)):
        with pytest.raises(urllib.error.HTTPError, match=str(code)):
            get(url)
    with pytest.raises(urllib.error.HTTPError, match="405"):
        put(f"{folder}/a.csv", b"x")
    nobody = signer.output_url(f"train@{commit}", "0" * 64)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        put(f"{nobody}/x", b"x")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(f"{world.url}/api/v1/repos/data/content/{commit}/other")


def test_the_token_of_a_repo_opens_its_files_and_commits_and_nothing_else(world: World) -> None:
    commit = world.put({"a": "1"})
    world.engine.repos.create_repo("other")
    signer = Signer(key=stored_key(world.home))

    def status(path: str, *, method: str = "GET", token: str = signer.repo_token("data")) -> int:
        headers = {"authorization": f"Bearer {token}"}
        asked = urllib.request.Request(f"{world.url}/api/v1/{path}", method=method, headers=headers)
        try:
            with urllib.request.urlopen(asked) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert status(f"repos/data/content/{commit}/a") == 200
    assert status("repos/data/commits") == 200
    for path in ("repos/other/commits", "repos", "repos/data", "repos/data/diff/master/a", "jobs"):
        assert status(path) == 403, path
    assert status(f"repos/data/commits/{commit}", method="DELETE") == 403
    assert status("repos/data%2F..%2Fother/commits") == 403
    forged = Signer(key=b"x" * 32).repo_token("data")
    for token in (forged, signer.repo_token("data")[:-1], "repo..", "repo"):
        assert status("repos/data/commits", token=token) == 401, token


def test_a_server_that_does_not_know_its_own_address_refuses_what_needs_it(world: World) -> None:
    world.close()
    world.url, url = "", world.url
    world.open(int(url.rpartition(":")[2]))
    world.url = url

    with pytest.raises(NotSupported, match="set TRUNKLINE_DATA_URL"):
        world.pipeline("train", TRAINING)


def test_output_is_taken_from_what_works_on_its_datum_alone(world: World) -> None:
    world.put({"a": "1"})
    world.pipeline("train", TRAINING)
    name, found = world.object()
    job, _, datum = found["metadata"]["annotations"]["trunkline/datum"].partition("/")
    hand_in = world.engine.datums.hand_in

    assert hand_in(f"train@{job}", datum, [PutFile(path="x/y", content=[b"1", b"2"])]) == 1
    with pytest.raises(Conflict, match="no object of a cluster works on datum 00"):
        hand_in(f"train@{job}", "00", [PutFile(path="x", content=[b"1"])])
    world.succeed(name)

    assert world.job("train").state is JobState.SUCCESS
    assert world.tree("train") == {"x/y": "12"}
