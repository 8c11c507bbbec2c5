"""How inputs are shown, which branches they read, and how a job's commits are written in."""

from collections.abc import Callable

from trunkline.model.pipelines import PipelineSpec
from trunkline.model.versions import BranchName
from trunkline.pipelines.inputs import branches_of, empty_file_inputs, resolved_document, shorthand

Read = Callable[..., list[PipelineSpec]]

NESTED = """
pipeline: {name: a}
transform: {cmd: [a]}
input:
  cross:
    - pfs: {repo: x, glob: /*}
    - union:
        - atom: {repo: y, branch: dev, glob: /}
        - atom: {repo: z, name: y, glob: "*.csv"}
        - pfs: {repo: x, name: y, glob: /}
"""


def test_the_shorthand_is_what_list_pipeline_shows(tutorial: dict[str, str], read: Read) -> None:
    [inference] = read(tutorial["inference"])
    [train] = read(tutorial["train"])
    [nested] = read(NESTED)

    assert shorthand(inference.input) == "(attributes:/* ⨯ train:/)"
    assert shorthand(train.input) == "pre_process:/"
    assert shorthand(nested.input) == "(x:/* ⨯ (y:/ ∪ z:*.csv ∪ x:/))"


def test_each_branch_is_listed_once_in_the_order_of_the_spec(read: Read) -> None:
    [nested] = read(NESTED)

    assert [str(branch) for branch in branches_of(nested.input)] == [
        "x@master",
        "y@dev",
        "z@master",
    ]


def test_inputs_with_empty_files_are_named_once(read: Read) -> None:
    [nested] = read(NESTED.replace("glob: /}", "glob: /, empty_files: true}"))

    assert empty_file_inputs(nested.input) == ("y",)


def test_the_commits_of_a_job_are_written_behind_their_branch(
    tutorial: dict[str, str], read: Read
) -> None:
    [inference] = read(tutorial["inference"])
    commits = {
        BranchName(repo="attributes", branch="master"): "d46e",
        BranchName(repo="train", branch="master"): None,
    }

    resolved = resolved_document(inference.document, commits)

    assert resolved["input"] == {
        "cross": [
            {
                "atom": {
                    "name": "attributes",
                    "repo": "attributes",
                    "branch": "master",
                    "commit": "d46e",
                    "glob": "/*",
                }
            },
            {"atom": {"name": "train", "repo": "train", "branch": "master", "glob": "/"}},
        ]
    }
    assert {**resolved, "input": None} == {**inference.document, "input": None}


def test_writing_the_commits_leaves_the_spec_as_it_was(
    tutorial: dict[str, str], read: Read
) -> None:
    [train] = read(tutorial["train"])
    [again] = read(tutorial["train"])

    resolved_document(train.document, {BranchName(repo="pre_process", branch="master"): "1"})

    assert train.document == again.document
