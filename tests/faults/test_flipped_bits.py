"""A changed bit in any stored file: wrong bytes are never served, and a read or `fsck` finds it.

`TRUNKLINE_FLIPS` scales how many are tried, `TRUNKLINE_FLIP_SEED` which.
"""

import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crash_session import scratch
from engine_state import damages, open_engine, state, without_workers
from recorded_disk import read_directory

from trunkline.api.changes import PutFile
from trunkline.engine.engine import Engine
from trunkline.errors import Corrupt, TrunklineError
from trunkline.model.versions import BranchTrigger

SCALE = float(os.environ.get("TRUNKLINE_FLIPS", "0.9"))
BLOCK = 4096  # a page of a database
SEED = int(os.environ.get("TRUNKLINE_FLIP_SEED", "1"))


@pytest.fixture(scope="module")
def stored() -> Iterator[tuple[Path, dict[str, Any]]]:
    """A closed data directory with some history, and what is to be seen in it."""
    with scratch() as place, without_workers():
        home = place / "home"
        engine = open_engine(home)
        engine.repos.create_repo("a", description="described")
        for content in (b"one", b"two " * 100, os.urandom(700)):
            changes = [PutFile(path=p, content=[content, p.encode()]) for p in ("x", "d/y")]
            engine.files.modify_files("a", "master", changes)
        engine.branches.create_branch("a", "dev", head="master^")
        engine.repos.create_repo("b")
        engine.branches.create_branch("b", "out", provenance=["a@master"])
        engine.commits.start_commit("a", branch="open")
        engine.files.modify_files("a", "open", [PutFile(path="z", content=[b"z"])])
        one_row_of_each_kind(engine)
        engine.close()
        engine = open_engine(home)
        expected = state(engine, names=False)
        engine.close()
        expected["rows"] = rows_of(home)
        yield home, expected


