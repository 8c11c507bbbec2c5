"""Changes that a spec makes to its pods: a JSON Patch (RFC 6902), or a document that is merged.

Pure. What can't be applied is the mistake of whoever wrote it, and told as one sentence.
"""

import copy
import json
import re
from typing import Any

from trunkline.errors import InvalidInput, shown

_NAMED = ("containers", "initContainers", "volumes", "imagePullSecrets", "volumeMounts", "env")
_INDEX = re.compile(r"0|[1-9][0-9]{0,6}")
_TEXT_MAX = 64 * 1024


def patched(document: dict[str, Any], text: str, *, field: str) -> dict[str, Any]:
    """The document after the operations of a JSON Patch; `field` is for sentences.

    Raises InvalidInput, with the document as it was.
    """
    operations = _parsed(text, field)
    if not isinstance(operations, list):
        raise InvalidInput(f"{field} must be a list of operations, as JSON Patch has it (RFC 6902)")
    root: Any = {"": copy.deepcopy(document)}
    for number, operation in enumerate(operations, 1):
        try:
            _apply(root, operation)
        except _Unfit as error:
            raise InvalidInput(f"{field}, operation {number}: {error}") from None
    changed = root[""]
    if not isinstance(changed, dict):
        raise InvalidInput(f"{field} leaves no object of the pod")
    return changed


def merged(document: dict[str, Any], text: str, *, field: str) -> dict[str, Any]:
    """The document with another one merged into it, as JSON Merge Patch does (RFC 7386).

    Lists of what has names (containers, volumes) are merged by those names. Raises InvalidInput.
    """
    given = _parsed(text, field)
    if not isinstance(given, dict):
        raise InvalidInput(f"{field} must be an object with fields of a pod's spec")
    return _merged_objects(copy.deepcopy(document), given)


class _Unfit(Exception):
    """An operation that can't be carried out."""


def _parsed(text: str, field: str) -> Any:
    if len(text) > _TEXT_MAX:
        raise InvalidInput(f"{field} is longer than {_TEXT_MAX:,} characters")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{field} is no JSON: {error}") from None


# --- JSON Merge Patch -----------------------------------------------------------------------------


def _merged_objects(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    for key, value in new.items():
        there = old.get(key)
        if value is None:
            old.pop(key, None)
        elif isinstance(value, dict):
            old[key] = _merged_objects(there if isinstance(there, dict) else {}, value)
        elif key in _NAMED and isinstance(value, list) and isinstance(there, list):
            old[key] = _merged_lists(there, value)
        else:
            old[key] = value
    return old


def _merged_lists(old: list[Any], new: list[Any]) -> list[Any]:
    found = list(old)
    for item in new:
        name = item.get("name") if isinstance(item, dict) else None
        at = next(
            (
                i
                for i, one in enumerate(found)
                if name is not None and isinstance(one, dict) and one.get("name") == name
            ),
            None,
        )
        if at is None:
            found.append(item)
        else:
            found[at] = _merged_objects(found[at], item)
    return found


# --- JSON Patch -----------------------------------------------------------------------------------


def _apply(root: Any, operation: Any) -> None:
    if not isinstance(operation, dict):
        raise _Unfit("it is no object")
    kind = operation.get("op")
    path = _pointer(operation, "path")
    match kind:
        case "add":
            _add(root, path, _value(operation))
        case "remove":
            _remove(root, path)
        case "replace":
            value = _value(operation)
            _remove(root, path)
            _add(root, path, value)
        case "move":
            source = _pointer(operation, "from")
            if path[: len(source)] == source and path != source:
                raise _Unfit("what is moved can't be put into itself")
            _add(root, path, _remove(root, source))
        case "copy":
            _add(root, path, copy.deepcopy(_found(root, _pointer(operation, "from"))))
        case "test":
            if not _equal(_found(root, path), _value(operation)):
                raise _Unfit(f"{shown(operation['path'])} is something else")
        case _:
            raise _Unfit("its op must be add, remove, replace, move, copy or test")


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise _Unfit("it has no value")
    return copy.deepcopy(operation["value"])


def _pointer(operation: dict[str, Any], name: str) -> list[str]:
    text = operation.get(name)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise _Unfit(f"its {name} must be a text such as /volumes/-")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")]


def _found(root: Any, path: list[str]) -> Any:
    at = root
    for number, part in enumerate(path):
        if isinstance(at, dict) and part in at:
            at = at[part]
        elif isinstance(at, list) and _INDEX.fullmatch(part) and int(part) < len(at):
            at = at[int(part)]
        else:
            raise _Unfit(f"the pod has no {shown('/'.join(path[: number + 1]))}")
    return at


def _add(root: Any, path: list[str], value: Any) -> None:
    at, last = _found(root, path[:-1]), path[-1]
    if isinstance(at, dict):
        at[last] = value
    elif isinstance(at, list) and last == "-":
        at.append(value)
    elif isinstance(at, list) and _INDEX.fullmatch(last) and int(last) <= len(at):
        at.insert(int(last), value)
    else:
        raise _Unfit(f"nothing can be at {shown('/'.join(path))}")


def _remove(root: Any, path: list[str]) -> Any:
    _found(root, path)
    at, last = _found(root, path[:-1]), path[-1]
    return at.pop(last) if isinstance(at, dict) else at.pop(int(last))


def _equal(one: Any, other: Any) -> bool:
    """As JSON has it: true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
