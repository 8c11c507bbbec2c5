"""Specs: from text or a plain document to a checked PipelineSpec.

Accepts what Pachyderm 1.7 and 2.x accept: a stream or list of JSON objects, or YAML documents;
field names in snake or lower camel case; integers as strings; `null` for absent. What a field is,
is in `fields`; this module holds the rules between fields. It touches no file and no database.
"""

import math
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from trunkline.db.foreign import check_database_url
from trunkline.errors import InvalidInput, InvalidSpec, shown
from trunkline.fetch.storing import parse_target
from trunkline.model.images import ON_HOST, Placement, Runtime
from trunkline.model.names import (
    DEFAULT_PROJECT,
    check_branch,
    check_name,
    check_project,
    full_name,
    project_of,
)
from trunkline.model.pipelines import (
    ERRORS_BRANCH,
    Batches,
    Egress,
    Input,
    Parallelism,
    PipelineDraft,
    PipelineSpec,
    Resources,
    SecretUse,
    Transform,
)
from trunkline.model.versions import DEFAULT_BRANCH, SPEC_REPO
from trunkline.pipelines import residents
from trunkline.pipelines.canonical import (
    Document,
    Places,
    canonical,
    dotted,
    quantity_bytes,
    refused_fields,
    seconds,
)
from trunkline.pipelines.defaults import NO_DEFAULTS, NOT_DEFAULTS, SAMPLE, Defaults, overlaid
from trunkline.pipelines.fields import spellings
from trunkline.pipelines.inputs import NO_INPUT, read_input
from trunkline.pipelines.nodes import (
    Fault,
    Kind,
    MapNode,
    Node,
    Path,
    Scalar,
    from_value,
    invalid_spec,
    to_value,
)
from trunkline.pipelines.remarks import warnings
from trunkline.pipelines.source import check_size, read_documents
from trunkline.pipelines.stages import check_stage, is_stage, read_stage

DATUM_TRIES = 3
NO_ENTRY_POINT = "the entry point of an image is run in containers only"
# Of Trunkline, of the kernel, and where every program writes.
_NO_SECRETS_IN = ("/pfs", "/code", "/proc", "/sys", "/dev", "/tmp", "/var/tmp")  # noqa: S108
COMMAND_BYTES_MAX = 128 * 1024  # of one argument or variable; Linux refuses longer ones


def read_specs(
    text: str,
    *,
    source: str,
    bytes_max: int,
    project: str = DEFAULT_PROJECT,
) -> list[PipelineSpec]:
    """The specs in a text, as they are without any defaults; see `read_given`."""
    found = read_given(text, source=source, bytes_max=bytes_max, project=project)
    return [spec for _, spec in found]


def read_given(
    text: str,
    *,
    source: str,
    bytes_max: int,
    project: str = DEFAULT_PROJECT,
    defaults: Defaults = NO_DEFAULTS,
) -> list[tuple[Document, PipelineSpec]]:
    """The specs in a text, in order: each as it is given, and with the defaults.

    `source` names the text in sentences and may tell its format; `project` is the one of pipelines
    that name none.

    Raises InvalidSpec, and nothing else whatever the text: with file, line, what is wrong, three
    lines of the text and a caret.
    """
    text = check_size(text, source=source, bytes_max=bytes_max)
    places: Places = {}
    try:
        specs: list[tuple[Document, PipelineSpec]] = []
        for node in read_documents(text, source=source):
            places.clear()
            spec = _spec(node, places, project, defaults=defaults)
            specs.append((_given(node, spec), spec))
        return specs
    except Fault as fault:
        at = fault.at if fault.at is not None else _place(fault.path, places)
        raise invalid_spec(source, text, fault.problem, at) from None


def read_defaults(text: str, *, source: str, bytes_max: int) -> Document:
    """The defaults in a text, as they are given, bare or as `createPipelineRequest`.

    Raises InvalidSpec as `read_specs` does, for fields that can't have a default too.
    """
    text = check_size(text, source=source, bytes_max=bytes_max)
    places: Places = {}
    try:
        nodes = list(read_documents(text, source=source))
        if len(nodes) > 1:
            raise Fault("defaults are one document", at=nodes[1].at)
        node = _bare_defaults(nodes[0])
        sample = overlaid(from_value(SAMPLE), node)
        _spec(sample, places, DEFAULT_PROJECT)
        return cast(Document, to_value(node))
    except Fault as fault:
        at = fault.at if fault.at is not None else _place(fault.path, places)
        raise invalid_spec(source, text, fault.problem, at) from None


