"""Any tree of version 1 is read as it is; changed, it is what is made from scratch."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.files.conftest import Builder, writing

from trunkline.files.delta import DeltaWriter
from trunkline.files.tree import Trees

EXAMPLES = settings().max_examples
PATHS = st.integers(0, 99).map(lambda n: f"{n % 3}/{n:02}")
TREES = st.dictionaries(PATHS, st.binary(max_size=2))


@pytest.mark.usefixtures("small_ranges")
@given(before=TREES, puts=TREES, gone=st.sets(PATHS))
@settings(max_examples=3 * EXAMPLES)
def test_a_changed_tree_of_version_1_is_the_tree_that_is_made_from_scratch(
    trees: Trees, build: Builder, before: dict[str, bytes], puts: dict[str, bytes], gone: set[str]
) -> None:
    with writing(1):
        old = build(before)
    writer = DeltaWriter(trees)
    for path in gone:
        writer.delete(path)
    for path, content in puts.items():
        writer.put(path, [content])
    after = {path: content for path, content in before.items() if path not in gone} | puts

    new = trees.apply(old, writer.finish())

    assert build.read(old) == before
    assert list(trees.verify(old)) == []
    assert build.read(new) == after
    assert list(trees.verify(new)) == []
    if puts or gone:
        assert new == build(after)
    found = [(side, row.path) for side, row in trees.diff(new, "", old, "")]
    middle = found[len(found) // 2][1] if found else "m"
    behind = [(side, row.path) for side, row in trees.diff(new, "", old, "", after=middle)]
    assert behind == [(side, path) for side, path in found if path > middle]
    assert {path for _, path in found} == {
        path for path in before | after if before.get(path) != after.get(path)
    }
