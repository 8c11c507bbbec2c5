"""Defaults of specs, of a project and of all: set, seen in new versions; embedded and over HTTP."""

import json
from datetime import UTC, datetime

import pytest

from trunkline.connect.transactions import queued
from trunkline.engine.restore import restore
from trunkline.errors import InvalidSpec, NotSupported, ProjectNotFound
from trunkline.model.jobs import JobState

CODE = 'for f in /pfs/data/*; do echo "$GREETING" > /pfs/out/$(basename $f); done'


@pytest.fixture(params=["engine", "remote"])
def data(request: pytest.FixtureRequest):
    driver = request.getfixturevalue(request.param)
    driver.engine.repos.create_repo("data")
    return driver


def set_defaults(driver, project=None, /, **fields):
    options = {k: fields.pop(k) for k in ("regenerate", "reprocess", "dry_run") if k in fields}
    return driver.engine.defaults.set_defaults(json.dumps(fields), project=project, **options)


def spec(name: str, **more) -> dict[str, object]:
    return {
        "pipeline": {"name": name},
        "input": {"pfs": {"repo": "data", "glob": "/*"}},
        "transform": {"cmd": ["/bin/sh"], "stdin": [CODE]},
        **more,
    }


def make(driver, name: str, *, update: bool = False, **more):
    return driver.engine.pipelines.create_pipeline(spec(name, **more), update=update)


def test_a_pipeline_gets_the_defaults_of_its_project_over_those_of_all(data) -> None:
    data.engine.projects.create_project("p")
    set_defaults(data, datumTries=7, description="of all", transform={"env": {"A": "all"}})
    set_defaults(data, "p", description="of p", transform={"env": {"B": "p"}})
    data.engine.repos.create_repo("p/data")

    here = make(data, "one", datum_tries=2)
    there = make(data, "two", pipeline={"name": "two", "project": {"name": "p"}})

    assert (here.spec["datum_tries"], here.description) == (2, "of all")
    assert (there.spec["datum_tries"], there.description) == (7, "of p")
    assert there.spec["transform"]["env"] == {"A": "all", "B": "p"}
    assert here.user_spec == spec("one", datum_tries=2)
    assert json.loads(data.read("__spec__", "spec.json", "one")) == here.spec


def test_defaults_are_told_as_they_were_set_and_can_be_taken_away(data) -> None:
    assert data.engine.defaults.inspect_defaults().spec == {}
    assert data.engine.defaults.inspect_defaults(project="default").changed is None

    set_defaults(data, datumTries="7")
    told = data.engine.defaults.inspect_defaults()
    set_defaults(data)

    assert (told.spec, told.changed is not None) == ({"datumTries": "7"}, True)
    assert data.engine.defaults.inspect_defaults().spec == {}
    for ask in (
        lambda: set_defaults(data, "nope", datum_tries=1),
        lambda: data.engine.defaults.inspect_defaults(project="nope"),
    ):
        with pytest.raises(ProjectNotFound):
            ask()
    with pytest.raises(InvalidSpec, match="the defaults, line 1: unknown field"):
        set_defaults(data, datum_trys=1)


def test_new_defaults_count_from_the_next_update_on(data) -> None:
    make(data, "one")

    change = set_defaults(data, datum_tries=5)
    before = data.engine.pipelines.inspect_pipeline("one")
    after = make(data, "one", update=True)

    assert [(p.name, p.fields) for p in change.affected] == [("one", ("datum_tries",))]
    assert not change.regenerated
    assert (before.version, before.spec.get("datum_tries")) == (1, None)
    assert (after.version, after.spec["datum_tries"]) == (2, 5)


def test_regenerating_updates_exactly_the_pipelines_that_change(data) -> None:
    data.put("data", {"a": "1"})
    greeting = {"transform": {"env": {"GREETING": "hello"}}}
    make(data, "plain")
    own = {"cmd": ["/bin/sh"], "stdin": [CODE], "env": {"GREETING": "my own"}}
    make(data, "owner", transform=own)
    assert {data.job(name).state for name in ("plain", "owner")} == {JobState.SUCCESS}

    would = set_defaults(data, **greeting, regenerate=True, dry_run=True)
    untouched = data.engine.defaults.inspect_defaults().spec
    did = set_defaults(data, **greeting, regenerate=True)

    assert would.affected == did.affected
    assert [(p.name, p.fields) for p in did.affected] == [("plain", ("transform",))]
    assert untouched == {}
    assert data.job("plain").state is JobState.SUCCESS
    versions = {info.name: info.version for info in data.engine.pipelines.list_pipelines()}
    assert versions == {"plain": 2, "owner": 1}
    assert data.tree("plain") == {"a": "hello\n"}
    assert data.tree("owner") == {"a": "my own\n"}
    plain = data.engine.pipelines.inspect_pipeline("plain")
    assert plain.user_spec == spec("plain")


