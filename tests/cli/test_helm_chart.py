"""The Helm chart says what `deploy kubernetes` does: the real Helm renders the same objects."""

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import program

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "trunkline"

BUCKET = {"store": "s3://b/x", "storeSecret": "bucket", "databaseSecret": "database"}
INSTALLATIONS: dict[str, dict[str, Any]] = {
    "by itself": {},
    "a volume": {
        "image": "registry.example.com/trunkline@sha256:00",
        "imagePullSecret": "hub",
        "storageSize": "1Ti",
        "storageClass": "fast",
        "nodePort": 30650,
        "names": ["data.example.org", "other"],
        "tokenSecret": "token",
        "tlsSecret": "tls",
        "resources": ["pytorchjobs.kubeflow.org", "jobs.batch", "tfjobs.kubeflow.org"],
    },
    "no pods": {"settings": {"TRUNKLINE_GC_GRACE_S": "86400", "TRUNKLINE_RUNTIME": "process"}},
    "a bucket": {**BUCKET, "storageSize": "20Gi", "settings": {"UV_INDEX_URL": "x: {y}"}},
    "a bucket without pods": {**BUCKET, "settings": {"TRUNKLINE_RUNTIME": "docker"}},
    "servers": {**BUCKET, "databaseSecret": "bucket", "replicas": 3, "tlsSecret": "tls"},
    "names in certificates": {
        **BUCKET,
        "replicas": 2,
        "tlsSecret": "tls",
        "settings": {
            "TRUNKLINE_CA_FILE": "/etc/ssl/ca.pem",
            "TRUNKLINE_POD_TLS_SECRET": "other",
            "TRUNKLINE_RUNTIME": "kubernetes",
            "TRUNKLINE_TLS_NAME": "data.example.org",
        },
    },
}


def helm(values: dict[str, Any], directory: Path) -> "subprocess.CompletedProcess[str]":
    file = directory / "values.json"
    file.write_text(json.dumps(values), "utf-8")
    words = ["template", "any", str(CHART), "--namespace", "ml", "--values", str(file)]
    return subprocess.run(
        [program("TRUNKLINE_TEST_HELM"), *words], capture_output=True, text=True, timeout=60
    )


def options(values: dict[str, Any]) -> list[str]:
    """The options of `deploy kubernetes` that say the same."""
    words = []
    for name, value in values.items():
        spelled = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
        option = {"names": "--name", "resources": "--resource", "settings": "--set"}
        several = [f"{n}={v}" for n, v in value.items()] if isinstance(value, dict) else value
        for one in several if isinstance(several, list) else [value]:
            words += [option.get(name, f"--{spelled}"), str(one)]
    return words


def by_kind(text: str) -> dict[str, Any]:
    documents = [one for one in yaml.safe_load_all(text) if one]
    kinds = {one["kind"]: one for one in documents}
    assert len(kinds) == len(documents)
    return kinds


@pytest.mark.parametrize("name", INSTALLATIONS)
def test_the_chart_renders_what_the_command_prints(cli, tmp_path: Path, name: str) -> None:
    values = INSTALLATIONS[name]
    printed = cli("deploy", "kubernetes", "--dry-run", "--namespace", "ml", *options(values))
    wanted = by_kind(printed.out)
    del wanted["Namespace"]  # Helm makes it (--create-namespace)

    rendered = helm(values, tmp_path)

    assert rendered.returncode == 0, rendered.stderr
    assert by_kind(rendered.stdout) == wanted


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"storagesize": "1Gi"}, "storagesize"),
        ({"nodePort": 80}, "nodePort"),
        ({"storageSize": "0Gi"}, "storageSize"),
        ({"settings": {"HOME": "/tmp"}}, "HOME"),
        ({"settings": {"TRUNKLINE_GC_GRACE_S": 5}}, "TRUNKLINE_GC_GRACE_S"),
        ({"store": "s3://b/x", "storeSecret": "bucket"}, "databaseSecret"),
        ({"replicas": 2}, "replicas"),
        ({"resources": ["pods"]}, "resources"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_that_would_not_work_is_refused(
    tmp_path: Path, values: dict[str, Any], told: str
) -> None:
    refused = helm(values, tmp_path)

    assert refused.returncode != 0
    assert told in refused.stderr


def test_the_chart_has_the_version_of_the_program() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))

    assert chart["version"] == chart["appVersion"] == project["version"]