def _bare_defaults(node: Node) -> MapNode:
    if isinstance(node, MapNode) and len(node.entries) == 1:
        [only] = node.entries
        if only.key in ("create_pipeline_request", "createPipelineRequest"):
            node = only.value
    if not isinstance(node, MapNode):
        raise Fault("defaults must be an object with fields of a spec", at=node.at)
    for entry in node.entries:
        field = spellings("spec").get(entry.key)
        if field is not None and field.name in NOT_DEFAULTS:
            reason = NOT_DEFAULTS[field.name]
            raise Fault(f"{shown(entry.key)} can't have a default: {reason}", at=entry.at)
        if entry.key == "transform" and isinstance(entry.value, MapNode):
            for inner in entry.value.entries:
                if inner.key == "code":
                    raise Fault(
                        "'transform.code' can't have a default: it is a directory beside a spec",
                        at=inner.at,
                    )
    return node


def spec_from_document(
    document: Mapping[str, object], *, stored: bool = False, defaults: Defaults = NO_DEFAULTS
) -> PipelineSpec:
    """The spec that a plain document says; raises InvalidSpec naming the field.

    `stored`: what was accepted once, by this release or an older one.
    """
    try:
        node = from_value(document)
        return _spec(node, {}, DEFAULT_PROJECT, stored=stored, defaults=defaults)
    except Fault as fault:
        raise InvalidSpec(f"pipeline spec: {fault.problem}") from None


def draft(
    spec: PipelineSpec,
    given: Document | None = None,
    placement: Placement | None = ON_HOST,
    *,
    in_pods: bool = False,
) -> PipelineDraft:
    """The spec as `validate` reports it; `given` is it without the defaults.

    `placement` is where its code would run; None if its image would have to be pulled for that.
    """
    return PipelineDraft(
        name=spec.name,
        spec=spec.document if given is None else given,
        code=spec.transform.code,
        warnings=warnings(spec, placement, in_pods=in_pods),
        missing_image=spec.transform.image if placement is None else "",
    )


def worker_count(parallelism: Parallelism, cores: int) -> int:
    """How many workers a spec asks for on a machine; at least 1. Raises InvalidSpec for both."""
    if parallelism.constant and parallelism.coefficient:
        raise InvalidSpec(_CONTRADICTORY)
    if parallelism.coefficient:
        return max(1, math.ceil(parallelism.coefficient * cores))
    return max(1, parallelism.constant)


_CONTRADICTORY = (
    "contradictory parallelism strategies: parallelism_spec has constant and coefficient; set one"
)


# --- the rules ------------------------------------------------------------------------------------


def _place(path: Path, places: Places) -> int | None:
    """Where in the text a path is, or the nearest field around it."""
    for length in range(len(path), 0, -1):
        at = places.get(path[:length])
        if at is not None:
            return at
    return None


def _spec(
    node: Node,
    places: Places,
    project: str,
    *,
    stored: bool = False,
    defaults: Defaults = NO_DEFAULTS,
) -> PipelineSpec:
    document = canonical(defaults.under(node, _named_project(node) or project), places)
    try:
        spec = _checked(document, project)
        if not stored:
            _check_egress(spec.document, spec.egress)
            residents.check(spec)
            check_stage(spec)
        return spec
    except Fault as fault:
        # A missing field has no place of its own; its document has.
        at = fault.at if fault.at is not None else _place(fault.path, places)
        raise Fault(fault.problem, at=node.at if at is None else at) from None


def _named_project(node: Node) -> str:
    """The project that a spec names, as far as that can be told before it is checked."""
    for key in ("pipeline", "project", "name"):
        if not isinstance(node, MapNode):
            return ""
        found = [entry.value for entry in node.entries if entry.key == key]
        if not found:
            return ""
        node = found[0]
    return node.text if isinstance(node, Scalar) and node.kind is Kind.STRING else ""


def _given(node: Node, spec: PipelineSpec) -> Document:
    """A spec that was accepted, as it is given, but for its project, which a command may say."""
    given = cast(Document, to_value(node))
    project = project_of(spec.name)
    if project != DEFAULT_PROJECT:
        named = cast(Document, given["pipeline"])
        given["pipeline"] = {**named, "project": {"name": project}}
    return given


