"""Pipelines in the catalog: versions, salts and states over their life."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ready_catalogs import fill_catalog

from trunkline.db.database import Database, Transaction
from trunkline.db.sqlite import SqliteDatabase
from trunkline.errors import AlreadyExists, InvalidInput, NotFound, PipelineNotFound
from trunkline.model.pipelines import PipelineSpec, PipelineState
from trunkline.pipelines import lifecycle
from trunkline.pipelines.lifecycle import Salt, choose_salt
from trunkline.pipelines.spec import spec_from_document
from trunkline.pipelines.tables import PipelineRecord

NOW = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    fill_catalog(tmp_path / "catalog.db")
    database = SqliteDatabase(tmp_path / "catalog.db", durable=False)
    yield database
    database.close()


@pytest.fixture
def tx(database: Database) -> Iterator[Transaction]:
    with database.write() as tx:
        yield tx


def spec(name: str = "copy", **other: object) -> PipelineSpec:
    return spec_from_document(
        {
            "pipeline": {"name": name},
            "transform": {"cmd": ["cp"]},
            "input": {"pfs": {"repo": "images", "glob": "/*"}},
        }
        | other
    )


def record(
    tx: Transaction,
    spec: PipelineSpec,
    *,
    update: bool = False,
    code: str = "",
    salt: Salt | None = None,
    spec_commit: str = "spec-1",
    now: datetime = NOW,
) -> PipelineRecord:
    return lifecycle.insert_version(
        tx,
        spec,
        update=update,
        code=code,
        salt=salt or Salt(value="salt", nonce=""),
        spec_commit=spec_commit,
        now=now,
    )


def test_a_created_pipeline_is_found_as_it_was_recorded(tx: Transaction) -> None:
    made = record(tx, spec(description="hällo"), code="c", salt=Salt(value="s", nonce="n"))

    assert lifecycle.get(tx, "copy") == made
    assert (made.name, made.version, made.newest) == ("copy", 1, 1)
    assert made.state is PipelineState.RUNNING
    assert (made.code, made.salt, made.nonce, made.spec_commit) == ("c", "s", "n", "spec-1")
    assert made.created == NOW
    assert lifecycle.spec_of(made) == spec(description="hällo")


def test_a_version_that_is_read_again_has_the_same_spec_and_another_text_another(
    tx: Transaction,
) -> None:
    made = record(tx, spec(transform={"cmd": ["cp"], "env": {"A": "1"}}))
    spec_of = lifecycle.spec_of

    assert spec_of(lifecycle.get(tx, "copy")) is spec_of(made)
    changed = record(tx, spec(transform={"cmd": ["cp"], "env": {"A": "2"}}), update=True)
    assert spec_of(changed) == spec(transform={"cmd": ["cp"], "env": {"A": "2"}})
    assert spec_of(lifecycle.get(tx, "copy", 1)) is spec_of(made)
    lifecycle.delete(tx, "copy")
    again = record(tx, spec())  # as the first version by name, number and spec commit
    assert spec_of(again) == spec()


def test_a_pipeline_is_created_once(tx: Transaction) -> None:
    record(tx, spec())

    with pytest.raises(AlreadyExists) as caught:
        record(tx, spec())

    assert str(caught.value) == (
        "pipeline 'copy' already exists: update it with `update pipeline`, delete it with "
        "`delete pipeline`"
    )


def test_only_an_existing_pipeline_is_updated(tx: Transaction) -> None:
    record(tx, spec("train"))

    with pytest.raises(PipelineNotFound, match=r"no pipeline 'trian'; did you mean 'train'\?"):
        record(tx, spec("trian"), update=True)


def test_an_update_makes_a_new_version_and_keeps_the_old_one(tx: Transaction) -> None:
    record(tx, spec())
    later = NOW + timedelta(hours=1)

    record(tx, spec(description="new"), update=True, now=later)

    newest, old = lifecycle.get(tx, "copy"), lifecycle.get(tx, "copy", 1)
    assert (newest.version, newest.created) == (2, later)
    assert (old.version, old.newest, old.created) == (1, 2, NOW)
    assert lifecycle.spec_of(old).description == ""
    assert lifecycle.versions_of(tx, "copy") == [newest, old]


def test_a_version_that_does_not_exist_is_not_found(tx: Transaction) -> None:
    record(tx, spec())

    with pytest.raises(NotFound, match="pipeline 'copy' has no version 7; its newest is 1"):
        lifecycle.get(tx, "copy", 7)


def test_a_version_is_found_by_its_commit_in_the_spec_repo(tx: Transaction) -> None:
    record(tx, spec(), spec_commit="s1")
    record(tx, spec(output_branch="results"), update=True, spec_commit="s2")

    assert lifecycle.version_of_commit(tx, "copy", "s1") == 1
    assert lifecycle.version_of_commit(tx, "copy", "s2") == 2
    assert lifecycle.get(tx, "copy", 1).output_branch == "master"
    assert lifecycle.get(tx, "copy", 2).output_branch == "results"
    with pytest.raises(NotFound, match="commit s3 of the spec repo is no version of pipeline"):
        lifecycle.version_of_commit(tx, "copy", "s3")


def test_pipelines_are_listed_last_changed_first(tx: Transaction) -> None:
    for name in ("a", "b", "c"):
        record(tx, spec(name))
    record(tx, spec("a"), update=True)
    lifecycle.stop(tx, "b")

    assert [found.name for found in lifecycle.list_pipelines(tx)] == ["b", "a", "c"]


def test_a_stopped_pipeline_stays_stopped_until_it_is_started(tx: Transaction) -> None:
    record(tx, spec())

    stopped = lifecycle.stop(tx, "copy"), lifecycle.stop(tx, "copy")
    record(tx, spec(), update=True)

    assert stopped == (True, False)
    assert lifecycle.get(tx, "copy").state is PipelineState.PAUSED
    assert (lifecycle.start(tx, "copy"), lifecycle.start(tx, "copy")) == (True, False)
    assert lifecycle.get(tx, "copy").state is PipelineState.RUNNING


def test_a_deleted_pipeline_leaves_nothing_behind(tx: Transaction) -> None:
    record(tx, spec())
    record(tx, spec(), update=True)

    lifecycle.delete(tx, "copy")

    assert lifecycle.find(tx, "copy") is None
    assert lifecycle.list_pipelines(tx) == []
    assert record(tx, spec()).version == 1
    assert len(lifecycle.versions_of(tx, "copy")) == 1


@pytest.mark.parametrize("change", ["stop", "start", "delete", "versions_of", "get"])
def test_a_pipeline_that_does_not_exist_is_not_found(change: str, tx: Transaction) -> None:
    with pytest.raises(PipelineNotFound, match="there is no pipeline 'nothing'"):
        getattr(lifecycle, change)(tx, "nothing")


def test_an_update_that_changes_no_results_keeps_the_salt(tx: Transaction) -> None:
    first = choose_salt(None, spec(), code="c", new_nonce="n1")
    made = record(tx, spec(), code="c", salt=first)

    same = choose_salt(made, spec(parallelism_spec={"constant": 3}), code="c", new_nonce="n2")

    assert same == first


def test_new_code_gives_a_new_salt_and_the_old_code_the_old_one(tx: Transaction) -> None:
    first = choose_salt(None, spec(), code="c1", new_nonce="n1")
    made = record(tx, spec(), code="c1", salt=first)
    second = choose_salt(made, spec(), code="c2", new_nonce="n2")
    updated = record(tx, spec(), code="c2", salt=second, update=True)

    third = choose_salt(updated, spec(), code="c1", new_nonce="n3")

    assert second != first
    assert third == first


def test_kept_results_stay_kept_by_later_updates(tx: Transaction) -> None:
    first = choose_salt(None, spec(), code="c1", new_nonce="n1")
    made = record(tx, spec(), code="c1", salt=first)
    kept = choose_salt(made, spec(), code="c2", new_nonce="n2", keep_results=True)
    updated = record(tx, spec(), code="c2", salt=kept, update=True)

    later = choose_salt(updated, spec(description="x"), code="c2", new_nonce="n3")

    assert kept == first
    assert later == first
    assert choose_salt(updated, spec(), code="c3", new_nonce="n4") != first


def test_reprocessing_forgets_results_once(tx: Transaction) -> None:
    first = choose_salt(None, spec(), code="c", new_nonce="n1")
    made = record(tx, spec(), code="c", salt=first)
    fresh = choose_salt(made, spec(), code="c", new_nonce="n2", reprocess=True)
    updated = record(tx, spec(), code="c", salt=fresh, update=True)

    later = choose_salt(updated, spec(), code="c", new_nonce="n3")

    assert fresh.value != first.value
    assert later == fresh


def test_results_are_either_kept_or_forgotten() -> None:
    with pytest.raises(InvalidInput, match="choose one"):
        choose_salt(None, spec(), code="", new_nonce="n", reprocess=True, keep_results=True)


def test_the_info_of_a_pipeline_tells_what_runs(tx: Transaction) -> None:
    made = record(
        tx,
        spec(
            transform={"cmd": ["cp"], "image": "x"},
            parallelism_spec={"coefficient": 2},
            output_branch="results",
            description="copies",
        ),
    )

    info = lifecycle.to_info(
        made,
        state=made.state,
        reason="",
        cores=4,
        job_counts={"success": 1},
    )

    assert (info.name, info.version, info.state) == ("copy", 1, PipelineState.RUNNING)
    assert (info.input, info.output_branch) == ("images:/*", "results")
    assert (info.workers, info.runtime, info.description) == (8, "process", "copies")
    assert info.job_counts == {"success": 1}
    assert info.warnings == ("image 'x' is not started: cmd runs directly on this machine",)
    assert (info.spec, info.salt, info.recent_error) == (made.spec, "salt", "")
