"""An engine is opened whole or not at all."""

import threading

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
