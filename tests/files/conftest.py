"""Stores for the tests of trees, and a plain model of what a tree is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trunkline.files import delta, manifest, segments
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY, Cuts, RootId
from trunkline.files.tree import Trees
from trunkline.store.chunks import ChunkStore


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trees]:
    """Trees over one store for all tests of a file; what a test adds harms no other."""
    store = ChunkStore(tmp_path_factory.mktemp("trees") / "store")
    yield Trees(store)
    store.close()


def small_cuts(*, least: int, average: int) -> Cuts:
    limit = (1 << 32) // average
    return Cuts(least=least, easy=6, most=9, limit=limit, limit_easy=2 * limit)


@pytest.fixture(scope="module")
def small_ranges() -> Iterator[None]:
    """Ranges of a few rows, so that small trees have many, with several levels above them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(manifest.CUTS, 1, small_cuts(least=3, average=6))
        patch.setitem(manifest.CUTS, 2, small_cuts(least=2, average=4))
        patch.setattr(manifest, "NODE_MIN", 2)
        patch.setattr(manifest, "NODE_MAX", 5)
        patch.setattr(manifest, "_NODE_CUT", (1 << 32) // 3)
        patch.setattr(segments, "BLOCK_ROWS", 3)
        patch.setattr(delta, "_SEGMENT_CHANGES_MAX", 7)
        yield


@contextmanager
def writing(version: int) -> Iterator[None]:
    """Have trees written in a version of the format."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "VERSION", version)
        yield


class Builder:
    """Makes trees out of plain dicts."""

    def __init__(self, trees: Trees) -> None:
        self.trees = trees

    def __call__(self, files: dict[str, bytes], *, root: RootId = EMPTY) -> RootId:
        writer = DeltaWriter(self.trees)
        for path, content in files.items():
            writer.put(path, [content])
        return self.trees.apply(root, writer.finish())

    def read(self, root: RootId) -> dict[str, bytes]:
        return {row.path: b"".join(self.trees.read(row)) for row in self.trees.walk(root)}


@pytest.fixture(scope="module")
def build(trees: Trees) -> Builder:
    return Builder(trees)


@pytest.fixture
def empty_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory
