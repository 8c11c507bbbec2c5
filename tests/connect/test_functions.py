"""`@trunkline.pipeline`: its spec, the code it takes along, what it refuses, local runs."""

import importlib
import linecache
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import trunkline
from trunkline.api.changes import PutFile
from trunkline.client.local_files import with_content
from trunkline.connect.inputs import names
from trunkline.errors import DuplicateOutput, InvalidInput, LocalFileNotFound

if TYPE_CHECKING:
    from decimal import Decimal

FLOW = """
from pathlib import Path
import trunkline

@trunkline.pipeline(input=trunkline.pfs("numbers", "/*"), workers=2, datum_tries=1)
def double(numbers: Path, out: Path) -> int:
    '''Doubles numbers.

    All of them.'''
    value = 2 * int(numbers.read_text())
    (out / numbers.name).write_text(str(value))
    return value
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Imports a module whose files are given; the names are forgotten at the end."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def loaded(module: str, **files: str) -> Any:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module(module)

    yield loaded
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@trunkline.pipeline(input=trunkline.pfs("a"))
def at_top(a: Path, out: Path) -> None:
    pass


def code_of(function: Any) -> dict[str, str]:
    found = {}
    for change in with_content(function.code_changes()):
        assert isinstance(change, PutFile)
        found[change.path] = b"".join(change.content).decode()
    return found


def test_a_function_stays_an_ordinary_function(load: Any, tmp_path: Path) -> None:
    double = load("flow1", flow1=FLOW).double
    (tmp_path / "seven").write_text("7")
    (tmp_path / "out").mkdir()

    assert double(tmp_path / "seven", out=tmp_path / "out") == 14
    assert (tmp_path / "out" / "seven").read_text() == "14"
    assert (double.__name__, double.__doc__.partition(".")[0]) == ("double", "Doubles numbers")


def test_the_spec_is_an_ordinary_one(load: Any) -> None:
    assert load("flow2", flow2=FLOW).double.spec() == {
        "pipeline": {"name": "double"},
        "description": "Doubles numbers.",
        "transform": {
            "cmd": ["python3", "-m", "trunkline.runtimes.function", "/code", "flow2:double"],
            "datum_batching": True,
        },
        "input": {"pfs": {"repo": "numbers", "glob": "/*"}},
        "parallelism_spec": {"constant": 2},
        "datum_tries": 1,
    }


def test_the_code_is_the_file_of_the_module(load: Any) -> None:
    assert code_of(load("flow3", flow3=FLOW, beside="x = 1").double) == {"flow3.py": FLOW}


def test_the_code_of_a_module_in_a_package_is_the_package(load: Any) -> None:
    module = load(
        "steps1.sub.flow",
        **{"steps1/__init__": "", "steps1/sub/flow": FLOW, "steps1/a": "b = 1"},
    )

    assert set(code_of(module.double)) == {
        "steps1/__init__.py",
        "steps1/a.py",
        "steps1/sub/flow.py",
    }
    assert module.double.spec()["transform"]["cmd"][-1] == "steps1.sub.flow:double"


def test_code_may_be_a_directory_relative_to_the_file(load: Any) -> None:
    text = FLOW.replace("workers=2", 'code=".", requirements=["numpy", "six"], env={"A": "b"}')
    double = load("flow4", flow4=text, beside="x = 1").double

    assert set(code_of(double)) == {"flow4.py", "beside.py"}
    transform = double.spec()["transform"]
    assert transform["requirements"] == "numpy\nsix"
    assert transform["env"] == {"A": "b"}


def test_the_code_of_a_script_is_its_file(tmp_path: Path) -> None:
    script = tmp_path / "my-flow.py"
    script.write_text(FLOW + "\nprint(double.spec()['transform']['cmd'][-1])\n")

    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)

    assert done.stdout == "my-flow:double\n"


def test_the_code_of_a_notebook_is_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = f"%matplotlib inline\n{FLOW}"
    name = "<ipython-input-1>"
    monkeypatch.setitem(linecache.cache, name, (len(cell), None, cell.splitlines(True), name))
    main = type(sys)("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec(compile(cell.replace("%matplotlib inline", ""), name, "exec"), vars(main))

    assert code_of(main.double) == {"notebook.py": FLOW}
    assert main.double.spec()["transform"]["cmd"][-1] == "notebook:double"


def test_code_that_is_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    main = type(sys)("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec(FLOW, vars(main))

    with pytest.raises(InvalidInput, match="write it into a file"):
        main.double.spec()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("f = lambda a, out: None", "a lambda can't be a pipeline"),
        ("class C:\n def f(self, a: Path): pass\nf = C.f", "move it to the top level"),
        ("def f(*a: Path): pass", r"no \*args"),
        ("def f(a: Path, /): pass", r"no \*args"),
        ("def f(**a: Path): pass", r"no \*args"),
        ("def f(a: Path): yield", "remove `yield`"),
        ("async def f(a: Path): pass", "asynchronous"),
        ("f = 3", "is for functions"),
        ("def f(a: Path, outs: Path): pass", "'outs', which is no input; did you mean 'out'"),
        ("def f(a, out: Path): pass", "'a' of .* has no type; write `a: Path` or `a: list"),
        ("def f(a: int, out: Path): pass", "has the type int"),
        ("def f(a: Path, out: str): pass", "'out' of .* has the type str; write `out: Path`$"),
        ("def f(a: Path, datum: Path): pass", "write `datum: trunkline.Datum`"),
        ("def f(a: 'Pat'): pass", "has the type Pat"),
    ],
)
def test_what_can_not_be_a_pipeline_is_refused_with_what_to_do(text: str, told: str) -> None:
    names: dict[str, Any] = {"Path": Path}
    exec(text, names)

    with pytest.raises(InvalidInput, match=told):
        trunkline.pipeline(input=trunkline.pfs("a"))(names["f"])


def test_a_function_without_input_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has no input"):
        trunkline.pipeline(input={})(at_top.function)


def test_types_that_are_there_for_checkers_only_do_no_harm() -> None:
    def f(a: "Path | None", b: "list[Path]", unknown: "Decimal | None" = None) -> None:
        pass

    f.__qualname__ = "f"
    inputs = trunkline.cross(*map(trunkline.pfs, ("a", "b")))
    with pytest.raises(InvalidInput, match="'unknown', which is no input"):
        trunkline.pipeline(input=inputs)(f)


def test_the_builders_say_what_a_spec_says() -> None:
    assert trunkline.pfs("other/raw", "/*/", branch="dev", group_by="$1") == {
        "pfs": {"project": "other", "repo": "raw", "branch": "dev", "glob": "/*/", "group_by": "$1"}
    }
    one, two = trunkline.pfs("a", lazy=True), trunkline.cron("tick", "@daily", overwrite=True)
    code = trunkline.git("https://host/code.git", branch="main", secret=("forge", "token"))
    assert trunkline.cross(one, trunkline.union(one, two)) == {
        "cross": [
            {"pfs": {"repo": "a", "glob": "/*", "lazy": True}},
            {
                "union": [
                    {"pfs": {"repo": "a", "glob": "/*", "lazy": True}},
                    {"cron": {"name": "tick", "spec": "@daily", "overwrite": True}},
                ]
            },
        ]
    }
    assert code == {
        "git": {
            "URL": "https://host/code.git",
            "branch": "main",
            "secret": {"name": "forge", "key": "token"},
        }
    }
    assert names(trunkline.cross(code, one)) == ["code", "a"]
    assert trunkline.join(one) == {"join": [one]}
    assert trunkline.group(one) == {"group": [one]}


def test_an_input_with_a_hyphen_is_a_parameter_with_an_underscore(tmp_path: Path) -> None:
    seen: list[Path] = []

    def f(raw_data: Path) -> None:
        seen.append(raw_data)

    f.__qualname__ = "f"
    (tmp_path / "raw-data").mkdir()
    (tmp_path / "raw-data" / "x").touch()
    function = trunkline.pipeline(input=trunkline.pfs("raw-data"))(f)
    function._source = lambda: at_top._source()  # type: ignore[method-assign]

    function.run_local(tmp_path)

    assert seen == [tmp_path / "raw-data" / "x"]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a local run makes where nobody said where goes with the test."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def test_a_local_run_calls_the_function_for_each_datum(load: Any, tmp_path: Path) -> None:
    double = load("flow5", flow5=FLOW).double
    data = tmp_path / "data"
    data.mkdir()
    for number in range(3):
        (data / str(number)).write_text(str(number))

    assert double.run_local(data, tmp_path / "out") == tmp_path / "out"
    assert (double.run_local(data) / "2").read_text() == "4"
    assert {p.name: p.read_text() for p in (tmp_path / "out").iterdir()} == {
        "0": "0",
        "1": "2",
        "2": "4",
    }


CROSS = """
from pathlib import Path
import trunkline

