"""The decision which branches need a commit, as a function of plain values."""

from trunkline.model.versions import BranchName
from trunkline.versions.provenance import Derived, Output, plan_outputs
from trunkline.versions.records import Source

A, B, C, D, SPEC = range(1, 6)


def derived(**sources: tuple[int, ...]) -> dict[int, Derived]:
    numbers = {"a": A, "b": B, "c": C, "d": D}
    return {
        numbers[name]: Derived(
            branch=numbers[name], name=BranchName(repo=name, branch="master"), sources=of
        )
        for name, of in sources.items()
    }


def head_of(commit: int) -> Source:
    return Source(commit=commit, branch=f"branch{commit}")


def plan(
    graph: dict[int, Derived],
    heads: dict[int, int | None],
    made_from: dict[int, set[int]] | None = None,
) -> list[tuple[int, tuple[int, ...]]]:
    """Each commit is the head of a branch called after its number."""
    sources = {head: [head_of(commit) for commit in of] for head, of in (made_from or {}).items()}
    outputs: list[Output] = plan_outputs(
        graph,
        heads={branch: commit and head_of(commit) for branch, commit in heads.items()},
        made_from={head: frozenset(of) for head, of in sources.items()},
        system=frozenset({SPEC}),
    )
    return [(output.branch, output.sources) for output in outputs]


def test_a_branch_without_a_commit_gets_one_once_a_source_has_one() -> None:
    assert plan(derived(b=(A,)), {A: 10}) == [(B, (A,))]


def test_nothing_is_due_without_data() -> None:
    assert plan(derived(b=(A,)), {A: None}) == []


def test_a_spec_alone_is_no_data() -> None:
    assert plan(derived(b=(A, SPEC)), {A: None, SPEC: 50}) == []


def test_any_source_with_data_is_enough() -> None:
    assert plan(derived(c=(A, B, SPEC)), {A: None, B: 20, SPEC: 50}) == [(C, (B, SPEC))]


def test_a_head_made_from_the_same_is_enough() -> None:
    assert plan(derived(c=(A, B)), {A: 10, B: 20, C: 30}, {30: {10, 20}}) == []


def test_a_head_made_from_others_is_not_enough() -> None:
    assert plan(derived(b=(A,)), {A: 11, B: 20}, {20: {10}}) == [(B, (A,))]


def test_a_head_made_from_more_or_less_is_not_enough() -> None:
    assert plan(derived(b=(A,)), {A: 10, B: 20}, {20: {10, 50}}) == [(B, (A,))]
    assert plan(derived(b=(A,)), {A: 10, B: 20}, {20: set()}) == [(B, (A,))]


def test_a_diamond_gives_one_commit_each_with_the_bottom_last() -> None:
    graph = derived(d=(C, B, A), c=(A,), b=(A,))

    assert plan(graph, {A: 10}) == [(B, (A,)), (C, (A,)), (D, (C, B, A))]


def test_a_change_goes_on_below_a_branch_that_gets_a_commit() -> None:
    graph = derived(b=(A,), c=(B,))

    assert plan(graph, {A: 11, B: 20, C: 30}, {20: {10}, 30: {20}}) == [(B, (A,)), (C, (B,))]


def test_a_change_ends_at_a_branch_that_needs_none() -> None:
    graph = derived(b=(A,), c=(B,))

    assert plan(graph, {A: 10, B: 20, C: 30}, {20: {10}, 30: {20}}) == []
