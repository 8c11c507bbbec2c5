"""The files for `docker compose`, as Docker Compose itself understands them."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from programs import program

from trunkline.config import load
from trunkline.engine.urls import chosen_place

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def compose(*names: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    files = [word for name in ("compose.yaml", *names) for word in ("--file", str(DEPLOY / name))]
    return subprocess.run(
        [program("TRUNKLINE_TEST_COMPOSE"), *files, "config", "--format", "json"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def services(*names: str, **variables: str) -> dict[str, Any]:
    done = compose(*names, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout)["services"])


def test_a_server_is_as_its_image_expects_and_may_do_nothing_else() -> None:
    [server] = services().values()
    image = (DEPLOY / "Dockerfile").read_text("utf-8")

    build = server["build"]
    assert (Path(build["context"]) / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"
    assert {one["target"] for one in server["volumes"]} == {"/var/lib/trunkline"}
    assert "VOLUME /var/lib/trunkline\n" in image
    assert "TRUNKLINE_HOME=/var/lib/trunkline/data" in image
    assert server["command"][0] == "serve"
    assert (server["read_only"], server["cap_drop"]) == (True, ["ALL"])
    assert [one["host_ip"] for one in server["ports"]] == ["127.0.0.1"]


def test_tls_is_added_and_looked_after() -> None:
    plain, server = services()["server"], services("compose.tls.yaml")["server"]

    assert server["command"][: len(plain["command"])] == plain["command"]
    [added] = [one for one in server["volumes"] if one not in plain["volumes"]]
    assert server["command"][-1] == f"{added['target']}/tls.key"
    assert "https://" in server["healthcheck"]["test"][-1]


def test_several_servers_have_one_store_and_nothing_else_in_common() -> None:
    found = services("compose.nodes.yaml", DATABASE_PASSWORD="a" * 8, OBJECTS_PASSWORD="b" * 8)

    servers = [found["server"], found["second"]]
    environment = servers[0]["environment"]
    assert servers[1]["environment"] == environment
    settings = load(environment)
    assert settings.object_store_http
    assert chosen_place(settings) is not None
    assert settings.database.startswith("postgresql://")
    for what in ("ports", "volumes"):
        one, other = (server[what] for server in servers)
        assert len(one) == len(other) == 1
        assert one != other
    for server in servers:
        assert server["command"][:2] == ["serve", "--standby"]
        waits = {name: one["condition"] for name, one in server["depends_on"].items()}
        assert waits == {"database": "service_healthy", "bucket": "service_completed_successfully"}
        assert server["read_only"]


@pytest.mark.parametrize("missing", ["DATABASE_PASSWORD", "OBJECTS_PASSWORD"])
def test_a_password_that_is_not_said_is_asked_for(missing: str) -> None:
    said = {"DATABASE_PASSWORD": "a" * 8, "OBJECTS_PASSWORD": "b" * 8, missing: ""}

    refused = compose("compose.nodes.yaml", **said)

    assert refused.returncode != 0
    assert missing in refused.stderr
