"""Triggers of inputs: which branch is followed, which is watched, and when it moves."""

import pytest

from trunkline.errors import InvalidSpec
from trunkline.model.pipelines import PipelineSpec
from trunkline.model.versions import BranchName, BranchTrigger
from trunkline.pipelines.input_triggers import is_made
from trunkline.pipelines.inputs import branches_of, trigger_leaves
from trunkline.pipelines.spec import spec_from_document


def spec_with(*inputs: dict[str, object], project: str = "") -> PipelineSpec:
    leaves = [
        {"pfs": {"name": f"in{n}", "repo": "data", "glob": "/*", **given}}
        for n, given in enumerate(inputs)
    ]
    pipeline = {"name": "p"} | ({"project": {"name": project}} if project else {})
    return spec_from_document(
        {"pipeline": pipeline, "transform": {"cmd": ["true"]}, "input": {"cross": leaves}}
    )


def followed(spec: PipelineSpec) -> list[tuple[str, str]]:
    """(branch that is followed, branch that is watched)."""
    return [(name.branch, trigger.source) for name, trigger in trigger_leaves(spec.input)]


FIVE: dict[str, object] = {"commits": 5}


@pytest.mark.parametrize(
    ("given", "branches"),
    [
        ({"trigger": FIVE}, ("p-trigger-1", "master")),
        ({"trigger": FIVE | {"branch": "staging"}}, ("p-trigger-1", "staging")),
        ({"trigger": FIVE, "branch": "staging"}, ("p-trigger-1", "staging")),
        (
            {"trigger": FIVE | {"branch": "staging"}, "branch": "staging"},
            ("p-trigger-1", "staging"),
        ),
        ({"trigger": FIVE | {"branch": "staging"}, "branch": "mine"}, ("mine", "staging")),
    ],
)
def test_an_input_with_a_trigger_follows_a_branch_that_watches_another(
    given: dict[str, object], branches: tuple[str, str]
) -> None:
    spec = spec_with(given)

    assert followed(spec) == [branches]
    assert branches_of(spec.input) == [BranchName(repo="data", branch=branches[0])]
    assert spec_from_document(spec.document) == spec


def test_each_input_has_a_branch_of_its_own() -> None:
    spec = spec_with({"trigger": FIVE}, {"trigger": {"size": "1MB"}})
    more = spec_with(
        {"trigger": FIVE},
        {"trigger": {"size": "1MB", "branch": "master"}, "branch": "p-trigger-1"},
    )

    assert [name for name, _ in followed(spec)] == ["p-trigger-1", "p-trigger-2"]
    assert [name for name, _ in followed(more)] == ["p-trigger-2", "p-trigger-1"]


def test_the_branch_tells_pipelines_of_other_projects_apart() -> None:
    spec = spec_with({"trigger": FIVE, "project": "default"}, project="q")

    assert followed(spec) == [("q-p-trigger-1", "master")]
    assert is_made(BranchName(repo="data", branch="q-p-trigger-1"), pipeline="q/p")
    assert not is_made(BranchName(repo="data", branch="p-trigger-1"), pipeline="q/p")
    assert not is_made(BranchName(repo="data", branch="p-trigger-x"), pipeline="p")


@pytest.mark.parametrize(
    ("given", "trigger"),
    [
        ({"size": "100MB"}, BranchTrigger(source="master", size="100MB")),
        ({"cron_spec": "@daily"}, BranchTrigger(source="master", cron="@daily")),
        (
            {"all": True, "commits": "3", "rate_limit_spec": "TZ=Europe/Berlin @hourly"},
            BranchTrigger(source="master", commits=3, cron="TZ=Europe/Berlin @hourly", all=True),
        ),
    ],
)
def test_conditions_are_those_of_branches(given: dict[str, object], trigger: BranchTrigger) -> None:
    assert [found for _, found in trigger_leaves(spec_with({"trigger": given}).input)] == [trigger]


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ([{"trigger": {}}], "'input.cross[0].pfs.trigger' has no condition"),
        ([{"trigger": {"branch": "staging"}}], "has no condition"),
        ([{"trigger": {"cron_spec": "@daily", "commits": 1}}], "has a cron_spec and other"),
        ([{"trigger": {"size": "much"}}], "pfs.trigger.size': 'much' is not a size"),
        ([{"trigger": {"cron_spec": "often"}}], "cron_spec': 'often' is not a schedule"),
        ([{"trigger": {"cron_spec": "@never"}}], "'@never' is not a schedule"),
        (
            [
                {"branch": "b", "trigger": {"branch": "s", "commits": 1}},
                {"branch": "b", "trigger": {"branch": "s", "commits": 2}},
            ],
            "two inputs give branch data@b different triggers",
        ),
    ],
)
def test_a_trigger_that_can_not_be_is_refused(
    inputs: list[dict[str, object]], sentence: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        spec_with(*inputs)

    assert sentence in str(caught.value)
