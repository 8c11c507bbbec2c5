"""The entry of `trunkline` and `pachctl`: how the process of a command begins and ends.

A command makes some ten thousand objects while it starts and lets go of none of them. Looking
through them for garbage every 700, and taking them apart one by one at the end, took a quarter of
a short command. What click imports for the sake of a few commands is loaded when one of them comes:
`inspect` brings the parsers and disassemblers of Python along, an eighth of a short command.
"""

import gc
import importlib
import os
import sys
import threading
from types import ModuleType

_LOADED_LATER = ("inspect",)
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def run() -> None:
    """Run the command line of this process and leave it."""
    prepare()
    _have_streams()
    from trunkline.cli import main

    _leave(main.run())


def prepare() -> None:
    """Make this process one that is over soon."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    for name in _LOADED_LATER:
        if name not in sys.modules:
            sys.modules[name] = _Later(name)


def _have_streams() -> None:
    """Let a command that was started with a closed stream read nothing from it, or write nowhere.

    Else the first file or socket that it opens would take the number of the stream.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


class _Later(ModuleType):
    """Stands for a module until somebody uses what is in it.

    Not `importlib.util.LazyLoader`: there a second `import` of the module loads it (up to 3.11).
    """

    def __getattr__(self, name: str) -> object:
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
