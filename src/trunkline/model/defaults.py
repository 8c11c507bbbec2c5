"""Defaults of specs: what the fields are that a spec leaves out."""

from datetime import datetime

from trunkline.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultsInfo:
    """The defaults of a project, or (project None) those of all projects."""

    project: str | None
    spec: dict[str, object]  # as it was given; empty where there are none
    changed: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedPipeline:
    """A pipeline whose spec is another one with new defaults."""

    name: str
    fields: tuple[str, ...]  # at the top of its spec, that change
    problem: str = ""  # why its spec would not be accepted with them


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultsChange:
    """What setting defaults did, or (`dry_run`) would do."""

    project: str | None
    affected: tuple[AffectedPipeline, ...]
    regenerated: bool  # they got a new version; else that is for their next update
    dry_run: bool
