"""Manifests of Kubeflow jobs in specs: checked, kept, and told to run nowhere here."""

import json

import pytest

from trunkline.errors import InvalidSpec
from trunkline.pipelines.remarks import warnings
from trunkline.pipelines.spec import spec_from_document

MANIFEST = json.dumps({"apiVersion": "kubeflow.org/v1", "kind": "TFJob", "spec": {}})
SPEC = {"pipeline": {"name": "p"}, "input": {"pfs": {"repo": "data", "glob": "/"}}}


@pytest.mark.parametrize("text", [MANIFEST, "kind: TFJob\nmetadata: {name: mnist}\n"])
@pytest.mark.parametrize("transform", [{}, {"transform": {"cmd": ["true"], "image": "tf"}}])
def test_a_manifest_is_kept_as_it_is_and_it_is_said_that_it_does_not_run(
    text: str, transform: dict[str, object]
) -> None:
    spec = spec_from_document({**SPEC, **transform, "tf_job": {"tf_job": text}})

    assert spec.tf_job
    assert spec.document["tf_job"] == {"tf_job": text}
    assert [sentence.partition(":")[0] for sentence in warnings(spec, None)] == [
        "this field is kept but does nothing yet",
        "its `tf_job` is a job of Kubeflow, which needs Kubernetes; there is none here, so it gets "
        "no jobs",
    ]


@pytest.mark.parametrize(
    "text",
    ["", "x", "{", "[]", '{"kind": "Job"}', f"{MANIFEST}\n{MANIFEST}", "kind: TFJob\n---\n1"],
)
def test_what_is_no_manifest_of_a_tf_job_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match="'tf_job.tf_job' must be the manifest of one TFJob"):
        spec_from_document({**SPEC, "tf_job": {"tf_job": text}})


def test_a_service_or_spout_is_no_tf_job() -> None:
    whole = {**SPEC, "tf_job": {"tf_job": MANIFEST}, "service": {"internal_port": 80}}

    with pytest.raises(InvalidSpec, match="a spec with `tf_job` can't be a service or a spout"):
        spec_from_document(whole)


def test_without_a_manifest_a_transform_is_needed() -> None:
    with pytest.raises(InvalidSpec, match="pipeline must specify a transform"):
        spec_from_document(SPEC)
