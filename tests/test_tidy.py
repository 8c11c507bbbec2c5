"""The house rules that no linter knows, checked on every file that git would track."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "trunkline"

LINES_MAX = 600  # a file
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100
FORBIDDEN_NAMES = {"utils", "util", "helper", "helpers", "manager", "misc", "common"}
TEXT_SUFFIXES = {".py", ".md", ".toml", ".json", ".sql", ".sh", ".yaml", ".yml", ".lock", ""}
# Documents may point to these; anything else is a registry, a mirror or somebody's machine.
HOSTS = re.compile(
    r"(([\w-]+\.)?example\.(com|org)|[\w.-]+\.(example|invalid)|localhost|127\.0\.0\.1|"
    r"\[::1\]|169\.254\.169\.254|www\.apache\.org|github\.com|keepachangelog\.com|"
    r"semver\.org|json-schema\.org|trunkline)"  # the last one is our own Service
)
MACHINE_PATH = re.compile(r"(?<![\w.}/-])/(?:root|home|Users|work)/[\w.]+")


@cache
def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file()]


def python_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def modules() -> list[Path]:
    return [path for path in python_files() if SOURCE in path.parents]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def test_files_are_short_enough_to_read() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in python_files()}

    assert {name: n for name, n in lengths.items() if n > LINES_MAX} == {}


def test_functions_are_short_enough_to_read() -> None:
    long = {
        f"{name_of(path)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path in python_files()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    }

    assert long == {}


def test_lines_fit_beside_each_other() -> None:
    wide = [
        f"{name_of(path)}:{number}"
        for path in tracked()
        if path.suffix in {".py", ".sql", ".sh"}
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if len(line) > COLUMNS_MAX
    ]

    assert wide == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty_words = [
        name_of(path) for path in modules() if FORBIDDEN_NAMES & set(path.stem.split("_"))
    ]

    assert empty_words == []


def test_every_module_says_why_it_exists() -> None:
    silent = [name_of(path) for path in modules() if not ast.get_docstring(tree_of(path))]

    assert silent == []


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for path in modules()}

    assert [name_of(f) for f in folders if not (f / "__init__.py").is_file()] == []


def test_no_task_is_left_in_the_code_without_an_issue() -> None:
    loose = re.compile("TO" + r"DO(?!\(#\d+\))|FIX" + r"ME|XX" + "X")
    found = [
        f"{name_of(path)}:{number}"
        for path in python_files()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if loose.search(line)
    ]

    assert found == []


def test_only_config_reads_the_environment() -> None:
    readers = [
        f"{name_of(path)}:{node.lineno}"
        for path in modules()
        # function.py runs inside of user code, whose environment is how it is told of datums
        if path not in (SOURCE / "config.py", SOURCE / "runtimes" / "function.py")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute)
        and node.attr in {"environ", "environb", "getenv"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]

    assert readers == []


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def test_only_db_imports_a_sql_driver() -> None:
    drivers = {"sqlite3", "psycopg", "apsw", "sqlalchemy"}
    users = [
        name_of(path)
        for path in modules()
        if SOURCE / "db" not in path.parents
        and drivers & {name.split(".")[0] for name in imports_of(path)}
    ]

    assert users == []


def test_nothing_below_the_command_line_imports_the_root_package() -> None:
    users = [
        name_of(path)
        for path in modules()
        if path.parent not in (SOURCE, SOURCE / "cli") and "trunkline" in set(imports_of(path))
    ]

    assert users == []


def packages() -> list[str]:
    return sorted(
        entry.stem + ("/" if entry.is_dir() else ".py")
        for entry in SOURCE.iterdir()
        if (entry / "__init__.py").is_file()
        or (entry.suffix == ".py" and not entry.stem.startswith("__"))
    )


@pytest.mark.parametrize("package", packages())
def test_every_package_is_in_the_architecture(package: str) -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")

    assert f"`{package}`" in text


def test_every_path_that_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    named = re.findall(r"`([a-z_.][\w.-]*(?:/[\w.-]*)+|[a-z_]+\.(?:py|sql|md|toml))`", text)
    places = (ROOT, SOURCE)
    missing = {name for name in named if not any((place / name).exists() for place in places)}

    assert len(named) > 20
    assert missing == set()


@pytest.mark.parametrize(
    "name",
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", ".ci/run"],
)
def test_a_newcomer_finds_what_every_project_has(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in tracked():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", path.read_text("utf-8")):
            if "://" not in target and not (path.parent / target).exists():
                broken.append(f"{name_of(path)}: {target}")

    assert broken == []


def test_decisions_stay_short() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    long = [name_of(path) for path in decisions if len(path.read_text().splitlines()) > 60]

    assert len(decisions) >= 10
    assert long == []


def test_no_file_names_a_machine_or_an_unknown_host() -> None:
    found = []
    for path in tracked():
        if path.suffix not in TEXT_SUFFIXES or path == Path(__file__):
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        hosts = re.findall(r"https?://([^/\s:\"'`)\]}>]+|\[[0-9a-f:]+\])", text)
        if path.suffix != ".py" and path.name != "LICENSE":
            found += [f"{name_of(path)}: {host}" for host in hosts if not HOSTS.fullmatch(host)]
        found += [f"{name_of(path)}: {where}" for where in MACHINE_PATH.findall(text)]

    assert found == []


def test_no_large_file_is_in_the_repository() -> None:
    large = [name_of(path) for path in tracked() if path.stat().st_size > 512 * 1024]

    assert large == []
