"""The manifests of a server on a cluster."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cluster_schema import assert_valid

from trunkline.config import load
from trunkline.errors import InvalidInput
from trunkline.runtimes.kubernetes.installation import (
    HOME,
    PLACE,
    Elsewhere,
    Installation,
    manifests,
)


def wanted(**chosen: Any) -> Installation:
    return Installation(
        **{"namespace": "ml", "image": "trunkline:1", "storage_size": "5Gi", **chosen}
    )


ALL = wanted(
    storage_class="fast.ssd",
    node_port=30650,
    names=("data.example.org",),
    settings=(("TRUNKLINE_GC_GRACE_S", "60"), ("UV_INDEX_URL", "https://index.example.org")),
    token_secret="door",
    pull_secret="login",
    resources=("pytorchjobs.kubeflow.org", "jobs.batch", "tfjobs.kubeflow.org"),
)


NODES = wanted(
    elsewhere=Elsewhere(
        store="s3://bucket/trunkline",
        store_secret="bucket",
        database_secret="database",
        replicas=3,
    )
)


def only(kind: str, made: list[dict[str, Any]]) -> dict[str, Any]:
    [found] = [one for one in made if one["kind"] == kind]
    return found


def server_pod(chosen: Installation) -> dict[str, Any]:
    made: Any = manifests(chosen)
    return only("StatefulSet", made)["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    "chosen",
    [wanted(), ALL, replace(NODES, tls_secret="tls")],
    ids=["plain", "all", "nodes"],
)
def test_an_api_server_takes_all_manifests(chosen: Installation, tmp_path: Path) -> None:
    assert_valid(manifests(chosen), tmp_path)


def test_everything_is_in_the_namespace_that_was_asked_for() -> None:
    made: Any = manifests(wanted())

    assert only("Namespace", made)["metadata"]["name"] == "ml"
    others = [one for one in made if one["kind"] != "Namespace"]
    assert {one["metadata"]["namespace"] for one in others} == {"ml"}


def test_the_pods_are_those_that_service_and_set_look_for() -> None:
    made: Any = manifests(wanted())
    template = only("StatefulSet", made)["spec"]["template"]["metadata"]["labels"]

    assert only("Service", made)["spec"]["selector"].items() <= template.items()
    assert only("StatefulSet", made)["spec"]["selector"]["matchLabels"].items() <= template.items()


def test_the_server_is_not_root_and_can_write_to_its_volume_alone() -> None:
    pod = server_pod(wanted())
    [container] = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {PLACE, "/tmp"}


def test_the_server_may_make_list_and_delete_pods_and_nothing_else() -> None:
    made: Any = manifests(wanted())

    assert only("Role", made)["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete", "list"]},
        {
            "apiGroups": [""],
            "resources": ["services"],
            "verbs": ["create", "delete", "list", "patch"],
        },
    ]
    assert only("RoleBinding", made)["subjects"][0]["name"] == "trunkline"
    verbs = ["create", "delete", "get", "patch"]
    assert only("Role", manifests(ALL))["rules"][2:] == [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": verbs},
        {"apiGroups": ["kubeflow.org"], "resources": ["pytorchjobs", "tfjobs"], "verbs": verbs},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]


def test_a_server_that_runs_all_code_itself_has_no_access_to_the_cluster() -> None:
    chosen = wanted(settings=(("TRUNKLINE_RUNTIME", "process"),))
    made: Any = manifests(chosen)
    pod = server_pod(chosen)

    assert {one["kind"] for one in made}.isdisjoint({"Role", "RoleBinding"})
    assert pod["automountServiceAccountToken"] is False
    assert len(only("Service", made)["spec"]["ports"]) == 1


def test_several_servers_have_no_volume_and_workers_come_to_the_one_that_leads() -> None:
    made: Any = manifests(NODES)
    pod = server_pod(NODES)
    [container] = pod["containers"]

    assert "PersistentVolumeClaim" not in {one["kind"] for one in made}
    assert only("StatefulSet", made)["spec"]["replicas"] == 3
    assert pod["volumes"][0] == {"name": "data", "emptyDir": {"sizeLimit": "5Gi"}}
    assert [source["secretRef"]["name"] for source in container["envFrom"]] == [
        "bucket",
        "database",
    ]
    config = load({one["name"]: one.get("value", "") for one in container["env"]})
    assert (config.store, config.pod_secret) == ("s3://bucket/trunkline", "bucket")
    assert config.workers_address == "$(SERVER_ADDRESS):30651"
    assert "--standby" in container["args"]


def test_with_a_certificate_those_inside_know_a_server_by_its_name_whatever_its_address() -> None:
    [container] = server_pod(replace(NODES, tls_secret="tls"))["containers"]
    config = load({one["name"]: one.get("value", "") for one in container["env"]})

    assert config.tls_name == "trunkline.ml.svc"
    assert config.pod_tls_secret == "tls"
    assert config.ca_file == "/etc/trunkline/tls/ca.crt"
    public = (("TRUNKLINE_TLS_NAME", "data.example.org"),)
    [container] = server_pod(wanted(tls_secret="tls", settings=public))["containers"]
    names = [one["name"] for one in container["env"]]
    assert names.count("TRUNKLINE_TLS_NAME") == 1
    assert "TRUNKLINE_CA_FILE" not in names


def test_the_server_knows_what_its_pods_need() -> None:
    [container] = server_pod(wanted())["containers"]
    settings = {one["name"]: one.get("value", "") for one in container["env"]}

    config = load(settings)
    assert (config.runtime, config.workers_address) == ("kubernetes", "trunkline:30651")
    assert (config.pod_image, config.pod_claim) == ("trunkline:1", "trunkline")
    assert config.pod_owner == "$(SERVER_POD)/$(SERVER_UID)"
    assert config.data_url == "http://trunkline:30650"


def test_the_data_directory_is_below_the_volume_which_belongs_to_root() -> None:
    [container] = server_pod(wanted())["containers"]

    assert {"name": "TRUNKLINE_HOME", "value": HOME} in container["env"]
    assert Path(HOME).parent == Path(PLACE)


def test_callers_may_use_the_names_of_the_service_and_those_that_were_given() -> None:
    [container] = server_pod(ALL)["containers"]
    words = container["args"]

    named = {after for word, after in pairwise(words) if word == "--name"}
    assert named == {
        *("trunkline", "trunkline.ml", "trunkline.ml.svc", "trunkline.ml.svc.cluster.local"),
        "data.example.org",
    }


def test_what_was_chosen_is_in_the_manifests() -> None:
    made: Any = manifests(ALL)
    pod = server_pod(ALL)
    [container] = pod["containers"]

    assert only("PersistentVolumeClaim", made)["spec"]["storageClassName"] == "fast.ssd"
    assert only("Service", made)["spec"]["type"] == "NodePort"
    assert only("Service", made)["spec"]["ports"][0]["nodePort"] == 30650
    assert {"name": "TRUNKLINE_GC_GRACE_S", "value": "60"} in container["env"]
    assert container["args"][-2:] == ["--token-file", "/etc/trunkline/token/token"]
    assert pod["imagePullSecrets"] == [{"name": "login"}]


@pytest.mark.parametrize(
    "chosen",
    [
        {"namespace": "ML"},
        {"namespace": "a" * 64},
        {"namespace": "-a"},
        {"image": ""},
        {"image": "a b"},
        {"storage_size": "many"},
        {"storage_size": "0Gi"},
        {"storage_class": "fast_ssd"},
        {"node_port": 80},
        {"names": ("a b",)},
        {"settings": (("PATH", "/"),)},
        {"settings": (("TRUNKLINE_HOME", "/"),)},
        {"token_secret": "Door"},
        {"pull_secret": "a/b"},
    ],
    ids=str,
)
def test_what_kubernetes_would_refuse_is_told_before(chosen: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as told:
        manifests(wanted(**chosen))

    assert "\n" not in str(told.value)
