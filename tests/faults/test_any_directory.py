"""Anything in place of a file of a data directory, a backup or the user's own files.

Each is opened as it is, made anew, or refused with a sentence; what is served is never wrong.
"""

import json
import os
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.api.changes import PutFile
from trunkline.config import Config, load
from trunkline.connect.checkout import check_out, local_changes
from trunkline.connect.checkout_record import decode
from trunkline.connect.contexts import list_contexts
from trunkline.connect.local import running_server
from trunkline.connect.materialise import Origin
from trunkline.connect.transactions import active_transaction
from trunkline.engine import archive
from trunkline.engine.engine import Engine
from trunkline.engine.restore import restore
from trunkline.errors import TrunklineError
from trunkline.files.statcache import StatCache
from trunkline.model.names import CHECKOUT_RECORD
from trunkline.server.serve import stored_token
from trunkline.store.digests import Digest

GOLDEN = next(p for p in Path(__file__).resolve().parents if p.name == "tests") / "golden"
NOW = datetime(2026, 3, 4, tzinfo=UTC)
ODD_TEXT = ["", "\0", "\udcff", "../x", "/etc/x", "a//b", "x" * 300, "é", "9" * 5000, "[" * 100_000]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(ODD_TEXT),
    st.just([]),
    st.just({}),
    st.lists(st.sampled_from(ODD_TEXT), max_size=2),
)


