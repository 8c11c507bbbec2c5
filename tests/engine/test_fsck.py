"""`fsck` names what each damage hits, and `--repair` heals what can be healed."""

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trunkline.api.changes import PutFile
from trunkline.errors import Corrupt, InvalidInput

TEXT = "a line of its own that is long enough to be a chunk worth keeping\n" * 20


@pytest.fixture
def engine(open_engine: Callable[..., Any]) -> Any:
    opened = open_engine(TRUNKLINE_TRASH_S="0")
    opened.engine.repos.create_repo("data")
    return opened


def chunks_of(engine: Any) -> Any:
    store = engine.engine._services.chunks
    store.seal()
    store.let_go(cached=True)
    return store


def digest_of(engine: Any, path: str, commit: str = "master") -> str:
    return str(engine.engine.files.inspect_file("data", commit, path).digest)


def flip(engine: Any, chunk: str) -> Path:
    """Change a bit in the stored bytes of a chunk."""
    store = chunks_of(engine)
    place = store.find([bytes.fromhex(chunk)])[bytes.fromhex(chunk)]
    path = Path(engine.home / "store" / "packs" / f"{place.pack}.pack")
    data = bytearray(path.read_bytes())
    data[place.offset + 60] ^= 1
    path.write_bytes(data)
    return path


def test_a_damaged_chunk_names_every_commit_and_path_that_needs_it(engine: Any) -> None:
    first = engine.put("data", {"a/one": TEXT, "b": "other " + TEXT})
    second = engine.put("data", {"copy of one": TEXT})
    flip(engine, digest_of(engine, "a/one"))

    [damage] = engine.engine.admin.fsck().damages

    assert damage.thing == f"chunk {digest_of(engine, 'a/one')}"
    assert set(damage.hits) == {
        f"data@{first.id}:/a/one",
        f"data@{second.id}:/a/one",
        f"data@{second.id}:/copy of one",
    }
    assert damage.hits_total == 3


def test_hits_are_counted_beyond_those_that_are_listed(engine: Any) -> None:
    engine.put("data", {f"file {n}": TEXT for n in range(50)})
    flip(engine, digest_of(engine, "file 1"))

    [damage] = engine.engine.admin.fsck().damages

    assert (len(damage.hits), damage.hits_total) == (20, 50)


def test_a_damaged_manifest_names_the_commits(engine: Any) -> None:
    commit = engine.put("data", {"a": TEXT, "b": TEXT + "b"})
    flip(engine, commit.root)

    damages = engine.engine.admin.fsck().damages

    assert any(commit.root in damage.thing and damage.hits for damage in damages)
    assert any(damage.thing == f"commit data@{commit.id}" for damage in damages)


def test_what_is_lost_is_said_and_heals_when_it_is_put_again(engine: Any) -> None:
    engine.put("data", {"lost": TEXT, "whole": "whole " + TEXT})
    path = flip(engine, digest_of(engine, "lost"))

    [damage] = engine.engine.admin.fsck(repair=True).damages

    assert not damage.repaired
    assert "put the same content again" in damage.repair
    assert not path.exists()
    assert path.with_suffix(".pack.damaged").exists()
    assert engine.read("data", "whole") == "whole " + TEXT
    with pytest.raises(Corrupt):
        engine.read("data", "lost")
    engine.engine.repos.create_repo("elsewhere")
    engine.put("elsewhere", {"again": TEXT})
    assert engine.read("data", "lost") == TEXT
    assert engine.engine.admin.fsck().damages == ()


def test_another_whole_copy_is_used(engine: Any, open_engine: Callable[..., Any]) -> None:
    engine.put("data", {"twice": TEXT})
    digest = digest_of(engine, "twice")
    store = chunks_of(engine)
    with store._index.write() as tx:
        tx.execute("DELETE FROM chunk WHERE digest = :d", d=bytes.fromhex(digest))
    store.put(TEXT.encode())
    flip(engine, digest)

    [damage] = engine.engine.admin.fsck(repair=True).damages

    assert damage.repaired
    assert engine.read("data", "twice") == TEXT
    assert engine.engine.admin.fsck().damages == ()


def test_a_damaged_output_is_made_again_by_its_pipeline(engine: Any) -> None:
    engine.put("data", {"a": TEXT})
    engine.pipeline("up", "tr a-z A-Z < $data > /pfs/out/result")
    assert engine.job("up").state == "success"
    flip(engine, str(engine.engine.files.inspect_file("up", "master", "result").digest))

    [damage] = engine.engine.admin.fsck(repair=True).damages

    assert "run its pipeline again" in damage.repair
    assert damage.hits[0].startswith("up@")


@pytest.mark.parametrize("index", ["deleted", "garbage", "rows lost", "rows wrong"])
def test_the_index_is_made_anew_from_the_packs(
    engine: Any, open_engine: Callable[..., Any], index: str
) -> None:
    engine.put("data", {f"f{n}": f"{n} {TEXT}" for n in range(5)})
    engine.engine.close()
    path = engine.home / "store" / "index.db"
    if index in ("deleted", "garbage"):
        for name in ("index.db", "index.db-wal", "index.db-shm"):
            (engine.home / "store" / name).unlink(missing_ok=True)
        if index == "garbage":
            path.write_bytes(b"nothing that SQLite knows" * 999)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute(
                "DELETE FROM chunk WHERE digest > x'70'"
                if index == "rows lost"
                else "UPDATE chunk SET start_bytes = start_bytes + 1"
            )
        connection.close()

    again = open_engine()
    report = again.engine.admin.fsck(repair=True)

    assert all(damage.repaired for damage in report.damages if damage.thing.startswith("chunk"))
    assert again.tree("data") == {f"f{n}": f"{n} {TEXT}" for n in range(5)}
    assert again.engine.admin.fsck().damages == ()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("UPDATE commit_record SET line = 0", "it is on no line"),
        ("DELETE FROM run", "its run is gone"),
        ("UPDATE branch SET head = 999999", "its head is gone"),
        ("UPDATE repo SET project = 'q'", "its project is gone"),
        ("UPDATE repo SET name = 'q/' || name", "its name is not one of its project"),
        ("UPDATE commit_record SET size_bytes = size_bytes + 1", "not what was recorded"),
    ],
)
def test_broken_rules_of_the_catalog_are_told(engine: Any, change: str, sentence: str) -> None:
    engine.put("data", {"a": TEXT})
    with engine.engine._services.database.write() as tx:
        tx.execute("PRAGMA defer_foreign_keys=ON")
    with sqlite3.connect(engine.home / "catalog.db") as connection:
        connection.execute(change)
    connection.close()

    assert any(sentence in damage.problem for damage in engine.engine.admin.fsck().damages)