@trunkline.pipeline(
    input=trunkline.cross(trunkline.pfs("left", "/*"), trunkline.pfs("right", "/", name="all"))
)
def pair(left: Path, all: list[Path], datum: trunkline.Datum, out: Path) -> None:
    names = [file.name for file in all]
    (datum.out / left.name).write_text(f"{names} {datum.path('all').name} {'left' in datum}")

@trunkline.pipeline(
    input=trunkline.union(trunkline.pfs("left", "/*"), trunkline.pfs("right", "/*"))
)
def either(out: Path, left: Path | None = None, right: Path | None = None) -> None:
    (out / "one").write_text(str((left or right).name))
"""


def test_a_local_run_has_the_datums_of_every_kind_of_input(
    load: Any, tmp_path: Path, temporary: Path
) -> None:
    flow = load("flow6", flow6=CROSS)
    for name, files in (("left", "ab"), ("all", "cd"), ("right", "e")):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).touch()

    flow.pair.run_local(tmp_path, tmp_path / "out")

    assert {file.name for file in (tmp_path / "out").iterdir()} == {"a", "b"}
    assert (tmp_path / "out" / "b").read_text() == "['c', 'd'] all True"
    with pytest.raises(DuplicateOutput, match="'one' from 0 and from 1"):
        flow.either.run_local(tmp_path, tmp_path / "other")
    with pytest.raises(DuplicateOutput):
        flow.either.run_local(tmp_path)
    assert list(temporary.iterdir()) == []
    with pytest.raises(LocalFileNotFound, match="the input 'left'"):
        flow.pair.run_local(tmp_path / "left", tmp_path / "none")


GROUPED = """
from pathlib import Path
import trunkline

