"""What is told of a spec that is right, and may not do what its author thinks."""

from trunkline.model.images import Placement
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines.canonical import kept_fields
from trunkline.pipelines.inputs import idle_keys
from trunkline.pipelines.tf_jobs import NO_TF_JOB


def warnings(spec: PipelineSpec, placement: Placement | None) -> tuple[str, ...]:
    """What the author of a spec should know: fields that do nothing yet, an image not started."""
    found: list[str] = []
    kept = kept_fields(spec.document)
    if len(kept) == 1:
        found.append(f"this field is kept but does nothing yet: {kept[0]}")
    elif kept:
        found.append(f"these fields are kept but do nothing yet: {', '.join(kept)}")
    found += idle_keys(spec.document)
    if spec.tf_job:
        found.append(NO_TF_JOB)
    elif spec.transform.image and placement is not None and placement.image is None:
        why = f", as {placement.why_host}" if placement.why_host else ""
        found.append(
            f"image '{spec.transform.image}' is not started: cmd runs directly on this machine{why}"
        )
    return tuple(found)
