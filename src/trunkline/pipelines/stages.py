"""Objects of a cluster in specs: manifests with placeholders, and what their status means.

`{{input.model.url}}` and others stand in the strings of a manifest, and are filled for each datum
(`filled`). What an object of a well-known kind has come to is known here; of others the spec says.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from trunkline.errors import InvalidInput, OperationFailed, meant
from trunkline.model.conditions import parse_place, parse_question
from trunkline.model.names import check_path
from trunkline.model.pipelines import ClusterStage, Input, PipelineSpec, StageOutput
from trunkline.pipelines import residents
from trunkline.pipelines.canonical import Document, dotted
from trunkline.pipelines.inputs import leaf_names
from trunkline.pipelines.nodes import Fault, Path, to_value
from trunkline.pipelines.source import read_documents

NO_CLUSTER = (
    "it is an object of a cluster, which needs Kubernetes; there is none here, so it gets no jobs: "
    "run the server on a cluster (`trunkline deploy kubernetes`), or give it a `transform.cmd`"
)
PLACEHOLDERS = (
    *("datum.id", "job.id", "pipeline.name", "pipeline.version", "resource.name", "namespace"),
    "output.url",
)
OF_INPUTS = ("url", "tar", "commit", "path", "repo")  # input.NAME.…
_PLACE = ("transform", "kubernetes")
_BRACES = re.compile(r"\{\{(.*?)\}\}")
_API_VERSION = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?v[a-z0-9]+")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_ALONE = ("cmd", "stdin", "err_cmd", "err_stdin", "requirements", "datum_batching", "code")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    success: tuple[str, ...]
    failure: tuple[str, ...]
    stays: bool = False


def _condition(kind: str) -> str:
    return f"status.conditions[type={kind}].status == True"


_TRAINING = _Known(success=(_condition("Succeeded"),), failure=(_condition("Failed"),))
_KINDS: Mapping[tuple[str, str], _Known] = {
    ("batch", "Job"): _Known(
        success=(_condition("Complete"),), failure=(_condition("Failed"),)
    ),
    **{
        ("kubeflow.org", kind): _TRAINING
        for kind in ("PyTorchJob", "TFJob", "XGBoostJob", "MPIJob", "PaddleJob", "JAXJob")
    },
    ("apps", "Deployment"): _Known(
        success=(_condition("Available"), "status.updatedReplicas == spec.replicas"),
        failure=("status.conditions[type=Progressing].reason == ProgressDeadlineExceeded",),
        stays=True,
    ),
    ("machinelearning.seldon.io", "SeldonDeployment"): _Known(
        success=("status.state == Available",), failure=("status.state == Failed",), stays=True
    ),
    ("serving.kserve.io", "InferenceService"): _Known(
        success=(_condition("Ready"),),
        failure=(
            "status.modelStatus.transitionStatus == BlockedByFailedLoad",
            "status.modelStatus.transitionStatus == InvalidSpec",
        ),
        stays=True,
    ),
}  # fmt: skip


def group_of(api_version: str) -> str:
    """`kubeflow.org/v1` → kubeflow.org; empty for the core group."""
    return api_version.rpartition("/")[0]


def is_stage(document: Document) -> bool:
    """Whether a canonical spec has an object in place of a command."""
    transform = cast(Document, document.get("transform") or {})
    return document.get("tf_job") is not None or transform.get("kubernetes") is not None


def read_stage(document: Document, root: Input) -> ClusterStage | None:
    """What a canonical spec has a cluster make of each datum; None for one with a command.

    Raises Fault.
    """
    transform = cast(Document, document.get("transform") or {})
    old = document.get("tf_job")
    given = cast(Document | None, transform.get("kubernetes"))
    if old is not None:
        path: Path = ("tf_job", "tf_job")
        if given is not None:
            raise Fault("spec has `tf_job` and `transform.kubernetes`; say one", path=("tf_job",))
        manifest = _tf_job(str(cast(Document, old).get("tf_job") or ""), path)
        given = {}
    elif given is not None:
        path = (*_PLACE, "manifest")
        manifest = _manifest(given.get("manifest") or "", path)
        for name in _ALONE:
            if transform.get(name):
                problem = f"transform has `kubernetes`, and so can't have `{name}`"
                raise Fault(problem, path=("transform", name))
    else:
        return None
    if residents.is_spout(document) or document.get("service") is not None:
        raise Fault(f"a spec with `{path[-2]}` can't be a service or a spout", path=path)
    _check_manifest(manifest, path)
    _check_placeholders(manifest, leaf_names(root), path)
    return _stage(manifest, given, leaf_names(root))


def _tf_job(text: str, path: Path) -> Document:
    """The manifest of 1.7, where the version of its form need not be said."""
    wanted = "the manifest of one TFJob: JSON or YAML with kind TFJob"
    manifest = _manifest(text, path, wanted)
    if manifest.get("kind") != "TFJob":
        raise Fault(f"{dotted(path)} must be {wanted}", path=path)
    return {"apiVersion": "kubeflow.org/v1", **manifest}


def _manifest(
    given: object, path: Path, wanted: str = "the manifest of one object: JSON or YAML"
) -> Document:
    """The one object that a text or a document is."""
    found = [given]
    if isinstance(given, str):
        try:
            found = [to_value(node) for node in read_documents(given, source="manifest")]
        except Fault:
            found = []
    if len(found) != 1 or not isinstance(found[0], dict):
        raise Fault(f"{dotted(path)} must be {wanted}", path=path)
    return cast(Document, found[0])


def _check_manifest(manifest: Document, path: Path) -> None:
    def fault(problem: str) -> Fault:
        return Fault(f"{dotted(path)} {problem}", path=path)

    for name, form, example in (
        ("apiVersion", _API_VERSION, "kubeflow.org/v1"),
        ("kind", _KIND, "PyTorchJob"),
    ):
        value = manifest.get(name)
        if not isinstance(value, str) or not form.fullmatch(value):
            raise fault(f"has no usable {name}, such as {example}")
    metadata = manifest.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise fault("has metadata that are no object")
    for name in ("generateName", "namespace", "ownerReferences", "finalizers", "uid"):
        if name in metadata:
            raise fault(f"can't have metadata.{name}: the server sees to that")
    for name in ("labels", "annotations"):
        values = metadata.get(name) or {}
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            raise fault(f"has metadata.{name} that are no object with strings")
    if not isinstance(metadata.get("name") or "", str):
        raise fault("has a metadata.name that is no string")
    if "status" in manifest:
        raise fault("can't have a status: that is the cluster's to say")


def _check_placeholders(document: object, inputs: tuple[str, ...], path: Path) -> None:
    known = [*PLACEHOLDERS, *(f"input.{name}.{what}" for name in inputs for what in OF_INPUTS)]
    for text in _strings(document):
        for inside in _BRACES.findall(text):
            name = inside.strip()
            if name not in known:
                hint = meant(name, known) or f"; there are {', '.join(known[:9])} and others"
                problem = f"{dotted(path)} has the unknown placeholder {{{{{name}}}}}{hint}"
                raise Fault(problem, path=path)


def _stage(manifest: Document, given: Document, inputs: tuple[str, ...]) -> ClusterStage:
    api_version, kind = str(manifest["apiVersion"]), str(manifest["kind"])
    known = _KINDS.get((group_of(api_version), kind))
    questions: dict[str, tuple[str, ...]] = {}
    for name in ("success", "failure"):
        said = cast(list[str], given.get(name) or [])
        for index, text in enumerate(said):
            with _At((*_PLACE, name, index)):
                parse_question(text)
        questions[name] = tuple(said) or (getattr(known, name) if known else ())
    if not questions["success"]:
        raise Fault(
            f"{dotted((*_PLACE, 'success'))} is needed: how to tell that a {kind} of {api_version} "
            "has come to its end is not known here, such as status.phase == Succeeded",
            path=_PLACE,
        )
    stays = given.get("stays")
    return ClusterStage(
        manifest=json.dumps(manifest, sort_keys=True),
        api_version=api_version,
        kind=kind,
        success=questions["success"],
        failure=questions["failure"],
        stays=bool(known and known.stays) if stays is None else bool(stays),
        outputs=tuple(
            _output(one, (*_PLACE, "outputs", index), inputs)
            for index, one in enumerate(cast(list[Document], given.get("outputs") or []))
        ),
    )


def _output(given: Document, place: Path, inputs: tuple[str, ...]) -> StageOutput:
    found = StageOutput(**cast(dict[str, str], given)) if given.get("path") else None
    if found is None or bool(found.status) == bool(found.url):
        raise Fault(f"{dotted(place)} needs a path, and one of `status` and `url`", path=place)
    with _At((*place, "path")):
        check_path(found.path)
    if found.status:
        with _At((*place, "status")):
            parse_place(found.status)
    _check_placeholders(found.url, inputs, (*place, "url"))
    return found


class _At:
    """Raises what a parser says as a Fault at a place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InvalidInput):
            raise Fault(f"{dotted(self._path)}: {error}", path=self._path) from error


