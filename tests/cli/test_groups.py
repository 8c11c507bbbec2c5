"""A group and a join from the command line."""

import pytest

SPEC = """
pipeline: {name: grouped}
transform:
  cmd: [sh]
  stdin: ['ls /pfs/r > /pfs/out/$PACH_DATUM_r_GROUP_BY']
input:
  group:
    - pfs: {repo: r, glob: "/(*)-*", group_by: $1}
"""


@pytest.fixture
def run(command, tmp_path, home):
    """Runs `trunkline`, in whose repo `r` ten files have one key and one has another."""
    for name in [f"a-{n}" for n in range(10)] + ["b-0"]:
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / name).write_text(name)
    (tmp_path / "spec.yaml").write_text(SPEC)

    def trunkline(*words, status=0):
        done = command("trunkline", *words, cwd=tmp_path, ok=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    trunkline("create", "repo", "r")
    trunkline("put", "file", "r@master:/", "-r", "-f", "files")
    return trunkline


def test_a_group_is_listed_with_the_first_of_its_files_and_inspected_with_all(run):
    run("create", "pipeline", "-f", "spec.yaml")
    job = run("list", "job", "-p", "grouped").stdout.splitlines()[1].split()[1].split("/")[-1]
    run("wait", "job", f"grouped@{job}")

    assert "(Group: r:/(*)-*)" in run("list", "pipeline").stdout
    listed = run("list", "datum", f"grouped@{job}").stdout.splitlines()
    [large] = [line for line in listed if ":/a-0" in line]
    [small] = [line for line in listed if ":/b-0" in line]
    assert large.count(":/a-") == 8
    assert ", and 2 more " in large
    assert " more" not in small
    shown = run("inspect", "datum", f"grouped@{job}", large.split()[0]).stdout
    assert shown.count("/a-") == 10
    assert run("get", "file", "grouped@master:/a").stdout.split() == [f"a-{n}" for n in range(10)]


def test_a_key_that_the_glob_has_not_is_shown_in_its_line(run, tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC.replace("group_by: $1", "group_by: $2"))

    said = run("create", "pipeline", "-f", "spec.yaml", status=2).stderr

    assert "spec.yaml, line 8: '$2' asks for $2, but the glob '(*)-*' has 1 pair of round" in said
