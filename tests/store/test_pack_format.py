"""Packs of version 1 are read for ever; the first code of that version wrote the golden ones."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.store.chunks import ChunkId, ChunkStore
from trunkline.store.packs import read_content

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "pack"
CONTENTS = {
    "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262": b"",
    "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85": b"abc",
}
TEXT = b"a line that is stored compressed\n" * 100


@pytest.mark.parametrize("name", ["sealed", "torn"])
def test_a_pack_of_version_1_is_read(
    tmp_path: Path, open_store: Callable[..., ChunkStore], name: str
) -> None:
    (source,) = (GOLDEN / name).iterdir()
    (tmp_path / "store" / "packs").mkdir(parents=True)
    shutil.copy(source, tmp_path / "store" / "packs" / source.name)

    store = open_store()

    for chunk, content in CONTENTS.items():
        assert store.get(ChunkId(chunk)) == content
    assert store.get(store.put(TEXT)) == TEXT
    store.flush()
    assert list(store.verify(read_data=True)) == []
    assert len(list((tmp_path / "store" / "packs").iterdir())) == 1, "the text was there already"


@given(data=st.data(), name=st.sampled_from(["sealed", "torn"]))
def test_any_damage_to_a_pack_leaves_it_readable_as_far_as_it_is_whole(
    data: st.DataObject, name: str
) -> None:
    (source,) = (GOLDEN / name).iterdir()
    blob = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(0, 5))):
        blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.integers(0, len(blob)))

    content = read_content(bytes(blob[:cut]), source.stem)

    assert len(content.places) <= 3
    assert all(place.offset + place.stored <= cut for place in content.places)
