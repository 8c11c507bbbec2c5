"""Runs the Python function of a pipeline for one datum after the other, in one interpreter.

Started with the directory of the code and `module:function` by pipelines that are functions
(`connect/functions.py`), so all that a datum costs is the call. Needs nothing but Python: it may
be run, as a file, by one that Trunkline is not installed in.
"""

import importlib
import importlib.machinery
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# In the environment while the code of a pipeline is imported; `config` reads it.
IMPORTING_VARIABLE = "TRUNKLINE_IMPORTING"

Call = Callable[[dict[str, str]], str]  # variables of a datum → what went wrong, or nothing


class _Beside:
    """Finds the package that this file is in, where no other one of its name is installed."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        root = Path(__file__).resolve().parent.parent
        if name != root.name:
            return None
        return importlib.util.spec_from_file_location(
            name, root / "__init__.py", submodule_search_locations=[str(root)]
        )


def main(arguments: Sequence[str]) -> None:
    """Serve datums until the worker ends this process."""
    code, target = arguments
    here = str(Path(__file__).resolve().parent)
    # Where Python looks first when it runs a file is no place for the imports of user code.
    sys.path[:] = [code, *(entry for entry in sys.path if entry != here)]
    sys.meta_path.append(_Beside)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)  # so that logs can be followed

    from trunkline.runtimes.asking import Asker

    door = os.environ["TRUNKLINE_NEXT_DATUM"]
    asker = Asker(door)
    call = _load(target, Path(door).parent)
    began_in = os.getcwd()
    told: dict[str, str] = {}
    error = ""
    while True:
        sys.stdout.flush()
        sys.stderr.flush()
        found = asker.next_datum(error)
        for name in told:
            os.environ.pop(name, None)
        os.environ.update(found)
        told = found
        os.chdir(began_in)
        error = call(found)


def _load(target: str, pfs: Path) -> Call:
    """The call for one datum; of code that can't be imported, one that says why."""
    module, _, name = target.partition(":")
    os.environ[IMPORTING_VARIABLE] = module
    try:
        function = getattr(importlib.import_module(module), name)
        arguments, call = function.arguments, function.function
    except BaseException as error:
        _print(error)
        why = f"the code of the pipeline can't be imported: {_sentence(error)}"
        return lambda _: why
    finally:
        del os.environ[IMPORTING_VARIABLE]

    def once(told: dict[str, str]) -> str:
        try:
            call(**arguments(told, pfs))
        except SystemExit as left:
            return "" if left.code in (None, 0) else f"the function called sys.exit({left.code!r})"
        except BaseException as error:
            _print(error)
            return _sentence(error)
        return ""

    return once


def _print(error: BaseException) -> None:
    """The traceback without what is ours at its beginning."""
    trace: Any = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


def _is_ours(file: str) -> bool:
    return file == __file__ or file.startswith("<frozen importlib") or file == importlib.__file__


def _sentence(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


if __name__ == "__main__":
    main(sys.argv[1:])
