"""The tables and blocks of the tutorial, byte for byte.

`golden/*.txt` hold a command line behind `$`, then what it prints. `golden/transcript/*.txt` are
tables that pachctl 1.7.0 (and kubectl) really printed: our layout must give the same bytes.
"""

import re
from pathlib import Path

import pytest

from trunkline.cli import admin, branches, commits, datums, files, jobs, pipelines, repos

GOLDEN = Path(__file__).parent / "golden"
TABLES = {
    "version": admin._COMPONENTS,
    "list-repo": repos._CLASSIC,
    "list-branch": branches._CLASSIC,
    "list-commit": commits._CLASSIC,
    "list-file": files._CLASSIC,
    "list-pipeline": pipelines._CLASSIC,
    "list-job": jobs.JOBS,
    "list-job-empty": jobs.JOBS,
    "list-datum": datums._CLASSIC,
    "list-worker": jobs._WORKERS,
}


def golden(pattern: str) -> list[object]:
    return [pytest.param(path, id=path.stem) for path in sorted(GOLDEN.glob(pattern))]


@pytest.mark.parametrize("path", golden("*.txt"))
def test_a_command_of_the_tutorial_prints_exactly_this(cli, path):
    line, _, expected = path.read_text("utf-8").partition("\n")
    program, *words = line.removeprefix("$ ").split()

    result = cli(*words, program=program)

    assert (result.status, result.err) == (0, "")
    assert result.out == expected


def test_each_table_of_the_first_generation_has_its_twin_in_the_second():
    names = {path.stem for path in GOLDEN.glob("*.txt")}

    classic = {name.removeprefix("classic-") for name in names if name.startswith("classic-")}

    assert classic
    assert {f"spaced-{name}" for name in classic} <= names


@pytest.mark.parametrize("path", golden("transcript/*.txt"))
def test_a_table_that_pachctl_printed_is_laid_out_the_same(path):
    printed = path.read_text("utf-8").splitlines()
    table = TABLES[path.stem]
    starts = [printed[0].index(title) for title in table.titles]
    ends = [*starts[1:], None]
    rows = [
        [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]
        for line in printed[1:]
    ]

    lines = list(table.lines(rows, [0] * len(starts), header=True))

    assert lines == printed


def test_the_titles_are_those_of_the_transcript():
    tables = {path.stem: path.read_text("utf-8") for path in GOLDEN.glob("transcript/*.txt")}

    titles = {
        name: tuple(re.split(r"\s{2,}", text.split("\n")[0])) for name, text in tables.items()
    }

    for name, table in TABLES.items():
        spaced_once = name.startswith("list-job")  # its columns are one blank apart
        found = (" ".join(titles[name]),) if spaced_once else titles[name]
        expected = (" ".join(table.titles),) if spaced_once else table.titles
        assert [title.strip() for title in found if title.strip()] == list(expected)
