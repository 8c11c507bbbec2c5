"""The pods of a pipeline version, as manifests.

Pure. In each pod the user's container runs a shell loop (`loop`), which an init container has put
there, and a `storage` container is our worker: it fills /pfs, has commands run by the loop, and
stores what is in /pfs/out. What both see are directories of the pod.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trunkline.errors import InvalidInput, shown
from trunkline.runtimes.base import CODE, OUT, PFS
from trunkline.runtimes.containers.agent import PLACE, START
from trunkline.runtimes.environments import ENVIRONMENTS, SEEN_AT
from trunkline.runtimes.kubernetes.installation import ACCOUNT, CA, HOME, TLS
from trunkline.runtimes.kubernetes.patches import merged, patched

MANAGED = "app.kubernetes.io/managed-by"
MANAGER = "trunkline"
OF_SERVER = "trunkline/server"  # label: name of the StatefulSet whose server owns the pod
PIPELINE, VERSION = "trunkline/pipeline", "trunkline/version"  # annotations
USER, STORAGE, INIT = "user", "storage", "init"
POD = "/pod"  # where the storage container has the directories that it shares with the user's
GPU = "nvidia.com/gpu"
WORKER = "trunkline/worker"  # label: which worker it is, for the Service before it
_LABEL_MAX = 63
_SHARED = {  # volume of the pod → where the user's container has it, and whether to be written to
    "control": (PLACE, False),  # its pipes can be written to all the same
    "pfs": (PFS, False),
    "out": (OUT, True),
    "code": (CODE, False),
}
_KEPT = {"store": False, "cache": False, "secrets": True, "door": True}  # read-only?
PACKAGES = "packages"  # volume with Python environments, and its name below `POD`
_GRACE_S = 2  # the worker has ended before, or is not to do anything any more
_TMP = "/tmp"  # noqa: S108 (of the container)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a container asks for, or may use. None: not said."""

    cpu: float | None = None  # cores
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    gpus: int | None = None
    gpu_type: str = GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a pipeline version wants of its pods."""

    pipeline: str  # full name
    version: int
    image: str  # empty: that of the server
    user: str = ""  # a number, with or without `:group`
    requests: Share = field(default_factory=Share)
    limits: Share = field(default_factory=Share)
    storage_requests: Share = field(default_factory=Share)
    storage_limits: Share = field(default_factory=Share)
    pull_secrets: tuple[str, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    priority_class: str = ""
    tolerations: tuple[Mapping[str, Any], ...] = ()  # as Kubernetes writes them
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    secret_places: tuple[str, ...] = ()  # directories of files with secrets
    memory_volume: bool = False  # inputs and outputs are in memory
    packages: bool = False  # its commands run in a Python environment that the worker builds
    pod_spec: str = ""
    pod_patch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What all pods of one server stand on."""

    namespace: str
    image: str  # of the server, which is that of the storage container
    claim: str  # of the volume with the data directory
    server: str  # name of its StatefulSet
    owner: tuple[str, str] | None  # name and uid of the server's pod: pods go when that goes
    door: str  # host:port that workers connect to
    secret: str = ""  # a Secret with the variables of a store that is reached from any node
    tls_name: str = ""  # what the door's certificate is for; empty: it does not speak TLS
    tls_secret: str = ""  # a Secret that may say who vouches for it


def pod_manifest(workload: Workload, ground: Ground, name: str) -> dict[str, Any]:
    """One pod. Raises InvalidInput for what the author of the spec has to change."""
    spec: dict[str, Any] = {
        "restartPolicy": "Always",  # a container that ran out of memory comes back by itself
        "terminationGracePeriodSeconds": _GRACE_S,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [_init(workload, ground)],
        "containers": [_user(workload, ground), _storage(workload, ground, name)],
        "volumes": _volumes(workload, ground),
    }
    if not ground.secret:
        spec["affinity"] = _beside(ground)
    if workload.pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in workload.pull_secrets]
    if workload.node_selector:
        spec["nodeSelector"] = dict(workload.node_selector)
    if workload.priority_class:
        spec["priorityClassName"] = workload.priority_class
    if workload.tolerations:
        spec["tolerations"] = [dict(one) for one in workload.tolerations]
    if workload.pod_spec:
        spec = merged(spec, workload.pod_spec, field="pod_spec")
    if workload.pod_patch:
        spec = patched(spec, workload.pod_patch, field="pod_patch")
    _check_parts(spec)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(workload, ground, name),
        "spec": spec,
    }


