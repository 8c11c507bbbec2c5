"""Where `get file` writes, and what it leaves behind when it fails."""

import tempfile
from pathlib import Path

import pytest

from trunkline.errors import Corrupt, FileNotFoundInCommit

MEMORY = Path("/dev/shm")


def test_content_goes_to_standard_output_as_it_is(cli, stub):
    stub.answers.content = b"\x00\r\n tail"

    result = cli("get", "file", "training@master:/iris.csv")

    assert result.out.encode() == b"\x00\r\n tail"
    assert stub.called("read_file") == (
        ("training", "master", "/iris.csv"),
        {"offset_bytes": 0, "size_bytes": None},
    )


def test_content_goes_to_a_file(cli, stub, tmp_path):
    target = tmp_path / "out.csv"
    target.write_text("old")

    result = cli("get-file", "training", "master", "iris.csv", "-o", str(target))

    assert (result.status, result.out) == (0, "")
    assert target.read_bytes() == stub.answers.content
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_directory_as_output_takes_the_files_own_name(cli, stub, tmp_path):
    cli("get", "file", "training@master:/dir/iris.csv", "-o", str(tmp_path))

    assert (tmp_path / "iris.csv").read_bytes() == stub.answers.content


def test_a_link_as_output_stays_and_the_file_behind_it_is_written(cli, stub, tmp_path):
    target, link = tmp_path / "out.csv", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to("out.csv")

    assert cli("get", "file", "training@master:/iris.csv", "-o", str(link)).status == 0

    assert link.is_symlink()
    assert target.read_bytes() == stub.answers.content
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "out.csv"]


def test_what_another_has_open_is_written_to(cli, stub, tmp_path):
    """As `/dev/stdout` is, when a shell has sent it to a file."""
    target, link = tmp_path / "out.csv", tmp_path / "link"
    with target.open("wb") as opened:
        link.symlink_to(f"/proc/self/fd/{opened.fileno()}")
        number = target.stat().st_ino

        assert cli("get", "file", "training@master:/iris.csv", "-o", str(link)).status == 0

    assert link.is_symlink()
    assert target.read_bytes() == stub.answers.content
    assert target.stat().st_ino == number


def test_a_file_in_memory_is_a_file(cli, stub, tmp_path):
    """It may be below /dev, where descriptors have names."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as place:
        target = Path(place) / "out.csv"
        target.write_text("old")
        stub.failures["read_file"] = Corrupt("chunk 12", "ab", "cd")

        assert cli("get", "file", "training@master:/iris.csv", "-o", str(target)).status != 0

        assert target.read_text() == "old"


def test_a_failed_get_leaves_the_old_file(cli, stub, tmp_path):
    target = tmp_path / "out.csv"
    target.write_text("old")
    stub.failures["read_file"] = Corrupt("chunk 12", "ab", "cd")

    result = cli("get", "file", "training@master:/iris.csv", "-o", str(target))

    assert result.status == 7
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_tree_is_written_below_a_directory(cli, stub, tmp_path, make_file):
    stub.answers.files = [make_file("dir/a.csv"), make_file("dir/deep/b.csv")]
    stub.answers.top = make_file("dir", directory=True)

    result = cli("get", "file", "training@master:/dir", "-r", "-o", str(tmp_path / "new" / "out"))

    written = sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()
    )
    assert result.status == 0
    assert written == ["new/out/a.csv", "new/out/deep/b.csv"]


def test_all_files_of_a_tree_are_read_from_one_commit(cli, stub, tmp_path, make_file):
    stub.answers.files = [make_file("a.csv"), make_file("b.csv")]
    stub.answers.top = make_file("", directory=True)

    cli("get", "file", "training@master", "-r", "-o", str(tmp_path))

    commits = {args[1] for args, _ in stub.all_called("read_tree")}
    assert commits == {stub.answers.top.commit}


def test_a_link_in_the_way_does_not_lead_out(cli, stub, tmp_path, make_file):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dir").symlink_to(outside)
    stub.answers.files = [make_file("dir/a.csv")]
    stub.answers.top = make_file("", directory=True)

    result = cli("get", "file", "training@master", "-r", "-o", str(tmp_path / "out"))

    assert result.status == 4
    assert "'dir'" in result.err
    assert list(outside.iterdir()) == []


def test_a_tree_that_could_not_be_got_leaves_nothing_behind(cli, stub, tmp_path):
    stub.failures["read_tree"] = Corrupt("chunk 12", "ab", "cd")

    result = cli("get", "file", "training@master", "-r", "-o", str(tmp_path / "new"))

    assert result.status == 7
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_a_file_is_asked_for_as_such(cli, stub, tmp_path):
    result = cli("get", "file", "training@master:/a", "--offset", "7", "--size", "3")

    assert result.status == 0
    assert stub.called("read_file")[1] == {"offset_bytes": 7, "size_bytes": 3}


@pytest.mark.parametrize("words", [("-r", "-o", "-"), ("-r", "--tar"), ("--tar",)])
def test_a_tree_goes_to_standard_output_as_an_archive(cli, stub, words):
    result = cli("get", "file", "training@master:/dir", *words)

    assert result.out == "an archive"
    assert stub.called("read_tar") == (("training", "master", "/dir"), {})


def test_an_archive_goes_to_a_file(cli, stub, tmp_path):
    cli("get", "file", "training@master:/dir", "--tar", "-o", str(tmp_path / "dir.tar"))

    assert (tmp_path / "dir.tar").read_bytes() == b"an archive"


def test_the_names_alone_are_listed(cli, stub):
    assert cli("list", "file", "training@master", "-r", "--name-only").out == "a\nb/c\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("get-file training master dir -r", "an output path needs to be specified"),
        ("get file training@master", "does not name a file"),
        ("get file training@master:/", "does not name a file"),
        ("get file training@master:/x --offset -1", "can't be negative"),
        ("get file training@master:/x -r --size 1", "without -r"),
        ("get file training:/x", "does not say which branch"),
    ],
)
def test_a_get_without_a_place_is_bad_usage(cli, stub, words, sentence):
    result = cli(*words.split())

    assert result.status == 2
    assert sentence in result.err
    assert stub.calls == []


def test_a_missing_file_is_exit_status_3_and_prints_nothing(cli, stub):
    stub.failures["read_file"] = FileNotFoundInCommit("training", "master", "x")

    result = cli("get", "file", "training@master:/x")

    assert (result.status, result.out) == (3, "")
    assert result.err == "error: there is no file 'x' in training@master\n"
