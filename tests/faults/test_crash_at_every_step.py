"""The process dies or the power goes at every single step: what was acknowledged is there, whole.

Each session is recorded once, at the level of writes, syncs and names, SQLite's included; then the
store is opened as every possible crash leaves it. `TRUNKLINE_CRASH_SEEDS` sets how many random
losses of unsynced sectors and names are tried for each step.
"""

import hashlib
from collections.abc import Callable, Iterator

import pytest
from archives import tar_of, zip_of
from crash_session import EVERY, Recorder, judge, recorded, scratch
from engine_state import open_engine, without_workers

from trunkline.api.changes import CopyFile, DeleteFile, PutFile, Unpack
from trunkline.engine.engine import Engine
from trunkline.model.versions import BranchTrigger
from trunkline.store import packs

Tally = Callable[..., None]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with without_workers():
        yield


def put(path: str, content: bytes = b"", *, append: bool = False) -> PutFile:
    return PutFile(path=path, content=[content or path.encode()], append=append)


def modify(*changes: object, repo: str = "a", to: str = "master") -> Callable[[Engine], object]:
    return lambda engine: engine.files.modify_files(repo, to, list(changes))


def repo(name: str) -> Callable[[Engine], object]:
    return lambda engine: engine.repos.create_repo(name)


def noise(seed: int, size: int) -> bytes:
    return hashlib.shake_128(seed.to_bytes(4, "big")).digest(size)


def first_puts(recorder: Recorder) -> None:
    """From nothing: the data directory, its databases and their migrations, two puts, a close."""
    recorder.run("create repo", repo("a"))
    recorder.run("put", modify(put("x"), put("dir/y")))
    recorder.run("put again", modify(put("x", b"changed"), put("z"), DeleteFile(path="dir")))


def open_commits(recorder: Recorder) -> None:
    """Commits that are started, written to in several puts, and finished."""
    recorder.run("create repo", repo("a"))
    recorder.run("start", lambda e: e.commits.start_commit("a", branch="master"))
    recorder.run("write", modify(put("x")))
    recorder.run("write more", modify(put("x", b"+", append=True), put("d/y")))
    recorder.run("finish", lambda e: e.commits.finish_commit("a", "master"))
    recorder.run("start again", lambda e: e.commits.start_commit("a", branch="master"))
    recorder.run("finish empty", lambda e: e.commits.finish_commit("a", "master"))


def branches(recorder: Recorder) -> None:
    """Branches that move, derived commits that open with a put, copies, deletions."""
    recorder.run("create repo", repo("a"))
    recorder.run("create another", repo("b"))
    recorder.run("put", modify(put("x"), put("y")))
    recorder.run("branch", lambda e: e.branches.create_branch("a", "dev", head="master"))
    recorder.run("derive", lambda e: e.branches.create_branch("b", "out", provenance=["a@master"]))
    recorder.run("put upstream", modify(put("x", b"2")))
    copy = CopyFile(path="copied", source_repo="a", source_commit="master", source_path="x")
    recorder.run("copy", modify(copy, repo="b"))
    recorder.run("move", lambda e: e.branches.create_branch("a", "dev", head="master"))
    recorder.run("delete branch", lambda e: e.branches.delete_branch("a", "dev"))
    recorder.run("delete commit", lambda e: e.commits.delete_commit("a", "master"))
    recorder.run("delete repo", lambda e: e.repos.delete_repo("b"))


def many_packs(recorder: Recorder) -> None:
    """Puts that fill and seal packs, over a reopening."""
    recorder.run("create repo", repo("a"))
    recorder.run("put", modify(*[put(f"{n}", noise(n, 5000)) for n in range(4)]))
    recorder.run("put more", modify(*[put(f"{n}", noise(n, 3000)) for n in range(4, 9)]))
    recorder.close()
    recorder.run("after reopening", modify(put("new", noise(99, 9000)), put("0", b"")))


def lifetime(recorder: Recorder) -> None:
    """What is taken out of the history, brought back, and what a collection then removes."""
    recorder.run("create repo", repo("a"))
    for n in range(3):
        recorder.run(f"put {n}", modify(put("x", noise(n, 4000)), put(f"{n}")))
    recorder.run("squash", lambda e: e.commits.squash_commit("a", "master^"))
    recorder.run("drop", lambda e: e.commits.drop_commit("a", "master"))
    recorder.run("create another", repo("b"))
    recorder.run("put into it", modify(put("y", noise(9, 4000)), repo="b"))
    recorder.run("delete it", lambda e: e.repos.delete_repo("b"))
    recorder.run("undelete it", lambda e: e.trash.undelete("repo", "b"))
    recorder.run("delete it again", lambda e: e.repos.delete_repo("b"))
    recorder.run("gc", lambda e: e.admin.gc(grace_s=0))
    recorder.run("put what is gone", modify(put("y", noise(9, 4000))))
    recorder.run("gc again", lambda e: e.admin.gc(grace_s=0))