def owned_labels(server: str) -> dict[str, str]:
    """The labels that all pods of a server have, and no others."""
    return {MANAGED: MANAGER, OF_SERVER: server}


def worker_label(name: str) -> str:
    """What stands for the name of a worker in a label; a pod's name may be longer than one."""
    if len(name) <= _LABEL_MAX:
        return name
    return hashlib.sha256(name.encode()).hexdigest()[:_LABEL_MAX]


def _metadata(workload: Workload, ground: Ground, name: str) -> dict[str, Any]:
    ours = {
        "app.kubernetes.io/name": "pipeline",
        "app.kubernetes.io/component": "worker",
        **owned_labels(ground.server),
        WORKER: worker_label(name),
    }
    # The full name does not fit into a label, so it is one as far as it does.
    shown_name = workload.pipeline.replace("/", ".")[:_LABEL_MAX].strip("-_.")
    if shown_name:
        ours[PIPELINE] = shown_name
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": ground.namespace,
        "labels": {**workload.labels, **ours},
        "annotations": {
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
            **workload.annotations,
            PIPELINE: workload.pipeline,
            VERSION: str(workload.version),
        },
    }
    if ground.owner is not None:
        owner, uid = ground.owner
        metadata["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": uid, "controller": True}
        ]
    return metadata


# --- containers -----------------------------------------------------------------------------------


def _init(workload: Workload, ground: Ground) -> dict[str, Any]:
    return {
        "name": INIT,
        "image": ground.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "trunkline.runtimes.kubernetes.loop", POD],
        "volumeMounts": [_mount(name, f"{POD}/{name}") for name in _SHARED],
        "resources": _resources(workload.storage_requests, workload.storage_limits),
        "securityContext": _as_server(),
    }


def _user(workload: Workload, ground: Ground) -> dict[str, Any]:
    security: dict[str, Any] = {"allowPrivilegeEscalation": False}
    if workload.user:
        user, _, group = workload.user.partition(":")
        security |= {"runAsUser": int(user)} | ({"runAsGroup": int(group)} if group else {})
    mounts = [
        _mount(name, place, read_only=not written) for name, (place, written) in _SHARED.items()
    ]
    mounts += [
        _mount(f"secret-{number}", place, read_only=True)
        for number, place in enumerate(workload.secret_places)
    ]
    if workload.packages:
        mounts.append({**_packages(ground, SEEN_AT), "readOnly": True})
    return {
        "name": USER,
        "image": workload.image or ground.image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(START),
        "volumeMounts": mounts,
        "resources": _resources(workload.requests, workload.limits),
        "securityContext": security,
    }


def _storage(workload: Workload, ground: Ground, name: str) -> dict[str, Any]:
    words = ["--door", ground.door, "--name", name, "--home", HOME, "--pod", POD]
    mounts = [_mount(volume, f"{POD}/{volume}") for volume in _SHARED]
    for number, place in enumerate(workload.secret_places):
        mounts.append(_mount(f"secret-{number}", f"{POD}/secret-{number}"))
        words += ["--secret", place]
    if workload.packages:
        mounts.append(_packages(ground, f"{POD}/{PACKAGES}"))
    own = [_mount("tmp", _TMP)]
    if ground.tls_name:
        words += ["--tls-name", ground.tls_name]
    if ground.tls_name and ground.tls_secret:
        words += ["--ca-file", f"{TLS}/{CA}"]
        own.append(_mount("tls", TLS, read_only=True))
    if ground.secret:
        own.append(_mount("home", HOME))
    else:
        own.append(_mount("scratch", f"{HOME}/scratch"))
        mounts += [
            {**_mount("data", f"{HOME}/{part}", read_only=read_only), "subPath": f"data/{part}"}
            for part, read_only in _KEPT.items()
        ]
    apart = {"envFrom": [{"secretRef": {"name": ground.secret}}]} if ground.secret else {}
    return {
        "name": STORAGE,
        "image": ground.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "trunkline.jobs.remote", *words],
        "env": [{"name": "HOME", "value": _TMP}],
        **apart,
        "volumeMounts": [*mounts, *own],
        "resources": _resources(workload.storage_requests, workload.storage_limits),
        "securityContext": _as_server(),
    }


