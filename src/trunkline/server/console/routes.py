"""The table of pages: whatever the modules of `pages` list."""

import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from trunkline.server.console import pages
from trunkline.server.console.page import PLACE, Navigation, Route


class Table:
    """Finds the view of an address. The first route that matches counts."""

    def __init__(self) -> None:
        self.navigation: list[Navigation] = []
        self._routes: list[tuple[Route, re.Pattern[str]]] = []
        for module in iter_modules(pages.__path__):
            page = import_module(f"{pages.__name__}.{module.name}")
            routes: tuple[Route, ...] = getattr(page, "ROUTES", ())
            self._routes += [(route, route.pattern()) for route in routes]
            self.navigation += getattr(page, "NAVIGATION", ())
        self.navigation.sort(key=lambda entry: entry.order)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route, and the arguments in the path."""
        for route, found in self._matching(path):
            if route.method == method:
                return route, found.groupdict()
        return None

    def methods(self, path: str) -> list[str]:
        """With which an address can be asked for; none: there is no such page."""
        return sorted({route.method for route, _ in self._matching(path)})

    def _matching(self, path: str) -> Iterator[tuple[Route, re.Match[str]]]:
        below = path.removeprefix(PLACE) or "/"
        for route, pattern in self._routes:
            found = pattern.fullmatch(below)
            if found is not None:
                yield route, found
