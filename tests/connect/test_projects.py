"""Projects in the pleasant API, against a real server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import trunkline
from trunkline.config import load
from trunkline.connect.connection import Connection
from trunkline.connect.local import stop_server
from trunkline.errors import InUse

SPEC = {
    "pipeline": {"name": "upper"},
    "input": {"pfs": {"repo": "data", "glob": "/*"}},
    "transform": {"cmd": ["/bin/sh"], "stdin": ["tr a-z A-Z < $data > /pfs/out/$(basename $data)"]},
}


@pytest.fixture
def connection(home: Path) -> Iterator[Connection]:
    with trunkline.connect() as opened:
        yield opened
    stop_server(load())


def test_names_are_those_in_the_project(connection: Connection, tmp_path: Path) -> None:
    project = connection.project("p")
    before = project.exists()
    project.create(description="second").create(exist_ok=True)
    data = project.repo("data").create()
    connection.repo("data").create()
    with data.commit("master") as commit:
        commit["a"] = "apple\n"
    with project.repo("other").create().commit("master") as commit:
        commit.copy("b", "data@master:/a")  # the source is in the same project
        commit.copy("c", connection["p/data@master:/a"])
    pipeline = project.create_pipeline(SPEC)
    job = next(iter(pipeline.jobs()))
    done = project.job(f"upper@{job.info.id}").wait(60)

    assert not before
    assert (project.info.description, project.exists()) == ("second", True)
    assert (data.name, pipeline.name, job.name) == ("p/data", "p/upper", f"p/upper@{done.id}")
    assert connection["p/upper@master:/a"].read_text() == "APPLE\n"
    assert connection["p/other@master:/c"].read_text() == "apple\n"
    assert connection["default/data@master"].repo == "data"
    assert not connection.repo("data").branches()
    assert {repo.name for repo in project.repos()} == {"p/data", "p/other", "p/upper"}
    assert [found.name for found in project.pipelines()] == ["p/upper"]
    assert connection.pipeline("p/upper").exists()
    assert not connection.pipeline("upper").exists()
    with pytest.raises(InUse):
        project.delete()
    project.delete(force=True)
    assert [info.name for info in connection.projects.list_projects()] == ["default"]


def test_a_spec_that_names_its_project_goes_there(connection: Connection, tmp_path: Path) -> None:
    for name in ("p", "q"):
        connection.project(name).create().repo("data").create()
    text = json.dumps({**SPEC, "pipeline": {"name": "upper", "project": {"name": "q"}}})

    created = connection.project("p").create_pipeline(text)

    assert (created.name, created.info.input) == ("q/upper", "q/data:/*")
