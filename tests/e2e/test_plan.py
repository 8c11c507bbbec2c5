"""`plan`, `validate` and `--dry-run` by the real command: statuses, and nothing left behind."""

import json

import pytest

SPEC = {
    "pipeline": {"name": "one"},
    "input": {"pfs": {"repo": "data", "glob": "/*"}},
    "transform": {"cmd": ["sh"], "stdin": ["cp $data /pfs/out/"]},
}


@pytest.fixture
def world(command, tmp_path):
    """A repo of two files, a pipeline with a job done; runs commands, gives status and output."""

    def run(*words: str) -> tuple[int, str, str]:
        done = command("trunkline", *words, cwd=tmp_path, ok=False)
        return done.returncode, done.stdout, done.stderr

    for name in ("a", "b"):
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / "one.json").write_text(json.dumps(SPEC))
    run("create", "repo", "data")
    run("put", "file", "data@master:/", "-f", "a", "-f", "b")
    run("create", "pipeline", "-f", "one.json")
    assert run("flush", "job", "data@master")[0] == 0
    return run


def test_check_tells_by_its_status_whether_there_would_be_work(world, tmp_path) -> None:
    (tmp_path / "c").write_text("c\n")
    before = world("list", "commit", "-o", "json")

    none = world("plan", "--check", "put", "file", "data@master:/", "-f", "a")
    some = world("plan", "--check", "-o", "json", "put", "file", "data@master:/", "-f", "c")
    gone = world("plan", "--check", "delete", "file", "data@master:/b")
    pipeline = world("plan", "--check", "delete", "pipeline", "one")

    assert [done[0] for done in (none, some, gone, pipeline)] == [0, 10, 10, 10]
    [plan] = json.loads(some[1])
    assert [(job["pipeline"], job["new"], job["skipped"]) for job in plan["jobs"]] == [
        ("one", 1, 2)
    ]
    assert pipeline[1] == "deletes pipeline one with 1 commit\n"
    assert world("list", "commit", "-o", "json")[1] == before[1]


def test_what_can_not_be_planned_or_done_is_said(world) -> None:
    listing = world("plan", "list", "repo")
    repo = world("plan", "delete", "repo", "data")
    missing = world("plan", "put", "file", "nowhere@master:/", "-f", "a")
    real = world("put", "file", "nowhere@master:/", "-f", "a")

    assert listing[0] == 2
    assert "`list repo` can't be planned" in listing[2]
    assert repo[0] != 0
    assert "one@master is derived from it" in repo[2]
    assert missing == real


def test_validate_and_dry_run_check_all_and_change_nothing(world, tmp_path) -> None:
    behind = {**SPEC, "pipeline": {"name": "three"}}
    behind["input"] = {"pfs": {"repo": "two", "glob": "/*"}}
    (tmp_path / "more.json").write_text(
        json.dumps({**SPEC, "pipeline": {"name": "two"}}) + json.dumps(behind)
    )
    (tmp_path / "lost.json").write_text(json.dumps(behind))
    (tmp_path / "bad.json").write_text('{\n  "pipelin": {"name": "x"}\n}\n')

    valid = world("validate", "pipeline", "-f", "one.json", "-f", "more.json")
    update = world("update", "pipeline", "--dry-run", "-f", "one.json")
    create = world("create", "pipeline", "--dry-run", "-f", "one.json")
    lost = world("validate", "pipeline", "-f", "lost.json")
    bad = world("validate", "pipeline", "-f", "bad.json")

    assert valid[:2] == (0, "".join(f"pipeline '{n}' is valid\n" for n in ("one", "two", "three")))
    assert update[:2] == (0, "pipeline 'one' is valid\n")
    assert create[0] == 4
    assert (lost[0], "pipeline 'three': there is no repo 'two'" in lost[2]) == (3, True)
    assert bad[0] == 2
    assert "bad.json" in bad[2]
    assert ":2:" in bad[2] or "line 2" in bad[2]
    assert [line.split()[1] for line in world("list", "pipeline")[1].splitlines()[1:]] == ["one"]
