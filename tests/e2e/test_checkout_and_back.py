"""What was checked out and changed is put back: the files, and not the record of the checkout."""

from collections.abc import Callable
from pathlib import Path


def test_a_checked_out_directory_is_put_back(command: Callable, tmp_path: Path) -> None:
    here = {"cwd": tmp_path}
    (tmp_path / "a").write_text("apple\n")

    def trunkline(line: str):
        return command("trunkline", *line.split(), **here)

    trunkline("create repo data")
    trunkline("put file data@master:/d/a -f a")
    trunkline("checkout data@master work")
    (tmp_path / "work" / "d" / "b").write_text("pear\n")
    trunkline("put file data@master:/ -r -f work --delete")
    listed = trunkline("list file data@master -r --name-only").stdout.split()

    assert listed == ["d/a", "d/b"]
