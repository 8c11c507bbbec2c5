"""Whole files that are not the right ones: no wrong bytes are served, and `fsck` says what is hit.

Packs that change names, are cut, come from another store or are gone, and an index of another time.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash_session import scratch
from engine_state import open_engine, without_workers

from trunkline.api.changes import PutFile
from trunkline.engine.engine import Engine
from trunkline.errors import Corrupt, TrunklineError

Contents = dict[tuple[str, str], bytes]


@pytest.fixture
def stored() -> Iterator[tuple[Path, Contents]]:
    """A closed store with four packs, each with its own commit and files, and what they hold."""
    with scratch() as place, without_workers():
        home = place / "home"
        contents: Contents = {}
        for number in range(4):
            engine = open_engine(home)  # each opening writes a pack of its own
            if not number:
                engine.repos.create_repo("a")
            put(engine, contents, number)
            if number == 1:
                engine._services.chunks.seal()
                shutil.copytree(home, place / "earlier")
            engine.close()
        yield home, contents


def put(engine: Engine, contents: Contents, number: int) -> None:
    files = {f"{name}{number}": f"{name} of {number}".encode() * 40 for name in ("x", "d/y")}
    changes = [PutFile(path=path, content=[data]) for path, data in files.items()]
    commit = engine.files.modify_files("a", "master", changes).id
    before = {path: data for (c, path), data in contents.items() if c == last(contents)}
    contents |= {(commit, path): data for path, data in {**before, **files}.items()}


def last(contents: Contents) -> str:
    return list(contents)[-1][0] if contents else ""


def packs(home: Path) -> list[Path]:
    return sorted(
        (home / "store" / "packs").glob("*.pack"), key=lambda path: path.stat().st_mtime_ns
    )


def swapped(home: Path) -> None:
    one, other, *_ = packs(home)
    aside = home / "aside"
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def cut(home: Path) -> None:
    pack = packs(home)[1]
    data = pack.read_bytes()
    pack.write_bytes(data[: len(data) // 3])


def emptied(home: Path) -> None:
    packs(home)[1].write_bytes(b"")


def deleted(home: Path) -> None:
    packs(home)[1].unlink()


def of_another_store(home: Path) -> None:
    with scratch() as place:
        engine = open_engine(place / "other")
        engine.repos.create_repo("b")
        engine.files.modify_files("b", "master", [PutFile(path="o", content=[b"other " * 99])])
        engine.close()
        packs(home)[1].write_bytes(packs(place / "other")[0].read_bytes())


HARM = [swapped, cut, emptied, deleted, of_another_store]


@pytest.mark.parametrize("index", ["kept", "made anew"])
@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_packs_that_are_not_the_right_ones_serve_nothing_wrong_and_fsck_names_what_is_hit(
    stored: tuple[Path, Contents], harm: Callable[[Path], None], index: str
) -> None:
    home, contents = stored
    harm(home)
    if index == "made anew":
        for path in (home / "store").glob("index.db*"):
            path.unlink()

    engine = open_engine(home)
    served, lost = read_all(engine, contents)
    hits = {hit for damage in engine.admin.fsck().damages for hit in damage.hits}
    engine.close()

    assert served.items() <= contents.items()
    assert set(served) | lost == set(contents)
    for commit, path in lost:  # a commit whose tree is damaged is named without its paths
        assert {f"a@{commit}:/{path}", f"a@{commit}"} & hits, (commit, path)
    assert lost or harm is swapped


def test_packs_that_were_swapped_are_all_there_with_a_new_index(
    stored: tuple[Path, Contents],
) -> None:
    home, contents = stored
    swapped(home)
    engine = open_engine(home)
    engine.admin.fsck(repair=True)
    engine.close()

    engine = open_engine(home)

    assert read_all(engine, contents) == (contents, set())
    engine.close()


def test_an_index_of_an_earlier_time_is_brought_up_to_date(stored: tuple[Path, Contents]) -> None:
    home, contents = stored
    for path in (home / "store").glob("index.db*"):
        path.unlink()
    for path in (home.with_name("earlier") / "store").glob("index.db*"):
        shutil.copy(path, home / "store" / path.name)

    engine = open_engine(home)

    assert read_all(engine, contents) == (contents, set())
    assert engine.admin.fsck().damages == ()
    engine.close()


def test_packs_of_an_earlier_time_below_a_later_catalog_are_told(
    stored: tuple[Path, Contents],
) -> None:
    home, contents = stored
    shutil.rmtree(home / "store")
    shutil.copytree(home.with_name("earlier") / "store", home / "store")

    engine = open_engine(home)
    served, lost = read_all(engine, contents)
    hits = {hit.partition(":")[0] for d in engine.admin.fsck().damages for hit in d.hits}
    engine.close()

    assert served.items() <= contents.items()
    assert {f"a@{commit}" for commit, _ in lost} <= hits
    assert len({commit for commit, _ in lost}) == 2


def read_all(engine: Engine, contents: Contents) -> tuple[Contents, set[tuple[str, str]]]:
    """What is read, and what is refused."""
    served: Contents = {}
    lost = set()
    for commit, path in contents:
        try:
            served[commit, path] = b"".join(engine.files.read_file("a", commit, path))
        except Corrupt:
            lost.add((commit, path))
        except TrunklineError as error:
            raise AssertionError(f"{commit}:{path}") from error
    return served, lost
