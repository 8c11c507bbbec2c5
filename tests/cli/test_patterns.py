"""Commands on files whose path is a pattern, through a real server."""

import io
import tarfile

import pytest

FILES = {
    "a.csv": b"a", "b.csv": b"bb", "c.txt": b"c", "logs/1.txt": b"1", "logs/2.txt": b"2",
    "logs/old/3.txt": b"3", "logs/old/4.csv": b"4", "odd1.txt": b"plain", "odd[1].txt": b"odd",
}  # fmt: skip


@pytest.fixture
def run(command, tmp_path, home):
    """Runs `trunkline`, in whose repo `r` are the files above."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (tmp_path / "files.tar").write_bytes(buffer.getvalue())

    def trunkline(*words, status=0):
        done = command("trunkline", *words, cwd=tmp_path, ok=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    trunkline("create", "repo", "r")
    trunkline("put", "file", "r@m", "--untar", "-f", "files.tar")
    return trunkline


def left(run):
    return run("list", "file", "r@m", "-r", "--name-only").stdout.split()


def without(*gone):
    return [path for path in FILES if path not in gone]


def test_files_that_match_are_deleted_in_one_commit_and_counted(run):
    done = run("delete", "file", "r@m:/*.csv", "-m", "no tables")

    assert (done.stdout, done.stderr) == ("", "2 files deleted\n")
    assert left(run) == without("a.csv", "b.csv")
    assert run("list", "commit", "r@m", "--raw").stdout.count('"no tables"') == 1


def test_a_dry_run_lists_the_files_and_deletes_none(run):
    listed = {
        "/logs/*.txt": ["/logs/1.txt", "/logs/2.txt"],
        "/logs": ["/logs/1.txt", "/logs/2.txt", "/logs/old/3.txt", "/logs/old/4.csv"],
        "/a.csv": ["/a.csv"],
        "/none": [],
        "/none*": [],
    }

    for pattern, files in listed.items():
        done = run("delete", "file", f"r@m:{pattern}", "--dry-run")
        assert done.stdout.split() == files
        count = f"{len(files)} file{'' if len(files) == 1 else 's'}"
        assert done.stderr == f"{count} would be deleted\n"
    assert left(run) == list(FILES)


def test_directories_are_deleted_by_a_pattern_only_with_r(run):
    refused = run("delete", "file", "r@m:/l*", status=2)
    assert "matches a directory ('/logs'); add -r" in refused.stderr
    assert left(run) == list(FILES)

    done = run("delete", "file", "r@m:/**o*", "-r")
    assert done.stderr == "6 files deleted\n"
    assert left(run) == ["a.csv", "b.csv", "c.txt"]


def test_a_pattern_that_matches_nothing_deletes_nothing(run):
    head = run("list", "branch", "r", "--raw").stdout

    assert run("delete", "file", "r@m:/*.none").stderr == "0 files deleted\n"
    assert run("list", "branch", "r", "--raw").stdout == head


def test_a_file_whose_name_looks_like_a_pattern_is_meant_by_it(run):
    assert run("get", "file", "r@m:/odd[1].txt").stdout == "odd"
    run("delete", "file", "r@m:/odd[1].txt")

    assert left(run) == without("odd[1].txt")
    assert run("get", "file", "r@m:/odd[1].txt").stdout == "plain"


def test_a_pattern_is_listed(run):
    names = run("list", "file", "r@m:/*o*", "--name-only").stdout.split()
    deep = run("list", "file", "r@m:/l*", "-r", "--name-only").stdout.split()
    table = run("list", "file", "r@m:/*.csv").stdout

    assert names == ["logs/", "odd1.txt", "odd[1].txt"]
    assert deep == ["logs/1.txt", "logs/2.txt", "logs/old/3.txt", "logs/old/4.csv"]
    assert "/a.csv" in table
    assert "/b.csv" in table


def test_a_pattern_is_got_into_a_directory(run, tmp_path):
    run("get", "file", "r@m:/logs/*.txt", "-o", "flat")
    run("get", "file", "r@m:/l*", "-r", "-o", "deep")
    run("get", "file", "r@m:/logs/o*", "-r", "-o", "inner")

    def tree(name):
        top = tmp_path / name
        return {str(p.relative_to(top)): p.read_text() for p in top.rglob("*") if p.is_file()}

    old = {"old/3.txt": "3", "old/4.csv": "4"}
    assert tree("flat") == {"1.txt": "1", "2.txt": "2"}
    assert tree("deep") == {f"logs/{k}": v for k, v in {"1.txt": "1", "2.txt": "2", **old}.items()}
    assert tree("inner") == old


def test_a_pattern_with_backslashes_is_got_under_the_same_paths(run, tmp_path):
    for name in ("1.csv", "11.csv", "deep/2.csv"):
        run("put", "file", f"r@n:/my nice [data]/all/{name}", "-f", "files.tar")
    run("get", "file", r"r@n:/my\ \n\i\c\e\ \[data\]/all/*.csv", "-o", "flat")
    run("get", "file", r"r@n:/my\ nice\ \[data]/**.csv", "-o", "deep")

    def names(directory):
        top = tmp_path / directory
        return sorted(str(p.relative_to(top)) for p in top.rglob("*") if p.is_file())

    assert names("flat") == ["1.csv", "11.csv"]
    assert names("deep") == ["all/1.csv", "all/11.csv", "all/deep/2.csv"]


def test_a_pattern_with_one_file_is_got_like_that_file(run, tmp_path):
    assert run("get", "file", "r@m:/c*").stdout == "c"
    run("get", "file", "r@m:/c*", "-o", "got")
    assert (tmp_path / "got").read_text() == "c"


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("get file r@m:/*.csv", 2, "matches 2 files; say with -o into which directory"),
        ("get file r@m:/*.none", 3, "matches nothing"),
        ("get file r@m:/* -o x", 2, "matches a directory ('/logs'); add -r"),
        ("get file r@m:/*.csv --offset 1 -o x", 2, "are for one path, not for a pattern"),
        ("get file r@m:/[ -o x", 2, "is not a glob pattern"),
        ("list file r@m:/{a", 2, "is not a glob pattern"),
        ("delete file r@m:/[", 2, "is not a glob pattern"),
    ],
)
def test_what_makes_no_sense_is_told(run, words, status, sentence):
    assert sentence in run(*words.split(), status=status).stderr
