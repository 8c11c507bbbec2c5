"""Without a namespace, /pfs and /code are replaced where they stand as whole paths."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import NotSupported
from trunkline.runtimes.base import Command
from trunkline.runtimes.rewrite import rewritten

Place = Any  # the fixture of conftest.py


def rewrite(text: str) -> str:
    command = rewritten(Command(argv=(text,)), pfs="/S/p", code="/S/c")
    return command.argv[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/pfs", "/S/p"),
        ("/pfs/out/x.csv", "/S/p/out/x.csv"),
        ("python3 /code/run.py /pfs/in/ /pfs/out/", "python3 /S/c/run.py /S/p/in/ /S/p/out/"),
        ("cat </pfs/a>/pfs/out/b;ls '/pfs' \"/code\"", "cat </S/p/a>/S/p/out/b;ls '/S/p' \"/S/c\""),
        ("--in=/pfs/a:/code/b,/pfs", "--in=/S/p/a:/S/c/b,/S/p"),
        ("file:///pfs/a", "file:///S/p/a"),
        ("`ls /pfs/*`", "`ls /S/p/*`"),
        ("/pfs\n/code\n", "/S/p\n/S/c\n"),
        ("/pfs/code /code/pfs", "/S/p/code /S/c/pfs"),
    ],
)
def test_whole_paths_are_replaced(text: str, expected: str) -> None:
    assert rewrite(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "/pfsx",
        "/pfs-old/x",
        "/pfs.txt",
        "/pfs_1",
        "/pfs~",
        "abc/pfs",
        "abc/pfs/x",
        "./code/run.py",
        "../pfs",
        "~/code",
        "${HOME}/code",
        "$(pwd)/pfs",
        "/srv/code",
        "//pfs",
        "pfs",
        "code",
        "https://host/pfs",
        "é/pfs",
        "/pfsé",
        "/decode",
    ],
)
def test_other_words_stay(text: str) -> None:
    assert rewrite(text) == text


@given(st.text(), st.text())
def test_text_without_the_names_never_changes(before: str, after: str) -> None:
    text = (before + after).replace("/pfs", "").replace("/code", "")
    command = Command(argv=("x",), stdin=text.encode("utf-8", "surrogateescape"))

    assert rewritten(command, pfs="/S/p", code="/S/c").stdin == command.stdin


@given(st.binary())
def test_any_bytes_are_accepted_and_names_between_blanks_are_replaced(noise: bytes) -> None:
    command = Command(argv=(), stdin=noise + b" /pfs/x " + noise)

    result = rewritten(command, pfs="/S/p", code="/S/c").stdin

    assert result is not None
    assert b" /S/p/x " in result


def test_arguments_input_environment_and_directory_are_rewritten() -> None:
    command = Command(
        argv=("cat", "/pfs/in/a"),
        stdin=b"cp /pfs/in/a /pfs/out/\n",
        env={"in": "/pfs/in/a", "PYTHONPATH": "/lib:/code"},
        working_dir="/code/sub",
    )

    result = rewritten(command, pfs="/S/p", code="/S/c")

    assert result == Command(
        argv=("cat", "/S/p/in/a"),
        stdin=b"cp /S/p/in/a /S/p/out/\n",
        env={"in": "/S/p/in/a", "PYTHONPATH": "/lib:/S/c"},
        working_dir="/S/c/sub",
    )


def test_a_directory_that_looks_like_a_pattern_is_taken_as_it_is() -> None:
    command = rewritten(Command(argv=("/pfs/a",)), pfs="/S/\\1 \\g<0>", code="/S/c")

    assert command.argv == ("/S/\\1 \\g<0>/a",)


def test_a_script_on_standard_input_finds_its_files(rewrite_place: Place) -> None:
    def work(slot: Any) -> tuple[str, bytes]:
        (slot.stage(1) / "in").mkdir()
        (slot.out.parent / "in" / "file").write_text("data")
        script = b"cat $in /pfs/in/file > /pfs/out/copy; pwd\n"
        ran = rewrite_place.run(slot, "/bin/sh", stdin=script, env={"in": "/pfs/in/file"})
        return (slot.out / "copy").read_text(), ran.stdout

    copied, where = rewrite_place(work)

    assert copied == "datadata"
    assert where.decode().strip().startswith(str(rewrite_place.scratch))


def test_inputs_lose_their_write_permission(rewrite_place: Place) -> None:
    def work(slot: Any) -> list[bytes]:
        (slot.stage(1) / "in").mkdir()
        (slot.out.parent / "in" / "file").write_text("data")
        ran = rewrite_place.run(slot, "stat", "-c", "%A", "/pfs", "/pfs/in/file", "/pfs/out")
        again = slot.stage(1)
        (again / "in").write_text("the directory can be filled again")
        return [*ran.stdout.split()]

    assert rewrite_place(work) == [b"dr-xr-xr-x", b"-r--r--r--", b"drwxr-xr-x"]


def test_the_host_gets_no_pfs(rewrite_place: Place) -> None:
    before = os.listdir("/")

    rewrite_place.shell("touch /pfs/out/x /code/y 2> /dev/null; true")

    assert sorted(os.listdir("/")) == sorted(before)
    assert not Path("/pfs").exists()


def test_secrets_are_not_written_where_others_could_find_them(rewrite_place: Place) -> None:
    def work(slot: Any) -> str:
        slot.set_secrets({})
        with pytest.raises(NotSupported) as caught:
            slot.set_secrets({"/secrets/a": {"k": b"v"}})
        return str(caught.value)

    assert "use key and env_var" in rewrite_place(work)
