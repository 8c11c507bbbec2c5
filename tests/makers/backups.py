"""Backups that tests make and bring back."""

from datetime import UTC, datetime
from pathlib import Path

from trunkline.engine.restore import restore
from trunkline.model.admin import RestoreReport
from trunkline.store.claims import Place

NOW = datetime(2026, 3, 4, tzinfo=UTC)


def bring_back(
    backup: Path, home: Path, *, force: bool = False, place: Place | None = None
) -> RestoreReport:
    return restore(backup, home, force=force, now=NOW, place=place)