def one_row_of_each_kind(engine: Engine) -> None:
    """Tags, triggers, the trash, a transaction, a file set, projects, a pipeline."""
    engine.projects.create_project("p", description="of others")
    engine.tags.create_tag("a", "v1", commit="master^")
    engine.branches.create_branch(
        "a", "daily", trigger=BranchTrigger(source="master", cron="0 0 1 1 *", commits=100)
    )
    engine.repos.create_repo("p/gone", description="deleted")
    engine.files.modify_files("p/gone", "master", [PutFile(path="g", content=[b"gone"])])
    engine.files.modify_files("p/gone", "master", [PutFile(path="g", content=[b"again"])])
    engine.commits.delete_commit("p/gone", "master")
    engine.repos.delete_repo("p/gone")
    engine.branches.create_branch("a", "short", head="master^^")
    engine.branches.delete_branch("a", "short")
    engine.files.create_file_set([PutFile(path="s", content=[b"set"])])
    batch = engine.transactions.start_transaction(description="waits").id
    engine.transactions.add_step(
        batch, "create_repo", {"name": "later", "description": "in a transaction"}
    )
    spec = {
        "pipeline": {"name": "copy"},
        "input": {"pfs": {"repo": "b", "branch": "none", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": ["cp -r $b/* /pfs/out/"]},
    }
    engine.pipelines.create_pipeline(spec)


def rows_of(home: Path) -> dict[str, list[tuple[Any, ...]]] | None:
    """All that the catalog of a closed data directory holds; None where it can't be read."""
    connection = sqlite3.connect(home / "catalog.db")
    try:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            name: sorted(connection.execute(f"SELECT rowid, * FROM {name}"), key=repr)
            for (name,) in tables.fetchall()
        }
    except (sqlite3.Error, UnicodeDecodeError):
        return None
    finally:
        connection.close()


def outcomes(
    stored: tuple[Path, dict[str, Any]],
    chosen: Callable[[str], bool],
    flips: int,
    *,
    zeros: bool = True,
) -> Counter[str]:
    """What came of flips in the files that are chosen: refused, found, harmless, unnoticed.

    Without `zeros`, only bytes that are none: most of a database is empty pages.
    """
    home, expected = stored
    files, _ = read_directory(home)
    blocks: dict[tuple[str, int], list[int]] = {}  # each as likely as the others
    for path in sorted(filter(chosen, files)):
        for at, byte in enumerate(files[path]):
            if zeros or byte:
                blocks.setdefault((path, at // BLOCK), []).append(at)
    chance = random.Random(SEED)
    counts: Counter[str] = Counter()
    with scratch() as place, without_workers():
        work = place / "home"
        shutil.copytree(home, work)
        assert _outcome(work, expected) == "harmless"  # as long as nothing is changed
        for _ in range(flips):
            path, block = chance.choice(list(blocks))
            at = chance.choice(blocks[path, block])
            bit = 1 << chance.randrange(8)
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(home, work)
            data = bytearray(files[path])
            data[at] ^= bit
            (work / path).write_bytes(data)
            try:
                outcome = _outcome(work, expected)
            except Exception as error:
                raise AssertionError(f"{path}, byte {at}, bit {bit}") from error
            counts[outcome] += 1
            if outcome.startswith("unnoticed"):
                counts[f"{outcome}: {path}, byte {at}, bit {bit}"] += 1
    return counts


def _outcome(home: Path, expected: dict[str, Any]) -> str:
    try:
        engine = open_engine(home)
    except TrunklineError:
        return "refused"
    try:
        seen: dict[str, Any] = {}
        try:
            seen = state(engine, names=False)
            read = "right" if seen.items() <= expected.items() else "wrong"
        except Corrupt:
            read = "found"
        except TrunklineError:
            read = "refused"
        try:
            found = read == "found" or damages(engine)
        except TrunklineError:
            found = True
    finally:
        engine.close()  # its threads would outlive the test
    if found:
        return "found"
    if read == "right":  # what is not used, or mended by what is known twice
        same = rows_of(home) == expected["rows"]
        return "harmless" if same else "unnoticed, in a row"
    contents = {k: v[-1] for k, v in seen.items() if k.startswith("commit")}
    wanted = {k: v[-1] for k, v in expected.items() if k.startswith("commit")}
    # No commit that can be named by its id has other bytes than it had.
    named = contents.keys() & wanted.keys()
    same = read == "wrong" and all(contents[key] == wanted[key] for key in named)
    return "unnoticed, in a description" if same else "unnoticed, in contents"


def unnoticed(counts: Counter[str], where: str) -> list[str]:
    return [key for key in counts if key.startswith(f"unnoticed{where}") and "byte" in key]


@pytest.mark.parametrize(
    ("what", "flips"), [("packs", 1000), ("index", 200), ("other", 100)], ids=str
)
def test_a_flipped_bit_outside_of_the_catalog_is_found_or_harmless(
    stored: tuple[Path, dict[str, Any]], what: str, flips: int, tally: Callable[..., None]
) -> None:
    kinds = {
        "packs": lambda path: path.endswith(".pack"),
        "index": lambda path: "index.db" in path,
        "other": lambda path: ".db" not in path and not path.endswith(".pack"),
    }

    counts = outcomes(stored, kinds[what], round(flips * SCALE))

    tally("flipped bits", round(flips * SCALE))
    tally(f"flipped bits of {what} found", counts["found"] + counts["refused"])
    assert unnoticed(counts, "") == []
    assert counts["found"] + counts["refused"] or what == "other", counts


def test_a_flipped_bit_in_the_catalog_is_found_or_harmless(
    stored: tuple[Path, dict[str, Any]], tally: Callable[..., None]
) -> None:
    flips = round(1000 * SCALE)

    counts = outcomes(stored, lambda path: path == "catalog.db", flips, zeros=False)

    tally("flipped bits", flips)
    tally("flipped bits of the catalog found", counts["found"] + counts["refused"])
    tally("flipped bits of the catalog harmless, in bytes without use", counts["harmless"])
    assert unnoticed(counts, "") == []
    assert counts["found"] + counts["refused"] > flips // 2, counts
