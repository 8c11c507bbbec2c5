"""Services and spouts in specs: pipelines whose code is a process that stays."""

import ipaddress
from typing import cast

from trunkline.model.pipelines import PipelineSpec, Service
from trunkline.pipelines.canonical import Document, dotted, seconds
from trunkline.pipelines.nodes import Fault, Path

HEALTH_TIMEOUT_S = 60.0
_HERE = "127.0.0.1"


def is_spout(document: Document) -> bool:
    """Whether a canonical spec is one of a spout: `"spout": {}` says all that it takes."""
    return document.get("spout") is not None


def spout_with_input(document: Document) -> str:
    """The sentence for a spout that has an input."""
    spout = cast(Document, document["spout"])
    if not spout.get("service"):
        return "spout pipelines (without a service) must not have an input"
    return "spout pipelines must not have an input; code that reads commits is a `service`"


def read_service(document: Document) -> Service | None:
    """The port that a canonical spec has its code listen on.

    None also where the port is missing, which `check` refuses: specs are stored from before.
    """
    given = cast(Document, _place(document)[0] or {})
    port = cast(int, given.get("internal_port") or 0)
    if not port:
        return None
    health = cast(Document, given.get("health") or {})
    timeout = str(health.get("timeout") or "")
    return Service(
        internal_port=port,
        external_port=cast(int, given.get("external_port") or 0),
        ip=str(given.get("ip") or _HERE),
        health_path=str(health.get("path") or ""),
        health_timeout_s=(seconds(timeout) if timeout else 0.0) or HEALTH_TIMEOUT_S,
        kind=str(given.get("type") or "NodePort"),
        annotations=dict(cast(dict[str, str], given.get("annotations") or {})),
    )


def check(spec: PipelineSpec) -> None:
    """The rules of specs that are to be accepted; raises Fault."""
    document = spec.document
    spout = is_spout(document)
    given, path = _place(document)
    if spout and document.get("service") is not None:
        problem = "spec has `service` and `spout`; a spout that listens has `spout.service`"
        raise Fault(problem, path=("service",))
    if given is not None:
        _check_service(spec.service, path)
    if not spout and given is None:
        return
    what = "services" if given is not None else "spouts"
    if spec.parallelism.constant != 1:
        problem = f"{what} can only be run with a constant parallelism of 1"
        raise Fault(problem, path=("parallelism_spec",))
    if spec.autoscaling:
        problem = f"autoscaling can't be used with {what}: their code always runs"
        raise Fault(problem, path=("autoscaling",))
    if spec.transform.datum_batching:
        problem = f"datum_batching can't be used with {what}: their code is given no datums"
        raise Fault(problem, path=("transform", "datum_batching"))
    if spout and spec.transform.user:
        problem = "a spout can't have a user yet: nobody else may use this server's socket"
        raise Fault(problem, path=("transform", "user"))


def _check_service(service: Service | None, path: Path) -> None:
    if service is None:
        raise Fault(f"{dotted(path)} has no internal_port: say where the code listens", path=path)
    try:
        ipaddress.ip_address(service.ip)
    except ValueError:
        problem = f"{dotted((*path, 'ip'))} is not an address, such as 127.0.0.1 or 0.0.0.0"
        raise Fault(problem, path=(*path, "ip")) from None
    if service.health_path and not service.health_path.startswith("/"):
        place = (*path, "health", "path")
        raise Fault(f"{dotted(place)} must begin with a slash", path=place)


def _place(document: Document) -> tuple[object, Path]:
    """What a spec says of a port, and where."""
    spout = document.get("spout")
    if isinstance(spout, dict):
        return spout.get("service"), ("spout", "service")
    return document.get("service"), ("service",)
