"""Contexts, completion, doctor and the other commands that are about the installation."""

import dataclasses
import json

import pytest

from trunkline.model.images import ContainerEngineInfo


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRUNKLINE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("TRUNKLINE_ADDRESS", raising=False)
    monkeypatch.delenv("PACHD_ADDRESS", raising=False)
    return tmp_path


def test_connecting_makes_a_context_and_uses_it(cli, home):
    (home / "token").write_text("secret\n")

    connected = cli(
        *("connect", "https://data.example.org:8443", "--name", "team"),
        *("--token-file", str(home / "token")),
    )
    listed = cli("list", "context")
    shown = json.loads(cli("inspect", "context", "-o", "json").out)

    assert (connected.status, connected.out) == (0, "")
    assert [line.split()[:2] for line in listed.out.splitlines()] == [
        ["ACTIVE", "NAME"],
        ["local", f"unix://{home}/home/server.sock"],
        ["*", "team"],
    ]
    assert shown == {
        "name": "team",
        "active": True,
        "address": "https://data.example.org:8443",
        "has_token": True,
        "project": "default",
        "ca_file": "",
    }
    assert "secret" not in listed.out + connected.err


def test_a_context_without_a_name_is_named_after_its_host(cli):
    cli("connect", "http://data.example.org:30650")

    assert cli("config", "get", "active-context").out == "data-example-org-30650\n"


def test_connect_local_goes_back_to_this_machine(cli):
    cli("connect", "http://data.example.org", "--name", "team")
    cli("connect", "local")

    assert cli("config", "get", "active-context").out == "local\n"


def test_contexts_are_changed_in_the_words_of_either_generation(cli):
    cli("connect", "http://a.example.org", "--name", "a")
    cli("connect", "http://b.example.org", "--name", "b")

    cli("config", "set", "active-context", "a")
    first = cli("config", "get", "active-context").out
    cli("set", "context", "b")
    second = cli("config", "get", "active-context").out
    cli("delete", "context", "b")
    cli("config", "delete", "context", "a")

    assert (first, second) == ("a\n", "b\n")
    assert len(cli("config", "list", "context").out.splitlines()) == 2


@pytest.mark.parametrize(
    ("line", "status", "sentence"),
    [
        ("set context none", 3, "there is no context 'none'"),
        ("inspect context none", 3, "there is no context 'none'"),
        ("delete context local", 2, "always exists"),
        ("connect ftp://x", 2, "is not a server address"),
        ("connect http://x --name local", 2, "take another name"),
        ("config set active-context", 2, "needs the name of a context"),
        ("config frobnicate context", 2, "Invalid value for"),
    ],
)
def test_what_is_wrong_with_a_context_is_said(cli, line, status, sentence):
    result = cli(*line.split())

    assert result.status == status
    assert sentence in result.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", ["trunkline", "pachctl"])
def test_completion_prints_a_script_for_the_program_in_use(cli, shell, program):
    result = cli("completion", shell, program=program)

    assert result.status == 0
    assert f"_{program.upper()}_COMPLETE={shell}_complete" in result.out


def test_a_shell_completes_commands_of_both_generations(monkeypatch, cli):
    monkeypatch.setenv("_PACHCTL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "pachctl list-")
    monkeypatch.setenv("COMP_CWORD", "1")

    hyphenated = cli()
    monkeypatch.setenv("COMP_WORDS", "pachctl list ")
    monkeypatch.setenv("COMP_CWORD", "2")
    spaced = cli()

    assert "plain,list-repo" in hyphenated.out.splitlines()
    assert "plain,repo" in spaced.out.splitlines()


def test_doctor_reports_on_machine_directory_and_server(cli):
    result = cli("doctor")
    findings = json.loads(cli("doctor", "-o", "json").out)

    assert result.status == 0
    assert {finding["check"] for finding in findings} >= {"program", "free space", "server"}
    assert not any(finding["verdict"] == "bad" for finding in findings)


def test_doctor_notes_that_paths_are_rewritten_and_why(cli, stub, monkeypatch):
    rewriting = dataclasses.replace(stub.status, isolation="rewrite (no namespaces here)")
    monkeypatch.setattr(stub, "status", rewriting)

    findings = json.loads(cli("doctor", "-o", "json").out)

    [found] = [finding for finding in findings if finding["check"] == "isolation"]
    assert (found["verdict"], found["found"]) == ("note", "rewrite (no namespaces here)")
    assert "rewriting paths" in found["advice"]


@pytest.mark.parametrize(("runtime", "verdict"), [("auto", "note"), ("docker", "bad")])
def test_doctor_says_why_there_are_no_containers(cli, stub, runtime, verdict):
    before = cli("doctor", "-o", "json")
    stub.containers = ContainerEngineInfo(
        runtime=runtime, name="", socket="", problem="there is no container engine"
    )
    after = cli("doctor", "-o", "json")

    def found(result):
        [one] = [one for one in json.loads(result.out) if one["check"] == "containers"]
        return one["verdict"], one["found"]

    assert found(before) == ("ok", "Docker 26.1.5 at /var/run/docker.sock")
    assert found(after) == (verdict, "there is no container engine")
    assert (before.status, after.status) == (0, 1 if verdict == "bad" else 0)


def test_doctor_says_why_the_server_can_not_be_reached(cli, stub, make_failure):
    stub.failures["status"] = make_failure("nobody listens")

    result = cli("doctor")

    assert result.status == 1
    assert "nobody listens" in result.out


def test_version_of_the_program_alone_asks_no_server(cli):
    result = cli("version", "--client-only")

    assert result.status == 0
    assert result.out.count("\n") == 1
    assert cli.opened == []


def test_up_tells_where_the_server_is(cli):
    result = cli("up")

    assert result.out == "server 0.1.0 is up at unix:///data/server.sock (process 4711)\n"


def test_down_without_a_server_is_no_failure(cli):
    result = cli("down")

    assert (result.status, result.out, result.err) == (0, "", "no server was running\n")


def test_a_context_can_be_chosen_for_one_command(cli):
    cli("--context", "team", "list-repo")
    cli("list", "repo", "--context", "other")
    cli("list", "repo")

    assert cli.opened == ["team", "other", None]


def test_an_unknown_context_is_said_before_anything_is_sent(home):
    from trunkline.cli.session import open_link
    from trunkline.errors import NotFound

    (home / "config.toml").write_text('active = "local"\n')

    with pytest.raises(NotFound, match="there is no context 'none'"):
        open_link("none")


def test_a_remote_address_is_not_handed_local_paths(monkeypatch):
    from trunkline.cli.session import open_link

    here = open_link(None)
    monkeypatch.setenv("TRUNKLINE_ADDRESS", "http://127.0.0.1:1")
    there = open_link(None)

    assert (here.local, there.local) == (True, False)