def _checked(document: Document, project: str) -> PipelineSpec:
    name, document = _named(document, project)
    for path, field in refused_fields(document):
        raise Fault(f"{dotted(path)} is not supported yet ({field.meaning})", path=path)
    transform = Transform() if is_stage(document) else _transform(document)
    root, document = _input(document, pipeline=name)
    stage = read_stage(document, root)
    service = residents.read_service(document)
    stays = stage is not None and stage.stays
    return PipelineSpec(
        name=name,
        description=_text(document, "description"),
        transform=transform,
        input=root,
        output_branch=_output_branch(document),
        parallelism=_parallelism(document),
        datum_tries=cast(int, document.get("datum_tries") or (1 if stays else DATUM_TRIES)),
        datum_timeout_s=_timeout(document, "datum_timeout"),
        job_timeout_s=_timeout(document, "job_timeout"),
        output_merge=_text(document, "output_merge") or "error",
        autoscaling=bool(document.get("autoscaling") or document.get("standby")),
        expected_s=_timeout(document, "maximum_expected_uptime"),
        idle_s=_timeout(document, "scale_down_threshold"),
        incremental=bool(document.get("incremental")),
        # Each job of a service needs an instance of its own, and what stays is applied again.
        reprocess_every_job=_reprocesses(document) or service is not None or stays,
        quarantined_max=_quarantined_max(document),
        batches=_batches(document),
        requests=_requests(document),
        limits=_resources(document, "resource_limits"),
        document=document,
        egress=_egress(document),
        service=service,
        spout=residents.is_spout(document),
        stage=stage,
    )


def _reprocesses(document: Document) -> bool:
    """Whether each job runs all datums; `no_skip` is what 1.x says for it."""
    return document.get("reprocess_spec") == "every_job" or bool(document.get("no_skip"))


def _input(document: Document, *, pipeline: str) -> tuple[Input, Document]:
    """The input, and the document with what that left out."""
    given = document.get("input")
    if residents.is_spout(document):
        if given:
            raise Fault(residents.spout_with_input(document), path=("input",))
        return NO_INPUT, {name: value for name, value in document.items() if name != "input"}
    if not given:
        raise Fault("no input set: a spec needs an `input`, such as a pfs input with repo and glob")
    root, completed = read_input(cast(Document, given), ("input",), pipeline=pipeline)
    return root, {**document, "input": completed}


def _egress(document: Document) -> Egress | None:
    """Where output is copied to, as it is written."""
    given = cast(Document, document.get("egress") or {})
    store = cast(Document, given.get("object_storage") or {})
    url = _text(given, "URL") or _text(store, "url")
    if url:
        return Egress(url=url)
    database = cast(Document, given.get("sql_database") or {})
    file_format = cast(Document, database.get("file_format") or {})
    if not database or not file_format.get("type"):
        return None
    secret = cast(Document, database.get("secret") or {})
    return Egress(
        url=_text(database, "url"),
        format=_text(file_format, "type"),
        columns=tuple(cast(list[str], file_format.get("columns") or [])),
        secret=_text(secret, "name"),
        secret_key=_text(secret, "key"),
    )


def _check_egress(document: Document, egress: Egress | None) -> None:
    """Not for stored specs: some are from before anything was done with it."""
    given = cast(Document, document.get("egress") or {})
    targets = [n for n in ("URL", "object_storage", "sql_database") if given.get(n)]
    if given and len(targets) != 1:
        problem = "egress needs exactly one of `URL`, `object_storage` and `sql_database`"
        raise Fault(problem, path=("egress",))
    if given and egress is None:
        needed = {"object_storage": "a `url`", "sql_database": "a `file_format` with a `type`"}
        problem = f"egress.{targets[0]} needs {needed[targets[0]]}"
        raise Fault(problem, path=("egress", targets[0]))
    if egress is not None:
        if egress.secret and not egress.secret_key:
            place = ("egress", "sql_database", "secret")
            raise Fault("egress.sql_database.secret needs a `key`", path=place)
        try:
            if egress.format:
                check_database_url(egress.url)
            else:
                parse_target(egress.url)
        except InvalidInput as error:
            path = ("egress", *targets, *(["url"] if targets != ["URL"] else []))
            raise Fault(str(error), path=path) from error


