"""Which project a command means, and how names of other projects look."""

import dataclasses
import json
from pathlib import Path

import click
import pytest

from trunkline.cli.grammar import WORDS, all_spaced
from trunkline.model.versions import Retention, UndeletedInfo

RUN = "5c0606144d234fa09d25e682589b0a8b"
SPEC = '{"pipeline": {}}'


# command → the operation that it calls, with its positional and named arguments
COMMANDS = [
    ("create repo a", "create_repo", ("p/a",), {}),
    ("update repo a -d x", "create_repo", ("p/a",), {"update": True}),
    ("inspect repo inference", "inspect_repo", ("p/inference",), {}),
    ("list repo", "list_repos", (), {"project": "p"}),
    ("list repo -A", "list_repos", (), {"project": None}),
    ("list repo --all-projects", "list_repos", (), {"project": None}),
    ("delete repo a", "delete_repo", ("p/a",), {}),
    ("create-repo a", "create_repo", ("p/a",), {}),
    ("list-repo", "list_repos", (), {"project": "p"}),
    ("start commit a@b", "start_commit", ("p/a",), {"branch": "b"}),
    ("start commit a", "start_commit", ("p/a",), {}),
    ("finish commit a@b", "finish_commit", ("p/a", "b"), {}),
    ("inspect commit a/b", "inspect_commit", ("p/a", "b"), {}),
    ("list commit a", "list_commits", ("p/a",), {}),
    ("list-commit a b", "list_commits", ("p/a",), {"to": "b"}),
    (
        "flush commit a@b other/c@d -r e -r f",
        *("flush_commits", (["p/a@b", "other/c@d"],), {"repos": ["p/e", "p/f"]}),
    ),
    ("flush-commit a/b", "flush_commits", (["p/a@b"],), {}),
    ("subscribe commit a@b", "subscribe_commits", ("p/a", "b"), {}),
    ("delete commit a@b", "delete_commit", ("p/a", "b"), {}),
    (
        "create branch a@b -p c@d -p other/e@f --head a@x",
        *("create_branch", ("p/a", "b"), {"provenance": ["p/c@d", "other/e@f"], "head": "x"}),
    ),
    ("list branch a", "list_branches", ("p/a",), {}),
    ("inspect branch a@b", "inspect_branch", ("p/a", "b"), {}),
    ("delete branch a@b", "delete_branch", ("p/a", "b"), {}),
    (
        "set retention a@b --keep-last 2",
        "set_retention",
        ("p/a", "b"),
        {"rules": Retention(last=2)},
    ),
    ("du a b@c:/d q/a", "disk_usage", (), {"targets": ["p/a", "p/b@c:/d", "q/a"]}),
    ("inspect retention a@b", "inspect_retention", ("p/a", "b"), {}),
    ("delete retention a@b", "delete_retention", ("p/a", "b"), {}),
    ("apply retention a@b", "apply_retention", ("p/a", "b"), {"dry_run": False}),
    ("create tag a@b v1", "create_tag", ("p/a", "v1"), {"commit": "b"}),
    ("inspect tag a@v1", "inspect_tag", ("p/a", "v1"), {}),
    ("list tag a", "list_tags", ("p/a",), {}),
    ("delete tag a@v1", "delete_tag", ("p/a", "v1"), {}),
    ("list file a@b", "list_files", ("p/a", "b", "/"), {}),
    ("list-file a b", "list_files", ("p/a", "b", "/"), {}),
    ("inspect pipeline x", "inspect_pipeline", ("p/x",), {}),
    ("list pipeline", "list_pipelines", (), {"project": "p"}),
    ("list pipeline -A -s", "list_pipelines", (), {"project": None}),
    ("start pipeline x", "start_pipeline", ("p/x",), {}),
    ("stop pipeline x", "stop_pipeline", ("p/x",), {}),
    ("rerun pipeline x --reprocess", "rerun_pipeline", ("p/x",), {"reprocess": True}),
    (f"stop run {RUN}", "stop_run", (RUN,), {}),
    ("run cron x", "run_cron", ("p/x",), {}),
    ("run git x", "run_git", ("p/x",), {"wait": True}),
    ("run-cron x", "run_cron", ("p/x",), {}),
    ("delete pipeline x", "delete_pipeline", ("p/x",), {}),
    ("list job", "list_jobs", (), {"project": "p"}),
    ("list job -A", "list_jobs", (), {"project": None}),
    ("list job -p x", "list_jobs", (), {"pipeline": "p/x", "project": None}),
    (f"list job {RUN}", "list_jobs", (), {"run": RUN, "project": None}),
    ("list job -i a@b", "list_jobs", (), {"inputs": ["p/a@b"], "project": None}),
    ("list job --output-commit q/a@b", "list_jobs", (), {"output": "q/a@b", "project": None}),
    ("flush job a@b -p x", "flush_jobs", (["p/a@b"],), {"pipelines": ["p/x"]}),
    (f"stop job x@{RUN}", "stop_job", (f"p/x@{RUN}",), {}),
    (f"stop-job x/{RUN}", "stop_job", (f"p/x@{RUN}",), {}),
    (f"stop job other/x/{RUN}", "stop_job", (f"other/x@{RUN}",), {}),
    (f"list datum x@{RUN}", "list_datums", (f"p/x@{RUN}",), {}),
    (f"list output x@{RUN} 0101", "list_outputs", (f"p/x@{RUN}", "0101"), {}),
    (f"profile job x@{RUN}", "profile_job", (f"p/x@{RUN}",), {}),
    (f"restart datum x@{RUN} /f", "restart_datums", (f"p/x@{RUN}", ["/f"]), {}),
    ("logs -p x", "get_logs", (), {"pipeline": "p/x"}),
    (f"logs -j x@{RUN}", "get_logs", (), {"pipeline": None, "job": f"p/x@{RUN}"}),
    ("list worker -p x", "list_workers", (), {"pipeline": "p/x"}),
    ("set branch a@b c", "create_branch", ("p/a", "c"), {"head": "b"}),
    ("wait commit a@b", "inspect_commit", ("p/a", "b"), {"wait": True}),
    ("squash commit a@b", "squash_commit", ("p/a", "b"), {}),
    ("drop commit a@b", "drop_commit", ("p/a", "b"), {}),
    ("put file a@b:/x", "modify_files", ("p/a", "b"), {}),
    ("get file a@b:/x", "read_file", ("p/a", "b", "/x"), {}),
    ("copy file a@b:/x c@d", "modify_files", ("p/c", "d"), {}),
    ("inspect file a@b:/x", "inspect_file", ("p/a", "b", "/x"), {}),
    ("glob file a@b:/x*", "glob_files", ("p/a", "b", "/x*"), {}),
    ("delete file a@b:/x", "modify_files", ("p/a", "b"), {}),
    ("diff file a@b c@d", "diff_files", ("p/a", "b"), {"old_repo": "p/c"}),
    ("log a@b:/x", "list_file_versions", ("p/a", "b", "/x"), {}),
    ("edit pipeline x --editor true", "inspect_pipeline", ("p/x",), {}),
    ("extract pipeline x", "inspect_pipeline", ("p/x",), {}),
    ("diff pipeline x", "diff_pipeline", ("p/x",), {}),
    (f"inspect job x@{RUN}", "inspect_job", (f"p/x@{RUN}",), {}),
    (f"wait job x@{RUN}", "inspect_job", (f"p/x@{RUN}",), {"wait": True}),
    (f"delete job x@{RUN}", "delete_job", (f"p/x@{RUN}",), {}),
    (f"inspect datum x@{RUN} 0101", "inspect_datum", (f"p/x@{RUN}", "0101"), {}),
    ("why x@master:/f", "why_file", ("p/x", "master", "/f"), {"depth": 0}),
    (f"explain job x@{RUN}", "explain_job", (f"p/x@{RUN}",), {}),
    (f"explain datum x@{RUN} 0101", "explain_datum", (f"p/x@{RUN}", "0101"), {}),
    (f"put output x@{RUN} 0101 f -f -", "hand_in", (f"p/x@{RUN}", "0101"), {}),
    ("explain file x@master:/f", "explain_file", ("p/x", "master", "/f"), {}),
    ("explain pipeline x", "explain_pipeline", ("p/x",), {}),
    ("impact x@master:/f --files", "impact_of_file", ("p/x", "master", "/f"), {"files": True}),
    ("list purged a@b", "list_purged", ("p/a", "b", "/"), {}),
    ("purge a:/x --yes", "purge", (["p/a:/x"],), {"rerun": True}),
    ("undelete repo a", "undelete", ("repo", "p/a"), {}),
    ("undelete branch a@b", "undelete", ("branch", "p/a@b"), {}),
    (f"undelete commit a@{RUN}", "undelete", ("commit", f"p/a@{RUN}"), {}),
    ("undelete pipeline x", "undelete", ("pipeline", "p/x"), {}),
]
IDS = [line for line, *_ in COMMANDS]

