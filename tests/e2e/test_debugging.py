"""`debug datum` by the real command: what failed fails again, and nothing is left behind."""

import json

import pytest

SPEC = {
    "pipeline": {"name": "one"},
    "input": {"pfs": {"repo": "data", "glob": "/*"}},
    "datum_tries": 1,
    "transform": {
        "cmd": ["sh"],
        "stdin": [
            'echo "look at $WORD $(cat $data)" >&2',
            "cp $data /pfs/out/",
            "grep -q a $data || exit 7",
        ],
        "env": {"WORD": "the"},
    },
}


@pytest.fixture
def world(command, tmp_path):
    """A job of a good datum (a) and a bad one (b); runs commands, gives what they printed."""

    def run(*words: str):
        return command("trunkline", *words, cwd=tmp_path, ok=False)

    for name in ("a", "b"):
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / "one.json").write_text(json.dumps(SPEC))
    run("create", "repo", "data")
    run("put", "file", "data@master:/", "-f", "a", "-f", "b")
    run("create", "pipeline", "-f", "one.json")
    run("flush", "job", "data@master")
    return run


def _job(world) -> str:
    [job, *_] = json.loads(world("list", "job", "-o", "json").stdout)
    return f"one@{job['id']}"


def _datum(world, job: str, path: str) -> str:
    datums = json.loads(world("list", "datum", job, "-o", "json").stdout)
    [found] = [datum["id"] for datum in datums if datum["inputs"][0]["path"] == path]
    return str(found)


def test_what_failed_fails_again_with_its_exit_status(world) -> None:
    job = _job(world)
    failed = world(
        "debug", "datum", job, _datum(world, job, "b"), "--command", "$TRUNKLINE_DATUM_COMMAND"
    )
    good = world(
        "debug",
        "datum",
        job,
        _datum(world, job, "a"),
        "--command",
        "$TRUNKLINE_DATUM_COMMAND; ls /pfs/out",
    )

    assert failed.returncode == 7
    assert "failed: the command exited with code 7" in failed.stderr
    assert "it last printed 1 line to stderr" in failed.stderr
    assert failed.stderr.count("look at the b\n") == 2  # then, and now
    assert (good.returncode, good.stdout) == (0, "a\n")


def test_inputs_are_read_only_and_nothing_is_stored(world, home) -> None:
    job = _job(world)
    before = world("list", "commit", "-o", "json").stdout
    datum = _datum(world, job, "b")[:12]
    script = "cat $TRUNKLINE_DATUM_STDERR; ls -A /pfs/out; echo x > /pfs/out/x; echo x > $data"

    done = world("debug", "datum", job, datum, "--command", script)

    assert done.returncode != 0
    assert "Read-only file system" in done.stderr
    assert done.stdout == "look at the b\n"
    assert world("list", "commit", "-o", "json").stdout == before
    assert not list(home.rglob("debug-*"))


def test_a_skipped_datum_has_the_inputs_of_the_job_that_is_named(world, tmp_path) -> None:
    first = _job(world)
    (tmp_path / "ca").write_text("ca\n")
    world("delete", "file", "data@master:/b")
    world("put", "file", "data@master:/", "-f", "ca")
    world("flush", "job", "data@master")
    job = _job(world)

    done = world("debug", "datum", job, _datum(world, job, "a"), "--command", "cat $data; exit 3")

    assert job != first
    assert (done.returncode, done.stdout) == (3, "a\n")
    assert ": skipped" in done.stderr
    commit = json.loads(world("inspect", "commit", "data@master", "-o", "json").stdout)
    assert f"/pfs/data/a from data@{commit['id']}" in done.stderr


def test_what_can_not_be_done_is_said(world, monkeypatch) -> None:
    job = _job(world)
    nothing = world("debug", "datum", job, "b0b0")
    missing = world("debug", "datum", job, "nowhere", "--command", "true")
    monkeypatch.setenv("TRUNKLINE_ADDRESS", "http://127.0.0.1:9")
    remote = world("debug", "datum", job, "b0b0", "--command", "true")

    assert nothing.returncode == 2
    assert "--command" in nothing.stderr
    assert missing.returncode == 3
    assert "nowhere" in missing.stderr
    assert remote.returncode != 0
    assert "run it on the machine of the server" in remote.stderr


def test_code_has_its_secrets_there(world, tmp_path) -> None:
    (tmp_path / "secret.json").write_text(
        json.dumps(
            {
                "kind": "Secret",
                "apiVersion": "v1",
                "metadata": {"name": "door"},
                "stringData": {"key": "sesame"},
            }
        )
    )
    uses = [{"name": "door", "key": "key", "env_var": "DOOR"}]
    transform = {**SPEC["transform"], "secrets": uses}
    (tmp_path / "one.json").write_text(json.dumps({**SPEC, "transform": transform}))
    made = world("create", "secret", "-f", "secret.json")
    world("update", "pipeline", "-f", "one.json", "--reprocess")
    world("flush", "job", "data@master")
    job = _job(world)

    done = world("debug", "datum", job, _datum(world, job, "a"), "--command", 'echo "$DOOR"')

    assert made.returncode == 0, made.stderr
    assert (done.returncode, done.stdout) == (0, "sesame\n"), done.stderr
