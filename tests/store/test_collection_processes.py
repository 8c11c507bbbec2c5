"""Garbage is collected beside writers and a reader in processes of their own.

A writer names what it made by a line to the test, which plays the catalog, and lets go of its hold
when that has answered.
"""

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.collect import Collection

from .test_collection import Catalog, collect

ROUNDS = 40

WRITER = """
import random, sys
from pathlib import Path
from trunkline.store.chunks import ChunkStore

seed = int(sys.argv[2])
chance = random.Random(seed)
store = ChunkStore(Path(sys.argv[1]), writer=f"writer {seed}")
for number in range(int(sys.argv[3])):
    with store.hold():
        pieces = [f"content {chance.randrange(12)} ".encode() * 200 for _ in range(3)]
        ids = store.put_many(pieces)
        store.flush()
        if chance.random() < 0.2:
            store.seal()
        print(" ".join(ids), flush=True)
        assert sys.stdin.readline() == "named\\n"
    store.let_go(cached=True)
store.close()
"""


def start(directory: Path, seed: int) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", WRITER, str(directory), str(seed), str(ROUNDS)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def step(writer: Any, catalog: Catalog) -> bool:
    """Take the names of one operation of a writer; False at its end."""
    line = writer.stdout.readline()
    if not line:
        return False
    catalog.name(frozenset(ChunkId(chunk) for chunk in line.split()))
    writer.stdin.write("named\n")
    writer.stdin.flush()
    return True


@pytest.mark.slow
def test_what_any_process_named_is_there(tmp_path: Path) -> None:
    catalog, chance = Catalog(), random.Random(7)
    store, reader = ChunkStore(tmp_path), ChunkStore(tmp_path, writer="reader")
    collection: Collection = store.collection()
    writers = [start(tmp_path, seed) for seed in (1, 2)]
    given_up = removed = 0

    while writers:
        writer = chance.choice(writers)
        if not step(writer, catalog):
            assert writer.wait() == 0
            for pipe in (writer.stdin, writer.stdout):
                assert pipe is not None
                pipe.close()
            writers.remove(writer)
        while len(catalog.named) > 3:
            catalog.drop(chance.choice(sorted(catalog.named)))
        sifted, compacted = collect(collection, catalog)
        given_up += sifted.given_up.objects
        removed += compacted.packs_removed
        reader.let_go(cached=True)
        found = reader.get_many(list(catalog.live))
        assert all(data.startswith(b"content ") for data in found.values())
        assert found.keys() == catalog.live

    for _ in range(3):
        sifted, _ = collect(collection, catalog)
    assert sifted.needed.objects == len(catalog.live)
    assert (sifted.waiting.objects, sifted.condemned.objects) == (0, 0)
    assert given_up > 0
    assert removed > 0
    reader.close()
    store.close()
