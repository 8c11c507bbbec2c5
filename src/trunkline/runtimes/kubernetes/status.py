"""What Kubernetes says of a pod, in the words of a pipeline's state. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trunkline.runtimes.kubernetes.pods import STORAGE, USER

_QUIET = ("ContainerCreating", "PodInitializing")  # reasons to wait that are no trouble
_PULL = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
_KILLED = 137  # exit code of what SIGKILL ended
_MESSAGE_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """How a pod is. `reason` says what keeps it from working, or is empty."""

    status: str = "Pending"  # as `kubectl get pods` has it
    ready: str = "0/2"
    restarts: int = 0
    reason: str = ""
    crashing: bool = False  # somebody has to change something before it can work
    gone: bool = False  # it will never work


def outlook_of(pod: Mapping[str, Any]) -> Outlook:
    """How a pod is, by its object."""
    status = _mapping(pod.get("status"))
    users, inits = _by_name(status, "containerStatuses"), _by_name(status, "initContainerStatuses")
    ready = sum(bool(one.get("ready")) for one in users.values())
    restarts = sum(int(one.get("restartCount") or 0) for one in users.values())
    told = _trouble(status, inits, users)
    shown, reason, crashing, gone = told or (
        _usual(status, inits, ready, len(users)),
        "",
        False,
        False,
    )
    return Outlook(
        status="Terminating" if _leaves(pod) else shown,
        ready=f"{ready}/{len(users) or 2}",
        restarts=restarts,
        reason=reason,
        crashing=crashing,
        gone=gone,
    )


def _leaves(pod: Mapping[str, Any]) -> bool:
    return bool(_mapping(pod.get("metadata")).get("deletionTimestamp"))


_Told = tuple[str, str, bool, bool]  # status, reason, crashing, gone


def _trouble(
    status: Mapping[str, Any], inits: Mapping[str, Any], users: Mapping[str, Any]
) -> _Told | None:
    phase = status.get("phase")
    if phase in ("Failed", "Succeeded"):
        return _ended(status, users)
    for name, one in inits.items():
        if told := _waits(name, one):
            shown, reason = told
            return f"Init:{shown}", reason, True, False
    for name in (USER, STORAGE, *users):
        if name in users and (told := _waits(name, users[name])):
            return *told, True, False
    if phase == "Unknown":
        return "Unknown", "its node does not answer", False, False
    for condition in _list(status.get("conditions")):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            why = _message(condition) or str(condition.get("reason") or "Unschedulable")
            return "Pending", f"no node takes its pod: {why}", False, False
    return None


def _waits(name: str, container: Mapping[str, Any]) -> tuple[str, str] | None:
    """What a container waits for, if somebody has to see to it."""
    waiting = _mapping(_mapping(container.get("state")).get("waiting"))
    reason = str(waiting.get("reason") or "")
    if not reason or reason in _QUIET:
        return None
    message = _message(waiting)
    behind = f": {message}" if message else ""
    if reason in _PULL:
        return reason, f"image {container.get('image')} can't be pulled ({reason}){behind}"
    if reason == "CrashLoopBackOff":
        ended = _mapping(_mapping(container.get("lastState")).get("terminated"))
        return reason, f"its container '{name}' ends again and again ({_end(ended)})"
    return reason, f"its container '{name}' can't be started ({reason}){behind}"


def _ended(status: Mapping[str, Any], users: Mapping[str, Any]) -> _Told:
    reason = str(status.get("reason") or "")
    message = _message(status)
    if reason:
        behind = f": {message}" if message else ""
        how = {"Evicted": "was evicted", "Preempting": "had to make room"}.get(reason, "failed")
        shown = "" if reason == "Evicted" else f" ({reason})"
        return reason, f"its pod {how}{shown}{behind}", False, True
    for name, one in users.items():
        ended = _mapping(_mapping(one.get("state")).get("terminated"))
        if ended:
            word = str(ended.get("reason") or "Error")
            return word, f"its container '{name}' ended ({_end(ended)})", False, True
    return "Error", "its pod ended", False, True


def _end(terminated: Mapping[str, Any]) -> str:
    reason, code = str(terminated.get("reason") or "Error"), terminated.get("exitCode")
    if reason == "OOMKilled":
        return "OOMKilled: it had less memory than it wanted; see resource_limits"
    if code == _KILLED:
        return f"{reason}: it was killed"
    message = _message(terminated)
    shown = reason if code is None else f"{reason}, exit code {code}"
    return f"{shown}: {message}" if message else shown


def _usual(status: Mapping[str, Any], inits: Mapping[str, Any], ready: int, containers: int) -> str:
    done = sum(_is_done(one) for one in inits.values())
    if inits and done < len(inits):
        return f"Init:{done}/{len(inits)}"
    if status.get("phase") == "Pending":
        return "PodInitializing" if inits else "Pending"
    return "Running" if containers else str(status.get("phase") or "Pending")


def _is_done(container: Mapping[str, Any]) -> bool:
    ended = _mapping(_mapping(container.get("state")).get("terminated"))
    return bool(ended) and ended.get("exitCode") == 0


def _by_name(status: Mapping[str, Any], field: str) -> dict[str, Mapping[str, Any]]:
    return {str(one.get("name")): one for one in _list(status.get(field))}


def _message(place: Mapping[str, Any]) -> str:
    """What it says, on one line."""
    return " ".join(str(place.get("message") or "").split())[:_MESSAGE_MAX].rstrip(".")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Iterable[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
