"""Checkouts: a directory holds a commit, and no change of the user is ever lost without a word."""

import errno
import fcntl
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkout_world import FIRST, Files, World, on_disk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.connect.checkout import (
    check_names_differ,
    checkout_above,
    local_changes,
    tells_names_apart,
)
from trunkline.connect.checkout_record import Record, Seen, decode, encode, read_record
from trunkline.errors import (
    CheckoutNotFound,
    CommitOpen,
    FileNotFoundInCommit,
    InUse,
    InvalidPath,
    LocalChanges,
    OperationFailed,
    TrunklineError,
)
from trunkline.model.names import CHECKOUT_RECORD, check_path

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "checkout" / "v1.bin"


def shown(directory: Path) -> set[tuple[str, str]]:
    return {(change.path, change.state.value[0]) for change in local_changes(directory)}


SECOND: Files = {**FIRST, "a": b"one", "d/new": b"n", "big2": os.urandom(3_000_000)}
del SECOND["gone/x"]


def test_a_commit_is_checked_out_whole(world: World, out: Any, tmp_path: Path) -> None:
    done = out(world.commit(FIRST), tmp_path / "not" / "there")

    assert on_disk(tmp_path / "not" / "there") == FIRST
    assert (done.written, done.deleted, done.unchanged, done.kept) == (5, 0, 0, 0)
    assert shown(tmp_path / "not" / "there") == set()


@pytest.mark.parametrize("changed", [False, True])
def test_a_copy_of_what_is_checked_out_is_cloned_from_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    first, directory = world.commit(FIRST), tmp_path / "out"
    world.out(first, directory)
    while True:  # until the record is so much younger than the file that its look is proof
        world.out(first, directory)
        record = read_record(directory)
        look = {path: look for path, _, look in record.files()}["big"]
        if record.surely(look, (directory / "big").stat()):
            break
    asked: list[str] = []

    def clone(target: int, request: int, source: int) -> int:
        if request != 0x40049409:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        asked.append(os.path.basename(os.readlink(f"/proc/self/fd/{source}")))
        return os.pwrite(target, os.pread(source, os.fstat(source).st_size, 0), 0)

    monkeypatch.setattr(fcntl, "ioctl", clone)
    if changed:
        (directory / "big").write_bytes(bytes(len(FIRST["big"])))
    done = world.out(world.commit({**FIRST, "z/copy": FIRST["big"]}), directory)

    assert (directory / "z" / "copy").read_bytes() == FIRST["big"]
    assert (done.written, done.kept) == (1, int(changed))
    assert asked == ["big"] * (not changed)


def test_another_commit_changes_what_differs_and_nothing_else(
    world: World, out: Any, tmp_path: Path
) -> None:
    out(world.commit(FIRST), tmp_path)
    inodes = {path: (tmp_path / path).stat().st_ino for path in FIRST if path != "gone/x"}

    done = out(world.commit(SECOND), tmp_path)

    assert on_disk(tmp_path) == SECOND
    assert not (tmp_path / "gone").exists()
    assert (done.written, done.deleted, done.unchanged) == (3, 1, 3)
    same = {path for path in inodes if (tmp_path / path).stat().st_ino == inodes[path]}
    assert same == {"d/b", "d/e/c", "big"}


def test_a_directory_or_file_of_a_commit_can_be_checked_out(
    world: World, out: Any, tmp_path: Path
) -> None:
    commit = world.commit(FIRST)

    out(commit, tmp_path / "dir", "d")
    out(commit, tmp_path / "file", "d/e/c")

    assert on_disk(tmp_path / "dir") == {"b": b"2", "e/c": b"3"}
    assert on_disk(tmp_path / "file") == {"c": b"3"}
    with pytest.raises(FileNotFoundInCommit):
        out(commit, tmp_path / "none", "nothing")
    assert not (tmp_path / "none").exists()


