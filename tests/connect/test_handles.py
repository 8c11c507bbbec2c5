"""The pleasant API: commits as `with` statements, files as file objects."""

import functools
import http.server
import io
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_server import MemoryServer

from trunkline.connect.connection import Connection
from trunkline.connect.content import Spool
from trunkline.errors import (
    FileNotFoundInCommit,
    InvalidInput,
    InvalidPath,
    LocalFileNotFound,
    NotFound,
    RepoNotFound,
)
from trunkline.model.jobs import JobState
from trunkline.model.versions import FileType


def tree_of(server: MemoryServer, repo: str = "r") -> dict[str, bytes]:
    return server.operations.trees[repo]["master"][-1][1]


class Table:
    """As much of a pandas DataFrame as is used."""

    read = None  # a column may have any name

    def to_csv(self, *, sep: str, index: bool) -> str:
        return f"a{sep}b\n"

    def to_json(self, *, orient: str, lines: bool) -> str:
        return "{}\n{}" if lines else "[]"

    def to_parquet(self, path: io.BytesIO, /) -> None:
        path.write(b"PAR1")


def test_a_commit_takes_everything_that_content_may_be(
    connection: Connection, server: MemoryServer, tmp_path: Path
) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "f").write_bytes(b"from disk")
    repo = connection.repo("r").create()

    with repo.commit("master", message="all of it") as commit:
        commit["bytes"] = b"\0\1"
        commit["view"] = memoryview(bytearray(b"view"))
        commit["text"] = "grün"
        commit["binary file"] = io.BytesIO(b"x" * 3_000_000)
        commit["text file"] = io.StringIO("héllo")
        commit["tree"] = tmp_path / "local"
        commit["t.csv"] = Table()
        commit["t.tsv"] = Table()
        commit["t.jsonl"] = Table()
        commit["t.json"] = Table()
        commit["t.PARQUET"] = Table()

    assert tree_of(server) == {
        "bytes": b"\0\1",
        "view": b"view",
        "text": "grün".encode(),
        "binary file": b"x" * 3_000_000,
        "text file": "héllo".encode(),
        "tree/f": b"from disk",
        "t.csv": b"a,b\n",
        "t.tsv": b"a\tb\n",
        "t.jsonl": b"{}\n{}",
        "t.json": b"[]",
        "t.PARQUET": b"PAR1",
    }
    assert commit.info.description == "all of it"


def test_a_commit_deletes_copies_and_appends(connection: Connection, server: MemoryServer) -> None:
    repo = connection.repo("r").create()
    with repo.commit() as commit:
        commit["a"] = "1"
        commit["d/x"] = "x"

    with repo.commit() as commit:
        commit.put("a", "2", append=True)
        del commit["d"]
        commit.copy("b", connection["r@master:/a"])
        commit.copy("c", "r:/a")
        commit.put_url("u", "http://example.com/", by_server=True)

    assert tree_of(server) == {
        "a": b"12",
        "b": b"1",
        "c": b"1",
        "u": b"content of http://example.com/",
    }


def test_an_exception_discards_the_commit(connection: Connection, server: MemoryServer) -> None:
    repo = connection.repo("r").create()

    def interrupted() -> None:
        with repo.commit() as commit:
            commit["a"] = "1"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()

    assert server.operations.trees == {"r": {}}


def test_content_is_taken_when_it_is_given(connection: Connection, server: MemoryServer) -> None:
    repo = connection.repo("r").create()
    changing = bytearray(b"before")

    with repo.commit() as commit, io.BytesIO(b"closed later") as file:
        commit["a"] = changing
        commit["b"] = file
        changing[:] = b"after!"

    assert tree_of(server) == {"a": b"before", "b": b"closed later"}


def test_mistakes_are_reported_on_the_line_that_makes_them(
    connection: Connection, tmp_path: Path
) -> None:
    with connection.repo("r").create().commit() as commit:
        with pytest.raises(InvalidPath):
            commit["../a"] = "1"
        with pytest.raises(LocalFileNotFound):
            commit["a"] = tmp_path / "nothing"
        with pytest.raises(InvalidInput, match="can't store a int"):
            commit["a"] = 5  # type: ignore[assignment]
        with pytest.raises(InvalidInput, match="does not say how to store a table"):
            commit["a.bin"] = Table()
        with pytest.raises(InvalidInput, match="has not been made yet"):
            _ = commit.info
    with pytest.raises(InvalidInput, match="inside a `with` statement"):
        commit["a"] = "1"


