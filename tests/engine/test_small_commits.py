"""What one small commit costs, counted: so that it stays as cheap as it is, on any machine."""

import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from trunkline.api.changes import PutFile
from trunkline.api.connection import Operations
from trunkline.db.sqlite import SqliteDatabase, SqliteTransaction
from trunkline.store.chunks import ChunkStore


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often what costs something was called."""
    counts: Counter[str] = Counter()

    def count(owner: object, name: str, what: Callable[..., str]) -> None:
        real = getattr(owner, name)

        def counting(*args: object, **kwargs: object) -> object:
            if threading.current_thread() is threading.main_thread():  # not what the scheduler does
                counts[what(*args)] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)

    for name in ("rows", "row", "ask", "execute", "change", "execute_many"):
        count(SqliteTransaction, name, lambda *_: "statements")
    for name in ("read", "write"):
        count(SqliteDatabase, name, lambda db, name=name: f"{name} {db._path.name}")
    count(os, "fsync", lambda *_: "fsync")
    count(os, "fdatasync", lambda *_: "fsync")
    real = ChunkStore.put_hashed

    def put_hashed(store: ChunkStore, digests: list[bytes], pieces: list[bytes]) -> None:
        before = store.appended
        real(store, digests, pieces)
        counts["chunks"] += store.appended - before

    monkeypatch.setattr(ChunkStore, "put_hashed", put_hashed)
    return counts


def put(engine: Operations, name: str, text: str, branch: str = "master") -> None:
    engine.files.modify_files("r", branch, [PutFile(path=name, content=[text.encode()])])


def cost(engine: Operations, counted: Counter[str], name: str = "/new") -> Counter[str]:
    """What the next commit costs, once nothing is read for the first time."""
    put(engine, "/again", os.urandom(8).hex())
    counted.clear()
    put(engine, name, os.urandom(8).hex())
    return Counter(counted)


@pytest.fixture
def filled(counted: Counter[str], engine: Any) -> Operations:  # an index keeps what it calls
    operations: Operations = engine.engine
    operations.repos.create_repo("r")
    for n in range(3):
        put(operations, f"/f{n}", str(n))
    return operations


def test_a_small_commit_is_one_sync_of_the_pack_and_one_transaction_of_the_catalog(
    filled: Operations, counted: Counter[str]
) -> None:
    found = cost(filled, counted)

    assert found["fsync"] == 1
    assert found["write catalog.db"] == 1
    assert found["write index.db"] == 1
    assert found["read catalog.db"] == 0  # the head is known from the last put
    assert found["read index.db"] == 1
    assert found["chunks"] <= 3  # the content, a range, the node above it
    assert found["statements"] <= 9  # six of the catalog, three of the index


def test_a_commit_costs_the_same_however_many_branches_and_commits_there_are(
    filled: Operations, counted: Counter[str]
) -> None:
    before = cost(filled, counted)
    for n in range(30):
        put(filled, "/f", str(n), branch=f"b{n}")
        put(filled, f"/g{n}", str(n))

    assert cost(filled, counted, "/newer") == before
