"""What needs no look at rows does not look at them; counted in ranges of the real size."""

import pytest

from trunkline.files import index, manifest
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY
from trunkline.files.tree import Trees


def test_a_change_asks_hardly_any_path_whether_a_range_ends_there(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = DeltaWriter(trees)
    for n in range(5_000):
        writer.put(f"f{n:05}", [b"x"])
    root = trees.apply(EMPTY, writer.finish())
    asked: list[bytes] = []
    real = manifest.crc32
    monkeypatch.setattr(manifest, "crc32", lambda data: asked.append(data) or real(data))
    change = DeltaWriter(trees)
    change.put("f02500", [b"new"])

    changed = trees.apply(root, change.finish())

    assert changed != root
    # The changed row, and those of a range in its easy part.
    assert len(asked) < 300


def test_all_names_are_told_without_making_rows(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = DeltaWriter(trees)
    for n in range(20_000):
        writer.put(f"d{n // 1000:02}/f{n:05}", [b"x"])
    root = trees.apply(EMPTY, writer.finish())
    decoded: list[str] = []
    real = index.Loader.rows
    monkeypatch.setattr(
        index.Loader, "rows", lambda self, unit: decoded.append(unit.blob) or real(self, unit)
    )

    everything = b"".join(trees.name_lines(root))
    some = b"".join(trees.name_lines(root, "d05"))

    assert everything.count(b"\n") == 20_000
    assert some == b"".join(b"d05/f%05d\n" % n for n in range(5_000, 6_000))
    assert len(set(decoded)) <= 2  # where the directory begins and ends
