"""Writes the pages of `docs/reference` from the code, so that they can't lie.

The manifests in `deploy/kubernetes/base` are written too, as `deploy kubernetes` prints them.

usage: generate.py [--check]

With `--check` nothing is written, and the exit status is 1 when a page is not up to date.
"""

import contextlib
import inspect
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType

import click

from trunkline import config, errors
from trunkline.api.connection import NOUNS
from trunkline.api.operation import Operation, operations_of
from trunkline.cli.classic import CLASSIC
from trunkline.cli.command import global_options
from trunkline.cli.grammar import all_spaced
from trunkline.cli.main import main as run_command
from trunkline.cli.session import Session, open_link
from trunkline.pipelines.fields import MESSAGES

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = "docs/reference"
BASE = "deploy/kubernetes/base/trunkline.yaml"
sys.path.insert(0, str(ROOT / "tests" / "harness"))
COLUMNS = 90  # of help texts, whatever the terminal has
NAMES = """\
A repo, branch, commit, file or job is named like this; a name without a project is one in the
project that is in force.

| written | means |
|---|---|
| `training`, `vision/training` | a repo or pipeline, the second one in project `vision` |
| `training@master` | the branch `master` of it, or the commit that is its head |
| `training@v1`, `training@ID` | the commit with this tag, or of this run |
| `training@master^`, `training@ID~3` | its parent, and the commit three parents before it |
| `training@master.2` | the second commit of its history |
| `training@master:/dir/file` | a file of a commit |
| `train@ID` | the job of pipeline `train` in this run |
| `train@master`, `train@master^`, `train@v1` | the job that made this commit of `train`'s output |
| `train` where a job is asked for | its newest job, which may not have begun yet |
| `ID` where a job is asked for | all jobs of the run, or the one that it has |
""".splitlines()
NOTE = "<!-- Written by docs/generate.py (`make docs`); edit the code instead. -->\n"


def main(check: bool) -> int:
    pages = {
        f"{REFERENCE}/operations.md": operations_page(),
        f"{REFERENCE}/errors.md": errors_page(),
        f"{REFERENCE}/settings.md": settings_page(),
        f"{REFERENCE}/commands.md": commands_page(),
        f"{REFERENCE}/spec-coverage.md": coverage_page(),
        BASE: base_manifests(),
    }
    stale = [name for name, lines in pages.items() if not is_current(ROOT / name, lines)]
    for name in stale:
        print(f"{'stale' if check else 'wrote'}: {name}")
        if not check:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(pages[name], "utf-8")
    return 1 if check and stale else 0


def is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text


