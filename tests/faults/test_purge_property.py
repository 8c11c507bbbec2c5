"""Any history, and then purges, against a model that only knows dicts.

Afterwards no byte of what only purged files had is anywhere below the data directory, every other
path of every commit is as it was, ids, parents and provenance are too, and `fsck` is clean.
"""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from engine_state import damages, open_engine, tree, without_workers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored_bytes import stored_bytes

from trunkline.api.changes import CopyFile, DeleteFile, FileChange, PutFile
from trunkline.engine.engine import Engine
from trunkline.errors import FileNotFoundInCommit, FilePurged, NotFound, TrunklineError
from trunkline.files.glob import compile_glob

REPOS = ("one", "two")
PATHS = ("a", "b", "d/a", "d/b", "d/e/c", "f/a")
PATTERNS = ("/a", "/d", "/d/*", "/**/a", "/{a,b}", "/d/e/c", "/", "/f/?")

path = st.sampled_from(PATHS)
number = st.integers(0, 5)
step = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(REPOS), path, number),
    st.tuples(st.just("put"), st.sampled_from(REPOS), path, number),
    st.tuples(st.just("delete"), st.sampled_from(REPOS), path),
    st.tuples(st.just("copy"), st.sampled_from(REPOS), path, path),
    st.tuples(st.just("start"), st.sampled_from(REPOS)),
    st.tuples(st.just("finish"), st.sampled_from(REPOS)),
    st.tuples(st.just("squash"), st.sampled_from(REPOS)),
    st.tuples(st.just("drop"), st.sampled_from(REPOS)),
    st.tuples(st.just("branch"), st.sampled_from(REPOS)),
    st.tuples(st.just("gc")),
)
Target = tuple[str, str]
target = st.tuples(st.sampled_from(REPOS), st.sampled_from(PATTERNS))
purging = st.tuples(st.lists(target, min_size=1, max_size=2), st.booleans(), st.booleans())


def text_of(n: int) -> bytes:
    return f"content-number-{n}-".encode() * (1 + 40 * n)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with without_workers():
        yield


def carry_out(engine: Engine, what: Any) -> None:
    name, *words = what
    change: FileChange | None = None
    match name:
        case "put":
            change = PutFile(path=words[1], content=[text_of(words[2])])
        case "delete":
            change = DeleteFile(path=words[1])
        case "copy":
            other = REPOS[words[0] == REPOS[0]]
            change = CopyFile(
                path=words[2], source_repo=other, source_commit="master", source_path=words[1]
            )
        case "start":
            engine.commits.start_commit(words[0], branch="master")
        case "finish":
            engine.commits.finish_commit(words[0], "master")
        case "squash":
            engine.commits.squash_commit(words[0], "master^")
        case "drop":
            engine.commits.drop_commit(words[0], "master")
        case "branch":
            engine.branches.create_branch(words[0], "side", head="master")
        case "gc":
            engine.admin.gc(grace_s=0)
    if change is not None:
        engine.files.modify_files(words[0], "master", [change])


def history(engine: Engine) -> dict[str, Any]:
    """All that is known of commits but their trees, and the trees."""
    return {
        f"{repo}@{c.id}": (
            (c.branch, c.origin, c.parent, c.description, c.started, c.finished, c.provenance),
            tree(engine, repo, c.id),
        )
        for repo in REPOS
        for c in engine.commits.list_commits(repo)
    }


def is_chosen(targets: list[Target], repo: str, file: str) -> bool:
    parts = file.split("/")
    names = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    globs = [compile_glob(pattern) for name, pattern in targets if name == repo]
    return any(glob.is_root or any(map(glob.matches, names)) for glob in globs)


def after(before: dict[str, Any], targets: list[Target], gone: set[bytes]) -> dict[str, Any]:
    """What the model says is left: of the trees, all but the chosen files and those contents."""
    return {
        name: (
            facts,
            {
                file: data
                for file, data in files.items()
                if not is_chosen(targets, name.partition("@")[0], file) and data not in gone
            },
        )
        for name, (facts, files) in before.items()
    }


def restored(engine: Engine) -> None:
    """Bring everything back that can be."""
    for deleted in engine.trash.list_deleted():
        with suppress(TrunklineError):  # what it hangs on may be deleted itself
            engine.trash.undelete(deleted.kind, deleted.name, number=deleted.number)


@given(
    steps=st.lists(step, min_size=3, max_size=14), purges=st.lists(purging, min_size=1, max_size=2)
)
@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=max(settings().max_examples // 2, 1),
)
def test_a_purge_takes_what_it_shall_and_nothing_else(steps: Any, purges: Any) -> None:
    with tempfile.TemporaryDirectory() as place:
        engine = open_engine(Path(place) / "home")
        try:
            _try(engine, Path(place) / "home", steps, purges)
        finally:
            engine.close()


def _try(engine: Engine, home: Path, steps: Any, purges: Any) -> None:
    for repo in REPOS:
        engine.repos.create_repo(repo)
    ever: set[tuple[str, str, bytes]] = set()  # deleted commits and overwritten changes count too
    for what in steps:
        with suppress(TrunklineError):  # refused, as the model of versions knows
            carry_out(engine, what)
        for name, (_, files) in history(engine).items():
            ever |= {(name.partition("@")[0], file, data) for file, data in files.items()}
    for targets, copies, forget in purges:
        before = history(engine)
        chosen = {
            (name, file): data
            for name, (_, files) in before.items()
            for file, data in files.items()
            if is_chosen(targets, name.partition("@")[0], file)
        }
        words = [f"{repo}:{pattern}" for repo, pattern in targets]
        try:
            report = engine.purges.purge(words, copies=copies, forget_names=forget)
        except NotFound:
            assert not chosen
            continue

        assert report.state == "done"
        gone = {data for repo, file, data in ever if is_chosen(targets, repo, file)}
        ever = {
            one
            for one in ever
            if not is_chosen(targets, one[0], one[1]) and not (copies and one[2] in gone)
        }
        wanted = after(before, targets, gone if copies else set())
        assert history(engine) == wanted
        assert damages(engine) == []
        for name, file in chosen:
            repo, _, commit = name.partition("@")
            with pytest.raises(FileNotFoundInCommit) as refused:
                b"".join(engine.files.read_file(repo, commit, file))
            open_one = wanted[name][0][5] is None  # its own changes are buried, its parent's not
            assert isinstance(refused.value, FilePurged) or open_one
        kept = {data for _, files in wanted.values() for data in files.values()}
        erased = set(chosen.values()) - kept
        everything = list(stored_bytes(home))
        # A deleted commit of another path, or a change that was overwritten in an open one, may
        # keep the same content: the report tells of both.
        elsewhere = [kept.what for kept in report.kept if kept.what != "commit"]
        elsewhere += [remark for remark in report.remarks if "also in open commits" in remark]
        for data in erased if not elsewhere else ():
            assert [name for name, found in everything if data in found] == []
    restored(engine)
    assert damages(engine) == []
    for name, (_, files) in history(engine).items():
        repo = name.partition("@")[0]
        for targets, _, _ in purges[-1:]:
            assert not any(is_chosen(targets, repo, file) for file in files)