def _packages(ground: Ground, place: str) -> dict[str, Any]:
    """Environments are those of all pods where these share a volume, else of this one."""
    if ground.secret:
        return _mount(PACKAGES, place)
    return {**_mount("data", place), "subPath": f"data/{ENVIRONMENTS}"}


def _as_server() -> dict[str, Any]:
    return {
        "runAsNonRoot": True,
        "runAsUser": ACCOUNT,
        "runAsGroup": ACCOUNT,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _volumes(workload: Workload, ground: Ground) -> list[dict[str, Any]]:
    def directory(name: str, *, memory: bool) -> dict[str, Any]:
        return {"name": name, "emptyDir": {"medium": "Memory"} if memory else {}}

    in_memory = ("pfs", "out") if workload.memory_volume else ()
    found = [directory(name, memory=name in in_memory) for name in _SHARED]
    found += [
        directory(f"secret-{number}", memory=True) for number in range(len(workload.secret_places))
    ]
    found.append(directory("tmp", memory=False))
    if ground.tls_name and ground.tls_secret:
        authority = {"items": [{"key": CA, "path": CA}], "optional": True}
        found.append({"name": "tls", "secret": {"secretName": ground.tls_secret, **authority}})
    if workload.packages and ground.secret:
        found.append(directory(PACKAGES, memory=False))
    if ground.secret:
        return [*found, directory("home", memory=False)]
    found.append(directory("scratch", memory=False))
    return [*found, {"name": "data", "persistentVolumeClaim": {"claimName": ground.claim}}]


def _beside(ground: Ground) -> dict[str, Any]:
    """On the node of the server: they share a volume of files, which one node has."""
    server = {"app.kubernetes.io/name": ground.server, "app.kubernetes.io/component": "server"}
    return {
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "labelSelector": {"matchLabels": server},
                    "topologyKey": "kubernetes.io/hostname",
                }
            ]
        }
    }


def _mount(volume: str, place: str, *, read_only: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {"name": volume, "mountPath": place}
    return {**found, "readOnly": True} if read_only else found


def _resources(requests: Share, limits: Share) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if asked := _amounts(requests):
        found["requests"] = asked
    allowed = _amounts(limits)
    given = limits if limits.gpus else requests
    if given.gpus:  # of which Kubernetes knows limits alone
        allowed[given.gpu_type] = str(given.gpus)
    if allowed:
        found["limits"] = allowed
    return found


def _amounts(share: Share) -> dict[str, str]:
    found: dict[str, str] = {}
    if share.cpu is not None:
        found["cpu"] = f"{max(1, round(share.cpu * 1000))}m" if share.cpu else "0"
    if share.memory_bytes is not None:
        found["memory"] = str(share.memory_bytes)
    if share.disk_bytes is not None:
        found["ephemeral-storage"] = str(share.disk_bytes)
    return found


def _check_parts(spec: dict[str, Any]) -> None:
    """Whoever patches a pod may add to it, not take away what it works with."""
    for place, wanted in (("initContainers", {INIT}), ("containers", {USER, STORAGE})):
        listed = spec.get(place)
        there = {
            one.get("name")
            for one in (listed if isinstance(listed, list) else [])
            if isinstance(one, dict)
        }
        if missing := sorted(wanted - there):
            raise InvalidInput(
                f"pod_spec and pod_patch leave a pod without its container {shown(missing[0])}"
            )