def test_an_open_commit_is_refused(world: World, out: Any, tmp_path: Path) -> None:
    commit = world.engine.commits.start_commit("data", branch="open").id

    with pytest.raises(CommitOpen, match="be checked out"):
        out(commit, tmp_path / "x")

    world.engine.commits.finish_commit("data", commit)


PATHS = st.sampled_from(["a", "b", "d", "d/x", "d/y", "d/e/z", "f/g", "é"])
CONTENTS = st.sampled_from([b"", b"1", b"2", b"long" * 100])


@st.composite
def trees(draw: st.DrawFn) -> Files:
    files: Files = {}
    for path, content in draw(st.dictionaries(PATHS, CONTENTS, max_size=6)).items():
        clash = any(p.startswith(path + "/") or path.startswith(p + "/") for p in files)
        if not clash:
            files[path] = content
    return files


def edit(directory: Path, path: str, content: bytes | None) -> None:
    """What a user does; nothing where it is impossible."""
    place = directory / path
    try:
        if content is None:
            place.unlink()
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
    except OSError:
        pass


@given(
    first=trees(),
    second=trees(),
    edits=st.lists(st.tuples(PATHS, st.one_of(st.none(), CONTENTS)), max_size=4),
    direct=st.booleans(),
)
@settings(
    max_examples=max(10, settings().max_examples // 4),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
def test_changes_of_the_user_are_kept_or_named_whatever_happens(
    world: World,
    tmp_path_factory: pytest.TempPathFactory,
    first: Files,
    second: Files,
    edits: list[tuple[str, bytes | None]],
    direct: bool,
) -> None:
    directory = tmp_path_factory.mktemp("checkout")
    world.out(world.commit(first), directory, direct=direct)
    for path, content in edits:
        edit(directory, path, content)
    before = on_disk(directory)

    changed = {
        p: before.get(p) for p in first.keys() | before.keys() if before.get(p) != first.get(p)
    }
    assert shown(directory) == {
        (p, "a" if p not in first else "d" if c is None else "m") for p, c in changed.items()
    }

    commit = world.commit(second)
    try:
        done = world.out(commit, directory, direct=direct)
    except LocalChanges as error:
        assert on_disk(directory) == before
        assert read_record(directory).commit != commit
        assert any(f"'{path}'" in str(error) for path in changed)  # noqa: PT017
    else:
        after = on_disk(directory)
        for path in after.keys() | second.keys() | before.keys():
            if path in changed and first.get(path) == second.get(path):
                assert after.get(path) == changed[path]  # it was the user's, and stays
            else:
                assert after.get(path) == second.get(path)
        assert done.kept == len([p for p in changed if p in second and first.get(p) == second[p]])
    try:
        world.out(commit, directory, direct=direct, force=True)
    except LocalChanges as error:
        assert "say --force" not in str(error)  # noqa: PT017  it stands where nothing may go
    else:
        after = on_disk(directory)
        assert {
            p: c for p, c in after.items() if p not in before or p in second or p in first
        } == second
        assert shown(directory) == {(p, "a") for p in after.keys() - second.keys()}


class Killed(BaseException):
    pass


STEPS = ("write", "pwrite", "unlink", "rmdir", "rename", "replace", "mkdir", "fsync")


def killed_at(step: int, patch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Makes this process do nothing to the disk any more from its n-th step on."""
    count = 0

    def dying(real: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count > step:
                raise Killed
            return real(*args, **options)

        return call

    for name in STEPS:
        patch.setattr(os, name, dying(getattr(os, name)))
    return lambda: count


@pytest.mark.parametrize("direct", [True, False])
def test_an_interrupted_checkout_is_completed_by_repeating_it(
    world: World, tmp_path: Path, direct: bool
) -> None:
    first = {**FIRST, **{f"many/{n}": b"%d" % n for n in range(8)}}
    second = {**SECOND, "a": b"", "many": b"a file now", "d/b/deep": b"and a directory"}
    del second["d/b"]
    commits = world.commit(first), world.commit(second)
    for step in range(1000):
        directory = tmp_path / f"{step}"
        world.out(commits[0], directory, direct=direct)
        (directory / "mine").write_bytes(b"mine")
        with pytest.MonkeyPatch.context() as patch:
            steps = killed_at(step, patch)
            try:
                world.out(commits[1], directory, direct=direct)
                ended = True
            except (Killed, TrunklineError):
                ended = False
        if ended:
            assert steps() <= step
            break
        if step % 2:
            with (
                pytest.raises(OperationFailed, match="interrupted; repeat it")
                if not read_record(directory).complete
                else _nothing()
            ):
                list(local_changes(directory))
        target, files = [(commits[1], second), (commits[0], first)][step % 3 == 2]

        world.out(target, directory, direct=direct)

        assert on_disk(directory) == {**files, "mine": b"mine"}
        assert shown(directory) == {("mine", "a")}
        assert not [d for d, names, files in os.walk(directory) if not names and not files]
    assert step > 10


class _nothing:  # noqa: N801  a context
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def test_unchanged_files_are_not_read(
    world: World, out: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = world.commit({f"{n}": b"x" for n in range(50)})
    out(commit, tmp_path)
    later = read_record(tmp_path).written_ns + 10**9
    os.utime(tmp_path / CHECKOUT_RECORD, ns=(later, later))  # as if some time had passed
    (tmp_path / "7").write_bytes(b"y")
    opened: list[str] = []
    real = os.open

    def noting(path: Any, *args: Any, **options: Any) -> int:
        opened.append(os.path.basename(path))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", noting)

    assert shown(tmp_path) == {("7", "m")}
    assert [name for name in opened if name != CHECKOUT_RECORD] == ["7"]


def test_a_change_right_behind_a_checkout_is_seen(world: World, out: Any, tmp_path: Path) -> None:
    out(world.commit({"a": b"1", "b": b"1"}), tmp_path)
    look = (tmp_path / "a").stat()
    with open(tmp_path / "a", "r+b") as file:
        file.write(b"2")
    os.utime(tmp_path / "a", ns=(look.st_atime_ns, look.st_mtime_ns))

    assert shown(tmp_path) == {("a", "m")}


def test_a_touched_file_is_not_a_changed_one(world: World, out: Any, tmp_path: Path) -> None:
    commit = world.commit({"a": b"1", "b": b"1"})
    out(commit, tmp_path)
    os.utime(tmp_path / "a", ns=(0, 0))

    assert shown(tmp_path) == set()
    assert out(commit, tmp_path).unchanged == 2


def test_links_are_never_followed(world: World, out: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"precious")
    directory = tmp_path / "out"
    out(world.commit({"a": b"1", "d/x": b"1", "d/y": b"1"}), directory)
    (directory / "a").unlink()
    (directory / "a").symlink_to(outside / "x")
    (directory / "d" / "x").unlink()
    (directory / "d" / "y").unlink()
    (directory / "d").rmdir()
    (directory / "d").symlink_to(outside)

    assert shown(directory) == {("a", "m"), ("d", "a"), ("d/x", "d"), ("d/y", "d")}
    commit = world.commit({"a": b"2", "d/x": b"2"})
    with pytest.raises(LocalChanges, match="'a', 'd'"):
        out(commit, directory)
    out(commit, directory, force=True)

    assert on_disk(directory) == {"a": b"2", "d/x": b"2"}
    assert on_disk(outside) == {"x": b"precious"}


def test_a_directory_that_is_in_use_is_not_given_up(world: World, out: Any, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_bytes(b"mine")

    for force in (False, True):
        with pytest.raises(LocalChanges, match="'a/mine'.*: move them away$"):
            out(world.commit({"a": b"1"}), tmp_path, force=force)

    assert on_disk(tmp_path) == {"a/mine": b"mine"}


def test_files_that_are_the_same_already_are_taken_over(
    world: World, out: Any, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"1")

    done = out(world.commit({"a": b"1", "b": b"2"}), tmp_path)

    assert (done.written, done.unchanged) == (1, 1)
    assert shown(tmp_path) == set()


def test_the_name_of_the_record_is_not_for_files(world: World, out: Any, tmp_path: Path) -> None:
    for path in (CHECKOUT_RECORD, f"{CHECKOUT_RECORD}/x"):
        with pytest.raises(InvalidPath, match="keeps its record"):
            out(world.commit({path: b"1"}), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_two_checkouts_at_once_are_refused(world: World, out: Any, tmp_path: Path) -> None:
    commit = world.commit({"a": b"1"})
    out(commit, tmp_path)
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)

    with pytest.raises(InUse, match="is at work"):
        out(commit, tmp_path)
    os.close(fd)


def test_a_directory_without_a_record_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(CheckoutNotFound, match="is no checkout"):
        list(local_changes(tmp_path))
    with pytest.raises(CheckoutNotFound):
        list(local_changes(tmp_path / "nothing"))
    assert checkout_above(tmp_path) is None


def test_a_checkout_is_found_from_inside_of_it(world: World, tmp_path: Path) -> None:
    world.out(world.commit(FIRST), tmp_path / "out")

    assert checkout_above(tmp_path / "out" / "d" / "e") == tmp_path / "out"


def test_a_damaged_record_is_refused_until_it_is_moved_away(world: World, tmp_path: Path) -> None:
    commit = world.commit({"a": b"1"})
    world.out(commit, tmp_path)
    whole = (tmp_path / CHECKOUT_RECORD).read_bytes()
    (tmp_path / CHECKOUT_RECORD).write_bytes(whole[:-5])

    with pytest.raises(OperationFailed, match="is damaged; move it away"):
        list(local_changes(tmp_path))
    with pytest.raises(OperationFailed, match="is damaged; move it away"):
        world.out(commit, tmp_path)
    (tmp_path / CHECKOUT_RECORD).rename(tmp_path.parent / "damaged")
    world.out(commit, tmp_path, force=True)

    assert shown(tmp_path) == set()


RECORD = Record(repo="r", commit="c" * 32, path="d", complete=True)
RECORD.add("a", b"\1" * 32, Seen(1, 2, 3, 4))
RECORD.add("é/b", b"\2" * 32, Seen(5, 2**60, 7, 2**63))


def test_the_record_of_version_1_never_changes() -> None:
    assert encode(RECORD) == GOLDEN.read_bytes()
    assert decode(GOLDEN.read_bytes()) == RECORD


def test_a_changed_byte_of_a_record_is_noticed() -> None:
    whole = GOLDEN.read_bytes()
    for at in range(len(whole)):
        for bit in (1, 128):
            damaged = bytearray(whole)
            damaged[at] ^= bit
            try:
                assert decode(bytes(damaged)) is None
            except OperationFailed as error:
                assert "newer version" in str(error)  # noqa: PT017  one byte says so
    for end in range(len(whole)):
        assert decode(whole[:end]) is None


def test_names_that_a_file_system_takes_for_one_are_refused(tmp_path: Path) -> None:
    assert tells_names_apart(tmp_path)
    assert list(tmp_path.iterdir()) == []
    check_names_differ(["a", "b", "d/a", "e/a"])
    for paths in (["A", "a"], ["d/x", "D/y"], ["caf\u00e9", "cafe\u0301"], ["a/B/c", "a/b"]):
        with pytest.raises(InvalidPath, match="takes them for one"):
            check_names_differ([check_path(path) for path in paths])


def test_a_commit_of_many_files_and_back(world: World, out: Any, tmp_path: Path) -> None:
    randomness = random.Random(1)
    one = {f"{n % 7}/{n}": randomness.randbytes(n % 50) for n in range(1500)}
    other = {p: c if n % 10 else c + b"!" for n, (p, c) in enumerate(one.items()) if n % 100}
    commits = world.commit(one), world.commit(other)

    for commit, files in [(commits[0], one), (commits[1], other), (commits[0], one)]:
        out(commit, tmp_path)
        assert on_disk(tmp_path) == files
