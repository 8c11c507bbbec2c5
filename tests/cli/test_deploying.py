"""The commands that print how Trunkline is set up elsewhere."""

from pathlib import Path

import pytest
import yaml

from trunkline.config import load
from trunkline.engine.urls import chosen_place

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "deploy" / "kubernetes"


def test_the_manifests_of_a_server_are_printed_without_asking_anybody(cli):
    printed = cli("deploy", "kubernetes", "--dry-run", "--namespace", "ml", "--storage-size", "1Ti")

    documents = list(yaml.safe_load_all(printed.out))
    assert printed.status == 0
    assert [one["kind"] for one in documents][-1] == "StatefulSet"
    assert {one["metadata"].get("namespace", "ml") for one in documents} == {"ml"}


def test_without_dry_run_it_is_told_what_to_do(cli):
    told = cli("deploy", "kubernetes")

    assert told.status == 2
    assert "kubectl apply -f -" in told.err


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("TRUNKLINE_GC_GRACE_S=soon", "must be a number of seconds"),
        ("TRUNKLINE_GC_GRACE_S", "write NAME=VALUE"),
        ("HOME=/tmp", "no setting"),
    ],
)
def test_settings_that_the_server_would_refuse_are_refused_here(cli, setting, told):
    printed = cli("deploy", "kubernetes", "--dry-run", "--set", setting)

    assert printed.status == 2
    assert told in printed.err


def test_a_secret_with_a_certificate_makes_probes_and_server_speak_tls(cli):
    printed = cli("deploy", "kubernetes", "--dry-run", "--tls-secret", "trunkline-tls")

    pod = list(yaml.safe_load_all(printed.out))[-1]["spec"]["template"]["spec"]
    [server] = pod["containers"]
    [volume] = [one for one in pod["volumes"] if one["name"] == "tls"]
    [place] = [one["mountPath"] for one in server["volumeMounts"] if one["name"] == "tls"]
    assert volume["secret"] == {"secretName": "trunkline-tls"}
    assert server["args"][-4:] == [
        *("--tls-cert", f"{place}/tls.crt"),
        *("--tls-key", f"{place}/tls.key"),
    ]
    assert server["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"


def test_the_overlay_beside_the_base_changes_objects_that_are_there():
    base = yaml.safe_load((BASE / "base" / "kustomization.yaml").read_text("utf-8"))
    [manifests] = [BASE / "base" / name for name in base["resources"]]
    there = {
        (one["kind"], one["metadata"]["name"]) for one in yaml.safe_load_all(manifests.read_text())
    }
    overlay = yaml.safe_load((BASE / "node-port" / "kustomization.yaml").read_text("utf-8"))

    targets = {(patch["target"]["kind"], patch["target"]["name"]) for patch in overlay["patches"]}
    assert overlay["resources"] == ["../base"]
    assert targets <= there


class _Compose(yaml.SafeLoader):
    """Reads what compose adds to YAML."""


_Compose.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


def test_the_compose_file_of_several_servers_gives_them_one_store():
    text = (ROOT / "deploy" / "compose.nodes.yaml").read_text("utf-8")
    services = yaml.load(text, _Compose)["services"]

    servers = [services["server"], services["second"]]
    assert servers[0]["environment"] == servers[1]["environment"]
    settings = load(servers[0]["environment"])
    assert settings.object_store_http
    assert chosen_place(settings) is not None
    assert settings.database.startswith("postgresql://")
    assert all(server["command"][:2] == ["serve", "--standby"] for server in servers)
    for server in servers:
        assert set(server["depends_on"]) <= services.keys()


def test_the_compose_file_says_what_the_image_and_the_server_expect():
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text("utf-8"))
    server = compose["services"]["server"]
    image = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")

    assert (ROOT / "deploy" / server["build"]["context"] / server["build"]["dockerfile"]).is_file()
    assert server["volumes"] == ["data:/var/lib/trunkline"]
    assert "VOLUME /var/lib/trunkline\n" in image
    assert "TRUNKLINE_HOME=/var/lib/trunkline/data" in image
    assert server["command"][0] == "serve"
