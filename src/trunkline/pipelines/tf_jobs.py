"""Jobs of Kubeflow in specs: their manifests are checked and kept, and nothing here runs them."""

from typing import cast

from trunkline.pipelines import residents
from trunkline.pipelines.canonical import Document, dotted
from trunkline.pipelines.nodes import Fault, to_value
from trunkline.pipelines.source import read_documents

NO_TF_JOB = (
    "its `tf_job` is a job of Kubeflow, which needs Kubernetes; there is none here, so it gets no "
    "jobs: give it a `transform` instead"
)


def is_tf_job(document: Document) -> bool:
    """Whether a canonical spec has the manifest of a TFJob; raises Fault for another text."""
    if document.get("tf_job") is None:
        return False
    path = ("tf_job", "tf_job")
    text = str(cast(Document, document["tf_job"]).get("tf_job") or "")
    try:
        manifests = [to_value(node) for node in read_documents(text, source="tf_job")]
    except Fault:
        manifests = []
    kinds = [found.get("kind") for found in manifests if isinstance(found, dict)]
    if kinds != ["TFJob"] or len(manifests) != 1:
        problem = f"{dotted(path)} must be the manifest of one TFJob: JSON or YAML with kind TFJob"
        raise Fault(problem, path=path)
    if residents.is_spout(document) or document.get("service") is not None:
        raise Fault("a spec with `tf_job` can't be a service or a spout", path=("tf_job",))
    return True
