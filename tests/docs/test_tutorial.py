"""The commands in the README and the tutorial do what the documents say.

Blocks marked `console` are run line by line (`$ ` begins a command) and their output is compared;
blocks marked `shell` are only run. `…` stands for any text within a line, a line of `…` alone for
any lines. Runs of spaces count as one, because columns grow with ages and ids. Messages on
standard error are not compared. Blocks with other marks are not run.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(console|shell)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command of a document and the output that the document shows (None: not shown)."""

    line: int
    command: str
    output: str | None


def steps_of(text: str) -> list[Step]:
    found: list[Step] = []
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 2
        if block[1] == "shell":
            found.append(Step(line=line, command=block[2], output=None))
            continue
        for part in re.split(r"^\$ ", block[2], flags=re.MULTILINE)[1:]:
            command, _, output = re.sub(r"\\\n", "", part).partition("\n")
            found.append(Step(line=line, command=command, output=output))
    return found


def pattern_of(output: str) -> str:
    """A regular expression for what a document shows."""
    lines = [" ".join(line.split()) for line in output.strip("\n").splitlines()]
    parts = [
        r"(?:.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + r"\n"
        for line in lines
    ]
    return "".join(parts)


def squeezed(output: str) -> str:
    """An output with single spaces, in lines that each end with a line feed."""
    lines = output.strip("\n").splitlines()
    return "".join(" ".join(line.split()) + "\n" for line in lines)


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "docs/tutorial.md",
        "docs/guide/projects.md",
        "docs/guide/why.md",
        "docs/guide/plan.md",
        "docs/guide/services.md",
    ],
)
def test_a_document_shows_what_happens(
    document: str,
    tmp_path: Path,
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    checkout = tmp_path / "trunkline"
    shutil.copytree(ROOT / "examples", checkout / "examples")
    here = tmp_path / "here"
    here.write_text(str(checkout))
    steps = steps_of((ROOT / document).read_text("utf-8"))

    assert len(steps) >= 8
    for step in steps:
        line = f"set -o pipefail\n{step.command}\nstatus=$?; pwd > '{here}'; exit $status"
        done = command("/bin/bash", "-c", line, cwd=Path(here.read_text().strip()))
        if step.output is not None:
            shown = squeezed(done.stdout)
            said = f"{document}:{step.line}: $ {step.command}\n{step.output}\nbut it was\n{shown}"
            assert re.fullmatch(pattern_of(step.output), shown), said


def test_a_wildcard_stands_for_text_within_one_line_only() -> None:
    pattern = pattern_of("ID  STATE\n…  success\n")

    assert re.fullmatch(pattern, squeezed("ID STATE\n1f2e    success   \n"))
    assert not re.fullmatch(pattern, squeezed("ID STATE\n1f2e running\n2f2e success\n"))


def test_a_line_that_is_a_wildcard_stands_for_any_lines() -> None:
    pattern = pattern_of("first\n…\nlast\n")

    assert re.fullmatch(pattern, "first\nlast\n")
    assert re.fullmatch(pattern, "first\none\ntwo\nlast\n")
    assert not re.fullmatch(pattern, "first\none\n")
