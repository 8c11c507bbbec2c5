"""Services of a cluster that are kept as they are wanted, by an API server that is a model."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_model import ClusterModel, Fault
from cluster_schema import assert_valid

from trunkline.runtimes.kubernetes import connection
from trunkline.runtimes.kubernetes.objects import ClusterObjects
from trunkline.runtimes.kubernetes.services import Services, service_manifest, service_name


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterModel]:
    monkeypatch.setattr(connection, "_RETRY_S", 0.01)
    with ClusterModel() as running:
        running.kinds.add("services")
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig(tmp_path)))
        yield running


def manifest(pipeline: str, worker: str, **chosen: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"port": 8000, "target_port": 34567, "kind": "ClusterIP", **chosen}
    return service_manifest(pipeline, namespace="ml", worker=worker, annotations={}, **given)


def until(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)
    return found


def test_a_service_is_made_pointed_elsewhere_and_deleted_whatever_fails(
    model: ClusterModel,
) -> None:
    model.faults += [Fault(503, "PATCH"), Fault(429, "PATCH", {"retry-after": "0"})]
    model.faults += [Fault(504, "PATCH", done=True), Fault(500, "DELETE", done=True)]
    services = Services(lambda: ClusterObjects("ml"))

    services.want("web", manifest("web", "w-1"))
    model.wait_for(lambda m: "services/pipeline-web" in m.objects)
    services.want("web", manifest("web", "w-2"))
    model.wait_for(
        lambda m: (
            m.objects["services/pipeline-web"]["spec"]["selector"] == {"trunkline/worker": "w-2"}
        )
    )
    services.drop("web")
    model.wait_for(lambda m: not m.objects)

    services.close()
    assert not model.faults


def test_what_the_cluster_refuses_is_told_until_it_takes_it(model: ClusterModel) -> None:
    model.kinds.clear()
    services = Services(lambda: ClusterObjects("ml"))

    services.want("web", manifest("web", "w"))
    told = until(lambda: services.trouble("web"))
    model.kinds.add("services")
    model.wait_for(lambda m: bool(m.objects))

    assert told.startswith("its Service 'pipeline-web' can't be made: services is forbidden")
    until(lambda: not services.trouble("web"))
    services.close()


def test_names_are_those_of_hosts_and_no_two_pipelines_have_one() -> None:
    names = [service_name(name) for name in ("web", "We_b", "we-b", "p/web", "p-web", "x" * 90)]

    assert names[0] == "pipeline-web"
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 and name.replace("-", "").isalnum() for name in names)


def test_an_api_server_takes_the_manifest(tmp_path: Path) -> None:
    assert_valid([manifest("web", "w", port=30080, kind="NodePort")], tmp_path)
