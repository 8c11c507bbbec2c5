"""What `put file` sends, where each source goes, and what it refuses before anything is sent."""

import os

import pytest

from trunkline.api.changes import PutFile, PutLocal, Split, Unpack
from trunkline.errors import LocalPathDiffers


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A working directory with data/iris.csv, data/more/a.csv and data/more/deep/b.csv."""
    deep = tmp_path / "data" / "more" / "deep"
    deep.mkdir(parents=True)
    (tmp_path / "data" / "iris.csv").write_bytes(b"5.1,3.5\n")
    (tmp_path / "data" / "more" / "a.csv").write_bytes(b"a\n")
    (deep / "b.csv").write_bytes(b"b\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sent(stub):
    """The paths of the one put, in order."""
    (_, _, changes), _ = stub.called("modify_files")
    return [change.path for change in changes]


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        ("put-file r master x.csv -f data/iris.csv", ["x.csv"]),
        ("put-file r master -f data/iris.csv", ["data/iris.csv"]),
        ("put-file r master dir/x.csv -f data/iris.csv", ["dir/x.csv"]),
        ("put-file r m p -r -f ./data/iris.csv -f data", ["p/data/iris.csv", "p/data"]),
        ("put-file r master -r -f data/more", ["data/more"]),
        ("put-file r master p -r -f data/more", ["p"]),
        ("put-file r master / -r -f data/more/", [""]),
        ("put-file r master -r -f .", [""]),
        ("put file r@master -f data/iris.csv", ["iris.csv"]),
        ("put file r@master:/x.csv -f data/iris.csv", ["x.csv"]),
        ("put file r@master:/dir/ -f data/iris.csv", ["dir/iris.csv"]),
        ("put file r@master:/ -f data/iris.csv", ["iris.csv"]),
        ("put file r@master:/p -f data/iris.csv -f data/more/a.csv", ["p/iris.csv", "p/a.csv"]),
        ("put file r@master --full-path -f data/iris.csv", ["data/iris.csv"]),
        ("put file r@master -r -f data/more/..", ["data"]),
        ("put file r@master:/p -r -f data/more", ["p"]),
    ],
)  # fmt: skip
def test_a_source_is_stored_where_it_belongs(cli, stub, data, words, paths):
    result = cli(*words.split())

    assert (result.status, result.out, result.err) == (0, "", "")
    assert sent(stub) == paths


def test_many_sources_are_one_commit(cli, stub, data):
    cli("put", "file", "r@master", "-f", "data/iris.csv", "-f", "data/more/a.csv", "-m", "both")

    args, given = stub.called("modify_files")

    assert args[:2] == ("r", "master")
    assert given["description"] == "both"
    assert given["if_changed"] is False


def test_mirroring_is_for_directories_and_makes_no_commit_for_nothing(cli, stub, data):
    refused = cli("put", "file", "r@master", "--delete", "-f", "data/iris.csv")
    cli("put", "file", "r@master:/x", "-r", "--delete", "-f", "data/more")

    (_, _, changes), given = stub.called("modify_files")

    assert refused.status != 0
    assert "directories only" in refused.err
    assert [change.mirror for change in changes] == [True]
    assert given["if_changed"] is True


@pytest.mark.parametrize(
    ("words", "unpack", "split"),
    [
        ("put file r@m:/d --extract", Unpack(format="auto"), None),
        ("put file r@m:/d --untar", Unpack(format="tar"), None),
        ("put file r@m:/d --unzip", Unpack(format="zip"), None),
        ("put file r@m:/d --untar --links skip", Unpack(format="tar", links="skip"), None),
        ("put file r@m:/d --extract --links follow", Unpack(links="follow"), None),
        ("put file r@m:/d --split line", None, Split(by="line")),
        ("put-file r m d --split=none", None, None),
        (
            "put-file r m d --split csv --target-file-datums 9 --target-file-bytes 99 "
            "--header-records 1",
            None,
            Split(by="csv", file_records=9, file_bytes=99, header_records=1),
        ),
    ],
)
def test_what_a_content_is_goes_with_it(cli, stub, data, words, unpack, split):
    for local, source in ((True, "data/iris.csv"), (False, "data/iris.csv"), (True, "-")):
        cli.local = local
        cli(*words.split(), "-f", source, stdin=b"x")

    found = [args[2][0] for args, _ in stub.all_called("modify_files")]
    assert [type(change) for change in found] == [PutLocal, PutFile, PutFile]
    assert {(change.path, change.unpack, change.split) for change in found} == {
        ("d", unpack, split)
    }


def test_what_is_behind_links_is_sent_and_links_that_are_left_out_are_not(cli, stub, data):
    (data / "data" / "link").symlink_to("iris.csv")
    for links in ("skip", "follow", "refuse", "inside"):
        cli("put", "file", "r@m:/", "-r", "-f", "data", "--links", links)
    cli.local = False
    cli("put", "file", "r@m:/", "-r", "-f", "data", "--links", "skip")

    found = [args[2] for args, _ in stub.all_called("modify_files")]
    handed = [changes[0].links for changes in found if isinstance(changes[0], PutLocal)]
    sent = [[change.path for change in changes] for changes in found if len(changes) > 1]
    assert handed == ["skip", "refuse", "inside"]
    assert ["link" in paths for paths in sent] == [True, False]


def test_all_archives_of_one_command_go_to_one_place(cli, stub, data):
    cli("put", "file", "r@m", "--extract", "-f", "data/iris.csv", "-f", "data/more/a.csv")
    cli("put", "file", "r@m:/x/", "--extract", "-f", "data/iris.csv", "-f", "data/more/a.csv")
    cli("put", "file", "r@m", "--extract", stdin=b"x")

    paths = [[change.path for change in args[2]] for args, _ in stub.all_called("modify_files")]
    assert paths == [["", ""], ["x", "x"], [""]]


def test_a_local_server_is_told_where_a_file_is(cli, stub, data):
    cli("put", "file", "r@master", "-f", "data/iris.csv")

    (_, _, changes), _ = stub.called("modify_files")

    about = os.stat(data / "data" / "iris.csv")
    assert changes == [
        PutLocal(
            path="iris.csv",
            source=str(data / "data" / "iris.csv"),
            device=about.st_dev,
            inode=about.st_ino,
        )
    ]


def test_a_remote_server_is_sent_the_bytes(cli, stub, data):
    cli.local = False

    cli("put", "file", "r@master:/p", "-r", "-f", "data")

    (_, _, changes), _ = stub.called("modify_files")
    assert changes == [
        PutFile(path="p/iris.csv", content=[b"5.1,3.5\n"]),
        PutFile(path="p/more/a.csv", content=[b"a\n"]),
        PutFile(path="p/more/deep/b.csv", content=[b"b\n"]),
    ]


def test_bytes_are_sent_when_the_server_sees_another_file(cli, stub, data):
    stub.failures["modify_files"] = LocalPathDiffers("data/iris.csv")

    result = cli("put", "file", "r@master", "-f", "data/iris.csv")

    tried = [args[2][0] for args, _ in stub.all_called("modify_files")]
    assert [type(change) for change in tried] == [PutLocal, PutFile]
    assert tried[1].content == [b"5.1,3.5\n"]
    assert result.status == 5  # the stub refuses the second one too


def test_standard_input_is_read_when_nothing_is_named(cli, stub):
    result = cli("put", "file", "r@master:/x", stdin=b"typed\n")

    assert result.err == "Reading from stdin.\n"
    assert result.out == ""
    assert stub.called("modify_files")[0][2] == [PutFile(path="x", content=[b"typed\n"])]


def test_what_must_be_read_here_makes_all_of_them_travel(cli, stub, data):
    cli("put", "file", "r@master:/p", "-f", "data/iris.csv", "-f", "data/more/a.csv", stdin=b"x")
    cli("put", "file", "r@m:/p/", "-f", "data/iris.csv", "-f", "/proc/self/limits")

    kinds = [[type(c) for c in args[2]] for args, _ in stub.all_called("modify_files")]

    assert kinds == [[PutLocal, PutLocal], [PutFile, PutFile]]


def test_a_pipe_is_read_and_sent(cli, stub, data):
    read, write = os.pipe()
    os.write(write, b"from a pipe")
    os.close(write)

    result = cli("put", "file", "r@master:/x", "-f", f"/dev/fd/{read}")
    os.close(read)

    assert result.status == 0
    assert stub.called("modify_files")[0][2] == [PutFile(path="x", content=[b"from a pipe"])]


def test_what_the_kernel_makes_up_is_read_here(cli, stub):
    cli("put", "file", "r@master:/limits", "-f", "/proc/self/limits")

    ((change,), _) = stub.called("modify_files")[0][2], None

    assert isinstance(change, PutFile)
    assert b"Max open files" in change.content[0]


def test_an_input_file_lists_sources(cli, stub, data):
    (data / "list").write_text("data/iris.csv\n\n  data/more/a.csv  \ndata/more/deep/b.csv\n")

    cli("put", "file", "r@master:/p", "-i", "list")

    assert sent(stub) == ["p/iris.csv", "p/a.csv", "p/b.csv"]


def test_an_input_file_may_come_from_standard_input(cli, stub, data):
    result = cli("put-file", "r", "master", "-i", "-", stdin=b"data/iris.csv\n")

    assert result.err == "Reading from stdin.\n"
    assert sent(stub) == ["data/iris.csv"]


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("put file r@master -f data/none.csv", 3, "there is no file or directory 'data/none.csv'"),
        ("put file r@master -f data", 2, "'data' is a directory; add -r"),
        ("put file r@master -f -", 2, "no filename specified"),
        ("put file r@master", 2, "no filename specified"),
        ("put file r -f data/iris.csv", 2, "does not say which branch"),
        ("put file r@master:/a/../b -f data/iris.csv", 2, "is not a file path"),
        ("put-file r master -f ../x", 3, "there is no file or directory '../x'"),
        ("put file r@m -f data/iris.csv -f ./data/iris.csv", 2, "multiple files put with"),
        ("put file r@master:/x -f data/iris.csv --split rows", 2, "'rows' is not one of"),
        ("put file r@master:/x -f data/iris.csv --split csv --untar", 2, "use one of --extract"),
        ("put file r@master:/x -f data/iris.csv --header-records 1", 2, "need --split"),
        ("put file r@master:/x -f data/iris.csv --links skip", 2, "--links is for archives"),
        ("put file r@master:/x -r -f data --links all", 2, "'all' is not one of"),
        ("put file r@master:/x -f data/iris.csv --untar --links inside", 2, "is for directories"),
        ("put file r@master:/x -f data/iris.csv --untar --links all", 2, "'all' is not one of"),
        ("put file r@m:/x -f data/iris.csv --split json --header-records 1", 2, "no header"),
        ("put file r@m:/x -f data/iris.csv --split csv --target-file-bytes -1", 2, "negative"),
        ("put file r@master -i data/none", 3, "there is no file or directory 'data/none'"),
        ("put file r@master -i data/empty", 2, "names no file"),
    ],
)  # fmt: skip
def test_what_can_not_be_put_is_refused_before_anything_is_sent(
    cli, stub, data, words, status, sentence
):
    (data / "data" / "empty").touch()

    result = cli(*words.split())

    assert (result.status, result.out) == (status, "")
    assert result.err.splitlines()[0].startswith("error: ")
    assert sentence in result.err
    assert stub.calls == []


def test_a_path_with_nul_or_of_5_kib_is_refused_before_anything_is_sent(cli, stub, data):
    results = [
        cli("put", "file", "r@master:/a\0b", "-f", "data/iris.csv"),
        cli("put", "file", "r@master:/" + "a" * 5000, "-f", "data/iris.csv"),
        cli("put", "file", "r@master:/x", "-f", "a\0b"),
    ]

    assert [result.status for result in results] == [2, 2, 1]
    assert stub.calls == []


def test_a_link_to_a_directory_inside_a_tree_is_refused(cli, stub, data):
    cli.local = False
    (data / "data" / "loop").symlink_to(data / "data")

    result = cli("put", "file", "r@master:/p", "-r", "-f", "data")

    assert result.status == 2
    assert "data/loop is a symbolic link to a directory" in result.err
