"""Every kind of name through every way in and out: refused with a reason, or kept exactly.

The table for users is docs/reference/paths.md; each class here is a line there.
"""

import contextlib
import itertools
from pathlib import Path

import pytest
from archives import END, entry, pax

from trunkline.api.changes import CopyFile, DeleteFile, PutFile, Unpack
from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import InvalidInput, InvalidPath, PathConflict
from trunkline.model.versions import FileType

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "reference" / "paths.md"

LONGEST = "/".join(["x" * 255] * 16)  # 4095 bytes
KEPT = {
    "plain": ["a", "dir/file.csv", "b/c/d/e", "0", "_"],
    "as long as allowed": [
        "z" * 255, "é" * 127 + "x", "d/" + "y" * 255, LONGEST, "😀" * 63, "a/" * 2047 + "b",
    ],
    "leading hyphen": ["-", "-rf", "--help", "-a/-b"],
    "dots and spaces at the ends": [
        "a.", "a..", "...", "a ", " a", " ", "b /b", "c./b", ".a", "..a",
    ],
    "names of Windows": [
        "CON", "con.txt", "nul.txt", "AUX/x", "LPT1", "C:", "D:/x", "a:b", "a\\b", "..\\a", "\\",
        "\\\\server\\x", 'a"b', "a<b>", "a|b",
    ],
    "percent signs": ["%", "%2e%2e", "%2e%2e%2fa", "a%2fb", "%00", "%25", "%c0%af", "a%"],
    "wild cards and marks": [
        "*", "**", "?", "a*b", "[a]", "[", "]", "{a,b}", "{", "}", "!(a)", "@(a|b)", "(", ")", "@",
        "#", "a#b", "a?b", "a;b", "&", "$HOME", "`id`", "~", "'", "+", "^", "=", "a,b", "@:x",
    ],
    "other scripts": [
        "é", "e\u0301", "ﬁ", "a\u202eb", "a\u200bb", "\u200d", "\ufeffa", "😀", "\ufffd", "\uffff",
        "\U0010ffff", "ß", "İ", "ı", "日本語", "Ω", "\u2126", "a\u00a0b", "\u3000", "／", "．．",
    ],
    "cases": ["README", "readme"],
}  # fmt: skip
REFUSED = {
    "nothing": ["", "/", "//", "///"],
    "parent parts": [
        "..", "../a", "a/..", "a/../b", "../../etc/passwd", "a/b/../../../c", "..//a", "/..",
        "/../a",
    ],
    "dot parts": [".", "a/.", "a/./b", "/./a"],
    "empty parts": ["a//b", "a///b", "a//../b"],
    "control characters": [
        "\0", "a\0b", "a\0/../b", "a\nb", "a\rb", "a\r\nb", "a\tb", "\x1b[31ma", "a\x7fb", "a\x85b",
        "a\u2028b", "a\u2029b", "\x01", "a\x08b",
    ],
    "not UTF-8": ["a\ud800", "\udcff", "a/\udfff/b", "\ud83d"],
    "too long": [
        "x" * 256, "é" * 128, "d/" + "y" * 256, LONGEST + "/y", "a/" * 2048 + "b", "😀" * 64,
    ],
}  # fmt: skip
SLASHES = {"slashes at the ends": ["/a", "a/", "//a", "/a/b/", "a//"]}

WAYS = ["put", "list", "get", "glob", "copy-to", "copy-from", "tar", "delete"]
EACH_WAY = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    opened = Engine(load({"HOME": "/"}, home=tmp_path_factory.mktemp("names")))
    opened.repos.create_repo("r")
    yield Tree(opened)
    opened.close()


class Tree:
    """One repo; each case has a branch of its own."""

    def __init__(self, engine):
        self.files = engine.files
        self._numbers = itertools.count()

    def branch(self, *names):
        branch = f"b{next(self._numbers)}"
        self.change(branch, *[PutFile(path=name, content=[b"content"]) for name in names])
        return branch

    def change(self, branch, *changes):
        self.files.modify_files("r", branch, list(changes))

    def all(self, branch):
        return [info.path for info in self.files.list_files("r", branch, "/", recursive=True)]

    def read(self, branch, path):
        return b"".join(self.files.read_file("r", branch, path))

    def archive(self, branch, *names):
        data = b"".join(
            pax({b"path": name.encode("utf-8", "surrogatepass")}) + entry(b"x", b"content")
            for name in names
        )
        self.change(branch, PutFile(path="/", content=[data + END], unpack=Unpack()))

    def copy(self, branch, *pairs):
        self.change(
            branch,
            *[
                CopyFile(path=target, source_repo="r", source_commit=branch, source_path=source)
                for source, target in pairs
            ],
        )


def escaped(name):
    return "/" + "".join(c if c.isalnum() or c == "/" else f"\\{c}" for c in name)


def test_there_are_many_combinations():
    names = sum(map(len, [*KEPT.values(), *REFUSED.values(), *SLASHES.values()]))

    assert names * len(WAYS) >= 1000