# Arguments (as functions call them) that name a repo, pipeline or job, or something in one.
NAMING = {
    *(
        "repo",
        "branch",
        "commit",
        "commits",
        "pipeline",
        "job",
        "file",
        "source",
        "target",
        "targets",
    ),
    *("directory", "pattern", "path", "new"),
}
ELSEWHERE = {
    "checkout",
    "status",
    "backup",
    "restore",
    "debug datum",
}  # they name directories of the machine


def asked(stub, operation: str, words: tuple[object, ...], named: dict[str, object]) -> bool:
    [(given_words, given)] = stub.all_called(operation)[:1]
    return tuple(given_words)[: len(words)] == words and named.items() <= given.items()


@pytest.fixture
def inside(stub, make_job):
    """What the server tells of the project `p`."""
    answers = stub.answers
    answers.repos = [dataclasses.replace(info, name=f"p/{info.name}") for info in answers.repos]
    answers.pipelines = [
        dataclasses.replace(info, name=f"p/{info.name}") for info in answers.pipelines
    ]
    answers.jobs = [make_job("p/x", "success", output_repo="p/x")]
    answers.commits = [dataclasses.replace(info, repo=f"p/{info.repo}") for info in answers.commits]
    answers.undeleted = UndeletedInfo(kind="repo", name="p/a", commits=1, notes=())
    return stub


