"""Which branch of a repo is shown where none is named."""

from collections.abc import Sequence

from trunkline.model.versions import DEFAULT_BRANCH, BranchInfo


def chosen_branch(branches: Sequence[BranchInfo], name: str = "") -> BranchInfo | None:
    """That of the name, else the usual one, else the one that moved last."""
    by_name = {branch.name: branch for branch in branches}
    with_head = [branch for branch in branches if branch.head]
    first = with_head[0] if with_head else (branches[0] if branches else None)
    return by_name.get(name) or by_name.get(DEFAULT_BRANCH) or first