@pytest.mark.parametrize("kind", [*KEPT, *REFUSED, *SLASHES])
def test_every_class_is_in_the_table_for_users(kind):
    assert f"| {kind} |" in DOCUMENT.read_text("utf-8")


@EACH_WAY
@pytest.mark.parametrize("kind", KEPT)
def test_names_that_are_kept_are_kept_exactly(tree, kind, way):
    names = KEPT[kind]
    files = tree.files
    branch = tree.branch("other") if way in ("tar", "copy-to") else tree.branch("other", *names)
    if way == "list":
        for name in names:
            [info] = files.list_files("r", branch, name)
            assert (info.path, info.type) == (name, FileType.FILE)
    elif way == "get":
        assert [tree.read(branch, name) for name in names] == [b"content"] * len(names)
        assert [files.inspect_file("r", branch, name).path for name in names] == names
    elif way == "glob":
        short = [name for name in names if len(escaped(name)) <= 1024]  # as patterns must be
        for name in short:
            assert [info.path for info in files.glob_files("r", branch, escaped(name))] == [name]
    elif way == "copy-to":
        tree.copy(branch, *[("other", name) for name in names])
    elif way == "copy-from":
        tree.copy(branch, *[(name, f"copied/{n}") for n, name in enumerate(names)])
        assert len(tree.all(branch)) == 1 + 2 * len(names)
        return
    elif way == "tar":
        tree.archive(branch, *names)
    elif way == "delete":
        tree.change(branch, *[DeleteFile(path=name) for name in names])
        assert tree.all(branch) == ["other"]
        return
    assert sorted(tree.all(branch)) == sorted([*names, "other"])


@EACH_WAY
@pytest.mark.parametrize("kind", REFUSED)
def test_names_that_are_refused_have_a_reason_and_change_nothing(tree, kind, way):
    branch = tree.branch("other")
    calls = {
        "put": lambda name: tree.change(branch, PutFile(path=name, content=[b"x"])),
        "list": lambda name: list(tree.files.list_files("r", branch, name)),
        "get": lambda name: tree.read(branch, name),
        "glob": lambda name: list(tree.files.glob_files("r", branch, name)),
        "copy-to": lambda name: tree.copy(branch, ("other", name)),
        "copy-from": lambda name: tree.copy(branch, (name, "copied")),
        "tar": lambda name: tree.archive(branch, name),
        "delete": lambda name: tree.change(branch, DeleteFile(path=name)),
    }
    # A glob of what is no path matches nothing; the root is a directory like others.
    lenient = way == "glob" or (kind == "nothing" and way in ("list", "copy-from", "delete"))

    for name in REFUSED[kind]:
        if lenient:
            with contextlib.suppress(InvalidInput):
                calls[way](name)
            continue
        with pytest.raises(InvalidInput) as caught:
            calls[way](name)
        assert len(str(caught.value)) < 400
        assert "\n" not in str(caught.value)

    assert lenient or tree.all(branch) == ["other"]


@EACH_WAY
@pytest.mark.parametrize("name", SLASHES["slashes at the ends"])
def test_slashes_at_the_ends_do_not_count_but_in_archives(tree, name, way):
    plain = name.strip("/")
    branch = tree.branch(name, "other") if way not in ("tar", "copy-to") else tree.branch("other")
    if way == "tar":
        with pytest.raises(InvalidInput):
            tree.archive(branch, name)
        return
    if way == "copy-to":
        tree.copy(branch, ("other", name))
    elif way == "copy-from":
        tree.copy(branch, (name, "other"))
    elif way == "delete":
        tree.change(branch, DeleteFile(path=name))
        assert tree.all(branch) == ["other"]
        return
    assert tree.all(branch) == sorted([plain, "other"])
    assert tree.read(branch, name) == b"content"
    if way == "list":
        assert [info.path for info in tree.files.list_files("r", branch, name)] == [plain]


def test_a_leading_dot_is_taken_off_in_archives_only(tree):
    branch = tree.branch("other")
    tree.archive(branch, "./a")

    assert tree.all(branch) == ["a", "other"]
    with pytest.raises(InvalidPath):
        tree.branch("./a")


def test_names_that_look_alike_are_different_names(tree):
    names = ["README", "readme", "é", "e\u0301", "Ω", "\u2126", "a", "a ", "a\u200b", "ß", "ss"]

    branch = tree.branch(*names)

    assert sorted(tree.all(branch)) == sorted(names)


def test_a_file_can_not_be_a_directory_too_whatever_the_order(tree):
    for first, second in [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a/b"), ("a-", "a-/x")]:
        with pytest.raises(PathConflict):
            tree.branch(first, second)
        branch = tree.branch(first)
        with pytest.raises(PathConflict):
            tree.change(branch, PutFile(path=second, content=[b"x"]))
        tree.change(branch, DeleteFile(path=first), PutFile(path=second, content=[b"x"]))
        assert tree.all(branch) == [second]


def test_a_path_error_shows_control_characters_as_escapes(tree):
    with pytest.raises(InvalidPath) as caught:
        tree.branch("a\x1b[31m\n")

    assert "\\x1b[31m\\n" in str(caught.value)
