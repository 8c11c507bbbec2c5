"""A directory that is put again is as if it were put for the first time, and only read in part."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from tests.engine.conftest import Driver

from trunkline.api.changes import DeleteFile, FileChange, PutFile
from trunkline.api.waiting import wanted_while
from trunkline.client.local_files import put_local
from trunkline.config import load
from trunkline.engine import intakes
from trunkline.engine.engine import Engine
from trunkline.errors import NotFound, PathConflict, Unavailable
from trunkline.files import intake, listing


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    directory.mkdir()
    return directory


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are believed as soon as they are written, as if they had been so for a while."""
    monkeypatch.setattr(listing, "TICK_NS", -(10**18))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the files that are read."""
    names: list[str] = []
    read = intake.Intake._read

    def noting(self: Any, fd: int, directory: str, name: str, *rest: Any) -> None:
        names.append(f"{directory}/{name}" if directory else name)
        read(self, fd, directory, name, *rest)

    monkeypatch.setattr(intake.Intake, "_read", noting)
    return names


def put(
    engine: Driver, source: Path, target: str = "/", *, mirror: bool = False, **more: Any
) -> Any:
    change = put_local(target, source, mirror=mirror)
    return engine.engine.files.modify_files("data", "master", [change], **more)


def write(source: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.usefixtures("settled")
def test_only_what_has_changed_is_read_again(
    engine: Driver, source: Path, reads: list[str]
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {"a": "1", "d/b": "2", "d/c": "3", "d-e": "4"})
    put(engine, source)
    reads.clear()

    put(engine, source)
    write(source, {"d/c": "changed", "d/new": "5"})
    put(engine, source)

    assert reads == ["d/c", "d/new"]
    assert engine.tree("data") == {
        "a": "1", "d/b": "2", "d/c": "changed", "d/new": "5", "d-e": "4",
    }  # fmt: skip


def test_a_file_that_changed_just_now_is_read_again(
    engine: Driver, source: Path, reads: list[str]
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {"old": "1", "young": "2"})
    os.utime(source / "old", ns=(0, 0))  # its status has changed just now all the same
    put(engine, source)
    reads.clear()

    put(engine, source)

    assert sorted(reads) == ["old", "young"]


@pytest.mark.usefixtures("settled")
def test_what_is_known_is_written_where_the_branch_has_it_not(
    engine: Driver, source: Path, reads: list[str]
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {"a": "1", "b": "2"})
    first = put(engine, source, "x")
    engine.put("data", {"x/a": "by hand"})
    engine.delete("data", "x/b")
    reads.clear()

    again = put(engine, source, "x")
    other = put(engine, source, "y")

    assert again.root == first.root
    assert reads == []
    assert engine.tree("data", other.id) == {"x/a": "1", "x/b": "2", "y/a": "1", "y/b": "2"}


@pytest.mark.usefixtures("settled")
def test_mirroring_removes_what_is_not_there_and_nothing_beside_it(
    engine: Driver, source: Path
) -> None:
    engine.engine.repos.create_repo("data")
    engine.put("data", {"x/gone": "1", "x/d/gone": "2", "x-beside": "3", "x0": "4", "w": "5"})
    write(source, {"a": "6", "e/b": "7"})

    put(engine, source, "x", mirror=True)

    assert engine.tree("data") == {
        "w": "5", "x-beside": "3", "x/a": "6", "x/e/b": "7", "x0": "4",
    }  # fmt: skip


def test_no_commit_is_made_for_nothing_if_that_is_asked_for(engine: Driver, source: Path) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {"a": "1"})
    first = put(engine, source)

    same = put(engine, source, mirror=True, if_changed=True)
    plain = put(engine, source)

    assert same.id == first.id
    assert plain.id != first.id
    assert plain.root == first.root


def test_several_sources_and_open_commits_take_directories_too(
    engine: Driver, source: Path
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {"a": "1", "d/b": "2"})
    engine.put("data", {"x/gone": "1", "y/kept": "2"})
    mirrored = put_local("x", source, mirror=True)
    files = engine.engine.files

    files.modify_files("data", "master", [mirrored, put_local("y", source)])
    commit = engine.engine.commits.start_commit("data", branch="master")
    files.modify_files("data", commit.id, [put_local("y/d", source, mirror=True)])
    engine.engine.commits.finish_commit("data", commit.id)

    assert engine.tree("data") == {
        "x/a": "1", "x/d/b": "2", "y/a": "1", "y/d/a": "1", "y/d/d/b": "2", "y/kept": "2",
    }  # fmt: skip


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("damage", ["cut", "flip", "other"])
def test_a_damaged_cache_costs_time_only(
    engine: Driver, source: Path, reads: list[str], damage: str
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {f"d{n}/f": str(n) for n in range(5)})
    first = put(engine, source)
    [cache] = (engine.home / "cache" / "sync").glob("*.stat")
    data = bytearray(cache.read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "flip":
        data[len(data) // 2] ^= 1
    else:
        data[20] ^= 1
    cache.write_bytes(data)
    reads.clear()

    again = put(engine, source)

    assert again.root == first.root
    assert reads
    assert len(reads) < 5 or damage == "other"


@pytest.mark.usefixtures("settled")
def test_what_was_read_before_a_failure_is_not_read_again(
    engine: Driver, source: Path, reads: list[str]
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {f"d{n}/f": str(n) for n in range(4)})
    os.mkfifo(source / "d2" / "pipe")
    with pytest.raises(Exception, match="named pipe"):
        put(engine, source)
    assert reads == ["d0/f", "d1/f"]
    (source / "d2" / "pipe").unlink()

    put(engine, source)

    assert reads == ["d0/f", "d1/f", "d2/f", "d3/f"]
    assert engine.tree("data") == {f"d{n}/f": str(n) for n in range(4)}


@pytest.mark.usefixtures("settled")
def test_what_was_read_before_the_process_died_is_not_read_again(
    engine: Driver, source: Path, reads: list[str]
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {f"d{n}/f": str(n) for n in range(4)})
    put(engine, source)
    [cache] = (engine.home / "cache" / "sync").glob("*.stat")
    whole = cache.read_bytes()
    cache.with_suffix(".part").write_bytes(whole[: len(whole) * 2 // 3])  # as a dead one leaves it
    cache.unlink()
    reads.clear()

    put(engine, source)

    assert reads == ["d2/f", "d3/f"]


def test_how_far_a_put_is_can_be_asked_while_it_goes_on(
    engine: Driver, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {"a": "12", "d/b": "345"})
    run = intake.Intake.run
    answers: list[Any] = []

    def asked(self: Any) -> None:
        run(self)
        answers.append(engine.engine.files.put_progress("mine"))

    monkeypatch.setattr(intake.Intake, "run", asked)
    put(engine, source, progress="mine")

    assert (answers[0].files, answers[0].size_bytes, answers[0].known_files) == (2, 5, 0)
    with pytest.raises(NotFound, match="no put is going on"):
        engine.engine.files.put_progress("mine")


def test_what_there_is_is_counted_for_whoever_asks_and_for_nobody_else(
    engine: Driver, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {"a": "12", "d/b": "345"})
    files, run = engine.engine.files, intake.Intake.run
    asks = False
    counting: list[str] = []
    totals: list[tuple[int | None, int | None]] = []
    count = intakes._count

    def noted(sources: list[str], counts: Any, done: Any) -> None:
        count(sources, counts, done)
        if not done.is_set():
            counting.append("counted")

    def asked(self: Any) -> None:
        run(self)
        if asks:
            progress = files.put_progress("mine")
            while progress.total_files is None:
                progress = files.put_progress("mine")
            totals.append((progress.total_files, progress.total_bytes))

    monkeypatch.setattr(intakes, "_count", noted)
    monkeypatch.setattr(intake.Intake, "run", asked)
    put(engine, source, progress="mine")
    assert counting == []
    asks = True
    put(engine, source, progress="mine")

    assert totals == [(2, 5)]


@pytest.mark.usefixtures("settled")
def test_putting_again_opens_directories_only_and_stores_nothing(
    engine: Driver, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {f"d{n}/e/f{m}": f"{n}{m}" for n in range(4) for m in range(5)})
    first = put(engine, source)
    appended = engine.engine._services.chunks.appended
    opened: list[str] = []
    really_open = os.open

    def noting(path: Any, *rest: Any, **more: Any) -> int:
        if more.get("dir_fd") is not None:
            opened.append(path)
        return really_open(path, *rest, **more)

    monkeypatch.setattr(os, "open", noting)
    again = put(engine, source, mirror=True)

    assert again.root == first.root
    assert sorted(opened) == sorted([*(f"d{n}" for n in range(4)), *["e"] * 4])
    # The delta of nothing: no block of rows, no range, no node.
    assert engine.engine._services.chunks.appended - appended <= 1


def test_what_waits_to_be_durable_is_bounded_where_contents_repeat(
    engine: Driver, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {f"d{n:02}/f": "the same everywhere" for n in range(50)})
    monkeypatch.setattr(intake, "_BATCH_FILES_MAX", 1)
    monkeypatch.setattr(intake, "_HELD_BYTES_MAX", 1000)
    held: list[int] = []
    save = intake._Contents._save

    def noting(self: Any) -> None:
        save(self)
        held.append(sum(len(block) for _, block in self._stored))

    monkeypatch.setattr(intake._Contents, "_save", noting)
    put(engine, source)

    assert len(held) >= 50
    assert max(held) <= 1000
    assert len(engine.tree("data")) == 50


def test_a_put_that_nobody_wants_any_more_changes_nothing(
    engine: Driver, source: Path, reads: list[str]
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {f"d{n}/f": str(n) for n in range(9)})

    with wanted_while(lambda: len(reads) < 3), pytest.raises(Unavailable):
        put(engine, source)

    assert len(reads) == 3
    with pytest.raises(NotFound):
        engine.head("data")


def test_a_head_that_moves_meanwhile_is_compared_anew(
    engine: Driver, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {"a": "1", "b": "2"})
    put(engine, source)
    run = intake.Intake.run
    others = [{"a": "other", "c": "3"}]

    def interrupted(self: Any) -> None:
        run(self)
        if others:
            engine.put("data", others.pop())

    monkeypatch.setattr(intake.Intake, "run", interrupted)
    put(engine, source)

    assert engine.tree("data") == {"a": "1", "b": "2", "c": "3"}


def test_a_file_in_the_way_of_a_directory_is_refused_or_removed(
    engine: Driver, source: Path
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {"a/b": "1", "c": "2"})
    engine.put("data", {"a": "file", "c/d": "3"})
    before = engine.tree("data")

    with pytest.raises(PathConflict):
        put(engine, source)
    assert engine.tree("data") == before
    put(engine, source, mirror=True)

    assert engine.tree("data") == {"a/b": "1", "c": "2"}


def test_a_link_is_followed_each_time_and_never_out(engine: Driver, source: Path) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {"real/one": "1", "real/two": "2"})
    os.symlink("real/one", source / "link")
    put(engine, source)
    (source / "link").unlink()
    os.symlink("real/two", source / "link")
    put(engine, source)
    assert engine.read("data", "link") == "2"

    (source / "link").unlink()
    os.symlink("/etc/passwd", source / "link")
    with pytest.raises(Exception, match="leads out"):
        put(engine, source)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_file_that_changes_while_it_is_read_is_right_the_next_time(
    engine: Driver, source: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    engine.engine.repos.create_repo("data")
    write(source, {"a": "1", "d/b": "old", "e": "2"})
    read = intake.Intake._read

    def edited(self: Any, fd: int, directory: str, name: str, *rest: Any) -> None:
        place = source / directory / name
        if name == "b" and when == "after":
            read(self, fd, directory, name, *rest)
        if name == "b":  # with the same size and the same time of its content
            status = place.stat()
            place.write_text("new")
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
        if name != "b" or when == "before":
            read(self, fd, directory, name, *rest)

    monkeypatch.setattr(intake.Intake, "_read", edited)
    put(engine, source)
    first = engine.tree("data")
    monkeypatch.setattr(intake.Intake, "_read", read)
    put(engine, source)

    assert first["d/b"] == ("old" if when == "after" else "new")
    assert engine.tree("data") == {"a": "1", "d/b": "new", "e": "2"}


NAMES = st.sampled_from(["a", "b", "a-b", "a.c", "d", "é", "a0"])
PLACES = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TEXTS = st.sampled_from(["", "1", "2", "22", "x" * 300])


class Synced(RuleBasedStateMachine):
    """Edits of a directory and of the branch, each followed by a put of the directory.

    A fresh repo gets the same branch and directory without any cache: the trees must be equal.
    """

    home: Path

    @initialize()
    def begin(self) -> None:
        self.source = self.home / "source"
        shutil.rmtree(self.source, ignore_errors=True)
        self.source.mkdir()
        self.count = getattr(type(self), "count", 0) + 1
        type(self).count = self.count
        self.driver.engine.repos.create_repo(f"r{self.count}")
        self.repo = f"r{self.count}"
        self.branch: dict[str, str] = {}

    @rule(path=PLACES, text=TEXTS)
    def write(self, path: str, text: str) -> None:
        place = self.source / path
        for above in reversed(place.relative_to(self.source).parents):
            if (self.source / above).is_file():
                (self.source / above).unlink()
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir():
            shutil.rmtree(place)
        place.write_text(text)

    @rule(path=PLACES, text=TEXTS)
    def write_with_the_old_time(self, path: str, text: str) -> None:
        place = self.source / path
        if place.is_file():
            status = place.stat()
            place.write_text((text * 300)[: status.st_size])
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))

    @rule(old=PLACES, new=PLACES)
    def rename(self, old: str, new: str) -> None:
        try:
            (self.source / old).rename(self.source / new)
        except OSError:
            pass

    @rule(old=PLACES, new=PLACES)
    def link(self, old: str, new: str) -> None:
        with contextlib.suppress(OSError):
            os.link(self.source / old, self.source / new)

    @rule(path=PLACES, mode=st.sampled_from([0o600, 0o644, 0o755]))
    def set_mode(self, path: str, mode: int) -> None:
        if (self.source / path).is_file():
            (self.source / path).chmod(mode)

    @rule(one=PLACES, other=PLACES)
    def swap(self, one: str, other: str) -> None:
        """Two files change places: each has an inode, a size and times that were there before."""
        a, b, aside = self.source / one, self.source / other, self.source / "aside"
        if a.is_file() and b.is_file():
            a.rename(aside)
            b.rename(a)
            aside.rename(b)

    @rule(path=PLACES, seconds=st.integers(-(10**9), 10**9))
    def set_time(self, path: str, seconds: int) -> None:
        if (self.source / path).exists():
            os.utime(self.source / path, (seconds, seconds))

    @rule(path=PLACES)
    def remove(self, path: str) -> None:
        place = self.source / path
        if place.is_dir():
            shutil.rmtree(place)
        elif place.exists():
            place.unlink()

    @rule(path=PLACES, text=TEXTS)
    def change_the_branch(self, path: str, text: str) -> None:
        files = self.driver.engine.files
        above = [str(p) for p in Path("t", path).parents][:-2]
        changes: list[FileChange] = [DeleteFile(path=p) for p in above]
        changes += [
            DeleteFile(path=f"t/{path}"),
            PutFile(path=f"t/{path}", content=[text.encode()]),
        ]
        files.modify_files(self.repo, "master", changes)

    @rule(mirror=st.booleans())
    def sync(self, mirror: bool) -> None:
        files = self.driver.engine.files
        try:
            before = self.driver.engine.branches.inspect_branch(self.repo, "master").head
        except Exception:
            before = None
        outcomes: list[str] = []
        for cached in (True, False):
            # Without a cache and a head to compare with: everything is read and written.
            if not cached:
                shutil.rmtree(self.driver.home / "cache" / "sync", ignore_errors=True)
            target = "master" if cached else "fresh"
            changes: list[FileChange] = [put_local("t", self.source, mirror=mirror)]
            if not cached:
                if before is not None:
                    self.driver.engine.branches.create_branch(self.repo, "fresh", head=before)
                changes.append(DeleteFile(path="none"))
            try:
                outcomes.append(files.modify_files(self.repo, target, changes).root)
            except PathConflict:
                outcomes.append("conflict")
            if not cached and (before is not None or outcomes[-1] != "conflict"):
                self.driver.engine.branches.delete_branch(self.repo, "fresh")
            elif cached:
                saved = self.driver.home / "saved"
                shutil.rmtree(saved, ignore_errors=True)
                shutil.copytree(self.driver.home / "cache" / "sync", saved)
        shutil.rmtree(self.driver.home / "cache" / "sync", ignore_errors=True)
        shutil.copytree(self.driver.home / "saved", self.driver.home / "cache" / "sync")
        assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("tick", ["settled", "honest"])
def test_a_put_with_everything_remembered_equals_a_fresh_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tick: str
) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    if tick == "settled":
        monkeypatch.setattr(listing, "TICK_NS", 20_000_000)
    engine = Engine(load({"HOME": str(tmp_path)}, home=tmp_path / "home"))
    try:

        class Here(Synced):
            home = tmp_path
            driver = Driver(engine, tmp_path / "home")

        run_state_machine_as_test(
            Here, settings=settings(max_examples=15, stateful_step_count=20, deadline=None)
        )
    finally:
        engine.close()
