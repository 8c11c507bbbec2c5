"""Operations on the defaults of specs: what the fields are that a spec leaves out.

A spec is a JSON merge patch (RFC 7386) to the defaults of its project, and those are one to the
defaults of all projects. They count when a pipeline is created or updated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trunkline.api.operation import operation
from trunkline.model.roles import ADMIN, READER

if TYPE_CHECKING:
    from trunkline.model.defaults import DefaultsChange, DefaultsInfo


class Defaults(Protocol):
    @operation("POST", "/defaults", ADMIN)
    def set_defaults(
        self,
        text: str,
        *,
        source: str = "the defaults",
        project: str | None = None,
        regenerate: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
    ) -> DefaultsChange:
        """Replace the defaults of a project (None: of all) by those of a text, JSON or YAML.

        `regenerate` gives each pipeline that they change a new version with them, all in one
        transaction; `reprocess` does that too, without remembered results. Without either they
        count from its next update on. `dry_run` checks all that, and changes nothing. Raises
        InvalidSpec with line and caret, ProjectNotFound, and what `create_pipeline` does.
        """

    @operation("GET", "/defaults", READER)
    def inspect_defaults(self, *, project: str | None = None) -> DefaultsInfo:
        """The defaults of a project (None: of all), without those below; raises ProjectNotFound."""
