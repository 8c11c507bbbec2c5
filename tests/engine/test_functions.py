"""Functions as pipelines, run by a server: `@trunkline.pipeline` from deployment to output."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trunkline.connect.connection import Connection
from trunkline.model.jobs import JobState

HEAD = """
import os
import sys
from pathlib import Path
import trunkline
"""
DOUBLE = (
    HEAD
    + """
@trunkline.pipeline(input=trunkline.pfs("numbers", "/*"), datum_tries=1)
def double(numbers: Path, out: Path) -> None:
    print("doubling", numbers.name)
    (out / numbers.name).write_text(str(FACTOR * int(numbers.read_text())))

FACTOR = 2
"""
)


@pytest.fixture
def deploy(remote: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Writes a module, imports it, and creates the pipeline of its function."""
    remote.engine.repos.create_repo("numbers")
    remote.put("numbers", {str(number): str(number) for number in range(4)})
    place = tmp_path / "flows"
    place.mkdir()
    monkeypatch.syspath_prepend(place)
    connection = Connection(remote.engine)
    names = set()

    def deployed(module: str, text: str, function: str, *, update: bool = False) -> Any:
        (place / f"{module}.py").write_text(text)
        names.add(module)
        sys.modules.pop(module, None)
        importlib.invalidate_caches()
        found = getattr(importlib.import_module(module), function)
        if update:
            connection.update_pipeline(found)
        else:
            connection.create_pipeline(found)
        return remote.job(function)

    deployed.driver = remote  # type: ignore[attr-defined]
    yield deployed
    for name in names:
        sys.modules.pop(name, None)


def said(deploy: Any, pipeline: str) -> list[str]:
    return deploy.driver.logs(pipeline)


def test_a_function_runs_for_each_datum(deploy: Callable[..., Any]) -> None:
    job = deploy("flow", DOUBLE, "double")

    assert (job.state, job.processed, job.reason) == (JobState.SUCCESS, 4, "")
    assert deploy.driver.tree("double") == {"0": "0", "1": "2", "2": "4", "3": "6"}
    assert sorted(said(deploy, "double")) == [f"doubling {number}" for number in range(4)]
    [info] = [i for i in deploy.driver.engine.pipelines.list_pipelines() if i.name == "double"]
    assert info.warnings == ()


def test_changed_code_processes_everything_anew_and_the_same_code_nothing(
    deploy: Callable[..., Any],
) -> None:
    deploy("flow", DOUBLE, "double")
    same = deploy("flow", DOUBLE, "double", update=True)
    changed = deploy("flow", DOUBLE.replace("= 2", "= 3"), "double", update=True)

    assert (same.processed, same.skipped) == (0, 4)
    assert (changed.processed, changed.skipped) == (4, 0)
    assert deploy.driver.tree("double") == {"0": "0", "1": "3", "2": "6", "3": "9"}


def test_an_exception_fails_its_datum_with_the_traceback_of_user_code(
    deploy: Callable[..., Any],
) -> None:
    text = DOUBLE.replace("FACTOR *", "1 // (2 - int(numbers.name)) *")

    job = deploy("flow", text, "double")

    assert (job.state, job.processed, job.failed) == (JobState.FAILURE, 3, 1)
    assert "ZeroDivisionError: integer division or modulo by zero" in job.reason
    lines = said(deploy, "double")
    assert any("/code/flow.py" in line and "in double" in line for line in lines)
    assert not any("trunkline/runtimes" in line for line in lines)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("sys.exit(3)", "sys.exit(3)"),
        ("os._exit(4)", "exited with code 4"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
    ],
)
def test_a_function_that_ends_its_process_fails_only_its_datum(
    deploy: Callable[..., Any], body: str, reason: str
) -> None:
    text = DOUBLE.replace("    print(", f"    if numbers.name == '2': {body}\n    print(")

    job = deploy("flow", text, "double")

    assert (job.processed, job.failed) == (3, 1)
    assert reason in job.reason


def test_code_that_can_not_be_imported_fails_with_the_reason(deploy: Callable[..., Any]) -> None:
    text = DOUBLE + "\nif __file__.startswith('/code'): import no_such_module\n"

    job = deploy("flow", text, "double")

    assert job.failed == 4
    assert "can't be imported: ModuleNotFoundError: No module named 'no_such_module'" in job.reason


def test_code_that_deploys_itself_when_imported_is_stopped(deploy: Callable[..., Any]) -> None:
    text = DOUBLE + "\nif __file__.startswith('/code'): trunkline.connect()\n"

    assert 'if __name__ == "__main__":' in deploy("flow", text, "double").reason


def test_what_one_call_changes_the_next_does_not_see(deploy: Callable[..., Any]) -> None:
    text = (
        HEAD
        + """
@trunkline.pipeline(input=trunkline.pfs("numbers", "/*"))
def look(numbers: Path, out: Path, datum: trunkline.Datum) -> None:
    (out / numbers.name).write_text(f"{Path.cwd()} {os.environ['numbers']} {datum.id[:0]}")
    os.chdir(out)
    os.environ["numbers"] = "changed"
"""
    )
    deploy("flow", text, "look")

    assert deploy.driver.tree("look") == {
        str(number): f"/pfs /pfs/numbers/{number} " for number in range(4)
    }


def test_other_kinds_of_inputs_give_other_parameters(deploy: Callable[..., Any]) -> None:
    text = (
        HEAD
        + """
both = trunkline.cross(
    trunkline.pfs("numbers", "/[01]"), trunkline.pfs("numbers", "/", name="every-one")
)

@trunkline.pipeline(input=both)
def pair(numbers: Path, every_one: list[Path], out: Path) -> None:
    (out / numbers.name).write_text(str([str(path) for path in every_one]))
"""
    )
    deploy("flow", text, "pair")

    every = str([f"/pfs/every-one/{number}" for number in range(4)])
    assert deploy.driver.tree("pair") == {"0": every, "1": every}


def test_a_group_gives_all_its_files_at_once(deploy: Callable[..., Any]) -> None:
    text = (
        HEAD
        + """
@trunkline.pipeline(input=trunkline.group(trunkline.pfs("numbers", "/([01])", group_by="x")))
def merge(numbers: list[Path], out: Path) -> None:
    (out / "sum").write_text(str(sum(int(number.read_text()) for number in numbers)))
"""
    )
    deploy("flow", text, "merge")

    assert deploy.driver.tree("merge") == {"sum": "1"}


def test_a_python_without_trunkline_runs_functions_too(deploy: Callable[..., Any]) -> None:
    """`import trunkline` in user code finds the package that runs it."""
    text = (
        HEAD
        + """
@trunkline.pipeline(
    input=trunkline.pfs("numbers", "/*"), env={"VIRTUAL_ENV": ENVIRONMENT, "PYTHONPATH": ""}
)
def where(numbers: Path, out: Path) -> None:
    (out / numbers.name).write_text(sys.prefix)
"""
    )
    import venv

    place = deploy.driver.home.parent / "bare"
    venv.create(place, symlinks=True, with_pip=False)
    deploy("flow", text.replace("ENVIRONMENT", repr(str(place))), "where")

    assert set(deploy.driver.tree("where").values()) == {str(place)}
