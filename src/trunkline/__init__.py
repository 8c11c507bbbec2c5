"""Trunkline: versioned data, and pipelines that run on it.

`trunkline.connect()` is the way in. Importing the package alone loads nothing else.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunkline import errors
    from trunkline.connect.opening import connect

    __version__: str

__all__ = ["__version__", "connect", "errors"]


def __getattr__(name: str) -> object:
    if name in ("connect", "errors"):
        from importlib import import_module

        return import_module(f"trunkline.{name}")  # `trunkline.connect` is a package to be called
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