def test_a_share_of_the_data_is_read(engine: Any) -> None:
    engine.put("data", {"a": TEXT})
    chunks_of(engine)

    report = engine.engine.admin.fsck(read_percent=0.0001)

    assert report.bytes_read == 0
    assert report.damages == ()
    for percent in (0, 101):
        with pytest.raises(InvalidInput, match="share of the data"):
            engine.engine.admin.fsck(read_percent=percent)


def change_catalog(engine: Any, before: bytes, after: bytes) -> None:
    """Change bytes in the file of the catalog, wherever they are, and open it again."""
    engine.engine.close()
    path = engine.home / "catalog.db"
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after))


def test_a_changed_record_of_a_commit_is_not_served_and_can_be_taken_as_it_is(
    engine: Any, open_engine: Callable[..., Any]
) -> None:
    put = [PutFile(path="a", content=[b"a"])]
    commit = engine.engine.files.modify_files("data", "master", put, description="as it was")
    change_catalog(engine, b"as it was", b"as it waz")
    again = open_engine(TRUNKLINE_TRASH_S="0")

    with pytest.raises(Corrupt, match=f"commit data@{commit.id} in the catalog"):
        again.read("data", "a")
    damages = again.engine.admin.fsck().damages
    assert [(d.thing, d.hits) for d in damages if "record" in d.problem] == [
        (f"commit data@{commit.id}", (f"data@{commit.id}",))
    ]
    assert all(damage.repaired for damage in again.engine.admin.fsck(repair=True).damages)
    assert again.engine.admin.fsck().damages == ()
    assert again.read("data", "a") == "a"


def test_another_tree_in_the_record_of_a_commit_is_never_served(
    engine: Any, open_engine: Callable[..., Any]
) -> None:
    first, second = engine.put("data", {"a": "one"}), engine.put("data", {"a": "two"})
    change_catalog(engine, first.root.encode(), second.root.encode())
    again = open_engine(TRUNKLINE_TRASH_S="0")

    for _ in range(2):
        [damage] = [d for d in again.engine.admin.fsck(repair=True).damages if d.hits]
        assert (damage.thing, damage.repaired) == (f"commit data@{first.id}", False)
        assert "restore a backup" in damage.repair
        with pytest.raises(Corrupt, match=f"commit data@{first.id}"):
            again.read("data", "a", first.id)
        with pytest.raises(Corrupt, match=f"data@{first.id}"):  # or the tree it had would go
            again.engine.admin.gc(grace_s=0)
    assert again.read("data", "a", second.id) == "two"


def test_commits_made_from_each_other_by_damage_make_no_endless_round(engine: Any) -> None:
    for name in ("one", "two"):
        engine.engine.repos.create_repo(name)
    engine.put("data", {"a": "a"})
    engine.engine.branches.create_branch("one", "master", provenance=["data@master"])
    engine.engine.branches.create_branch("two", "master", provenance=["one@master"])
    with sqlite3.connect(engine.home / "catalog.db") as connection:
        last = "(SELECT MAX(derived) FROM commit_provenance)"
        connection.execute(f"UPDATE commit_provenance SET source = {last} WHERE derived <> {last}")
    connection.close()

    engine.engine.commits.inspect_commit("two", "master")
    problems = [damage.problem for damage in engine.engine.admin.fsck().damages]

    assert "it was made from a later commit" in problems


def test_a_quick_repair_tells_of_all_that_it_does_not_keep(engine: Any) -> None:
    contents = {f"f{n:02}": random.Random(n).randbytes(9000).hex() for n in range(20)}
    engine.put("data", contents)
    store = chunks_of(engine)
    place = store.find([bytes.fromhex(digest_of(engine, "f10"))])
    [place] = place.values()
    path = engine.home / "store" / "packs" / f"{place.pack}.pack"
    data = bytearray(path.read_bytes())
    start = place.offset + 4096  # in its payload, on through the header of the record behind it
    data[start : start + place.stored] = bytes(place.stored)
    path.write_bytes(data)

    quick = engine.engine.admin.fsck(repair=True, read_data=False)

    bad = [name for name in contents if not readable(engine, name, contents[name])]
    assert len(bad) == 2
    hit = {where.rpartition("/")[2] for damage in quick.damages for where in damage.hits}
    assert hit == set(bad)
    engine.put("data", {f"again {name}": contents[name] for name in bad})
    assert all(readable(engine, name, contents[name]) for name in contents)
    assert all(readable(engine, f"again {name}", contents[name]) for name in bad)
    assert engine.engine.admin.fsck().damages == ()


def readable(engine: Any, name: str, content: str) -> bool:
    try:
        return bool(engine.read("data", name) == content)
    except Corrupt:
        return False
