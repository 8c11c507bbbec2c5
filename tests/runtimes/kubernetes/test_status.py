"""What Kubernetes says of a pod becomes a status and a reason that people understand."""

from typing import Any

import pytest

from trunkline.runtimes.kubernetes.status import Outlook, outlook_of

WAITS = {"reason": "ContainerCreating"}
INIT_DONE = {"name": "init", "state": {"terminated": {"exitCode": 0}}}


def container(name: str, state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "image": f"{name}:1", "state": state, **more}


def pod(phase: str, *containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    status = {
        "phase": phase,
        "initContainerStatuses": [INIT_DONE],
        "containerStatuses": list(containers),
        **more,
    }
    return {"metadata": {"name": "p"}, "status": status}


def test_a_pod_that_begins_looks_as_kubectl_shows_it() -> None:
    begins = {"name": "init", "state": {"running": {}}}
    waiting = [container(name, {"waiting": WAITS}) for name in ("user", "storage")]

    found = outlook_of(pod("Pending", *waiting, initContainerStatuses=[begins]))

    assert (found.ready, found.status, found.reason) == ("0/2", "Init:0/1", "")


def test_a_pod_that_works_has_no_reason() -> None:
    running = [
        container(name, {"running": {}}, ready=True, restartCount=1) for name in ("user", "storage")
    ]

    found = outlook_of(pod("Running", *running))

    assert found == Outlook(status="Running", ready="2/2", restarts=2)


@pytest.mark.parametrize(
    ("given", "status", "reason", "crashing", "gone"),
    [
        (
            pod(
                "Pending",
                container(
                    "user",
                    {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off\n pulling"}},
                ),
            ),
            "ImagePullBackOff",
            "image user:1 can't be pulled (ImagePullBackOff): Back-off pulling",
            True,
            False,
        ),
        (
            pod(
                "Running",
                container(
                    "user",
                    {"waiting": {"reason": "CrashLoopBackOff"}},
                    lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                ),
            ),
            "CrashLoopBackOff",
            "its container 'user' ends again and again (OOMKilled: it had less memory than it "
            "wanted; see resource_limits)",
            True,
            False,
        ),
        (
            pod(
                "Pending",
                container(
                    "user",
                    {
                        "waiting": {
                            "reason": "CreateContainerConfigError",
                            "message": 'secret "k" not found',
                        }
                    },
                ),
            ),
            "CreateContainerConfigError",
            "its container 'user' can't be started (CreateContainerConfigError): secret \"k\" not "
            "found",
            True,
            False,
        ),
        (
            pod(
                "Pending",
                initContainerStatuses=[
                    container("init", {"waiting": {"reason": "ErrImageNeverPull"}})
                ],
            ),
            "Init:ErrImageNeverPull",
            "image init:1 can't be pulled (ErrImageNeverPull)",
            True,
            False,
        ),
        (
            {
                "status": {
                    "phase": "Pending",
                    "conditions": [
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "reason": "Unschedulable",
                            "message": "0/1 nodes are available: 1 Insufficient cpu.",
                        }
                    ],
                }
            },
            "Pending",
            "no node takes its pod: 0/1 nodes are available: 1 Insufficient cpu",
            False,
            False,
        ),
        (
            pod("Failed", reason="Evicted", message="The node was low on resource: memory."),
            "Evicted",
            "its pod was evicted: The node was low on resource: memory",
            False,
            True,
        ),
        (
            pod(
                "Failed",
                container("user", {"terminated": {"reason": "OOMKilled", "exitCode": 137}}),
            ),
            "OOMKilled",
            "its container 'user' ended (OOMKilled: it had less memory than it wanted; see "
            "resource_limits)",
            False,
            True,
        ),
        (pod("Unknown"), "Unknown", "its node does not answer", False, False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_trouble_is_told(
    given: dict[str, Any], status: str, reason: str, crashing: bool, gone: bool
) -> None:
    found = outlook_of(given)

    assert (found.status, found.reason) == (status, reason)
    assert (found.crashing, found.gone) == (crashing, gone)


def test_a_pod_that_leaves_is_shown_as_leaving() -> None:
    leaving = pod("Running")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert outlook_of(leaving).status == "Terminating"


@pytest.mark.parametrize("odd", [{}, {"status": None}, {"status": {"containerStatuses": [1]}}])
def test_an_object_that_says_little_is_no_failure(odd: dict[str, Any]) -> None:
    assert outlook_of(odd).reason == ""
