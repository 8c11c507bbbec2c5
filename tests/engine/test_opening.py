"""An engine is opened whole or not at all."""

import shutil
import threading
from pathlib import Path

import pytest

from trunkline.engine import engine as engine_module
from trunkline.errors import Unavailable


@pytest.mark.parametrize("part", ["Notices", "Scheduler", "Collector", "Clockwork", "EnginePurges"])
def test_an_engine_that_can_not_be_opened_leaves_nothing_at_work(
    open_engine, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def refuse(*_: object) -> None:
        raise Unavailable("the catalog can't be read")

    before = set(threading.enumerate())
    begin = "resume" if part == "EnginePurges" else "start"
    with monkeypatch.context() as patch:
        patch.setattr(getattr(engine_module, part), begin, refuse)
        with pytest.raises(Unavailable, match="can't be read"):
            open_engine()

    assert set(threading.enumerate()) <= before
    assert open_engine().engine.repos.list_repos() == []


def test_the_log_of_a_lost_catalog_does_not_get_into_a_new_one(open_engine, tmp_path: Path) -> None:
    old = open_engine()
    old.engine.repos.create_repo("old")
    home = tmp_path / "new"
    home.mkdir()
    for name in ("catalog.db-wal", ".catalog.db.new-wal"):
        shutil.copy(old.home / "catalog.db-wal", home / name)
    (home / ".catalog.db.new").write_bytes(b"half of it")

    new = open_engine(home)

    assert new.engine.repos.list_repos() == []
    assert not list(home.glob(".catalog.db.new*"))
