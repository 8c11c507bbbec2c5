"""The pods of a server become and stay what they are to be, whatever its cluster does."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_model import ClusterModel, Fault

from trunkline.runtimes.kubernetes import cluster, connection
from trunkline.runtimes.kubernetes.cluster import ClusterApi, Pods
from trunkline.runtimes.kubernetes.pods import owned_labels
from trunkline.runtimes.kubernetes.status import Outlook

LABELS = owned_labels("trunkline")


def pod(name: str, **labels: str) -> dict[str, Any]:
    containers = [{"name": "user", "image": "busybox"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ml", "labels": {**LABELS, **labels}},
        "spec": {"containers": containers},
    }


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterModel]:
    for name, value in (("LOOK_S", 0.02), ("IDLE_LOOK_S", 0.05)):
        monkeypatch.setattr(cluster, name, value)
    monkeypatch.setattr(connection, "_RETRY_S", 0.01)
    with ClusterModel() as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig(tmp_path)))
        yield running


@pytest.fixture
def pods(model: ClusterModel) -> Iterator[Pods]:
    made = Pods(lambda: ClusterApi("ml", LABELS))
    made.start()
    yield made
    made.close()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


def told(pods: Pods, name: str) -> Outlook:
    found = pods.outlook(name)
    assert found is not None
    return found


def test_pods_are_made_and_deleted_as_they_are_wanted(model: ClusterModel, pods: Pods) -> None:
    pods.want("a", pod("a"))
    pods.want("b", pod("b"))
    model.wait_for(lambda m: set(m.pods) == {"a", "b"})

    pods.drop("a")
    model.wait_for(lambda m: set(m.pods) == {"b"})

    assert pods.outlook("a") is None


def test_nothing_but_pods_of_the_namespace_is_asked_for(model: ClusterModel, pods: Pods) -> None:
    """What a Role has to allow."""
    pods.want("a", pod("a"))
    model.wait_for(lambda m: "a" in m.pods)
    pods.drop("a")
    model.wait_for(lambda m: not m.pods and any(line.startswith("GET") for line in m.asked))

    asked = {line.removesuffix("/a") for line in model.asked}
    path = "/api/v1/namespaces/ml/pods"
    assert asked == {f"POST {path}", f"GET {path}", f"DELETE {path}"}


def test_what_an_earlier_server_left_is_deleted_and_what_is_anothers_stays(
    model: ClusterModel, pods: Pods
) -> None:
    with model.lock:
        model.create(pod("left"))
        model.create(pod("other", **{"trunkline/server": "staging"}))

    model.wait_for(lambda m: set(m.pods) == {"other"})


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_cluster_that_is_overloaded_is_asked_again(
    model: ClusterModel, pods: Pods, status: int
) -> None:
    with model.lock:
        model.faults += [Fault(status, "POST", {"retry-after": "0"}) for _ in range(3)]

    pods.want("a", pod("a"))

    model.wait_for(lambda m: "a" in m.pods and not m.faults)


def test_a_cluster_that_asks_for_patience_gets_it(model: ClusterModel, pods: Pods) -> None:
    with model.lock:
        model.faults.append(Fault(429, "POST", {"retry-after": "1"}))
    began = time.monotonic()

    pods.want("a", pod("a"))
    model.wait_for(lambda m: "a" in m.pods)

    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("verb", ["POST", "GET", "DELETE"])
def test_a_line_that_breaks_in_the_middle_of_an_answer_loses_and_doubles_nothing(
    model: ClusterModel, pods: Pods, verb: str
) -> None:
    pods.want("a", pod("a"))
    model.wait_for(lambda m: "a" in m.pods)
    with model.lock:
        model.faults += [Fault(200, verb, done=True, cut=True) for _ in range(2)]

    pods.want("b", pod("b"))
    pods.want("c", pod("c"))
    pods.drop("a")
    model.wait_for(lambda m: set(m.pods) == {"b", "c"} and not m.faults)

    for name in ("b", "c"):
        model.set_status(name, phase="Running", containerStatuses=[{"name": "user"}])
    until(lambda: {told(pods, name).status for name in ("b", "c")} == {"Running"})
    assert not any(told(pods, name).gone for name in ("b", "c"))


def test_pages_of_a_list_that_are_too_old_are_asked_for_anew(
    model: ClusterModel, pods: Pods
) -> None:
    pods.want("a", pod("a"))
    model.wait_for(lambda m: "a" in m.pods)
    with model.lock:
        model.faults += [Fault(410, "GET") for _ in range(2)]

    model.wait_for(lambda m: not m.faults)
    model.set_status("a", phase="Running", containerStatuses=[{"name": "user"}])

    until(lambda: told(pods, "a").status == "Running")


def test_looking_costs_the_same_however_many_pods_are_on_their_way(
    model: ClusterModel, pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "LOOK_S", 0.2)
    with model.lock:
        model.lists.clear()
    began = time.monotonic()

    for number in range(40):
        pods.want(f"p{number}", pod(f"p{number}"))
    until(lambda: all(told(pods, f"p{number}").status == "Pending" for number in range(40)))
    until(lambda: len(model.lists) >= 3)

    assert len(model.lists) <= (time.monotonic() - began) / 0.2 + 2
    [query] = [one for number, one in enumerate(model.lists) if one not in model.lists[:number]]
    assert query.keys() == {"labelSelector", "limit"}, "of its own pods, as they are now"


def test_a_lost_answer_to_the_making_of_a_pod_makes_no_second_one(
    model: ClusterModel, pods: Pods
) -> None:
    with model.lock:
        model.faults.append(Fault(504, "POST", done=True))

    pods.want("a", pod("a"))
    until(lambda: sum(line.startswith("POST") for line in model.asked) == 2)  # which gives a 409
    model.set_status("a", phase="Running", containerStatuses=[{"name": "user", "ready": True}])
    until(lambda: told(pods, "a").status == "Running")

    assert list(model.pods) == ["a"]


def test_a_cluster_that_goes_away_and_comes_back_is_noticed_by_nobody_but_told(
    model: ClusterModel, pods: Pods
) -> None:
    pods.want("a", pod("a"))
    model.wait_for(lambda m: "a" in m.pods)
    model.go()
    pods.want("b", pod("b"))
    until(lambda: "the cluster does not take orders" in told(pods, "b").reason)

    model.come()

    model.wait_for(lambda m: set(m.pods) == {"a", "b"})
    until(lambda: told(pods, "b").reason == "")
    assert not told(pods, "a").gone


def test_a_pod_that_the_cluster_refuses_says_why_and_is_tried_again(
    model: ClusterModel, pods: Pods
) -> None:
    with model.lock:
        model.faults.append(Fault(403, "POST"))

    pods.want("a", pod("a"))
    pods.want("b", pod("b"))

    model.wait_for(lambda m: set(m.pods) == {"a", "b"})


def test_a_pod_that_is_refused_all_the_time_keeps_no_other_from_being_made(
    model: ClusterModel, pods: Pods
) -> None:
    bad = pod("a")
    bad["metadata"]["namespace"] = "other"

    pods.want("a", bad)
    pods.want("b", pod("b"))

    model.wait_for(lambda m: set(m.pods) == {"b"})
    until(lambda: told(pods, "a").crashing)
    assert "its pod can't be made: POST" in told(pods, "a").reason


def test_a_pod_that_vanishes_is_gone(model: ClusterModel, pods: Pods) -> None:
    pods.want("a", pod("a"))
    model.wait_for(lambda m: "a" in m.pods)
    until(lambda: told(pods, "a").status == "Pending")

    model.remove("a")

    until(lambda: told(pods, "a").gone)
    assert told(pods, "a").reason == "its pod was deleted, or its node is gone"


def test_more_pods_than_fit_into_one_answer_are_all_seen(
    model: ClusterModel, pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_CHUNK", 2)
    names = [f"p{number}" for number in range(5)]
    for name in names:
        pods.want(name, pod(name))
    model.wait_for(lambda m: len(m.pods) == 5)

    for name in names:
        model.set_status(name, phase="Running", containerStatuses=[{"name": "user"}])

    until(lambda: {told(pods, name).status for name in names} == {"Running"})


def test_the_end_of_a_server_deletes_its_pods(model: ClusterModel) -> None:
    pods = Pods(lambda: ClusterApi("ml", LABELS))
    pods.start()
    for name in ("a", "b", "c"):
        pods.want(name, pod(name))
    model.wait_for(lambda m: len(m.pods) == 3)

    pods.close()

    assert model.pods == {}
