"""Tags through the operations, and through the real command line."""

import pytest

from trunkline.errors import AlreadyExists, InUse


def test_a_tag_reads_protects_and_comes_back(engine) -> None:
    operations = engine.engine
    operations.repos.create_repo("data")
    first = engine.put("data", {"f": "one"}).id
    operations.tags.create_tag("data", "v1", commit="master")
    engine.put("data", {"f": "two"})

    assert engine.read("data", "f", "v1") == "one"
    for remove in ("delete_commit", "squash_commit", "drop_commit"):
        with pytest.raises(InUse):
            getattr(operations.commits, remove)("data", first)
    with pytest.raises(AlreadyExists, match="tag 'data@v1'"):
        engine.put("data", {"f": "three"}, branch="v1")

    operations.repos.delete_repo("data")
    operations.trash.undelete("repo", "data")
    assert [(tag.name, tag.commit) for tag in operations.tags.list_tags("data")] == [("v1", first)]
    assert engine.read("data", "f", "v1") == "one"
