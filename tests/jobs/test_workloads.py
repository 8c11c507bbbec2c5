"""A spec becomes the pods that it asks for."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_schema import assert_valid
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidInput, InvalidSpec
from trunkline.jobs.workloads import workload_of
from trunkline.model.names import NAME_LENGTH_MAX, PROJECT_LENGTH_MAX
from trunkline.pipelines.spec import spec_from_document
from trunkline.runtimes.kubernetes.pods import Ground, Workload, pod_manifest

GOLDEN = Path(__file__).parents[1] / "golden" / "pods"
GROUND = Ground(
    namespace="ml",
    image="trunkline:1",
    claim="trunkline",
    server="trunkline",
    owner=("trunkline-0", "6f1c"),
    door="trunkline:30651",
)
NAME = "pipeline-edges-v3-bcdfg"
PLAIN: dict[str, Any] = {
    "pipeline": {"name": "edges"},
    "transform": {"image": "busybox:1.36", "cmd": ["sh"]},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
}
ALL: dict[str, Any] = {
    "pipeline": {"name": "edges", "project": {"name": "vision"}},
    "transform": {
        "image": "registry.example.com/edges@sha256:" + "a" * 64,
        "cmd": ["python3", "/edges.py"],
        "user": "1000:2000",
        "image_pull_secrets": ["login"],
        "memory_volume": True,
        "secrets": [
            {"name": "keys", "mount_path": "/etc/keys"},
            {"name": "db", "key": "password", "env_var": "PASSWORD"},
        ],
    },
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
    "resource_requests": {"cpu": 0.5, "memory": "64M", "disk": "1Gi", "gpu": 1},
    "resource_limits": {"cpu": 2, "memory": "1Gi", "gpu": {"type": "amd.com/gpu", "number": 1}},
    "sidecar_resource_requests": {"cpu": 0.1, "memory": "128Mi"},
    "sidecar_resource_limits": {"memory": "256Mi"},
    "scheduling_spec": {"node_selector": {"disk": "ssd"}, "priority_class_name": "high"},
    "tolerations": [
        {"key": "gpu", "operator": "EXISTS", "effect": "NO_SCHEDULE"},
        {"key": "team", "operator": "EQUAL", "value": "a", "effect": "NO_EXECUTE"},
        {"toleration_seconds": "60"},
    ],
    "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
    "pod_spec": json.dumps({"hostname": "edges", "containers": [{"name": "user", "tty": True}]}),
    "pod_patch": json.dumps(
        [{"op": "add", "path": "/volumes/-", "value": {"name": "more", "emptyDir": {}}}]
    ),
}


def manifest(document: dict[str, Any]) -> dict[str, Any]:
    spec = spec_from_document(document)
    return pod_manifest(workload_of(spec, 3), GROUND, NAME)


@pytest.mark.parametrize(("name", "document"), [("plain", PLAIN), ("all", ALL)])
def test_pods_are_as_they_were_and_as_an_api_server_takes_them(
    name: str, document: dict[str, Any], tmp_path: Path
) -> None:
    made = manifest(document)

    golden = GOLDEN / f"{name}.yaml"
    assert made == yaml.safe_load(golden.read_text("utf-8")), "see tests/golden/pods"
    assert_valid([made], tmp_path)


@pytest.mark.parametrize("secret", ["", "bucket"])
def test_packages_are_built_where_the_code_can_not_write(secret: str, tmp_path: Path) -> None:
    transform = {**PLAIN["transform"], "requirements": "numpy"}
    workload = workload_of(spec_from_document({**PLAIN, "transform": transform}), 3)
    made = pod_manifest(workload, replace(GROUND, secret=secret), NAME)

    [seen] = [m for m in made["spec"]["containers"][0]["volumeMounts"] if "packages" in str(m)]
    [built] = [m for m in made["spec"]["containers"][1]["volumeMounts"] if "/packages" in str(m)]
    assert seen == {**built, "mountPath": "/.trunkline-packages", "readOnly": True}
    assert built.get("subPath") == (None if secret else "data/cache/environments")
    assert_valid([made], tmp_path)


def test_a_worker_gets_the_authority_of_its_door_and_no_key(tmp_path: Path) -> None:
    ground = replace(GROUND, tls_name="trunkline.ml.svc", tls_secret="tls")
    made = pod_manifest(workload_of(spec_from_document(PLAIN), 3), ground, NAME)

    user, storage = made["spec"]["containers"]
    [volume] = [one for one in made["spec"]["volumes"] if one["name"] == "tls"]
    assert volume["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    assert not any(mount["name"] == "tls" for mount in user["volumeMounts"])
    words = ["--tls-name", "trunkline.ml.svc", "--ca-file", "/etc/trunkline/tls/ca.crt"]
    assert storage["command"][-4:] == words
    assert_valid([made], tmp_path)


def test_a_pod_for_any_node_has_nothing_of_its_server_but_a_secret(tmp_path: Path) -> None:
    ground = replace(GROUND, secret="bucket")
    made = pod_manifest(workload_of(spec_from_document(ALL), 3), ground, NAME)

    assert "affinity" not in made["spec"]
    assert all(volume.keys() == {"name", "emptyDir"} for volume in made["spec"]["volumes"])
    user, storage = made["spec"]["containers"]
    assert storage["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    assert "envFrom" not in user
    assert_valid([made], tmp_path)


def test_a_pod_has_one_init_container_and_two_that_stay() -> None:
    spec = manifest(PLAIN)["spec"]

    assert [one["name"] for one in spec["initContainers"]] == ["init"]
    assert [one["name"] for one in spec["containers"]] == ["user", "storage"]


def test_only_the_storage_container_sees_the_data_of_the_server() -> None:
    spec = manifest(ALL)["spec"]
    [init], [user, storage] = spec["initContainers"], spec["containers"]

    seen = {one["name"]: {m["name"] for m in one["volumeMounts"]} for one in (init, user, storage)}
    assert "data" not in seen["user"] | seen["init"]
    assert {m["subPath"] for m in storage["volumeMounts"] if m["name"] == "data"} == {
        *("data/store", "data/cache", "data/secrets", "data/door")
    }
    assert spec["automountServiceAccountToken"] is False


def test_user_code_can_write_to_its_output_alone() -> None:
    user = manifest(ALL)["spec"]["containers"][0]

    written = {one["mountPath"] for one in user["volumeMounts"] if not one.get("readOnly")}
    assert written == {"/pfs/out"}


def test_labels_that_find_a_servers_pods_can_not_be_changed_by_a_spec() -> None:
    theirs = {"app.kubernetes.io/managed-by": "me", "trunkline/server": "other"}

    labels = manifest({**PLAIN, "metadata": {"labels": theirs}})["metadata"]["labels"]

    assert labels["app.kubernetes.io/managed-by"] == "trunkline"
    assert labels["trunkline/server"] == "trunkline"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pod_patch": "[{"}, "pod_patch is no JSON"),
        (
            {"pod_patch": '[{"op": "remove", "path": "/containers/1"}]'},
            "without its container 'storage'",
        ),
        ({"pod_spec": '{"initContainers": null}'}, "without its container 'init'"),
        ({"pod_spec": "[]"}, "must be an object"),
        ({"transform": {**PLAIN["transform"], "user": "nobody"}}, "Kubernetes takes a number"),
    ],
)
def test_a_mistake_of_the_spec_is_told_in_one_sentence(change: dict[str, Any], told: str) -> None:
    with pytest.raises((InvalidInput, InvalidSpec)) as raised:
        manifest({**PLAIN, **change})

    assert told in str(raised.value)


_LETTERS = st.text("abyzABYZ019_-", min_size=1, max_size=NAME_LENGTH_MAX)
_PROJECTS = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_-]*", fullmatch=True).filter(
    lambda name: len(name) <= PROJECT_LENGTH_MAX
)


@given(name=_LETTERS, project=st.none() | _PROJECTS, version=st.integers(1, 10**9))
def test_whatever_a_pipeline_is_called_kubernetes_takes_its_labels(
    name: str, project: str | None, version: int
) -> None:
    full = name if project is None else f"{project}/{name}"
    workload = Workload(pipeline=full, version=version, image="")

    made = pod_manifest(workload, GROUND, NAME)["metadata"]

    value = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
    assert all(value.fullmatch(label) for label in made["labels"].values())
    assert made["annotations"]["trunkline/pipeline"] == full
