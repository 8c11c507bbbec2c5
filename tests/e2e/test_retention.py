"""Retention rules through the real command line."""

from collections.abc import Callable
from pathlib import Path


def test_rules_through_the_command_line(command: Callable, tmp_path: Path) -> None:
    def trunkline(line: str, **more: object):
        return command("trunkline", *line.split(), cwd=tmp_path, **more)

    trunkline("create repo data")
    for n in range(4):
        (tmp_path / "a").write_text(f"{n}\n")
        trunkline("put file data@master:/a -f a")
    trunkline("create tag data@master.1 first")
    trunkline("set retention data@master --keep-last 1 --keep-tagged")

    assert "Keeps: last 1, tagged" in trunkline("inspect branch data@master").stdout
    assert "data@master last 1, tagged" in trunkline("list retention").stdout
    dry = trunkline("apply retention data@master --dry-run")
    stays = [line.split("2B ", 1)[1].strip() for line in dry.stdout.splitlines()[1:]]
    assert stays == ["last 1, head of master", "no", "no", "tagged first"]
    assert "2 commits stay, 2 would go" in dry.stderr
    done = trunkline("apply retention data@master")
    assert "data@master: 2 commits stay, 2 went" in done.stdout
    assert "trunkline undelete commit data@" in done.stderr
    assert len(trunkline("list commit data@master").stdout.splitlines()) == 3
    assert trunkline("get file data@first:/a").stdout == "0\n"
    trunkline("delete retention data@master")

    for line, status, sentence in (
        ("set retention data@master", 2, "no rule was given"),
        ("set retention data@master --keep-last -3", 2, "--keep-last is -3"),
        ("set retention data@master --keep-within soon", 2, "not a length of time"),
        ("set retention data@nowhere --keep-last 1", 3, "no branch 'nowhere'"),
        ("apply retention data@master", 3, "no retention rules"),
        ("inspect retention data", 2, ""),
    ):
        refused = trunkline(line, ok=False)
        assert (refused.returncode, refused.stderr.count("\n")) == (status, 1), refused.stderr
        assert sentence in refused.stderr