def base_manifests() -> str:
    words = ["deploy", "kubernetes", "--dry-run", "--image", "trunkline"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = run_command(words, Session(program="trunkline", open_link=open_link))
    assert status == 0, "it needs nothing but these words"
    return "# Written by docs/generate.py (`make docs`).\n" + printed.getvalue()


def operations_page() -> str:
    lines = [
        "# Operations",
        NOTE,
        "Everything that Trunkline can do, for the Python API (`trunkline.connect().repos …`) and",
        "for HTTP (below `/api/v1`). Arguments that are not in the path travel in the query of a",
        "GET or DELETE and in the JSON body of a POST or PUT. Behind each route stands the",
        "[role](../guide/http.md#tokens) that a caller needs.",
        "",
    ]
    for noun, protocol in NOUNS.items():
        lines += [f"## {noun}", ""]
        for operation in operations_of(protocol):
            lines += operation_lines(noun, protocol, operation)
    return "\n".join(lines).rstrip() + "\n"


def operation_lines(noun: str, protocol: type, operation: Operation) -> Iterator[str]:
    function = getattr(protocol, operation.name)
    signature = inspect.signature(function)
    without_self = signature.replace(
        parameters=[
            parameter.replace(annotation=operation.arguments[name])
            for name, parameter in list(signature.parameters.items())[1:]
        ],
        return_annotation=None if operation.result is NoneType else operation.result,
    )
    shown = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", str(without_self))
    yield f"### {noun}.{operation.name}\n"
    yield f"`{operation.method} /api/v1{operation.path}` · {operation.role}\n"
    yield f"```python\n{operation.name}{shown}\n```\n"
    yield inspect.getdoc(function) or ""
    yield ""


def errors_page() -> str:
    lines = [
        "# Errors",
        NOTE,
        "Every failure is one sentence with a stable code. Over HTTP it is",
        '`{"error": {"code", "message", "exit_status", "http_status"}}`.',
        "",
        "| code | exit status | HTTP status |",
        "|---|---|---|",
    ]
    kinds = {kind.code: kind for kind in reversed(errors.all_errors())}
    lines += [
        f"| `{code}` | {kind.exit_status} | {kind.http_status} |"
        for code, kind in sorted(kinds.items(), key=lambda item: (item[1].exit_status, item[0]))
    ]
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    source = inspect.getsource(config.Config).splitlines()
    remarks = {
        line.split(":")[0].strip(): line.partition("  # ")[2]
        for line in source
        if ":" in line and line.startswith("    ")
    }
    lines = [
        "# Settings",
        NOTE,
        "Order: built-in default, then the environment, then an argument of the command.",
        "",
        "| field | default | what |",
        "|---|---|---|",
    ]
    for field in fields(config.Config):
        default = "" if field.default is MISSING else f"`{field.default}`"
        lines.append(f"| `{field.name}` | {default} | {remarks.get(field.name, '')} |")
    lines += [
        "",
        "Two variables are no settings, but set by Trunkline for what it starts:",
        "`TRUNKLINE_NEXT_DATUM` (where code asks for its next datum) and `TRUNKLINE_IMPORTING`",
        "(a module is imported to run its pipelines).",
    ]
    return "\n".join(lines) + "\n"


def coverage_page() -> str:
    from spec_files import EFFECTS, SPECS, document_of, fields_in

    lines = [
        "# Specs and fields",
        NOTE,
        f"Each field of a spec, some of the {len(SPECS)} specs in `tests/specs` that have it, and",
        "the test that shows what it does. What the fields mean is on",
        "[another page](pipeline-spec.md).",
        "",
        "| field | here now | specs | what it does is shown by |",
        "|---|---|---|---|",
    ]
    having: dict[tuple[str, str], list[str]] = {}
    for spec in SPECS:
        for place in dict.fromkeys(fields_in(document_of(spec))):
            having.setdefault(place, []).append(spec.name)
    for message, found in MESSAGES.items():
        for field in found:
            names = having.get((message, field.name), [])
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            test = EFFECTS.get(f"{message}.{field.name}", "").partition("::")[2]
            words = test.removeprefix("test_").replace("_", " ")
            shown = ", ".join(f"`{name}`" for name in names[:3]) + more
            lines.append(f"| `{message}.{field.name}` | {field.use} | {shown} | {words} |")
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    lines = [
        "# Commands",
        NOTE,
        "`pachctl` is a second name of the same program. The hyphenated commands of Pachyderm 1.7",
        "are at the end; the command behind each of them is described under its own name.",
        "",
        "Every command takes these too, before or behind its own words:",
        "",
        *_options_of_all(),
        "",
        *NAMES,
        "",
    ]
    for words, command in all_spaced():
        program = click.Context(click.Group(), info_name="trunkline", terminal_width=COLUMNS)
        with click.Context(command, info_name=words, parent=program) as context:
            lines += [f"## {words}", "", "```text", command.get_help(context), "```", ""]
    lines += ["## The hyphenated forms", "", "| command | is | adds |", "|---|---|---|"]
    for name, classic in CLASSIC.items():
        form = " ".join((name, *classic.groups))
        lines.append(f"| `{form}` | `{classic.command}` | {' '.join(classic.added)} |")
    return "\n".join(lines).rstrip() + "\n"


def _options_of_all() -> list[str]:
    shown = [option for option in global_options(hidden=False) if not option.hidden]
    with click.Context(click.Command("any")) as context:
        records = [option.get_help_record(context) for option in shown]
    return [f"* `{record[0]}`: {record[1]}" for record in records if record]


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
