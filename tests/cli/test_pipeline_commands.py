"""Creating, changing and deleting pipelines from specs and their code."""

import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from trunkline.errors import InUse, InvalidSpec
from trunkline.model.pipelines import PipelineDraft, PipelineState


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Texts that are kept go with the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


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
    Path(kept_text(result)).unlink()


def kept_text(result) -> str:
    """The file that a refused text is said to be kept in."""
    found = re.search(r"`edit pipeline inference -f (\S+)` goes on with it", result.err)
    assert found is not None, result.err
    return found[1]


def test_a_text_that_is_refused_is_kept_and_can_be_gone_on_with(cli, stub, editor):
    stub.answers.drafts = [PipelineDraft(name="inference", spec={"n": 9}, code="", warnings=())]
    stub.failures["validate_specs"] = InvalidSpec("line 3: unknown field 'datum_trys'")

    refused = cli("edit", "pipeline", "inference", "--editor", editor("64M", "1G"))
    kept = kept_text(refused)
    del stub.failures["validate_specs"]
    stub.calls.clear()
    mended = cli("edit", "pipeline", "inference", "-f", kept, "--editor", editor("1G", "2G"))

    assert (refused.status, mended.status, mended.err) == (2, 0, "")
    assert "line 3: unknown field 'datum_trys'" in refused.err
    assert '"memory": "1G"' in Path(kept).read_text()
    assert '"memory": "2G"' in stub.called("validate_specs")[0][0]
    assert len(stub.all_called("create_pipeline")) == 1
    Path(kept).unlink()


def test_an_editor_that_fails_before_anything_is_written_leaves_no_file(cli, stub, tmp_path):
    seen = tmp_path / "seen"
    script = tmp_path / "edit.sh"
    script.write_text(f'echo "$1" > {seen}; exit 1\n')

    result = cli("edit", "pipeline", "inference", "--editor", f"sh {script}")

    assert result.status != 0
    assert "kept" not in result.err
    assert not Path(seen.read_text().strip()).exists()
    assert stub.all_called("create_pipeline") == []


@pytest.mark.parametrize(
    ("words", "version"),
    [
        *(("inference", None), ("inference^", -1), ("inference^^", -2), ("inference~2^", -3)),
        *(("inference.1", 1), ("inference.3^", 2)),
    ],
)
def test_a_name_may_say_which_version_of_a_pipeline(cli, stub, words, version):
    cli("inspect", "pipeline", words)

    assert stub.called("inspect_pipeline") == (("inference",), {"version": version})


def test_a_version_that_can_not_be_is_refused(cli, stub):
    for words in (["inference.1^"], ["inference.0"], ["inference^", "--version", "1"], ["i^x"]):
        assert cli("inspect", "pipeline", *words).status == 2, words
    for history in ("-1", "some", "1.5", ""):
        assert cli("list", "pipeline", "--history", history).status == 2, history
    assert stub.calls == []


def test_versions_are_listed_as_far_back_as_it_is_asked(cli, stub):
    shown = cli("list", "pipeline", "inference", "--history", "all")
    cli("list", "pipeline", "--history", "2")
    cli("list", "pipeline", "--history", "none")

    assert "VERSION INPUT" in shown.out
    assert [given for _, given in stub.all_called("list_pipelines")] == [
        {"name": "inference", "history": -1},
        {"project": "default", "history": 2},
        {"project": "default"},
    ]


@pytest.mark.parametrize(
    ("state", "classic"),
    [
        ("starting", "starting"),
        ("running", "running"),
        ("standby", "running"),
        ("restarting", "restarting"),
        ("crashing", "restarting"),
        ("failure", "failure"),
        ("paused", "paused"),
    ],
)
def test_a_state_has_its_own_name_or_in_the_classic_spelling_that_of_1_7(cli, stub, state, classic):
    told = replace(stub.answers.pipelines[0], state=PipelineState(state), reason="no luck")
    stub.answers.pipelines = [told]

    assert cli("list-pipeline").out.split()[-1] == classic
    assert f"State: {classic}\nReason: no luck\n" in cli("inspect-pipeline", "inference").out
    assert f" {state} / " in cli("list", "pipeline", program="trunkline").out
    shown = cli("inspect", "pipeline", "inference", program="trunkline").out
    assert f"State: {state}\nReason: no luck\n" in shown


def test_what_differs_between_two_versions_is_shown(cli, stub):
    result = cli("diff", "pipeline", "inference", "--from", "1", "--exit-code")

    assert stub.called("diff_pipeline") == (
        ("inference",),
        {"old_version": 1, "new_version": None},
    )
    assert result.status == 10
    assert result.out == (
        "--- spec of inference, version 1\n"
        "+++ spec of inference, version 2\n"
        "@@ -1,2 +1,2 @@\n"
        '-  "datum_tries": 3\n'
        '+  "datum_tries": 1\n'
        "packages:\n"
        "- numpy==1.26.4\n"
        "+ numpy==2.1.0\n"
        "code:\n"
        "~ /a.py 0a0a0a0a0a0a -> 0b0b0b0b0b0b\n"
        "+ /b.py 0c0c0c0c0c0c\n"
        "results of version 1 are not used by version 2\n"
    )


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


@pytest.mark.parametrize("command", ["inspect-pipeline train", "inspect pipeline train"])
def test_inspect_says_where_the_output_of_a_pipeline_is_copied_to(cli, stub, command):
    plain = cli(*command.split()).out
    stub.answers.pipelines = [
        replace(one, spec={**one.spec, "egress": {"URL": "s3://bucket/x"}})
        for one in stub.answers.pipelines
    ]

    assert "Egress" not in plain
    assert 'Egress:\n{\n  "URL": "s3://bucket/x"\n}\n' in cli(*command.split()).out


def test_inspect_says_where_the_output_of_a_job_is_copied_to(cli, stub, make_job):
    job = make_job("train", "egressing")
    stub.answers.jobs = [replace(job, spec={**job.spec, "egress": {"URL": "s3://bucket/x"}})]

    assert 'Egress:\n{\n  "URL": "s3://bucket/x"\n}' in cli("inspect", "job", f"train@{job.id}").out