@pytest.mark.parametrize(("line", "operation", "words", "named"), COMMANDS, ids=IDS)
def test_a_name_is_one_in_the_project_of_the_option(cli, inside, line, operation, words, named):
    result = cli(*line.split(), "--project", "p", program="trunkline")

    assert (result.status, result.err.startswith("error")) == (0, False), result.err
    assert asked(inside, operation, words, named), inside.calls


def test_each_command_that_names_something_is_tried_in_another_project() -> None:
    naming = {
        words
        for words, command in all_spaced()
        if any(isinstance(p, click.Argument) and p.name in NAMING for p in command.params)
    }
    tried = {
        " ".join(line.split()[: 1 if line.split()[0] in WORDS else 2]) for line, *_ in COMMANDS
    }

    assert naming - ELSEWHERE - tried == set()


@pytest.mark.parametrize(("line", "operation", "words", "named"), COMMANDS[:12:4], ids=IDS[:12:4])
def test_the_project_of_the_context_counts_without_the_option(
    cli, inside, line, operation, words, named
):
    cli.project = "p"

    assert cli(*line.split()).status == 0
    assert asked(inside, operation, words, named), inside.calls


def test_the_option_may_stand_before_the_command(cli, stub):
    cli("--project", "p", "create", "repo", "a")

    assert stub.called("create_repo")[0] == ("p/a",)


def test_the_option_counts_more_than_the_context(cli, stub):
    cli.project = "p"
    cli("create", "repo", "a", "--project", "q")
    cli("create", "repo", "b", "--project", "default")

    assert [call[0] for call in stub.all_called("create_repo")] == [("q/a",), ("b",)]


def test_a_project_in_the_name_counts_more_than_any_other(cli, stub):
    for name in ("q/a", "default/a", "a"):
        cli("create", "repo", name, "--project", "p")

    assert [call[0] for call in stub.all_called("create_repo")] == [("q/a",), ("a",), ("p/a",)]


def test_names_of_other_projects_need_no_option(cli, stub):
    stub.answers.repos = []
    cli("list", "file", "p/a@master:/x")
    cli("list", "commit", "p/a")
    cli("list-file", "p/a", "master")
    cli("flush", "commit", "p/a/master")

    assert stub.all_called("list_files") == [
        (("p/a", "master", "/x"), {"recursive": False}),
        (("p/a", "master", "/"), {"recursive": False}),
    ]
    assert stub.called("list_commits")[0] == ("p/a",)
    assert stub.called("flush_commits")[0] == (["p/a@master"],)


def test_a_copy_may_go_from_one_project_to_another(cli, stub):
    cli("copy", "file", "a@m:/x", "b@m", "--src-project", "p", "--dest-project", "q")
    cli("copy", "file", "a@m:/x", "b@m", "--src-project", "p", "--project", "q")
    cli("copy", "file", "p/a@m:/x", "q/b@m")

    calls = stub.all_called("modify_files")
    assert [(words[0], words[2][0].source_repo) for words, _ in calls] == [("q/b", "p/a")] * 3


def test_specs_are_checked_in_the_project(cli, stub, tmp_path: Path):
    spec = tmp_path / "spec.json"
    spec.write_text(SPEC)
    cli("create", "pipeline", "-f", str(spec), "--project", "p")
    cli("validate", "pipeline", "-f", str(spec))

    calls = stub.all_called("validate_specs")
    assert [given["project"] for _, given in calls] == ["p", "default"]


def test_an_edited_spec_stays_in_the_project_of_its_pipeline(cli, inside):
    cli("edit", "pipeline", "p/inference", "--editor", "sed -i s/64M/1G/")

    assert inside.called("validate_specs")[1]["project"] == "p"


