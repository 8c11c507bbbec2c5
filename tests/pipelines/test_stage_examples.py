"""The examples for operators: specs that are read, and manifests with the fields that those know.

Their schemas are in no package, so what the examples set is listed here, by the operators'
references; the pods in them are checked against the schema of Kubernetes itself.
"""

from pathlib import Path
from typing import Any

import pytest
from cluster_schema import assert_valid

from trunkline.jobs.segments import PlannedDatum
from trunkline.jobs.stages import order_for
from trunkline.model.signed import Signer
from trunkline.model.versions import FileType
from trunkline.pipelines.datums import Datum, DatumFile
from trunkline.pipelines.spec import read_specs

EXAMPLES = Path(__file__).parents[2] / "examples"
TEXT, ANY = object(), object()
FIELDS: dict[str, Any] = {
    "kubeflow/train.yaml": {
        "runPolicy": {"cleanPodPolicy": TEXT},
        "pytorchReplicaSpecs": {
            "Master": {"replicas": 1, "restartPolicy": "Never", "template": ANY}
        },
    },
    "seldon/serve.yaml": {
        "protocol": TEXT,
        "predictors": [
            {
                "name": TEXT,
                "replicas": 1,
                "graph": {
                    "name": TEXT,
                    "implementation": "TRITON_SERVER",
                    "modelUri": TEXT,
                    "storageInitializerImage": TEXT,
                },
            }
        ],
    },
    "kserve/serve.yaml": {
        "predictor": {
            "minReplicas": 1,
            "model": {
                "modelFormat": {"name": TEXT},
                "protocolVersion": "v2",
                "storageUri": TEXT,
                "resources": ANY,
            },
        }
    },
}


def made_of(example: str) -> dict[str, Any]:
    """The object that a datum of an example makes."""
    path = EXAMPLES / example
    [spec] = read_specs(path.read_text("utf-8"), source=path.name, bytes_max=1 << 20)
    leaf: Any = spec.input
    whole = leaf.glob == "/"
    given = DatumFile(
        name=leaf.name,
        repo=leaf.repo,
        commit="c" * 32,
        root="r",  # type: ignore[arg-type]
        path="" if whole else leaf.glob.strip("/"),
        type=FileType.DIR if whole else FileType.FILE,
        size_bytes=1,
        digest="d",
    )
    assert spec.stage is not None
    order = order_for(
        spec.stage,
        PlannedDatum(key="a" * 64, fresh=True, datum=Datum(files=(given,))),
        pipeline=spec.name,
        version=1,
        job="b" * 32,
        namespace="ml",
        signer=Signer(key=b"k", server="http://trunkline:30650"),
    )
    return order.marked()


def same_form(found: Any, wanted: Any) -> bool:
    if wanted is ANY:
        return True
    if wanted is TEXT:
        return isinstance(found, str) and "{{" not in found
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same_form(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same_form, found, wanted))
    return bool(found == wanted)


@pytest.mark.parametrize("example", FIELDS)
def test_an_example_makes_what_its_operator_knows(example: str) -> None:
    made = made_of(example)

    assert same_form(made["spec"], FIELDS[example])
    assert len(made["metadata"]["name"]) <= 51, "operators add to it, and 63 letters are all"


def test_the_pods_of_the_training_job_are_some(tmp_path: Path) -> None:
    made = made_of("kubeflow/train.yaml")
    template = made["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
    [container] = template["spec"]["containers"]

    assert container["name"] == "pytorch", "the operator goes by this name"
    assert container["args"][0].endswith(f"/files/training/{'c' * 32}/iris.csv")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, **template}
    assert_valid([pod], tmp_path)