def _named(document: Document, project: str) -> tuple[str, Document]:
    """The full name, and the document with the project in it, unless that is `default`."""
    pipeline = cast(Document, document.get("pipeline") or {})
    name = _text(pipeline, "name")
    path = ("pipeline", "name")
    if not name:
        raise Fault("the pipeline has no name: a spec needs `pipeline.name`", path=path)
    if name == SPEC_REPO:
        raise Fault(f"'{name}' is the system's own repo; choose another name", path=path)
    try:
        check_name("pipeline", name)
    except InvalidInput as error:
        raise Fault(str(error), path=path) from error
    named = _text(cast(Document, pipeline.get("project") or {}), "name")
    try:
        check_project(named or project)
    except InvalidInput as error:
        raise Fault(str(error), path=("pipeline", "project", "name")) from error
    if not named and project != DEFAULT_PROJECT:
        document = {**document, "pipeline": {**pipeline, "project": {"name": project}}}
    return full_name(named or project, name), document


def _transform(document: Document) -> Transform:
    if "transform" not in document:
        raise Fault("pipeline must specify a transform: a spec needs `transform.cmd`")
    given = cast(Document, document["transform"])
    words = _Words(given)
    cmd = words.strings("cmd")
    runtime = Runtime(_text(given, "runtime")) if given.get("runtime") else None
    requirements = _text(given, "requirements").strip()
    if not cmd or not cmd[0]:
        if cmd or not (given.get("image") or given.get("dockerfile")):
            raise Fault("transform must specify a cmd: nothing to run", path=("transform", "cmd"))
        if runtime is Runtime.PROCESS:
            problem = f"transform must specify a cmd: {NO_ENTRY_POINT}"
            raise Fault(problem, path=("transform", "cmd"))
    if runtime is Runtime.DOCKER and not given.get("image"):
        problem = "transform.runtime is docker, which needs an image"
        raise Fault(problem, path=("transform", "runtime"))
    return Transform(
        image=_text(given, "image"),
        cmd=cmd,
        stdin=words.strings("stdin"),
        err_cmd=words.strings("err_cmd"),
        err_stdin=words.strings("err_stdin"),
        env=words.environment(),
        user=_text(given, "user"),
        working_dir=_text(given, "working_dir"),
        network=_text(given, "network") or "none",
        accept_return_code=tuple(cast(list[int], given.get("accept_return_code") or [])),
        datum_batching=bool(given.get("datum_batching")),
        code=_text(given, "code"),
        requirements=requirements,
        secrets=_secrets(given),
        runtime=runtime,
        pull_secrets=words.strings("image_pull_secrets"),
    )


@dataclass(frozen=True, slots=True)
class _Words:
    """The parts of a transform that become a command line and its environment."""

    given: Document

    def strings(self, name: str) -> tuple[str, ...]:
        words = tuple(cast(list[str], self.given.get(name) or []))
        if name.endswith("cmd"):
            for index, word in enumerate(words):
                self._check_size(word, (name, index))
        return words

    def environment(self) -> dict[str, str]:
        env = cast(dict[str, str], self.given.get("env") or {})
        for name, value in env.items():
            if not name or "=" in name:
                problem = "an environment variable can't have an empty name or '=' in its name"
                raise Fault(problem, path=("transform", "env"))
            self._check_size(f"{name}={value}", ("env",))
        return dict(env)

    def _check_size(self, word: str, path: Path) -> None:
        if len(word.encode()) >= COMMAND_BYTES_MAX:
            whole = ("transform", *path)
            raise Fault(
                f"{dotted(whole)} is longer than the {COMMAND_BYTES_MAX:,} bytes that the system "
                "can pass to a command; put it into `transform.code` or `stdin`",
                path=whole,
            )


def _secrets(transform: Document) -> tuple[SecretUse, ...]:
    uses: list[SecretUse] = []
    for index, given in enumerate(cast(list[Document], transform.get("secrets") or [])):
        path = ("transform", "secrets", index)
        use = SecretUse(
            name=_text(given, "name"),
            key=_text(given, "key"),
            mount_path=_text(given, "mount_path").rstrip("/"),
            env_var=_text(given, "env_var"),
        )
        problem = _problem_of(use, uses, cast(Document, transform.get("env") or {}))
        if problem:
            raise Fault(f"{dotted(path)} {problem}", path=path)
        uses.append(use)
    return tuple(uses)


