"""Documents of inputs that are made of other inputs."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st


def composed(
    leaves: st.SearchStrategy[dict[str, Any]], kinds: Sequence[str], *, max_leaves: int
) -> st.SearchStrategy[dict[str, Any]]:
    """The leaves, and inputs of these kinds with one to three members, in each other."""
    return st.recursive(
        leaves,
        lambda inner: st.builds(
            lambda kind, members: {kind: members},
            st.sampled_from(kinds),
            st.lists(inner, min_size=1, max_size=3),
        ),
        max_leaves=max_leaves,
    )


def named(document: dict[str, Any], shared: bool, taken: list[str]) -> None:
    """Give every input a name of its own, or to those of one union or group the same."""
    [(kind, value)] = document.items()
    if kind == "pfs":
        taken.append(f"i{len(taken)}")
        value["name"] = taken[-1]
        return
    for member in value:
        named(member, shared, taken)
        if shared and kind in ("union", "group") and "pfs" in member:
            first = next(m["pfs"]["name"] for m in value if "pfs" in m)
            member["pfs"]["name"] = first
