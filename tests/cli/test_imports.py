"""A command imports the file of its noun and no heavy library: that is what makes it quick.

Counted in modules, not in milliseconds, so that it holds on every machine.
"""

import subprocess
import sys

import pytest

HEAVY = (
    *("rich", "yaml", "starlette", "uvicorn", "anyio", "asyncio", "blake3", "pyfastcdc"),
    *(
        "sqlite3",
        "importlib.metadata",
        "email",
        "ssl",
        "http.client",
        "urllib.request",
        "subprocess",
        "tomllib",
    ),
    *("trunkline.engine", "trunkline.server", "trunkline.jobs", "trunkline.pipelines"),
    *("trunkline.versions", "trunkline.files", "trunkline.store", "trunkline.db"),
)
NOUN_FILES = (
    *("repos", "branches", "commits", "files", "pipelines", "jobs", "runs", "datums", "admin"),
    *("contexts", "doctor", "sources", "download", "code", "terminal"),
)


def modules_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has imported after running some code."""
    probe = f"{code}\nimport sys; print('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stderr.split("\n"))


def command(*words: str) -> str:
    """Code that runs a command against operations that have nothing in them."""
    return f"""
from types import SimpleNamespace
from trunkline.cli.main import main
from trunkline.cli.session import Link, Session
nothing = lambda *args, **given: []
noun = SimpleNamespace(list_repos=nothing, list_jobs=nothing, list_files=nothing,
    list_commits=nothing, list_branches=nothing, list_pipelines=nothing)
operations = SimpleNamespace(repos=noun, jobs=noun, files=noun, commits=noun, branches=noun,
    pipelines=noun, close=nothing)
session = Session(
    program="trunkline", open_link=lambda _: Link(operations=operations, local=True),
    find_project=lambda _: "default",
)
assert main({list(words)!r}, session) == 0
"""


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["list", "repo"], {"repos"}),
        (["list-repo"], {"repos"}),
        (["list-branch", "training"], {"branches"}),
        (["list-file", "training", "master"], {"files"}),
        (["list", "commit", "training"], {"commits", "runs"}),
        (["list-job"], {"jobs"}),
        (["list-pipeline"], {"pipelines"}),
    ],
)
def test_a_list_command_imports_its_own_file_and_nothing_heavy(words, files):
    imported = modules_after(command(*words))

    assert imported.isdisjoint(HEAVY)
    assert {name for name in NOUN_FILES if f"trunkline.cli.{name}" in imported} == files


def test_version_imports_no_noun_file():
    imported = modules_after(
        "import sys; sys.argv = ['trunkline', '--version']\n"
        "from trunkline.cli.main import run\n"
        "assert run() == 0"
    )

    allowed = {"importlib.metadata", "email"}  # where the version is written
    assert imported.isdisjoint(set(HEAVY) - allowed)
    assert not {name for name in NOUN_FILES if f"trunkline.cli.{name}" in imported}


def test_opening_the_connection_imports_nothing_heavy_either(tmp_path):
    imported = modules_after(
        f"import os; os.environ['TRUNKLINE_HOME'] = {str(tmp_path)!r}\n"
        f"os.environ['TRUNKLINE_CONFIG'] = {str(tmp_path / 'none.toml')!r}\n"
        "from trunkline.cli.session import open_link\n"
        "link = open_link(None); assert link.local; link.operations.close()"
    )

    assert imported.isdisjoint(HEAVY)


def test_put_file_needs_neither_its_answer_nor_what_would_read_it(tmp_path):
    imported = modules_after(
        f"""
import os, socket, sys, threading
os.environ["TRUNKLINE_HOME"] = home = {str(tmp_path)!r}
os.environ["TRUNKLINE_CONFIG"] = home + "/none.toml"
door = socket.socket(socket.AF_UNIX)
door.bind(home + "/server.sock")
door.listen()
from trunkline.cli.start import prepare
def serve():
    caller = door.accept()[0]
    assert b"/repos/r/files/master" in caller.recv(65536)
    caller.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{{}}")
threading.Thread(target=serve, daemon=True).start()
prepare()
from trunkline.cli import main
sys.argv = ["trunkline", "put", "file", "r@master:/f", "-f", "-"]
assert main.run() == 0
"""
    )

    needed_elsewhere = {
        *("msgspec", "secrets", "hashlib", "dataclasses", "pathlib", "urllib.parse", "copy"),
        *("fcntl", "signal", "tempfile", "shutil", "concurrent.futures"),
        *("ast", "dis", "tokenize"),  # of `inspect`, in whose place another module may stand
        *("_uuid", "difflib", "locale"),  # of `uuid`, of suggestions, of `gettext`
        *("trunkline.cli.classic", "trunkline.client.local_files", "trunkline.connect.local"),
        *("trunkline.connect.connection", "trunkline.connect.contexts", "trunkline.fetch"),
    }
    assert imported.isdisjoint({*HEAVY, *needed_elsewhere})
    assert {name for name in imported if name.startswith("trunkline.model")} == {
        "trunkline.model",
        "trunkline.model.names",
        "trunkline.model.roles",
    }
    assert {name for name in NOUN_FILES if f"trunkline.cli.{name}" in imported} == {
        "files",
        "sources",
    }


def test_what_is_loaded_later_is_loaded_when_it_is_used():
    found = modules_after(
        """
from trunkline.cli.start import prepare
prepare()
import inspect
import sys
import msgspec
assert msgspec.json.decode(b"[1]") == [1]
assert "ast" not in sys.modules and inspect.__name__ == "inspect"
assert inspect.cleandoc("  a") == "a"
from inspect import signature
import inspect as again
assert again.signature is inspect.signature is signature and isinstance(signature(len), object)
import click, gettext, platform, typing_extensions, uuid
assert click.UUID(str(uuid.UUID(int=1))) == uuid.UUID(int=1)
assert gettext.gettext("a") == "a" and platform.system() and typing_extensions.Self
"""
    )

    assert "ast" in found


def test_a_terminal_gets_its_tables_from_rich():
    code = command("list", "repo").replace("Session(", "Session(terminal=True, ")

    assert "rich.table" in modules_after(code)