def check_stage(spec: PipelineSpec) -> None:
    """The rules of specs that are to be accepted; raises Fault."""
    if spec.stage is None:
        return
    if spec.incremental:
        raise Fault("incremental needs a command; a cluster's object begins anew", path=_PLACE)
    if spec.stage.stays and spec.parallelism.constant != 1:
        problem = "what stays is one object: it can only have a constant parallelism of 1"
        raise Fault(problem, path=("parallelism_spec",))


# --- filling --------------------------------------------------------------------------------------


def filled(document: Any, values: Mapping[str, str]) -> Any:
    """A copy with all placeholders in its strings replaced.

    Raises OperationFailed for one that has no value for this datum.
    """
    match document:
        case str():
            return _BRACES.sub(lambda found: _value_of(found[1].strip(), values), document)
        case Mapping():
            return {key: filled(value, values) for key, value in document.items()}
        case list():
            return [filled(one, values) for one in document]
        case _:
            return document


def _value_of(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise OperationFailed(
            f"{{{{{name}}}}} has no value for this datum: its input gave it several files or none, "
            "or (of tar) no directory"
        )
    return values[name]


def uses(stage: ClusterStage, *names: str) -> bool:
    """Whether any placeholder with one of these last parts (`url`, `tar`) is in a stage."""
    texts = [stage.manifest, *(output.url for output in stage.outputs)]
    found = {name.strip() for text in texts for name in _BRACES.findall(text)}
    return any(name.rpartition(".")[2] in names for name in found)


def _strings(document: object) -> Iterator[str]:
    match document:
        case str():
            yield document
        case Mapping():
            for value in document.values():
                yield from _strings(value)
        case list():
            for value in document:
                yield from _strings(value)
        case _:
            pass
