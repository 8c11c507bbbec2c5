"""Secrets of pipelines: code gets them, and nothing that is kept or shown has their values."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from trunkline.errors import (
    AlreadyExists,
    InUse,
    InvalidInput,
    InvalidName,
    InvalidSpec,
    NotFound,
    NotSupported,
)
from trunkline.model.jobs import JobState

VALUE = "correct horse/battery staple"
IN_VARIABLE = {"name": "db", "key": "password", "env_var": "PASSWORD"}
IN_FILES = {"name": "db", "mount_path": "/secrets/db"}


@pytest.fixture
def data(engine: Any) -> Any:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"a": "apple\n"})
    create(engine, password=VALUE, user="iris")
    return engine


def create(driver: Any, *, name: str = "db", update: bool = False, **values: str) -> Any:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return driver.engine.secrets.create_secret(name, data=encoded, update=update)


def runs(driver: Any, script: str, *secrets: dict[str, str], **more: Any) -> Any:
    driver.pipeline("made", script, transform={"secrets": list(secrets)}, **more)
    return driver.job("made")


def test_a_variable_has_the_value_of_a_key(data) -> None:
    job = runs(data, 'printf "$PASSWORD" > /pfs/out/a', IN_VARIABLE)

    assert job.state is JobState.SUCCESS, job.reason
    assert data.tree("made") == {"a": VALUE}


def test_a_directory_has_a_file_for_each_key_that_can_only_be_read(data) -> None:
    script = (
        "cp /secrets/db/* /pfs/out/; stat -c %a /secrets/db/user > /pfs/out/mode; "
        "touch /secrets/db/more && exit 7; grep -q 'tmpfs /secrets/db tmpfs' /proc/mounts"
    )

    job = runs(data, script, IN_FILES)

    assert job.state is JobState.SUCCESS, job.reason
    assert data.tree("made") == {"password": VALUE, "user": "iris", "mode": "644\n"}
    assert not os.path.exists("/secrets")


def test_no_log_or_reason_has_a_value(data) -> None:
    script = (
        'echo "it is $PASSWORD."; printf "$PASSWORD" | base64; cat /secrets/db/password >&2; '
        'echo "user $(cat /secrets/db/user)"; touch "/pfs/out/$(printf "correct horse")"; '
        'printf "correct horse"; sleep 0.1; printf "/battery staple\\n"; exit 3'
    )

    job = runs(data, script, IN_VARIABLE, IN_FILES, datum_tries=1)
    said = "\n".join(data.logs("made"))

    assert job.state is JobState.FAILURE
    assert "it is ***." in said
    assert "user ***" in said
    for shown in (said, job.reason, repr(data.engine.datums.list_datums(f"made@{job.id}"))):
        assert "battery" not in shown
        assert base64.b64encode(VALUE.encode()).decode()[:12] not in shown


def test_a_changed_value_counts_for_the_next_datums_and_reprocesses_nothing(data) -> None:
    script = 'cp "$data" /pfs/out/; printf "$PASSWORD" >> /pfs/out/$(basename $data)'
    runs(data, script, IN_VARIABLE)

    create(data, update=True, password="another one")
    data.put("data", {"b": "bear\n"})
    job = data.job("made")

    assert (job.state, job.processed, job.skipped) == (JobState.SUCCESS, 1, 1)
    assert data.tree("made") == {"a": f"apple\n{VALUE}", "b": "bear\nanother one"}


def test_other_secrets_reprocess(data) -> None:
    runs(data, 'printf "$PASSWORD" > /pfs/out/a', IN_VARIABLE)

    job = runs(data, 'printf "$PASSWORD" > /pfs/out/a', {**IN_VARIABLE, "key": "user"}, update=True)

    assert (job.processed, data.tree("made")) == (1, {"a": "iris"})


def test_files_are_there_anew_after_a_change(data) -> None:
    script = "cat /secrets/db/password > /pfs/out/$(basename $data)"
    runs(data, script, IN_FILES)

    create(data, update=True, password="another one")
    data.put("data", {"b": "bear\n"})

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {"a": VALUE, "b": "another one"}


@pytest.mark.parametrize(
    "place", ["/secrets", "/opt/very/deep", "/var/run/secrets/db", "/etc/db-secret", "/mnt/x/y"]
)
def test_files_may_be_anywhere_and_the_host_does_not_see_them(data, place: str) -> None:
    script = (
        f"cat {place}/user > /pfs/out/a; cat /etc/passwd > /dev/null; ls /usr/bin > /dev/null; "
        "made=$(mktemp) && rm $made"
    )

    job = runs(data, script, {"name": "db", "mount_path": place})

    assert job.state is JobState.SUCCESS, job.reason
    assert data.tree("made") == {"a": "iris"}
    assert not os.path.exists(place)


@pytest.mark.parametrize("place", ["/pfs/db", "/code", "/tmp/db", "/dev/shm/x", "/"])
def test_files_can_not_be_where_they_would_be_in_the_way(data, place: str) -> None:
    with pytest.raises(InvalidSpec, match=r"transform\.secrets\[0\]"):
        runs(data, "true", {"name": "db", "mount_path": place})


def test_the_data_directory_is_not_hidden_by_a_secret(data) -> None:
    place = str(Path(data.home).parent)
    if place.startswith(("/tmp", "/dev")):
        with pytest.raises(InvalidSpec):
            runs(data, "true", {"name": "db", "mount_path": place})
    else:
        assert "would hide" in runs(data, "true", {"name": "db", "mount_path": place}).reason


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ({"name": "dc", "mount_path": "/x"}, "no secret 'dc'"),
        ({"name": "db", "key": "passwort", "env_var": "P"}, "did you mean 'password'.*; it has"),
    ],
)
def test_what_is_not_there_is_said_when_the_pipeline_is_created(data, secret, problem) -> None:
    with pytest.raises(NotFound, match=problem):
        runs(data, "true", secret)


def test_a_secret_that_is_gone_fails_the_job_with_its_name(data) -> None:
    runs(data, "true", IN_VARIABLE)
    data.engine.secrets.delete_secret("db", force=True)

    data.put("data", {"b": "bear\n"})
    failed = data.job("made")
    create(data, password=VALUE)
    data.put("data", {"c": "cat\n"})

    assert (failed.state, failed.reason) == (JobState.FAILURE, "there is no secret 'db'")
    assert data.job("made").state is JobState.SUCCESS


def test_where_paths_are_rewritten_files_are_refused_and_variables_are_not(open_engine) -> None:
    driver = open_engine(TRUNKLINE_ISOLATION="rewrite")
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "apple\n"})
    create(driver, password=VALUE)

    with pytest.raises(NotSupported, match=r"files in /secrets/db here.*; use key and env_var"):
        runs(driver, "true", IN_FILES)
    job = runs(driver, 'printf "$PASSWORD" > /pfs/out/a', IN_VARIABLE)

    assert job.state is JobState.SUCCESS, job.reason


def test_secrets_are_listed_without_values_and_kept_from_others(data, tmp_path) -> None:
    info = data.engine.secrets.inspect_secret("db")
    stored = data.home / "secrets"

    assert data.engine.secrets.list_secrets() == [info]
    assert (info.name, info.type, info.keys) == ("db", "Opaque", ("password", "user"))
    assert stored.stat().st_mode & 0o777 == 0o700
    assert (stored / "db.json").stat().st_mode & 0o777 == 0o600
    data.engine.admin.backup(str(tmp_path / "backup"))
    assert not list((tmp_path / "backup").rglob("*secret*"))


def test_only_what_no_pipeline_needs_is_deleted_without_force(data) -> None:
    runs(data, "true", IN_VARIABLE)

    with pytest.raises(InUse, match="needed by made"):
        data.engine.secrets.delete_secret("db")
    data.engine.pipelines.delete_pipeline("made")
    data.engine.secrets.delete_secret("db")

    assert data.engine.secrets.list_secrets() == []
    assert list((data.home / "secrets").iterdir()) == []
    with pytest.raises(NotFound, match="no secret 'db'"):
        data.engine.secrets.delete_secret("db")


def test_names_keys_and_values_are_checked(data) -> None:
    with pytest.raises(AlreadyExists, match="update secret"):
        create(data, a="x")
    with pytest.raises(NotFound):
        create(data, name="other", update=True, a="x")
    for name in ("", "A", "a/b", "..", "-a", "a" * 201):
        with pytest.raises(InvalidName):
            create(data, name=name, a="x")
    for key in ("", "..", "a/b", "a b"):
        with pytest.raises(InvalidName):
            create(data, name="other", **{key: "x"})
    with pytest.raises(InvalidInput, match="at least one"):
        create(data, name="other")
    with pytest.raises(InvalidInput, match="1,048,576 bytes"):
        create(data, name="other", a="x" * 1_048_577)
    with pytest.raises(InvalidInput, match=r"the value of key 'a' is not base64$"):
        data.engine.secrets.create_secret("other", data={"a": "no base64!"})


def test_a_value_that_is_no_text_can_only_be_in_a_file(data) -> None:
    encoded = {"password": base64.b64encode(b"\xff\x00").decode()}
    data.engine.secrets.create_secret("db", data=encoded, update=True)

    failed = runs(data, "true", IN_VARIABLE)
    job = runs(data, "cp /secrets/db/password /pfs/out/", IN_FILES, update=True)

    assert "can't be in a variable" in failed.reason
    assert job.state is JobState.SUCCESS, job.reason


def test_the_same_over_http(remote) -> None:
    remote.engine.repos.create_repo("data")
    remote.put("data", {"a": "apple\n"})
    made = create(remote, password="x" * 700_000)

    job = runs(remote, "wc -c < /secrets/db/password > /pfs/out/a", IN_FILES)

    assert remote.engine.secrets.inspect_secret("db") == made
    assert job.state is JobState.SUCCESS, job.reason
    assert remote.tree("made") == {"a": "700000\n"}
