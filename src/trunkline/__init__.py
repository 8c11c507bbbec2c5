"""Trunkline: versioned data, and pipelines that run on it.

`trunkline.connect()` is the way in; `@trunkline.pipeline` makes a function a pipeline. Importing
the package alone loads nothing else.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunkline import errors
    from trunkline.connect.functions import PipelineFunction, pipeline
    from trunkline.connect.inputs import cron, cross, git, group, join, pfs, union
    from trunkline.connect.opening import connect
    from trunkline.connect.parameters import Datum

    __version__: str

__all__ = [
    "Datum",
    "PipelineFunction",
    "__version__",
    "connect",
    "cron",
    "cross",
    "errors",
    "git",
    "group",
    "join",
    "pfs",
    "pipeline",
    "union",
]

# What the package gives away, and the module of `connect` that has it.
_ROOMS = {
    **dict.fromkeys(("PipelineFunction", "pipeline"), "functions"),
    **dict.fromkeys(("cron", "cross", "git", "group", "join", "pfs", "union"), "inputs"),
    "Datum": "parameters",
}


def __getattr__(name: str) -> object:
    if name in ("connect", "errors"):
        from importlib import import_module

        return import_module(f"trunkline.{name}")  # `trunkline.connect` is a package to be called
    if name in _ROOMS:
        from importlib import import_module

        return getattr(import_module(f"trunkline.connect.{_ROOMS[name]}"), name)
    if name == "__version__":
        # Not at import: reading the installed metadata costs more than a whole command may.
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("trunkline")
        except PackageNotFoundError:  # running from a source tree that was never installed
            found = "0+unknown"
        globals()["__version__"] = found
        return found
    raise AttributeError(f"module 'trunkline' has no attribute {name!r}")
