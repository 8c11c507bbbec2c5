"""What is noted for the audit log (`api.audit`): changes that people have made through a door.

What is only read is not, nor what no role allowed, nor what the code of a pipeline does with the
token or address that it was given. A server that asks another one for somebody has noted it itself.
"""

from collections.abc import Callable, Mapping
from typing import Any

from trunkline.api.connection import Served
from trunkline.api.operation import Operation
from trunkline.errors import TrunklineError
from trunkline.model.audit import OK
from trunkline.server.callers import Caller

_TARGET_MAX = 300  # letters


def carried_out(
    served: Served,
    operation: Operation,
    call: Callable[..., Any],
    arguments: dict[str, Any],
    *,
    caller: Caller,
    door: str,
) -> Any:
    """What an operation that may change something gives or raises, which is noted."""
    target = _target_of(operation, arguments)  # before streams among the arguments are read
    outcome = "failed"  # what has no code: a bug, or a caller who hung up
    try:
        result = call(**arguments)
        outcome = OK
        return result
    except TrunklineError as error:
        outcome = error.code
        raise
    finally:
        served.note_change(
            token=caller.name,
            door=door,
            operation=operation.name,
            target=target,
            outcome=outcome,
        )


def _target_of(operation: Operation, arguments: Mapping[str, Any]) -> str:
    """What an operation is about, by names alone: nothing of what is stored is in it."""
    in_path = [part[1:-1] for part in operation.path.split("/") if part[:1] == "{"]
    named = [*in_path, *(word for word in ("name", "kind", "repo") if word in arguments)]
    words = [str(arguments[name]) for name in dict.fromkeys(named) if name in arguments]
    spec = arguments.get("spec")
    if not words and isinstance(spec, Mapping) and isinstance(spec.get("pipeline"), Mapping):
        words = [str(spec["pipeline"].get("name", ""))]
    return " ".join(words)[:_TARGET_MAX]