def test_deleting_all_deletes_what_is_in_the_project(cli, inside):
    cli.project = "p"
    repos = cli("delete", "repo", "--all", stdin=b"y\n")
    pipelines = cli("delete", "pipeline", "--all", stdin=b"y\n")

    assert inside.all_called("list_repos") == [((), {"project": "p"})]
    assert inside.all_called("list_pipelines") == [((), {"project": "p"})]
    assert "deletes all repos of project 'p' (3)" in repos.err
    assert "deletes all pipelines of project 'p' (2)" in pipelines.err


def test_tables_have_the_project_beside_the_name(cli, inside):
    listed = {
        noun: cli("list", noun, *more, program="trunkline").out.splitlines()[1].split()[:2]
        for noun, *more in (["repo"], ["pipeline"], ["commit", "inference"])
    }
    hyphenated = cli("list-repo").out.splitlines()[1].split()[0]
    jobs = cli("list", "job").out.splitlines()[1].split()[1]

    assert listed == {
        "repo": ["p", "inference"],
        "pipeline": ["p", "inference"],
        "commit": ["p", "inference"],
    }
    assert hyphenated == "p/inference"
    assert jobs == f"p/x/{RUN}"


# --- commands on projects -------------------------------------------------------------------------


def test_projects_are_created_described_and_deleted(cli, stub):
    cli("create", "project", "vision", "--description", "street scenes")
    cli("update", "project", "vision", "-d", "more")
    plain = cli("delete", "project", "vision")
    forced = cli("delete", "project", "vision", "-f")

    assert stub.all_called("create_project") == [
        (("vision",), {"description": "street scenes"}),
        (("vision",), {"description": "more", "update": True}),
    ]
    assert stub.all_called("delete_project") == [
        (("vision",), {"force": False}),
        (("vision",), {"force": True}),
    ]
    assert plain.err == ""
    assert "after `create project vision`" in forced.err


def test_the_list_of_projects_marks_the_one_in_use(cli):
    cli.project = "vision"
    out = cli("list", "project").out
    other = cli("list", "projects", "--project", "default").out

    assert [line.split()[0] for line in out.splitlines()] == ["ACTIVE", "*", "default"]
    assert [line.split()[0] for line in other.splitlines()] == ["ACTIVE", "vision", "*"]


def test_a_project_as_json(cli):
    shown = json.loads(cli("inspect", "project", "vision", "--raw").out)

    assert (shown["name"], shown["description"]) == ("vision", "street scenes")


# --- the project of a context ---------------------------------------------------------------------


@pytest.fixture
def contexts(cli, home, monkeypatch):
    monkeypatch.delenv("TRUNKLINE_PROJECT", raising=False)
    cli("connect", "data.example.org", "--name", "team")
    cli("connect", "local")
    return cli


def project_of(cli, context: str) -> str:
    return cli("inspect", "context", context).out.splitlines()[-1]


def test_a_context_keeps_a_project(contexts, stub):
    contexts("config", "set", "project", "vision")
    contexts("config", "update", "context", "team", "--project", "vision")
    both = [project_of(contexts, name) for name in ("local", "team")]
    contexts("config", "update", "context", "--project", "default")

    assert both == ["Project: vision"] * 2
    assert project_of(contexts, "local") == "Project: default"
    assert contexts.opened[-3:] == ["local", "team", "local"]
    assert [words for words, _ in stub.all_called("inspect_project")] == [
        ("vision",),
        ("vision",),
        ("default",),
    ]


def test_a_context_takes_no_project_that_its_server_has_not(contexts, stub, make_failure):
    stub.failures["inspect_project"] = make_failure("there is no project 'visoin'")
    result = contexts("config", "set", "project", "visoin")

    assert (result.status, result.err) == (6, "error: there is no project 'visoin'\n")
    assert project_of(contexts, "local") == "Project: default"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("config set project", "config set project needs the name of a project"),
        ("config update context", "add --project NAME"),
        ("config update context none --project vision", "there is no context 'none'"),
        ("config delete project vision", "`delete project`"),
    ],
)
def test_half_a_wish_is_answered_with_the_rest(contexts, line, said):
    result = contexts(*line.split())

    assert result.status in (2, 3)
    assert said in result.err


def test_what_the_environment_says_goes_before_the_context(contexts, monkeypatch):
    monkeypatch.setenv("TRUNKLINE_PROJECT", "other")
    noted = contexts("config", "set", "project", "vision")
    monkeypatch.setenv("TRUNKLINE_ADDRESS", "data.example.org")
    refused = contexts("config", "set", "project", "vision")

    assert noted.err == "TRUNKLINE_PROJECT is 'other' now, and counts more\n"
    assert refused.status == 2
    assert "use --project" in refused.err