def transactions(recorder: Recorder) -> None:
    """Changes that wait over a reopening, then happen at once, or are given up."""
    recorder.run("create repo", repo("a"))
    batch: list[str] = []
    recorder.run("begin", lambda e: batch.append(e.transactions.start_transaction().id))
    step = {"name": "b", "description": "made at once"}
    recorder.run("add step", lambda e: e.transactions.add_step(batch[0], "create_repo", step))
    for n in range(2):
        recorder.run(
            f"add files {n}",
            lambda e, n=n: e.transactions.add_files(
                batch[0], "a", "master", [put(f"t{n}", noise(n, 3000))]
            ),
        )
    recorder.close()
    recorder.run("finish", lambda e: e.transactions.finish_transaction(batch[0]))
    recorder.run("begin again", lambda e: batch.append(e.transactions.start_transaction().id))
    recorder.run(
        "add files to it",
        lambda e: e.transactions.add_files(batch[1], "a", "master", [put("given up")]),
    )
    recorder.run("give up", lambda e: e.transactions.delete_transaction(batch[1]))


def names_that_stay(recorder: Recorder) -> None:
    """Tags and triggers, and a put that fires one; a copy of a directory between repos."""
    recorder.run("create repo", repo("a"))
    recorder.run("create another", repo("b"))
    recorder.run("put", modify(put("d/x"), put("d/y")))
    recorder.run("tag", lambda e: e.tags.create_tag("a", "v1", commit="master"))
    trigger = BranchTrigger(source="master", commits=1)
    recorder.run("trigger", lambda e: e.branches.create_branch("a", "stable", trigger=trigger))
    recorder.run("derive", lambda e: e.branches.create_branch("b", "out", provenance=["a@stable"]))
    recorder.run("fire", modify(put("d/x", b"2")))
    copy = CopyFile(path="c", source_repo="a", source_commit="v1", source_path="d")
    recorder.run("copy", modify(copy, repo="b"))
    recorder.run(
        "move the tag", lambda e: e.tags.create_tag("a", "v1", commit="master", force=True)
    )
    recorder.run("delete the tag", lambda e: e.tags.delete_tag("a", "v1"))
    recorder.run("undelete the tag", lambda e: e.trash.undelete("tag", "a@v1"))


def compaction(recorder: Recorder) -> None:
    """A collection that rewrites packs most of which is garbage, beside what stays."""
    recorder.run("create repo", repo("a"))
    recorder.run("put", modify(*[put(f"{n}", noise(n, 3000)) for n in range(3)], put("stay")))
    recorder.run("delete most", modify(*[DeleteFile(path=f"{n}") for n in range(3)]))
    recorder.run("forget", lambda e: e.commits.squash_commit("a", "master^"))
    recorder.close()
    recorder.run("forget the trash", lambda e: e.admin.gc(grace_s=0))
    recorder.run("put after it", modify(put("new", noise(50, 3000))))
    recorder.run("gc", lambda e: e.admin.gc(grace_s=0))


def archives(recorder: Recorder) -> None:
    """Archives that become files, alone and beside other changes, over a reopening."""
    recorder.run("create repo", repo("a"))
    files = {f"dir/{n}": noise(n, 2500) for n in range(5)}
    for name, content in (("tar", tar_of(files)), ("zip", zip_of(files))):
        packed = PutFile(path=name, content=[content[:3000], content[3000:]], unpack=Unpack())
        recorder.run(f"put {name}", modify(packed, put(f"beside {name}")))
    recorder.close()
    packed = PutFile(path="tar", content=[zip_of({"dir/0": b"+"})], append=True, unpack=Unpack())
    recorder.run("add to it", modify(packed))


SESSIONS = [
    *(first_puts, open_commits, branches, many_packs, lifetime),
    *(transactions, names_that_stay, compaction, archives),
]


@pytest.mark.slow
@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.__name__)
def test_a_crash_at_any_step_loses_nothing_acknowledged_and_shows_nothing_half(
    session: Callable[[Recorder], None], tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES", 8 * 1024)
    with scratch() as place:
        if session is not first_puts:  # which has every step of making a data directory
            open_engine(place / "home").close()
        with recorded(place / "home") as recorder:
            session(recorder)

    every = EVERY if session is first_puts or EVERY == 1 else 2 * EVERY
    tally("crash images", judge(recorder.session, every=every))
    tally("steps crashed at", len(recorder.session.recording.steps))
