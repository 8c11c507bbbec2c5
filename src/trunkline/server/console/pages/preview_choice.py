"""Which kind of preview shows a file: the modules of `previews`, in their order."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import NamedTuple

from trunkline.server.console.pages import previews
from trunkline.server.console.preview import Preview, Subject, Unsuitable

_PLAIN = ("text", "binary")  # kinds that one may ask for whatever a file is


class Shown(NamedTuple):
    """A preview, why it is not the one that the name promises, and what else there is."""

    preview: Preview
    note: str
    others: list[str]  # plain kinds that suit too; "" is the usual one


def preview_of(subject: Subject) -> Shown:
    """The file as the first kind that suits shows it, or as the plain kind that is asked for."""
    asked = subject.visit.query.get("as", "")
    kinds = _kinds()
    plain = [name for name in _PLAIN if kinds[name].suits(subject)]
    if asked in plain:
        return Shown(kinds[asked].preview(subject), "", ["", *(n for n in plain if n != asked)])
    note = ""
    for name, kind in kinds.items():
        if kind.suits(subject):
            try:
                shown: Preview = kind.preview(subject)
            except Unsuitable as reason:
                note = note or str(reason)
            else:
                return Shown(shown, note, [other for other in plain if other != name])
    raise AssertionError("the last kind suits every file")


@cache
def _kinds() -> dict[str, ModuleType]:
    found = {
        module.name: import_module(f"{previews.__name__}.{module.name}")
        for module in iter_modules(previews.__path__)
    }
    return dict(sorted(found.items(), key=lambda one: int(one[1].ORDER)))
