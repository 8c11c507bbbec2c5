"""The check of clusters finds its way, on a cluster that is rehearsed.

All of its parts have been run in this way; some of them are, each time.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rehearsed_cluster import RehearsedCluster

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))

import check_cluster  # noqa: E402
import cluster_probe  # noqa: E402
from cluster_probe import Figure  # noqa: E402


@pytest.fixture
def cluster(home: Path, tmp_path: Path) -> Iterator[RehearsedCluster]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    place = tmp_path / "cluster"
    place.mkdir()
    with RehearsedCluster(place, "trunkline-check") as made:
        yield made


def checked(cluster: RehearsedCluster, *words: str) -> int:
    return check_cluster.main(list(words), kubectl=lambda _: cluster)


def test_what_is_as_it_should_be_is_told_and_nothing_is_left(
    cluster: RehearsedCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster(
        "apply",
        "-f",
        "-",
        given="kind: Namespace\nmetadata: {labels: {app.kubernetes.io/name: trunkline}}",
    )

    status = checked(cluster, "--only", "rights", "trouble")

    said = capsys.readouterr().out
    assert status == 0, said
    assert "FAILED" not in said
    assert said.startswith("cluster: v1.37.0-model, 1 nodes\n")
    assert said.index("the namespace is deleted") < said.index("the server is ready"), "it was left"
    assert "ok     the server may get secrets: no (no)" in said
    assert "ok     no pod is left of deleted pipelines (" in said
    assert said.endswith(" checks: all is well\n")
    assert cluster("get", "namespace", "trunkline-check") == ""


def test_an_image_that_no_node_has_ends_the_check_at_once_with_what_to_do(
    cluster: RehearsedCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.missing_image = "trunkline"

    status = checked(cluster)

    said = capsys.readouterr().out
    assert status == 1
    assert "FAILED the server is ready (no node has the image trunkline (ImagePullBackOff)" in said
    assert "docs/guide/scale-out.md says how" in said
    assert "-- tutorial" not in said
    assert cluster("get", "namespace", "trunkline-check") == ""


def test_a_namespace_of_somebody_else_is_left_alone(
    cluster: RehearsedCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster("apply", "-f", "-", given="kind: Namespace\nmetadata: {labels: {}}")

    status = checked(cluster)

    assert status == 1
    assert "is not ours; choose another one" in capsys.readouterr().out
    assert ("delete", "namespace") not in [words[:2] for words in cluster.commands]


def test_times_are_compared_with_those_of_pachyderm_and_with_what_is_wanted() -> None:
    slower = Figure("a", 5.0, "s", (5, 8), 0.7)
    rate = Figure("b", 310.0, "/s", (55, 62), 0.2)
    bound = Figure("c", 1.6, "s", (3.8, 5.9), most=1.5)

    assert slower.row() == ("a", "5.0 s", "5–8 s", "0.77", "ratio ≤ 0.7: NO")
    assert rate.row() == ("b", "310 /s", "55–62 /s", "0.19", "ratio ≤ 0.2: yes")
    assert bound.row() == ("c", "1.6 s", "3.8–5.9 s", "0.33", "≤ 1.5: NO")


def test_a_command_that_fails_or_hangs_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster_probe, "COMMAND_S", 0.2)

    with pytest.raises(cluster_probe.Broken, match=r"`sh -c echo why >&2; exit 3` failed: why$"):
        cluster_probe.run(["sh", "-c", "echo why >&2; exit 3"], dict(os.environ))
    with pytest.raises(cluster_probe.Broken, match="`sleep 60` has not ended in 0 s"):
        cluster_probe.run(["sleep", "60"], dict(os.environ))
