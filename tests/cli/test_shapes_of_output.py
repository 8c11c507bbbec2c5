"""JSON and YAML for programs, full timestamps, and tables on a terminal."""

import json

import pytest
import yaml

LISTS = [
    "list repo",
    "list branch training",
    "list commit inference",
    "list file training@master",
    "glob file training@master:/*",
    "diff file training@master",
    "list pipeline",
    "list job",
    "list run",
    "list worker",
    "list datum inference@5c0606144d234fa09d25e682589b0a8b",
]
SINGLES = [
    "inspect repo training",
    "inspect branch training@master",
    "inspect commit inference@master",
    "inspect file training@master:/iris.csv",
    "inspect pipeline inference",
    "inspect job inference@5c0606144d234fa09d25e682589b0a8b",
    "inspect datum inference@5c0606144d234fa09d25e682589b0a8b 01",
    "inspect run 5c0606144d234fa09d25e682589b0a8b",
    "status",
    "fsck",
]


def json_values(text: str) -> list[object]:
    """JSON values that stand one after another."""
    decoder, found = json.JSONDecoder(), []
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


@pytest.mark.parametrize("line", LISTS)
def test_a_list_is_the_same_in_each_shape(cli, line):
    words = line.split()

    array = json.loads(cli(*words, "-o", "json").out)
    stream = json_values(cli(*words, "--raw").out)
    document = yaml.safe_load(cli(*words, "--output", "yaml").out)

    assert array
    assert isinstance(array, list)
    assert stream == array
    assert document == array


@pytest.mark.parametrize("line", SINGLES)
def test_a_single_value_is_the_same_in_each_shape(cli, line):
    words = line.split()

    value = json.loads(cli(*words, "-o", "json").out)

    assert isinstance(value, dict)
    assert json_values(cli(*words, "--raw").out) == [value]
    assert yaml.safe_load(cli(*words, "-o", "yaml").out) == value


def test_values_have_the_words_of_the_model(cli):
    repo = json.loads(cli("inspect", "repo", "training", "-o", "json").out)

    assert repo == {
        "name": "training",
        "description": "measured flowers",
        "created": "2026-03-04T11:59:35Z",
        "size_bytes": 4411,
        "branches": ["master"],
    }


def test_an_empty_list_is_an_empty_array_and_a_header(cli, stub):
    stub.answers.repos = []

    assert json.loads(cli("list", "repo", "-o", "json").out) == []
    assert cli("list", "repo", "--raw").out == ""
    assert yaml.safe_load(cli("list", "repo", "-o", "yaml").out) == []
    assert cli("list-repo").out == f"{'NAME':20}{'CREATED':20}{'SIZE':20}\n"


def test_the_old_commands_have_raw_output_too(cli):
    assert json_values(cli("list-job", "--raw").out)
    assert json_values(cli("version", "--raw").out) == [{"pachctl": "0.1.0", "pachd": "0.1.0"}]


def test_full_timestamps_take_the_place_of_ages(cli):
    result = cli("list", "repo", "--full-timestamps")

    assert "2026-03-04T11:59:53Z" in result.out
    assert " ago" not in result.out


def test_a_long_list_is_printed_in_portions_with_one_header(cli, stub, make_file):
    stub.answers.files = [make_file(f"{number:05}") for number in range(10_500)]

    lines = cli("list", "file", "training@master").out.splitlines()

    assert len(lines) == 10_501
    assert lines[0].split() == ["SIZE", "NAME"]
    assert lines[-1].split() == ["31B", "/10499"]


def test_the_reason_of_a_failed_job_stands_behind_its_state(cli, stub, make_job):
    reason = "datum 12 failed:\nexit status 1 from python3"
    stub.answers.jobs = [make_job("train", "failure", reason=reason)]

    last = cli("list", "job").out.splitlines()[-1]

    assert last.endswith("failure: datum 12 failed: exit sta... ")


def test_a_failed_jobs_tables_count_recovered_datums(cli, stub, make_job):
    stub.answers.jobs = [make_job("train", "success", processed=3, skipped=1, recovered=2, total=6)]

    assert " 3 + 1 + 2 / 6 " in cli("list", "job").out


def test_a_terminal_gets_whole_ids_and_colour_on_states_only(cli, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    cli.terminal = True

    colored = cli("list", "job").out
    plain = cli("list", "job", "--no-color").out

    assert "5c0606144d234fa09d25e682589b0a8b" in plain
    assert "\x1b[32msuccess" in colored
    assert "\x1b[36mrunning" in colored
    assert "\x1b[3" not in plain
    assert len([line for line in plain.splitlines() if line.strip()]) == 6


def test_a_dumb_terminal_cuts_no_column_off(cli, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("FORCE_COLOR", "1")
    cli.terminal = True

    shown = cli("list", "job").out

    assert shown.splitlines()[0].rstrip().endswith("STATE")
    assert "\x1b" not in shown


def test_user_lines_of_logs_are_printed_and_all_with_raw(cli, stub):
    plain = cli("logs", "--pipeline", "train")
    everything = cli("logs", "--pipeline", "train", "--master")
    raw = cli("logs", "--pipeline", "train", "--raw")

    assert plain.out == "trained\n"
    assert everything.out == "trained\ndatum done\n"
    assert [line["message"] for line in json_values(raw.out)] == ["trained", "datum done"]


def test_start_commit_prints_the_id_alone(cli, stub):
    assert cli("start-commit", "training", "master").out == f"{stub.answers.commits[0].id}\n"
