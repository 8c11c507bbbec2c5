"""The process dies or the power goes at every single step of a purge: the next start ends it.

What is found is the history before it or after it, never a mixture; and once it is done, no byte of
what was purged is left, also where the power went in between.
"""

from collections.abc import Callable, Iterator

import crash_session
import pytest
from crash_session import EVERY, judge, recorded, scratch
from engine_state import without_workers
from purge_session import a_history, all_damages, settled, the_purge

from trunkline.db.sqlite import SqliteDatabase

_EVERY = 1 if EVERY == 1 else 61  # of its steps, of which there are many


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(crash_session, "open_engine", settled)
    monkeypatch.setattr(crash_session, "damages", all_damages)
    with without_workers():
        yield


@pytest.mark.slow
def test_a_crash_at_any_step_of_a_purge_is_healed_by_the_next_start(
    tally: Callable[..., None],
) -> None:
    with scratch() as place, recorded(place / "home") as recorder:
        a_history(recorder)
        the_purge(recorder)
    session = recorder.session
    begun = session.ends[-3]  # the end of what came before the purge; the last one is the close

    tally("crash images", judge(session, first=begun, every=_EVERY))
    tally("steps crashed at", len(session.recording.steps) - begun)


@pytest.mark.slow
def test_a_crash_while_the_catalog_is_written_anew_leaves_the_one_or_the_other(
    monkeypatch: pytest.MonkeyPatch, tally: Callable[..., None]
) -> None:
    began: list[int] = []
    real = SqliteDatabase.scrub

    def scrub(self: SqliteDatabase) -> bool:
        began.append(len(recorder.session.recording.steps))
        done = real(self)
        began.append(len(recorder.session.recording.steps))
        return done

    monkeypatch.setattr(SqliteDatabase, "scrub", scrub)
    with scratch() as place, recorded(place / "home") as recorder:
        a_history(recorder)
        the_purge(recorder)
    monkeypatch.setattr(SqliteDatabase, "scrub", real)

    tally("crash images", judge(recorder.session, first=began[-2], every=EVERY * 5))
    tally("steps crashed at", len(recorder.session.recording.steps) - began[-2])
