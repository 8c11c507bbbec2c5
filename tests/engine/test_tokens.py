"""Named tokens in the catalog: no secret is kept, uses are noted seldom, backups have none."""

import hashlib
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from backups import bring_back
from engine_state import open_engine, without_workers

from trunkline.config import load
from trunkline.engine.engine import Engine
from trunkline.errors import AlreadyExists, InvalidInput, InvalidName, NotFound
from trunkline.model.roles import ROLES
from trunkline.model.tokens import PREFIX, TokenInfo


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def test_a_secret_is_in_no_file_and_not_in_a_backup_which_has_no_token_at_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home, backup = tmp_path / "home", tmp_path / "backup"
    with without_workers():
        engine = open_engine(home)
        made = [engine.tokens.create_token(role, role=role, lasts_s=60.0) for role in ROLES]
        listed = engine.tokens.list_tokens()
        engine.admin.backup(str(backup))
        engine.close()
        bring_back(backup, tmp_path / "other")
        other = open_engine(tmp_path / "other")
        restored = other.tokens.list_tokens()
        other.close()
        again = open_engine(home)
        found = [again.find_token(digest_of(one.secret)) for one in made]
        again.close()

    assert sorted(token.name for token in listed) == sorted(ROLES)
    assert restored == []
    assert [token and token.role for token in found] == list(ROLES)
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    told = [*files, caplog.text.encode(), repr(made).encode(), repr(listed).encode()]
    for one in made:
        assert one.secret.startswith(PREFIX)
        assert len(one.secret) == len(PREFIX) + 43
        assert one.secret.removeprefix(PREFIX).isalnum()
        assert not any(one.secret.encode() in text for text in told)
    assert len({one.secret for one in made}) == len(made)


def test_a_use_is_noted_once_a_minute_and_nobody_waits_for_it(tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with without_workers():
        engine = Engine(load({}, home=tmp_path / "home"), clock=lambda: now)
        digest = digest_of(engine.tokens.create_token("ci", role="reader").secret)
        seen: list[datetime | None] = []
        before = engine._services.database.revision
        for second in range(0, 150, 10):
            now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
            engine.find_token(digest)
            await_notes()
            seen.append(engine.tokens.inspect_token("ci").used)
        written = engine._services.database.revision - before
        with engine._services.database.write() as tx:  # somebody writes for long
            now += timedelta(hours=1)
            assert isinstance(engine.find_token(digest), TokenInfo)
            del tx
        engine.close()

    assert written == 3
    moments = [datetime(2026, 1, 1, 0, minute, tzinfo=UTC) for minute in range(3)]
    assert seen == [moments[0]] * 6 + [moments[1]] * 6 + [moments[2]] * 3


def await_notes() -> None:
    for thread in threading.enumerate():
        if thread.name == "trunkline-token":
            thread.join()


def test_names_roles_and_times_are_checked(tmp_path: Path) -> None:
    with without_workers():
        engine = open_engine(tmp_path / "home")
    tokens = engine.tokens
    tokens.create_token("ci", role="writer")

    with pytest.raises(AlreadyExists, match="token 'ci' already exists"):
        tokens.create_token("ci", role="reader")
    with pytest.raises(InvalidInput, match="'root' is not a role; there are reader, writer, admin"):
        tokens.create_token("x", role="root")
    for name in ("", "-a", "a/b", "a b", "a\n", "a" * 101):
        with pytest.raises(InvalidName):
            tokens.create_token(name, role="reader")
    for lasts_s in (0.0, -1.0, 1e12, float("nan")):
        with pytest.raises(InvalidInput, match="a token lasts for more"):
            tokens.create_token("x", role="reader", lasts_s=lasts_s)
    with pytest.raises(NotFound, match="no token 'cii'; did you mean 'ci'"):
        tokens.delete_token("cii")
    tokens.delete_token("ci")
    assert tokens.list_tokens() == []
    assert engine.find_token("") is None
    engine.close()
