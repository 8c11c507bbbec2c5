"""A pipeline that is a job of Kubeflow: there, and never run."""

import json
from typing import Any

import pytest

from trunkline.errors import Conflict
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import PipelineState

MANIFEST = json.dumps({"kind": "TFJob"})


def create(engine: Any, *, update: bool = False, **how: object) -> None:
    spec = {
        "pipeline": {"name": "train"},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
        **(how or {"tf_job": {"tf_job": MANIFEST}}),
    }
    engine.engine.pipelines.create_pipeline(spec, update=update)


def test_it_is_made_gets_no_job_and_says_why(engine: Any) -> None:
    engine.engine.repos.create_repo("data")
    create(engine)
    engine.pipeline("after", "true", source="train")
    engine.put("data", {"one": "1"})
    engine.engine.pipelines.stop_pipeline("train")
    engine.engine.pipelines.start_pipeline("train")

    found = engine.engine.pipelines.inspect_pipeline("train")
    assert (found.state, found.spec["tf_job"]) == (PipelineState.FAILURE, {"tf_job": MANIFEST})
    assert found.reason.startswith("it is an object of a cluster, which needs Kubernetes")
    assert list(engine.engine.jobs.list_jobs()) == []
    said = engine.engine.lineage.explain_pipeline("train").sentences
    assert any("which needs Kubernetes" in sentence for sentence in said)
    with pytest.raises(Conflict, match="'train' gets no job: it is an object of a cluster"):
        engine.engine.pipelines.rerun_pipeline("train")


def test_with_a_transform_instead_it_runs(engine: Any) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"one": "1"})
    create(engine)
    transform = {"cmd": ["/bin/sh"], "stdin": ["cp /pfs/data/* /pfs/out/"]}
    create(engine, update=True, transform=transform)
    done = engine.job("train")
    create(engine, update=True)
    engine.put("data", {"two": "2"})

    assert done.state is JobState.SUCCESS
    assert engine.tree("train") == {"one": "1"}
    assert len(list(engine.engine.jobs.list_jobs())) == 1
    assert engine.engine.pipelines.inspect_pipeline("train").state is PipelineState.FAILURE


def test_a_whole_life_of_one_leaves_nothing_behind(engine: Any) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"one": "1"})
    create(engine)
    engine.engine.pipelines.delete_pipeline("train")
    engine.engine.trash.undelete("pipeline", "train")
    engine.put("data", {"two": "2"})

    assert list(engine.engine.jobs.list_jobs()) == []
    assert engine.engine.admin.fsck().damages == ()
