"""Manifests against the schema of the real API server, which the package kubernetes-validate has.

That is too heavy for everybody's environment: `TRUNKLINE_TEST_KUBERNETES` names its command (see
`.ci/run`), and tests that want it are skipped elsewhere.
"""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

VALIDATE = os.environ.get("TRUNKLINE_TEST_KUBERNETES", "")
RELEASES = ("1.28.0", "1.37.0")  # of Kubernetes: the oldest and the newest one


def assert_valid(manifests: list[dict[str, object]], directory: Path) -> None:
    """Fails with the sentences of the schema for what an API server would not take as it stands."""
    if not VALIDATE:
        pytest.skip("TRUNKLINE_TEST_KUBERNETES names no kubernetes-validate")
    path = directory / "manifests.yaml"
    path.write_text(yaml.safe_dump_all(manifests, sort_keys=False), "utf-8")
    for release in RELEASES:
        done = subprocess.run(
            [VALIDATE, "--strict", "-k", release, str(path)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
