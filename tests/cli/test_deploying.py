"""The commands that print how Trunkline is set up elsewhere."""

import subprocess
from pathlib import Path

import pytest
import yaml
from programs import program

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


def test_the_overlay_beside_the_base_changes_its_service_alone():
    def built(name: str) -> "dict[str, dict[str, object]]":
        done = subprocess.run(
            [program("TRUNKLINE_TEST_KUBECTL"), "kustomize", str(BASE / name)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}

    base, overlay = built("base"), built("node-port")

    assert {kind for kind, one in overlay.items() if one != base[kind]} == {"Service"}
    assert base.keys() == overlay.keys()
    assert overlay["Service"]["spec"]["type"] == "NodePort"
    assert overlay["Service"]["spec"]["ports"][0]["nodePort"] == 30650
