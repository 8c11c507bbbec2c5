"""The OpenAPI document has every operation, and nothing in it leads nowhere."""

import json
import re

import pytest
from memory_server import MemoryServer

from trunkline.api.operation import Operation
from trunkline.server.rest.openapi import document
from trunkline.server.rest.routes import PREFIX, declared

OPERATIONS = [pytest.param(op, id=op.name) for _, op in declared()]


@pytest.fixture(scope="module")
def openapi() -> dict:
    return json.loads(json.dumps(document("1.2.3")))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_is_described_with_its_arguments(openapi: dict, operation: Operation) -> None:
    entry = openapi["paths"][PREFIX + operation.path][operation.method.lower()]

    body = entry.get("requestBody", {}).get("content", {})
    in_body = body.get("application/json", {}).get("schema", {}).get("properties", {})
    named = {parameter["name"] for parameter in entry["parameters"]} | set(in_body)
    assert entry["operationId"] == operation.name
    assert entry["summary"] == operation.summary != ""
    assert named == set(operation.arguments) - {operation.upload}


def test_every_reference_leads_to_a_schema(openapi: dict) -> None:
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(openapi)))

    assert named <= set(openapi["components"]["schemas"])
    assert {"CommitInfo", "JobInfo", "Error"} <= named


def test_the_server_hands_it_out(server: MemoryServer) -> None:
    answer = server.ask("GET", f"{PREFIX}/openapi.json")

    assert answer.status == 200
    assert json.loads(answer.body)["info"]["version"] == "0.0-model"
