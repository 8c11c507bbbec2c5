"""The entry of `trunkline` and `pachctl`: how the process of a command begins and ends.

A command makes some ten thousand objects while it starts and lets go of none of them. Looking
through them for garbage every 700, and taking them apart one by one at the end, took a quarter of
a short command. What libraries import for the sake of a few commands is loaded when one of them
comes: `inspect` brings the parsers and disassemblers of Python along, an eighth of a short command;
`uuid` and `gettext` bring tables of systems and languages, a tenth.
"""

import gc
import importlib
import os
import sys
import threading
import typing
from collections.abc import Callable
from types import ModuleType

_OBJECTS_BETWEEN_COLLECTIONS = 50_000
_TYPING = ("get_type_hints", "NotRequired", "Required")


def run() -> None:
    """Run the command line of this process and leave it."""
    prepare()
    _have_streams()
    from trunkline.cli import main

    _leave(main.run())


def prepare() -> None:
    """Make this process one that is over soon."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    # What they have is right for good: msgspec and `uuid` look for no more.
    for name, found in (
        ("typing_extensions", {name: getattr(typing, name) for name in _TYPING}),
        ("platform", {"system": lambda: os.uname().sysname}),
    ):
        sys.modules.setdefault(name, _Later(name, **found))
    later = [
        _Later("inspect"),
        _Later("uuid", UUID=object),  # it names the type in a declaration
        _Later("gettext", gettext=_called("gettext"), ngettext=_called("ngettext")),
    ]
    for module in later:
        sys.modules.setdefault(module.__name__, module)
    import click  # noqa: F401

    for module in later:
        module.settle()


def _called(name: str) -> Callable[..., str]:
    """A function of `gettext` that loads it when it is called."""

    def call(*args: object) -> str:
        import gettext

        text: str = getattr(gettext, name)(*args)
        return text

    return call


def _have_streams() -> None:
    """Let a command that was started with a closed stream read nothing from it, or write nowhere.

    Else the first file or socket that it opens would take the number of the stream.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


class _Later(ModuleType):
    """Stands for a module until somebody uses what is in it.

    `meanwhile` is what it has until it is settled, for whoever takes something out of it at once.

    Not `importlib.util.LazyLoader`: there a second `import` of the module loads it (up to 3.11).
    """

    def __init__(self, name: str, **meanwhile: object) -> None:
        super().__init__(name)
        vars(self).update(meanwhile)
        self._meanwhile = list(meanwhile)

    def settle(self) -> None:
        for name in self._meanwhile:
            delattr(self, name)

    def __getattr__(self, name: str) -> object:
        if name == "__path__":  # every `from … import` asks whether it is a package
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        vars(self).update(vars(module))
        return getattr(module, name)


def _leave(status: int) -> None:
    """End the process at once if nothing in it is left to be ended."""
    if threading.active_count() > 1:
        sys.exit(status)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(status)
    os._exit(status)
