"""Creating, changing and deleting pipelines from specs and their code."""

import json

import pytest

from trunkline.errors import InUse
from trunkline.model.pipelines import PipelineDraft


@pytest.fixture
def spec(tmp_path, stub):
    """A spec file in a directory of its own, whose code is beside it in `code`."""
    place = tmp_path / "stage"
    (place / "code" / "__pycache__").mkdir(parents=True)
    (place / "code" / "infer.py").write_text("print()")
    (place / "code" / "__pycache__" / "infer.pyc").write_bytes(b"\0")
    path = place / "infer.json"
    path.write_text('{"pipeline": {"name": "inference"}}')
    drafts = [
        PipelineDraft(name="inference", spec={"n": 1}, code="code", warnings=("egress is unused",)),
        PipelineDraft(name="other", spec={"n": 2}, code="", warnings=()),
    ]
    stub.answers.drafts = drafts
    return path


def test_the_text_of_a_spec_is_checked_by_the_server_under_its_name(cli, stub, spec):
    cli("create-pipeline", "-f", str(spec))

    args, given = stub.called("validate_specs")
    assert args == (spec.read_text(),)
    assert given == {"source": str(spec), "project": "default"}


def test_each_document_of_a_spec_makes_a_pipeline(cli, stub, spec):
    result = cli("create-pipeline", "-f", str(spec))

    assert (result.status, result.out) == (0, "")
    made = stub.all_called("create_pipeline")
    assert [args[0] for args, _ in made] == [{"n": 1}, {"n": 2}]
    assert [given["code"] for _, given in made] == ["c0de" * 16, None]
    assert not any(given["update"] for _, given in made)


def test_warnings_about_a_spec_go_to_standard_error(cli, spec):
    result = cli("create", "pipeline", "-f", str(spec))

    assert result.err == "warning: pipeline 'inference': egress is unused\n"


def test_code_is_sent_without_what_running_it_left_behind(cli, stub, spec):
    cli("create", "pipeline", "-f", str(spec))

    (changes,), _ = stub.called("create_file_set")
    assert [change.path for change in changes] == ["infer.py"]


def test_missing_code_makes_no_pipeline_at_all(cli, stub, spec):
    stub.answers.drafts = [
        stub.answers.drafts[1],
        PipelineDraft(name="x", spec={}, code="gone", warnings=()),
    ]

    result = cli("create", "pipeline", "-f", str(spec))

    assert result.status == 3
    assert f"there is no file or directory '{spec.parent}/gone'" in result.err
    assert "`code` in `transform`" in result.err
    assert stub.all_called("create_pipeline") == []


def test_a_spec_is_read_from_standard_input(cli, stub):
    result = cli("create-pipeline", stdin=b'{"pipeline": {}}')

    assert result.err == "Reading from stdin.\n"
    assert stub.called("validate_specs") == (
        ('{"pipeline": {}}',),
        {"source": "stdin", "project": "default"},
    )


def test_an_update_says_what_becomes_of_old_results(cli, stub, spec):
    cli("update-pipeline", "-f", str(spec), "--reprocess")
    cli("update", "pipeline", "-f", str(spec), "--keep-results")

    flags = [
        (given["update"], given["reprocess"], given["keep_results"])
        for _, given in stub.all_called("create_pipeline")
    ]
    assert flags == [(True, True, False)] * 2 + [(True, False, True)] * 2


def test_flags_that_push_images_are_accepted_with_a_note(cli, stub, spec):
    result = cli("create-pipeline", "-f", str(spec), "-p", "-r", "docker.io", "-u", "me")

    assert result.status == 0
    assert "images are not pushed" in result.err


def test_a_spec_that_is_no_text_or_too_long_is_refused(cli, stub, tmp_path):
    (tmp_path / "binary").write_bytes(b"{\xff}")

    result = cli("create", "pipeline", "-f", str(tmp_path / "binary"))

    assert result.status == 2
    assert "is not UTF-8 text" in result.err


def test_validating_changes_nothing(cli, stub, spec):
    result = cli("validate", "pipeline", "-f", str(spec))

    assert result.out == "pipeline 'inference' is valid\npipeline 'other' is valid\n"
    assert [call[0] for call in stub.calls] == ["validate_specs", "plan_pipelines"]


def test_extract_prints_what_create_reads(cli, stub):
    one = cli("extract-pipeline", "inference")
    every = cli("list", "pipeline", "--spec")

    assert json.loads(one.out) == stub.answers.pipelines[0].spec
    assert every.out == one.out * 2


@pytest.fixture
def editor(tmp_path):
    """Makes an editor that replaces one word of what it opens."""

    def make(old: str, new: str) -> str:
        script = tmp_path / "edit.sh"
        script.write_text(f'sed -i "s/{old}/{new}/" "$1"\n')
        return f"sh {script}"

    return make


def test_edit_updates_the_pipeline_and_keeps_its_code(cli, stub, editor):
    stub.answers.drafts = [PipelineDraft(name="inference", spec={"n": 9}, code="code", warnings=())]

    result = cli("edit", "pipeline", "inference", "--editor", editor("64M", "1G"))

    assert (result.status, result.out) == (0, "")
    assert '"memory": "1G"' in stub.called("validate_specs")[0][0]
    assert stub.called("create_pipeline") == (
        ({"n": 9},),
        {"code": stub.answers.pipelines[0].code, "update": True, "reprocess": False},
    )


def test_an_unchanged_spec_is_not_sent(cli, stub, editor):
    result = cli("edit-pipeline", "inference", "--editor", editor("x", "x"))

    assert result.out == "Pipeline unchanged, no update will be performed.\n"
    assert stub.all_called("create_pipeline") == []


def test_editing_another_name_into_a_spec_is_refused(cli, stub, editor):
    stub.answers.drafts = [PipelineDraft(name="other", spec={}, code="", warnings=())]

    result = cli("edit", "pipeline", "inference", "--editor", editor("64M", "1G"))

    assert result.status == 2
    assert stub.all_called("create_pipeline") == []


def test_deleting_all_pipelines_goes_from_the_most_derived_on(cli, stub):
    refused = {"train"}

    def answer(operation, args, given, inner=stub.answer):
        if operation == "delete_pipeline" and args[0] in refused:
            refused.clear()
            raise InUse("inference reads its output")
        return inner(operation, args, given)

    stub.answer = answer
    stub.answers.pipelines = stub.answers.pipelines[::-1]

    result = cli("delete-pipeline", "--all")

    assert result.status == 0
    asked = [args[0] for args, _ in stub.all_called("delete_pipeline")]
    assert asked == ["train", "inference", "train"]


def test_what_can_not_be_deleted_is_said_and_ends_the_deleting(cli, stub):
    stub.failures["delete_repo"] = InUse("a pipeline writes it")

    result = cli("delete-repo", "--all")

    assert result.status == 4
    assert result.err == "error: a pipeline writes it\n"