def _problem_of(use: SecretUse, others: list[SecretUse], env: Document) -> str:
    """What is wrong with the use of a secret beside others, as the end of a sentence."""
    if not use.name:
        return "has no name"
    if use.env_var and not use.key:
        return "has env_var set, so it needs a key"
    if "=" in use.env_var:
        return "has an env_var with '=' in its name"
    if use.env_var and (use.env_var in env or use.env_var in {one.env_var for one in others}):
        return f"sets the variable {use.env_var}, which is set already"
    mount = use.mount_path
    if not mount:
        return "" if use.env_var else "has neither mount_path nor env_var: no code would see it"
    if posixpath.normpath(mount) != mount or not mount.startswith("/"):
        return f"has the mount_path {shown(mount)}, which must be absolute and plain"
    if any(_inside(mount, place) for place in _NO_SECRETS_IN):
        return f"has the mount_path {mount}, which is taken; try /secrets/{use.name}"
    for other in others:
        if other.mount_path and (
            _inside(mount, other.mount_path) or _inside(other.mount_path, mount)
        ):
            return f"has the mount_path {mount}, which clashes with that of '{other.name}'"
    return ""


def _inside(path: str, directory: str) -> bool:
    return f"{path}/".startswith(f"{directory}/")


def _parallelism(document: Document) -> Parallelism:
    given = cast(Document, document.get("parallelism_spec") or {})
    constant = cast(int, given.get("constant") or 0)
    coefficient = cast(float, given.get("coefficient") or 0.0)
    if constant and coefficient:
        raise Fault(_CONTRADICTORY, path=("parallelism_spec",))
    if not constant and not coefficient:
        constant = 1
    return Parallelism(constant=constant, coefficient=coefficient)


def _quarantined_max(document: Document) -> int:
    given = document.get("on_failure") or "fail"
    if isinstance(given, str):
        return 0
    quarantine = cast(dict[str, Document], given).get("quarantine") or {}
    if not quarantine.get("max"):
        path = ("on_failure", "quarantine")
        raise Fault(
            f"{dotted(path)} has no max: say how many datums of a job may fail, such as "
            '{"quarantine": {"max": 10}}',
            path=path,
        )
    if _output_branch(document) == ERRORS_BRANCH:
        raise Fault(
            f"output_branch can't be {ERRORS_BRANCH!r} where datums are quarantined: their inputs "
            "go to that branch",
            path=("output_branch",),
        )
    return cast(int, quarantine["max"])


def _batches(document: Document) -> Batches:
    given = document.get("datum_set_spec") or document.get("chunk_spec") or {}
    numbers = cast(dict[str, int], given)
    return Batches(
        number=numbers.get("number") or 0,
        size_bytes=numbers.get("size_bytes") or 0,
        per_worker=numbers.get("per_worker") or 0,
        most=cast(int, document.get("max_queue_size") or 0),
    )


def _requests(document: Document) -> Resources:
    """What a worker needs: GPUs may stand with the limits alone, as Kubernetes has it."""
    requests, limits = (_resources(document, f"resource_{w}") for w in ("requests", "limits"))
    return Resources(
        cpu=requests.cpu, memory_bytes=requests.memory_bytes, gpus=requests.gpus or limits.gpus
    )


def _resources(document: Document, name: str) -> Resources:
    given = cast(Document, document.get(name) or {})
    gpu = given.get("gpu")
    if isinstance(gpu, dict):
        gpu = gpu.get("number")
    memory = _text(given, "memory")
    cpu = cast(float, given.get("cpu") or 0.0)
    return Resources(
        cpu=cpu or None,
        memory_bytes=(quantity_bytes(memory) or None) if memory else None,
        gpus=cast(int, gpu or 0) or None,
    )


def _output_branch(document: Document) -> str:
    branch = _text(document, "output_branch") or DEFAULT_BRANCH
    try:
        return check_branch(branch)
    except InvalidInput as error:
        raise Fault(str(error), path=("output_branch",)) from error


def _timeout(document: Document, name: str) -> float | None:
    text = _text(document, name)
    return (seconds(text) or None) if text else None


def _text(document: Document, name: str) -> str:
    return str(document.get(name) or "")
