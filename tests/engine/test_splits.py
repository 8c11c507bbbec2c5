"""Contents that are put as many files: replacing, appending, and two appending at once."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.api.changes import PutFile, Split
from trunkline.errors import InvalidInput, PathConflict

LINES = Split(by="line")


def put(driver, data, path="log", *, split=LINES, append=False, commit="master"):
    size = max(1, len(data) // 7)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    change = PutFile(path=path, content=pieces, append=append, split=split)
    return driver.engine.files.modify_files("data", commit, [change])


def name(number, directory="log"):
    return f"{directory}/{number:016x}"


@pytest.fixture
def data(engine):
    engine.engine.repos.create_repo("data")
    return engine


def test_each_record_is_a_file_by_number(data):
    put(data, b"a\nb\nc")

    assert data.tree("data") == {name(0): "a\n", name(1): "b\n", name(2): "c"}


def test_the_root_can_be_split_into(data):
    put(data, b"a\nb\n", "/")

    assert list(data.tree("data")) == ["0" * 16, "0" * 15 + "1"]


def test_a_new_split_replaces_all_of_the_old_one(data):
    put(data, b"a\nb\nc\n")
    put(data, b"d\n")

    assert data.tree("data") == {name(0): "d\n"}


def test_a_split_replaces_a_file_of_its_name(data):
    data.put("data", {"log": "whole"})
    put(data, b"d\n")

    assert data.tree("data") == {name(0): "d\n"}


def test_an_appended_split_continues_the_numbers(data):
    for n in range(20):
        put(data, b"line %d\n" % n, append=True)

    assert data.tree("data") == {name(n): f"line {n}\n" for n in range(20)}


def test_an_appended_split_goes_on_behind_the_last_number_even_if_some_are_gone(data):
    put(data, b"a\nb\nc\n")
    data.delete("data", name(0), name(1))
    put(data, b"d\n", append=True)

    assert data.tree("data") == {name(2): "c\n", name(3): "d\n"}


def test_appending_to_a_directory_with_other_files_is_refused(data):
    data.put("data", {"log/readme": "x"})
    head = data.head("data")

    with pytest.raises(InvalidInput, match="'log' holds 'readme', which is not of a split"):
        put(data, b"a\n", append=True)
    with pytest.raises(PathConflict):
        put(data, b"a\n", "log/readme", append=True)

    assert data.head("data") == head


def test_several_contents_appended_to_one_directory_follow_one_another(data):
    changes = [
        PutFile(path="log", content=[text], append=True, split=LINES)
        for text in (b"a\nb\n", b"c\n", b"d\ne")
    ]
    data.engine.files.modify_files("data", "master", changes)

    assert list(data.tree("data").values()) == ["a\n", "b\n", "c\n", "d\n", "e"]


def test_splits_go_into_an_open_commit(data):
    put(data, b"a\n")
    commit = data.engine.commits.start_commit("data", branch="master")
    put(data, b"b\n", append=True)
    put(data, b"c\n", append=True, commit=commit.id)
    data.engine.commits.finish_commit("data", commit.id)

    assert list(data.tree("data").values()) == ["a\n", "b\n", "c\n"]


@pytest.mark.parametrize("opened", [False, True])
def test_of_many_who_append_at_once_nobody_overwrites_anybody(data, opened):
    if opened:
        data.engine.commits.start_commit("data", branch="master")
    texts = [[f"{who}-{n}\n" for n in range(5)] for who in range(8)]

    def append(lines):
        for at in range(0, 5, 2):
            put(data, "".join(lines[at : at + 2]).encode(), append=True)

    threads = [threading.Thread(target=append, args=[lines]) for lines in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    tree = data.tree("data")
    assert list(tree) == [name(n) for n in range(40)]
    assert sorted(tree.values()) == sorted(line for lines in texts for line in lines)


def test_a_put_that_was_overtaken_gets_the_numbers_behind_the_others(data):
    def slow():
        yield b"mine\n"
        put(data, b"first\n", append=True)
        yield b"mine too\n"

    change = PutFile(path="log", content=slow(), append=True, split=LINES)
    data.engine.files.modify_files("data", "master", [change])

    assert list(data.tree("data").values()) == ["first\n", "mine\n", "mine too\n"]


@pytest.mark.parametrize(
    ("text", "split", "sentence"),
    [
        (b'a\nb,"c\n', Split(by="csv"), "inside a quoted field of row 2"),
        (b'{"a":1}{', Split(by="json"), "breaks off inside of value 2"),
    ],
)
def test_a_bad_record_changes_nothing(data, text, split, sentence):
    put(data, b"a\n")

    with pytest.raises(InvalidInput, match=sentence):
        put(data, text, split=split)

    assert data.tree("data") == {name(0): "a\n"}


def test_too_many_files_are_refused_with_what_to_do(open_engine):
    driver = open_engine(TRUNKLINE_ARCHIVE_ENTRIES_MAX="5")
    driver.engine.repos.create_repo("data")

    put(driver, b"\n" * 5)
    with pytest.raises(InvalidInput, match="makes more than 5 files; give --target-file-datums"):
        put(driver, b"\n" * 6)


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\1", b"\n")), max_size=4))
def test_appended_files_joined_are_all_that_was_put(data_of_all, texts):
    driver, branch = data_of_all
    branch = f"b{next(branch)}"
    for text in texts:
        put(driver, text, append=True, commit=branch)

    joined = b"".join(
        b"".join(driver.engine.files.read_file("data", branch, info.path))
        for info in driver.engine.files.list_files("data", branch, "/", recursive=True)
    ) if texts else b""  # fmt: skip
    assert joined == b"".join(texts)


@pytest.fixture(scope="module")
def data_of_all(tmp_path_factory):
    import itertools

    from trunkline.config import load
    from trunkline.engine.engine import Engine

    class Opened:
        engine = Engine(load({"HOME": "/"}, home=tmp_path_factory.mktemp("splits")))

    Opened.engine.repos.create_repo("data")
    yield Opened, itertools.count()
    Opened.engine.close()
