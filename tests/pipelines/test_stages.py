"""Specs with an object of a cluster in place of a command: read, checked, filled for a datum."""

import json
from typing import Any

import pytest

from trunkline.errors import InvalidInput, InvalidSpec, OperationFailed
from trunkline.model.conditions import parse_place, parse_question
from trunkline.pipelines.remarks import warnings
from trunkline.pipelines.spec import spec_from_document
from trunkline.pipelines.stages import filled

TF_JOB = json.dumps({"apiVersion": "kubeflow.org/v1", "kind": "TFJob", "spec": {}})
SPEC = {"pipeline": {"name": "p"}, "input": {"pfs": {"repo": "data", "glob": "/"}}}
WORKFLOW = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": {}}


def spec_with(manifest: Any, **more: Any) -> Any:
    transform = {"kubernetes": {"manifest": manifest, **more.pop("kubernetes", {})}}
    return spec_from_document({**SPEC, "transform": transform, **more})


def test_an_object_of_a_kind_that_is_known_needs_no_more_than_its_manifest() -> None:
    training = spec_with({"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob"}).stage
    serving = spec_with(
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
        "spec: {uri: '{{input.data.url}}'}"
    )

    assert training.success == ("status.conditions[type=Succeeded].status == True",)
    assert training.failure == ("status.conditions[type=Failed].status == True",)
    assert not training.stays
    assert (serving.stage.stays, serving.datum_tries, serving.reprocess_every_job) == (
        True,
        1,
        True,
    )
    assert [sentence.partition(":")[0] for sentence in warnings(training_spec(), None)] == [
        "it is an object of a cluster, which needs Kubernetes; there is none here, so it gets no "
        "jobs"
    ]
    assert warnings(training_spec(), None, in_pods=True) == ()


def training_spec() -> Any:
    return spec_with({"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob"})


@pytest.mark.parametrize("text", [TF_JOB, "kind: TFJob\nmetadata: {name: mnist}\n"])
@pytest.mark.parametrize("transform", [{}, {"transform": {"cmd": ["true"], "image": "tf"}}])
def test_the_tf_job_of_older_specs_is_one_too(text: str, transform: dict[str, object]) -> None:
    spec = spec_from_document({**SPEC, **transform, "tf_job": {"tf_job": text}})

    assert spec.document["tf_job"] == {"tf_job": text}
    assert spec.stage is not None
    assert (spec.stage.api_version, spec.stage.kind) == ("kubeflow.org/v1", "TFJob")


@pytest.mark.parametrize(
    "text",
    ["", "x", "{", "[]", '{"kind": "Job"}', f"{TF_JOB}\n{TF_JOB}", "kind: TFJob\n---\n1"],
)
def test_what_is_no_manifest_of_a_tf_job_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match="'tf_job.tf_job' must be the manifest of one TFJob"):
        spec_from_document({**SPEC, "tf_job": {"tf_job": text}})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"manifest": "a"}, "must be the manifest of one object"),
        ({"manifest": {"kind": "Job"}}, "no usable apiVersion"),
        (
            {"manifest": {**WORKFLOW, "metadata": {"namespace": "x"}}},
            "can't have metadata.namespace",
        ),
        ({"manifest": {**WORKFLOW, "status": {}}}, "can't have a status"),
        ({"manifest": {**WORKFLOW, "metadata": {"labels": {"a": 1}}}}, "no object with strings"),
        ({"manifest": WORKFLOW}, "success' is needed: how to tell that a Workflow"),
        ({"manifest": WORKFLOW, "success": ["done"]}, "write it as status.conditions"),
        (
            {"manifest": {**WORKFLOW, "spec": {"a": ["{{input.dato.url}}"]}}},
            r"unknown placeholder \{\{input.dato.url\}\}; did you mean 'input.data.url'",
        ),
        (
            {"manifest": WORKFLOW, "success": ["a == b"], "outputs": [{"path": "x"}]},
            "needs a path, and one of `status` and `url`",
        ),
    ],
)
def test_what_is_wrong_with_a_manifest_is_told(more: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidSpec, match=told):
        spec_from_document({**SPEC, "transform": {"kubernetes": more}})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"service": {"internal_port": 80}}, "can't be a service or a spout"),
        ({"transform": {"cmd": ["true"]}}, "has `kubernetes`, and so can't have `cmd`"),
        ({"incremental": True}, "incremental needs a command"),
        ({"parallelism_spec": {"constant": 2}}, "what stays is one object"),
        ({"tf_job": {"tf_job": TF_JOB}}, "say one"),
    ],
)
def test_what_does_not_go_with_an_object_is_refused(more: dict[str, Any], told: str) -> None:
    kubernetes = {"manifest": {"apiVersion": "apps/v1", "kind": "Deployment"}}
    transform = {"kubernetes": kubernetes, **more.pop("transform", {})}

    with pytest.raises(InvalidSpec, match=told):
        spec_from_document({**SPEC, "transform": transform, **more})


def test_without_an_object_a_command_is_needed() -> None:
    with pytest.raises(InvalidSpec, match="pipeline must specify a transform"):
        spec_from_document(SPEC)


def test_placeholders_are_filled_in_all_strings_and_nowhere_else() -> None:
    document = {"a": ["x={{ datum.id }}/{{job.id}}", 1, None, True], "{{datum.id}}": {"b": "c"}}

    found = filled(document, {"datum.id": "{{job.id}}", "job.id": "j"})

    assert found == {"a": ["x={{job.id}}/j", 1, None, True], "{{datum.id}}": {"b": "c"}}
    with pytest.raises(OperationFailed, match=r"\{\{datum.id\}\} has no value for this datum"):
        filled(document, {})


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("status.conditions[type=Ready].status == True", True),
        ('status.conditions[type=Ready].status == "true"', True),
        ("status.conditions[type=Other].status == True", False),
        ("status.conditions[type=Other].status != True", False),
        ("status.conditions[1].reason == two words", True),
        ("status.conditions[7].reason == x", False),
        ("status.ready == spec.replicas", True),
        ("status.ready != 3", False),
        ("status.missing == spec.missing", False),
        ("status.conditions == x", False),
        ("status.on == false", True),
    ],
)
def test_questions_to_an_object(text: str, holds: bool) -> None:
    conditions = [{"type": "Ready", "status": "True"}, {"type": "B", "reason": "two words"}]
    status = {"conditions": conditions, "ready": 3, "on": False}

    assert parse_question(text).holds({"spec": {"replicas": 3}, "status": status}) is holds


@pytest.mark.parametrize("text", ["", "status", "a = b", "[0] == 1", "a..b == 1", "a.b[ == 1"])
def test_what_is_no_question_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="write it as status"):
        parse_question(text)
    with pytest.raises(InvalidInput, match="no place in an object"):
        parse_place("a b")