def a_config(directory: Path) -> Config:
    return load({"HOME": str(directory), "PATH": os.environ["PATH"]}, home=directory / "home")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a data directory (`home`), a backup (`backup`) and a checkout (`out`)."""
    directory = tmp_path_factory.mktemp("furnished")
    engine = Engine(a_config(directory))
    engine.repos.create_repo("data")
    files = [PutFile(path=f"d/{n}", content=[b"content %d " % n * 500]) for n in range(3)]
    commit = engine.files.modify_files("data", "master", files)
    engine.admin.backup(str(directory / "backup"))
    origin = Origin(operations=engine, home=None)
    check_out(origin, commit, "", directory / "out", force=False, advance=lambda _: None)
    engine.admin.gc()
    engine.close()
    return directory


# --- the data directory ---------------------------------------------------------------------------

# What can be lost without loss: anything there is made anew.
MADE_ANEW = [
    *("store/index.db", "store/index.db-wal", "store/epoch", "store/epoch-0.lock", "store/live.db"),
    *(
        "store/epoch-1.lock",
        "store/collect.lock",
        "store/collect-next.lock",
        "store/recover.lock",
        "store/rebuild-index",
    ),
    *("store/uses-1.db", "engine.lock", "server.lock", "start.lock", "server.json", "cache/sync"),
    *("scratch", "cache/code", "log", "token", "store/packs/notes.txt", "store/packs/x.pack.tmp"),
]
GROUND = ["FORMAT", "catalog.db", "catalog.db-wal"]
GARBAGE = {
    "nothing": b"",
    "zeros": bytes(8192),
    "text": b"what is this?\n" * 50,
    "a half of a database": b"SQLite format 3\0" + bytes(range(256)) * 20,
}


def contents(engine: Engine) -> dict[str, bytes]:
    listed = engine.files.list_files("data", "master", "/", recursive=True)
    return {
        info.path: b"".join(engine.files.read_file("data", "master", info.path)) for info in listed
    }


@pytest.mark.parametrize("name", MADE_ANEW)
@pytest.mark.parametrize("garbage", ["a half of a database"])
def test_what_can_be_made_anew_may_hold_anything(
    furnished: Path, tmp_path: Path, name: str, garbage: str
) -> None:
    shutil.copytree(furnished / "home", tmp_path / "home", symlinks=True)
    place = tmp_path / "home" / name
    if place.is_dir():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(GARBAGE[garbage])

    engine = Engine(a_config(tmp_path))
    try:
        engine.files.modify_files("data", "new", [PutFile(path="n", content=[b"new"])])
        report = engine.admin.fsck()
        found = contents(engine)
    finally:
        engine.close()

    assert report.damages == ()
    assert found == {f"d/{n}": b"content %d " % n * 500 for n in range(3)}


@pytest.mark.parametrize("name", GROUND)
@pytest.mark.parametrize("garbage", [*GARBAGE, "cut"])
def test_what_can_not_be_made_anew_is_refused_in_a_sentence(
    furnished: Path, tmp_path: Path, name: str, garbage: str
) -> None:
    shutil.copytree(furnished / "home", tmp_path / "home", symlinks=True)
    place = tmp_path / "home" / name
    before = place.read_bytes() if place.exists() else b"x"
    place.write_bytes(GARBAGE.get(garbage, before[:-100]))

    with suppress(TrunklineError):
        engine = Engine(a_config(tmp_path))
        try:
            assert contents(engine) == {f"d/{n}": b"content %d " % n * 500 for n in range(3)}
        finally:
            engine.close()


# --- small files ----------------------------------------------------------------------------------


def token(place: Path) -> object:
    place.rename(place.with_name("token"))
    return stored_token(place.parent)


def record(place: Path) -> object:
    place.rename(place.with_name(CHECKOUT_RECORD))
    return list(local_changes(place.parent))


def transactions(place: Path) -> object:
    place.rename(place.with_name("transactions.json"))
    return active_transaction(place.with_name("config.toml"), "unix:/s")


def cache(place: Path) -> object:
    opened = StatCache(place, bytes(range(32)))
    try:
        return [opened.take(directory) for directory in ("", "d", "d-e", "z")]
    finally:
        opened.close(complete=False)


def manifest(place: Path) -> object:
    place.rename(place.with_name(archive.MANIFEST))
    return restore(place.parent, place.parent / "restored", force=False, now=NOW)


READERS: dict[str, tuple[Callable[[Path], object], bytes]] = {
    "token": (token, b"abc\n"),
    "checkout": (record, (GOLDEN / "checkout" / "v1.bin").read_bytes()),
    "contexts": (
        list_contexts,
        b'active = "a"\n[projects]\na = "p"\n[contexts.a]\naddress = "h:1"\n',
    ),
    "transactions": (transactions, b'{"unix:/s": "0123"}'),
    "stat cache": (cache, (GOLDEN / "stat-cache" / "v1.stat").read_bytes()),
    "backup": (manifest, b'{"trunkline_backup": 1, "digest": "", "backup": {}}'),
}


@pytest.mark.parametrize("kind", READERS)
@given(data=st.data())
def test_any_small_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    read, whole = READERS[kind]
    blob = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(blob)))
        piece = data.draw(st.binary(max_size=6) | st.sampled_from([b"[" * 90_000, b"\xff", b"\0"]))
        blob[at : at + data.draw(st.integers(0, 6))] = piece
    place = tmp_path_factory.mktemp("small") / "file"
    place.write_bytes(data.draw(st.just(bytes(blob)) | st.binary(max_size=60)))

    with suppress(TrunklineError):
        read(place)


@given(about=st.dictionaries(st.sampled_from(["repo", "commit", "path", "complete"]), ODD) | ODD)
def test_any_whole_record_of_a_checkout_is_read_or_refused(about: object) -> None:
    golden = (GOLDEN / "checkout" / "v1.bin").read_bytes()
    json_bytes = int.from_bytes(golden[8:12], "little")
    text = json.dumps(about).encode()
    body = golden[:8] + len(text).to_bytes(4, "little") + golden[12:24] + text
    body += golden[24 + json_bytes : -32]

    found = decode(body + Digest(body).digest())

    if found is not None:
        assert all(type(value) is str for value in (found.repo, found.commit, found.path))


ENTRY = st.fixed_dictionaries(
    {}, optional={"name": ODD, "size_bytes": ODD, "digest": ODD, "pack": ODD, "more": ODD}
)


@settings(max_examples=4 * settings().max_examples)
@given(
    changes=st.dictionaries(
        st.sampled_from(["created", "release", "format", "commits", "catalog", "packs", "more"]),
        ODD | ENTRY | st.lists(ENTRY, max_size=2),
    ),
    version=st.sampled_from([1, 2]) | ODD,
)
def test_any_whole_manifest_of_a_backup_is_restored_or_refused(
    furnished: Path,
    tmp_path_factory: pytest.TempPathFactory,
    changes: dict[str, object],
    version: object,
) -> None:
    place = tmp_path_factory.mktemp("backup")
    backup = place / "backup"
    shutil.copytree(furnished / "backup", backup)
    document = json.loads((backup / archive.MANIFEST).read_text())
    body = document["backup"]
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(body.get(name), dict):
            body[name] = {**body[name], **value}
        elif isinstance(value, list) and value and name == "packs":
            body[name] = [
                {**body[name][0], **entry} if isinstance(entry, dict) else entry for entry in value
            ]
        else:
            body[name] = value
    text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    document = {"trunkline_backup": version, "digest": Digest(text).hexdigest(), "backup": body}
    (backup / archive.MANIFEST).write_text(json.dumps(document))

    with suppress(TrunklineError):
        restore(backup, place / "restored", force=False, now=NOW)

    assert {entry.name for entry in place.iterdir()} <= {"backup", "restored"}


@given(
    document=st.dictionaries(st.sampled_from(["pid", "socket", "addresses", "version"]), ODD) | ODD
)
def test_any_word_of_a_server_about_itself_is_taken_or_not(
    tmp_path_factory: pytest.TempPathFactory, document: object
) -> None:
    config = a_config(tmp_path_factory.mktemp("s"))
    config.socket.parent.mkdir(parents=True, exist_ok=True)
    config.home.mkdir(exist_ok=True, parents=True)
    (config.home / "server.json").write_bytes(json.dumps(document).encode())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(config.socket))
        listener.listen()

        found = running_server(config)

    assert found is None or found.pid >= 0
