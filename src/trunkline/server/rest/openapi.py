"""The OpenAPI document, generated from the declarations."""

from typing import Any, get_args

import msgspec

from trunkline.api.changes import MEDIA_TYPE
from trunkline.api.operation import Operation
from trunkline.server.reports import JSON, LINES, OCTETS
from trunkline.server.rest.routes import PREFIX, declared

_REFERENCE = "#/components/schemas/{name}"
_ERROR = {
    "type": "object",
    "description": "Why a request failed, in one sentence for a person.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "exit_status", "http_status"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "exit_status": {"type": "integer"},
                "http_status": {"type": "integer"},
            },
        }
    },
}


def document(version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the whole API."""
    found = list(declared())
    types: list[Any] = []
    for _, operation in found:
        types.append(_result_type(operation))
        types.extend(kind for name, kind in operation.arguments.items() if name != operation.upload)
    schemas, components = msgspec.json.schema_components(
        types, schema_hook=_schema_of, ref_template=_REFERENCE
    )
    remaining = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for noun, operation in found:
        result = next(remaining)
        arguments = {
            name: next(remaining) for name in operation.arguments if name != operation.upload
        }
        entry = _entry(noun, operation, result, arguments)
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = entry
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trunkline", "version": version},
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _entry(
    noun: str, operation: Operation, result: dict[str, Any], arguments: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    in_path = [name for name in arguments if f"{{{name}}}" in operation.path]
    others = [name for name in arguments if name not in in_path]
    entry: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [noun],
        "summary": operation.summary,
        "security": [{"token": [operation.role]}],
        "parameters": [_parameter(n, "path", arguments[n], required=True) for n in in_path],
        "responses": {
            "200": {
                "description": "Done.",
                "content": {_media_type(operation): {"schema": result}},
            },
            "default": {
                "description": "It failed, and nothing was changed.",
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if operation.method in ("GET", "DELETE") or operation.upload is not None:
        entry["parameters"] += [
            _parameter(
                name,
                "query",
                _with_default(operation, name, arguments[name]),
                required=name not in operation.defaults,
            )
            for name in others
        ]
    elif others:
        entry["requestBody"] = {"content": {JSON: {"schema": _body(operation, others, arguments)}}}
    if operation.upload is not None:
        entry["requestBody"] = {
            "required": True,
            "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    return entry


def _body(
    operation: Operation, names: list[str], arguments: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in names if name not in operation.defaults],
        "properties": {name: _with_default(operation, name, arguments[name]) for name in names},
    }


def _parameter(name: str, where: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {"name": name, "in": where, "required": required, "schema": schema}


def _with_default(operation: Operation, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    default = operation.defaults.get(name)
    return schema if default is None else {**schema, "default": default}


def _result_type(operation: Operation) -> Any:
    if operation.streams_bytes:
        return bytes
    return get_args(operation.result)[0] if operation.streams_values else operation.result


def _media_type(operation: Operation) -> str:
    if operation.streams_bytes:
        return OCTETS
    return LINES if operation.streams_values else JSON


def _schema_of(kind: type) -> dict[str, Any]:
    if kind is object:
        return {"description": "Any JSON value."}
    raise NotImplementedError(kind)
