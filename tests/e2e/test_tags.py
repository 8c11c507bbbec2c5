"""Tags through the real command line, in a project."""

from collections.abc import Callable
from pathlib import Path


def test_a_tag_in_a_project(command: Callable, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("apple\n")

    def trunkline(line: str, **more: object):
        return command("trunkline", *line.split(), cwd=tmp_path, **more)

    trunkline("create project vision")
    trunkline("create repo vision/data")
    trunkline("put file vision/data@master:/a -f a")
    trunkline("create tag vision/data@master v1")
    trunkline("delete file vision/data@master:/a")

    assert trunkline("get file vision/data@v1:/a").stdout == "apple\n"
    assert trunkline("list tag data --project vision").stdout.splitlines()[1].startswith("v1 ")
    clash = trunkline("create branch vision/data@v1", ok=False)
    refused = trunkline("delete commit vision/data@v1", ok=False)
    assert (clash.returncode, refused.returncode) == (4, 4)
    assert "it is tagged vision/data@v1" in refused.stderr
    deleted = trunkline("delete tag vision/data@v1")
    assert "trunkline undelete tag vision/data@v1" in deleted.stderr
    assert trunkline("inspect tag vision/data@v1", ok=False).returncode == 3
    trunkline("undelete tag vision/data@v1")
    assert trunkline("get file vision/data@v1:/a").stdout == "apple\n"
