"""What a page is made of: what a view is given, what it gives, and where it is found.

A view is a plain function that runs in a thread, as operations do: `Visit` in, an `Answer` out. A
module of `pages/` lists its views in `ROUTES`, and in `NAVIGATION` what leads to them from
everywhere.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from trunkline.api.connection import Operations
from trunkline.errors import InvalidInput
from trunkline.model.names import full_name
from trunkline.model.roles import READER, WRITER
from trunkline.server.console.chores import Chores
from trunkline.server.console.multipart import Part

PLACE = "/ui"  # everything of the console is below it
PAGE_ROWS = 100  # of a list that is shown at once

_NAME = "[A-Za-z0-9_-]+"
_SHAPES = {
    "project": _NAME,
    "repo": _NAME,
    "branch": _NAME,
    "pipeline": _NAME,
    "ref": "[^/]+",
    "path": ".*",  # takes all the rest, slashes included
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request of somebody who is logged in."""

    operations: Operations  # of which those are refused that the role is not enough for
    role: str  # of who is logged in: reader, writer or admin
    arguments: Mapping[str, str]  # of the address, by the names in the route
    query: Mapping[str, str]
    form: Mapping[str, str]  # of a POST
    headers: Mapping[str, str]  # names in small letters
    now: datetime
    origin: str  # what the address of the page begins with, such as https://data.example.com
    chores: Chores
    # Of a POST to a route that `streams`: what comes behind the key of the form.
    parts: Iterator[Part] = field(default_factory=lambda: iter(()))

    @property
    def is_fragment(self) -> bool:
        """Whether a page asks, for a part of another one."""
        return "x-fragment" in self.headers

    def full_name(self, noun: str) -> str:
        """The full name of the repo or pipeline that the address names."""
        return full_name(self.arguments["project"], self.arguments[noun])

    def whole_number(self, name: str, default: int, *, most: int) -> int:
        """A number from 0 to `most` in the query."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not text.isdecimal() or len(text) > 18:
            raise InvalidInput(f"{name} in this address has to be a whole number")
        return min(int(text), most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """A page. `live` are the topics (`live.TOPICS`) whose changes make it look anew."""

    template: str
    title: str
    context: Mapping[str, object] = field(default_factory=dict)
    live: tuple[str, ...] = ()
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Go on at another address of the console."""

    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Begin work that lasts (`chores`), and go on at an address where it is told of."""

    name: str
    work: Callable[[], object]
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Bytes as they are. `pieces` is called, and what it gives is read, in one thread."""

    pieces: Callable[[], Iterator[bytes]]
    media_type: str = "application/octet-stream"
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200


Answer = Show | Redirect | Begin | Content
View = Callable[[Visit], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which view answers a method and path; paths are below the console's place."""

    path: str  # such as /projects/{project}/repos/{repo}
    view: View
    method: str = "GET"
    streams: bool = False  # the view reads the parts of the form as they come
    role: str = ""  # that it needs; without one, a writer's to send forms and a reader's to look

    @property
    def needs(self) -> str:
        return self.role or (READER if self.method == "GET" else WRITER)

    def pattern(self) -> re.Pattern[str]:
        """What matches its paths, with a group for each argument."""
        parts = re.split(r"\{(\w+)\}", self.path)
        return re.compile(
            "".join(
                f"(?P<{part}>{_SHAPES.get(part, '[^/]+')})" if place % 2 else re.escape(part)
                for place, part in enumerate(parts)
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Navigation:
    """An entry that is on every page."""

    title: str
    path: str  # below the console's place
    icon: str  # of the macro `icon`
    order: int
