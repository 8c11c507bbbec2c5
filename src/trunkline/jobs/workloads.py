"""What a pipeline version wants of its pods, read out of its spec. Pure."""

import re
from collections.abc import Mapping
from typing import Any, cast

from trunkline.errors import InvalidSpec, shown
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines.canonical import quantity_bytes
from trunkline.runtimes.kubernetes.pods import GPU, Share, Workload

_EFFECTS = {
    "NO_SCHEDULE": "NoSchedule",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
    "NO_EXECUTE": "NoExecute",
}
_OPERATORS = {"EXISTS": "Exists", "EQUAL": "Equal"}
_ACCOUNT = re.compile(r"[0-9]{1,10}(:[0-9]{1,10})?")

Document = Mapping[str, Any]


def workload_of(spec: PipelineSpec, version: int) -> Workload:
    """Raises InvalidSpec for what pods can't have."""
    document = cast(Document, spec.document)
    scheduling = _at(document, "scheduling_spec")
    metadata = _at(document, "metadata")
    transform = _at(document, "transform")
    user = spec.transform.user
    if user and not _ACCOUNT.fullmatch(user):
        raise InvalidSpec(
            f"transform.user is {shown(user)}; Kubernetes takes a number, such as 1000 or 1000:1000"
        )
    return Workload(
        pipeline=spec.name,
        version=version,
        image=spec.transform.image,
        user=user,
        requests=_share(document, "resource_requests"),
        limits=_share(document, "resource_limits"),
        storage_requests=_share(document, "sidecar_resource_requests"),
        storage_limits=_share(document, "sidecar_resource_limits"),
        pull_secrets=tuple(transform.get("image_pull_secrets") or ()),
        node_selector=dict(scheduling.get("node_selector") or {}),
        priority_class=str(scheduling.get("priority_class_name") or ""),
        tolerations=tuple(_toleration(one) for one in document.get("tolerations") or ()),
        labels=dict(metadata.get("labels") or {}),
        annotations=dict(metadata.get("annotations") or {}),
        secret_places=tuple(
            dict.fromkeys(use.mount_path for use in spec.transform.secrets if use.mount_path)
        ),
        memory_volume=bool(transform.get("memory_volume")),
        packages=bool(spec.transform.requirements),
        pod_spec=str(document.get("pod_spec") or ""),
        pod_patch=str(document.get("pod_patch") or ""),
    )


def _at(document: Document, name: str) -> Document:
    return cast(Document, document.get(name) or {})


def _share(document: Document, name: str) -> Share:
    given = _at(document, name)
    gpu = given.get("gpu")
    number, kind = (gpu.get("number"), gpu.get("type")) if isinstance(gpu, Mapping) else (gpu, "")
    return Share(
        cpu=given.get("cpu"),
        memory_bytes=_bytes(given.get("memory")),
        disk_bytes=_bytes(given.get("disk")),
        gpus=number or None,
        gpu_type=kind or GPU,
    )


def _bytes(amount: Any) -> int | None:
    return None if amount is None else quantity_bytes(str(amount))


def _toleration(given: Document) -> dict[str, Any]:
    """As Kubernetes writes it; what is not said is left out, which means all there."""
    found: dict[str, Any] = {
        "key": given.get("key"),
        "operator": _OPERATORS.get(str(given.get("operator"))),
        "value": given.get("value"),
        "effect": _EFFECTS.get(str(given.get("effect"))),
        "tolerationSeconds": given.get("toleration_seconds"),
    }
    return {name: value for name, value in found.items() if value not in (None, "")}
