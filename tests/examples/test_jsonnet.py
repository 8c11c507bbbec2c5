"""The example of a template makes two pipelines that run."""

import json
from pathlib import Path

import pytest

from trunkline.api.changes import PutFile
from trunkline.cli.spec_sources import source_of
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.model.jobs import JobState

pytest.importorskip("_jsonnet", reason="needs the extra 'jsonnet'")

TEMPLATE = Path(__file__).parents[2] / "examples" / "jsonnet" / "copies.jsonnet"


def test_the_example_makes_two_stages_of_its_arguments(tmp_path) -> None:
    text, name = source_of("-", str(TEMPLATE), ["suffix=a", "source=data"]).read()
    engine = Engine(load({"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, home=tmp_path / "h"))
    try:
        engine.repos.create_repo("data")
        engine.files.modify_files("data", "master", [PutFile(path="x", content=[b"hello"])])
        for draft in engine.pipelines.validate_specs(text, source=name):
            engine.pipelines.create_pipeline(draft.spec)
        [job] = engine.jobs.list_jobs(pipeline="count-a")
        ended = engine.jobs.inspect_job(f"count-a@{job.id}", wait=True, timeout_s=60)
        made = b"".join(engine.files.read_file("count-a", "master", "/bytes"))
    finally:
        engine.close()

    assert [spec["pipeline"]["name"] for spec in json.loads(text)] == ["copy-a", "count-a"]
    assert (ended.state, made.strip()) == (JobState.SUCCESS, b"5")
