"""Commands on the defaults of specs."""

import json

import pytest


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "defaults.yaml"
    path.write_text("datumTries: 7\n")
    return path


def test_defaults_are_set_from_a_file_for_the_project_or_for_all(cli, stub, file):
    result = cli("create", "defaults", "--cluster", "-f", str(file))
    cli("update", "defaults", "--project", "p", "-f", str(file), "--regenerate", "--reprocess")

    options = {"regenerate": False, "reprocess": False, "dry_run": False}
    assert stub.all_called("set_defaults") == [
        (("datumTries: 7\n",), {"source": str(file), "project": None, **options}),
        (
            ("datumTries: 7\n",),
            {"source": str(file), "project": "p", **options, "regenerate": True, "reprocess": True},
        ),
    ]
    assert result.out == (
        "inference: datum_tries, transform\n"
        "train: contradictory strategies\n"
        "another spec is for 2 pipelines, from the next update on\n"
    )


def test_a_dry_run_lists_the_pipelines_that_would_change(cli, stub, file):
    would = cli("update", "defaults", "--cluster", "-f", str(file), "--regenerate", "--dry-run")
    did = cli("update", "defaults", "--cluster", "-f", str(file), "--regenerate")
    plain = cli("update", "defaults", "-f", str(file), "--dry-run", "--raw")

    assert would.out.endswith("2 pipelines would be updated\n")
    assert did.out.endswith("2 pipelines updated\n")
    assert [p["name"] for p in json.loads(plain.out)["affected"]] == ["inference", "train"]


def test_defaults_are_shown_as_they_are_read_and_can_be_deleted(cli, stub):
    shown = cli("inspect", "defaults", "--cluster")
    cli("inspect", "defaults")
    cli("delete", "defaults", "--cluster")

    assert json.loads(shown.out) == {"createPipelineRequest": {"datumTries": 7}}
    assert [given for _, given in stub.all_called("inspect_defaults")] == [
        {"project": None},
        {"project": "default"},
    ]
    assert stub.called("set_defaults") == (("{}",), {"project": None})