def test_reprocessing_forgets_results_and_regenerating_keeps_what_fits(data) -> None:
    data.put("data", {"a": "1"})
    make(data, "one")
    data.job("one")

    set_defaults(data, datum_tries=4, regenerate=True)
    kept = data.job("one")
    set_defaults(data, datum_tries=5, reprocess=True)
    anew = data.job("one")

    assert (kept.pipeline_version, kept.processed, kept.skipped) == (2, 0, 1)
    assert (anew.pipeline_version, anew.processed, anew.skipped) == (3, 1, 0)


def test_defaults_that_a_pipeline_can_not_have_change_nothing(data) -> None:
    make(data, "fine")
    make(data, "odd", parallelism_spec={"coefficient": 1.0})

    told = set_defaults(data, parallelism_spec={"constant": 2}, dry_run=True)
    with pytest.raises(InvalidSpec, match="pipeline 'odd' with these defaults: .*contradictory"):
        set_defaults(data, parallelism_spec={"constant": 2}, regenerate=True)

    assert [bool(p.problem) for p in told.affected] == [False, True]
    assert {info.version for info in data.engine.pipelines.list_pipelines()} == {1}
    assert data.engine.defaults.inspect_defaults().spec == {}


def test_a_rerun_keeps_the_defaults_that_its_version_had(data) -> None:
    set_defaults(data, datum_tries=5)
    make(data, "one")
    set_defaults(data, datum_tries=6)

    again = data.engine.pipelines.rerun_pipeline("one")

    assert (again.version, again.spec["datum_tries"]) == (2, 5)
    assert again.user_spec == spec("one")


def test_pipelines_of_a_transaction_get_the_defaults_that_are_there_when_it_ends(data) -> None:
    started = data.engine.transactions.start_transaction()
    steps = queued(data.engine, started.id)
    steps.pipelines.create_pipeline(spec("one"))

    with pytest.raises(NotSupported, match="`set defaults` can't be part of a transaction"):
        steps.defaults.set_defaults("{}")
    set_defaults(data, datum_tries=5)
    data.engine.transactions.finish_transaction(started.id)

    assert data.engine.pipelines.inspect_pipeline("one").spec["datum_tries"] == 5


def test_checked_specs_have_the_defaults_and_are_given_back_as_they_came(data) -> None:
    set_defaults(data, transform={"image": "python:3.12"})

    [draft] = data.engine.pipelines.validate_specs(json.dumps(spec("one")))

    assert draft.spec == spec("one")
    assert any("python:3.12" in warning for warning in draft.warnings)


def test_defaults_survive_deletion_and_return_of_a_pipeline_and_a_backup(
    open_engine, tmp_path
) -> None:
    driver = open_engine()
    driver.engine.repos.create_repo("data")
    set_defaults(driver, datum_tries=5)
    made = make(driver, "one")
    driver.engine.pipelines.delete_pipeline("one")
    driver.engine.trash.undelete("pipeline", "one")
    back = driver.engine.pipelines.inspect_pipeline("one")
    driver.engine.admin.backup(str(tmp_path / "backup"))
    now = datetime.now(UTC)
    restore(tmp_path / "backup", tmp_path / "again", force=False, now=now)
    again = open_engine(tmp_path / "again")

    assert (back.spec, back.user_spec) == (made.spec, made.user_spec)
    assert again.engine.defaults.inspect_defaults().spec == {"datum_tries": 5}
    assert again.engine.pipelines.inspect_pipeline("one").user_spec == spec("one")
    assert again.engine.admin.fsck().damages == ()


def test_a_project_takes_its_defaults_with_it(engine) -> None:
    engine.engine.projects.create_project("p")
    set_defaults(engine, "p", datum_tries=5)
    engine.engine.projects.delete_project("p")
    engine.engine.projects.create_project("p")

    assert engine.engine.defaults.inspect_defaults(project="p").spec == {}
