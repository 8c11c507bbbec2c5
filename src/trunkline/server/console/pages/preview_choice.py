"""Which kind of preview shows a file: the modules of `previews`, in their order."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from trunkline.server.console.pages import previews
from trunkline.server.console.preview import Preview, Subject


def preview_of(subject: Subject) -> Preview:
    """The file as the first kind that suits shows it."""
    kind = next(kind for kind in _kinds() if kind.suits(subject))
    shown: Preview = kind.preview(subject)
    return shown


@cache
def _kinds() -> list[ModuleType]:
    found = [
        import_module(f"{previews.__name__}.{module.name}")
        for module in iter_modules(previews.__path__)
    ]
    return sorted(found, key=lambda kind: int(kind.ORDER))