@trunkline.pipeline(input=trunkline.group(trunkline.pfs("logs", "/(*)-*", group_by="$1")))
def merge(logs: list[Path], out: Path) -> None:
    day = logs[0].name.partition("-")[0]
    (out / day).write_text(",".join(log.name for log in logs))
"""


def test_a_local_run_gives_all_files_of_a_group_at_once(load: Any, tmp_path: Path) -> None:
    merge = load("flow7", flow7=GROUPED).merge
    (tmp_path / "logs").mkdir()
    for name in ("mon-1", "mon-2", "tue-1"):
        (tmp_path / "logs" / name).touch()

    made = merge.run_local(tmp_path)

    assert {file.name: file.read_text() for file in made.iterdir()} == {
        "mon": "mon-1,mon-2",
        "tue": "tue-1",
    }


def test_code_that_connects_while_it_is_imported_is_told_where_to_put_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRUNKLINE_IMPORTING", "flow")

    with pytest.raises(InvalidInput, match='if __name__ == "__main__":'):
        trunkline.connect()


def test_a_decorated_module_is_imported_without_anything_that_needs_installing(
    tmp_path: Path,
) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    probe = "import sys, flow; print(*sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    loaded = set(done.stdout.split())
    foreign = {"msgspec", "click", "yaml", "blake3", "httptools", "inspect", "trunkline.client"}
    assert loaded & foreign == set()
    assert {name for name in loaded if name.startswith("trunkline.")} == {
        "trunkline.connect",
        "trunkline.connect.functions",
        "trunkline.connect.inputs",
        "trunkline.connect.parameters",
        "trunkline.errors",
        "trunkline.runtimes",
        "trunkline.runtimes.asking",
    }
