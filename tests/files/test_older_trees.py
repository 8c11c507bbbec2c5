"""Trees of version 1 are written anew by their first change; in ranges of the real size."""

import pytest
from tests.files.conftest import Builder, writing

from trunkline.files import manifest
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY, VERSION, RootId
from trunkline.files.tree import Trees
from trunkline.files.view import View


def version_of(trees: Trees, root: RootId) -> int:
    return View(trees._loader, root).version


def test_a_large_tree_of_version_1_is_written_anew_once(trees: Trees, build: Builder) -> None:
    files = {f"d{n // 1000}/{n:05}": b"%d" % n for n in range(6_000)}
    with writing(1):
        old = build(files)

    first = build({"d3/03333": b"new"}, root=old)
    written: list[int] = []
    put = trees.chunks.put_hashed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            trees.chunks,
            "put_hashed",
            lambda ids, pieces: written.append(len(ids)) or put(ids, pieces),
        )
        second = build({"d3/03334": b"new"}, root=first)

    assert (version_of(trees, old), version_of(trees, first)) == (1, VERSION)
    assert first == build({**files, "d3/03333": b"new"})
    assert second == build({**files, "d3/03333": b"new", "d3/03334": b"new"})
    assert sum(written) <= 6  # a content, the change (2), a range or two, the root


def test_the_rule_of_one_version_is_damage_in_a_tree_of_another(
    trees: Trees, build: Builder
) -> None:
    cuts = manifest.CUTS[VERSION]
    files = {f"{n:05}": b"" for n in range(3_000)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(manifest.CUTS, VERSION, manifest.CUTS[1])
        wrong = build(files)

    problems = [problem for _, problem in trees.verify(wrong)]

    assert manifest.CUTS[VERSION] == cuts
    assert any("where the format puts no end" in problem for problem in problems)


def test_the_empty_tree_is_the_same_in_all_versions(trees: Trees, build: Builder) -> None:
    with writing(1):
        old = build({"a": b"x"})
    writer = DeltaWriter(trees)
    writer.delete("a")

    assert trees.apply(old, writer.finish()) == EMPTY