def test_a_commit_to_a_missing_repo_fails_at_the_end_of_the_with(connection: Connection) -> None:
    def commit_one() -> None:
        with connection.repo("none").commit() as commit:
            commit["a"] = "1"

    with pytest.raises(RepoNotFound, match="there is no repo 'none'"):
        commit_one()


@given(st.lists(st.binary(max_size=5_000_000), max_size=4))
def test_a_spool_gives_back_what_it_took_any_number_of_times(contents: list[bytes]) -> None:
    spool = Spool()

    taken = [spool.take("x", content) for content in contents]

    assert [b"".join(one) for one in taken] == contents
    assert [b"".join(one) for one in reversed(taken)] == contents[::-1]
    spool.close()


def test_a_repo_handle_knows_its_repo(connection: Connection) -> None:
    repo = connection.repo("r")
    missing = repo.exists()

    repo.create(description="d").create(exist_ok=True)

    assert missing is False
    assert repo.info.description == "d"
    assert list(repo.file("x").name) == ["x"]
    repo.delete()
    assert repo.exists() is False


def test_a_file_is_read_by_its_address(connection: Connection) -> None:
    with connection.repo("r").create().commit() as commit:
        commit["d/a b#?.txt"] = "grün"

    file = connection["r@master:/d/a b#?.txt"]

    assert file.read_text() == "grün"
    assert file.read_bytes() == "grün".encode()
    assert file.info.size_bytes == 5
    assert file.exists()
    assert connection["r:/d/a b#?.txt"].exists()
    assert (connection["r"] / "d" / "a b#?.txt").read_text() == "grün"
    assert [str(entry) for entry in connection["r"].list()] == ["r@master:/d"]
    assert str(file) == "r@master:/d/a b#?.txt"


def test_a_missing_file_is_a_key_error(connection: Connection) -> None:
    with connection.repo("r").create().commit() as commit:
        commit["a"] = "1"

    assert not connection["r:/b"].exists()
    with pytest.raises(KeyError):
        connection["r:/b"].read_bytes()
    with pytest.raises(FileNotFoundInCommit):
        connection["r:/b"].open()
    with pytest.raises(NotFound):
        _ = connection["none:/b"].info


def test_a_file_object_reads_ranges_of_one_commit(connection: Connection) -> None:
    content = os.urandom(3_500_000)
    repo = connection.repo("r").create()
    with repo.commit() as commit:
        commit["f"] = content

    with connection["r:/f"].open() as file:
        with repo.commit() as commit:
            commit["f"] = "another"
        head = file.read(10)
        file.seek(-5, io.SEEK_END)
        tail = file.read()
        file.seek(1_000_001)
        middle = file.read(2_000_000)
        file.seek(100)
        rest = file.read()
        past = file.seek(10_000_000)
        nothing = file.read(5)

    assert head == content[:10]
    assert tail == content[-5:]
    assert middle == content[1_000_001:3_000_001]
    assert rest == content[100:]
    assert (past, nothing) == (10_000_000, b"")


def test_lines_and_text_wrappers_work_on_a_file_object(connection: Connection) -> None:
    with connection.repo("r").create().commit() as commit:
        commit["f"] = "a\nbü\nc"

    with connection["r:/f"].open() as file, io.TextIOWrapper(file, "utf-8") as text:
        assert [line.rstrip() for line in text] == ["a", "bü", "c"]


def test_a_directory_is_not_opened(connection: Connection) -> None:
    with connection.repo("r").create().commit() as commit:
        commit["d/f"] = "1"

    with pytest.raises(InvalidInput, match="is a directory"):
        connection["r:/d"].open()


def test_a_file_with_a_long_name_is_downloaded(connection: Connection, tmp_path: Path) -> None:
    name = "数" * 82  # 246 bytes
    with connection.repo("r").create().commit() as commit:
        commit[name] = "1"

    assert connection[f"r:/{name}"].download(tmp_path / name).read_text() == "1"


def test_files_and_directories_are_downloaded(connection: Connection, tmp_path: Path) -> None:
    with connection.repo("r").create().commit() as commit:
        commit["d/f"] = "1"
        commit["d/deep/g"] = "2"
        commit["h"] = "3"

    one = connection["r:/h"].download(tmp_path / "new" / "h")
    several = connection["r:/d"].download(tmp_path / "d")
    connection["r"].download(tmp_path / "all")

    assert one.read_text() == "3"
    assert {str(p.relative_to(several)) for p in several.rglob("*") if p.is_file()} == {
        "f",
        "deep/g",
    }
    assert (tmp_path / "all" / "d" / "deep" / "g").read_text() == "2"
    assert not list(tmp_path.rglob("*.part"))


def test_a_hostile_server_cannot_write_outside_the_directory(
    server: MemoryServer, tmp_path: Path
) -> None:
    connection = Connection(server.client())
    with connection.repo("r").create().commit() as commit:
        commit["f"] = "1"
    tree_of(server)["../escaped"] = b"gotcha"
    target = tmp_path / "in" / "side"

    with pytest.raises(InvalidPath):
        connection["r"].download(target)

    assert not (tmp_path / "in" / "escaped").exists()


SPEC = {"pipeline": {"name": "p"}, "transform": {"cmd": ["true"]}}


@pytest.mark.parametrize("form", ["mapping", "text", "path", "name"])
def test_a_spec_comes_as_mapping_text_or_file(
    connection: Connection, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(SPEC))
    given_ = {"mapping": SPEC, "text": json.dumps(SPEC), "path": path, "name": str(path)}[form]

    pipeline = connection.create_pipeline(given_)

    assert pipeline.name == "p"
    assert pipeline.info.spec == SPEC


def test_the_code_of_a_spec_is_uploaded_without_what_running_it_leaves(
    connection: Connection, server: MemoryServer, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    for name in ("a.py", "lib/b.py", "lib/__pycache__/b.pyc", ".git/config", "c.pyc"):
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_text(name)
    spec = {**SPEC, "transform": {"code": "code"}}
    (tmp_path / "p.json").write_text(json.dumps(spec))

    by_spec = connection.create_pipeline(tmp_path / "p.json")
    by_argument = connection.create_pipeline(SPEC, code=code, update=True)

    for pipeline in (by_spec, by_argument):
        assert set(server.operations.file_sets[pipeline.info.code]) == {"a.py", "lib/b.py"}


def test_one_pipeline_is_created_or_none(connection: Connection, server: MemoryServer) -> None:
    with pytest.raises(InvalidInput, match="describes 2 pipelines; one is expected"):
        connection.create_pipeline(json.dumps([SPEC, SPEC]))
    with pytest.raises(LocalFileNotFound):
        connection.create_pipeline("missing.json")

    assert server.operations.created == {}


def test_a_job_is_waited_for(connection: Connection, server: MemoryServer) -> None:
    server.operations.states["p@1"] = JobState.FAILURE
    server.operations.say("hello")
    job = connection.job("p@1")

    assert job.wait(timeout_s=5).state is JobState.FAILURE
    assert job.info.pipeline == "p"
    assert [line.message for line in job.logs()] == ["hello"]


def test_a_directory_has_the_type_of_one(connection: Connection) -> None:
    with connection.repo("r").create().commit() as commit:
        commit["d/f"] = "1"

    assert connection["r:/d"].info.type is FileType.DIR


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_a_url_is_fetched_by_the_process_that_names_it(
    connection: Connection, server: MemoryServer, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_bytes(b"served")
    repo = connection.repo("r").create()
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, args=(0.05,), daemon=True).start()
        base = f"http://127.0.0.1:{web.server_address[1]}"
        with repo.commit() as commit:
            commit.put_url("here", f"{base}/a.txt")
        with pytest.raises(NotFound, match="there is nothing at"), repo.commit() as commit:
            commit.put_url("gone", f"{base}/none.txt")
        web.shutdown()

    assert tree_of(server) == {"here": b"served"}


def test_a_url_that_can_not_be_fetched_is_refused_where_it_is_named(
    connection: Connection,
) -> None:
    repo = connection.repo("r").create()

    with pytest.raises(InvalidInput, match="can't be fetched"), repo.commit() as commit:
        commit.put_url("x", "file:///etc/passwd")
