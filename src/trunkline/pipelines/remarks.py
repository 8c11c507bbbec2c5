"""What is told of a spec that is right, and may not do what its author thinks."""

from trunkline.model.images import Placement
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines.canonical import kept_fields
from trunkline.pipelines.inputs import idle_keys
from trunkline.pipelines.stages import NO_CLUSTER

_IN_PODS = (  # fields that do nothing but there
    *("sidecar_resource_requests", "sidecar_resource_limits", "metadata", "scheduling_spec"),
    *("tolerations", "pod_spec", "pod_patch", "transform.memory_volume"),
    *("resource_requests.disk", "resource_requests.gpu.type"),
    *("resource_limits.disk", "resource_limits.gpu.type"),
    *("service.type", "service.annotations"),
)


def warnings(
    spec: PipelineSpec, placement: Placement | None, *, in_pods: bool = False
) -> tuple[str, ...]:
    """What the author of a spec should know: fields that do nothing yet, an image not started."""
    found: list[str] = []
    kept = kept_fields(spec.document)
    if in_pods:
        kept = [name for name in kept if not name.startswith(_IN_PODS)]
    if len(kept) == 1:
        found.append(f"this field is kept but does nothing yet: {kept[0]}")
    elif kept:
        found.append(f"these fields are kept but do nothing yet: {', '.join(kept)}")
    found += idle_keys(spec.document)
    if spec.stage is not None:
        found += [] if in_pods else [NO_CLUSTER]
    elif in_pods or placement is None or placement.image is not None:
        pass
    elif spec.transform.image:
        why = f", as {placement.why_host}" if placement.why_host else ""
        found.append(
            f"image '{spec.transform.image}' is not started: cmd runs directly on this machine{why}"
        )
    return tuple(found)
