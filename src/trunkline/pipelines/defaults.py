"""Defaults of specs, and how a spec lies over them.

As JSON merge patches (RFC 7386): a spec is a patch to the defaults of its project, and those are
one to the defaults of all projects. A field that a spec sets to null has no default. It is done
with trees, so that what is wrong is still shown where it was written, in whichever spelling.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trunkline.pipelines.field_types import Either, Message, Text, TextMap, Type
from trunkline.pipelines.fields import spellings
from trunkline.pipelines.nodes import Entry, MapNode, Node, from_value

# Top-level fields that can't have a default, with the reason.
NOT_DEFAULTS: Mapping[str, str] = {
    "pipeline": "each pipeline has a name of its own",
    "input": "each pipeline says what it reads",
    "update": "it is no part of a pipeline; use `--regenerate`",
    "reprocess": "it is no part of a pipeline; use `--reprocess`",
    "dry_run": "it is no part of a pipeline; use `--dry-run`",
    "tf_job": "it is what one pipeline runs",
    "spec_commit": "it is set by Trunkline",
}
SAMPLE: Mapping[str, object] = {
    "pipeline": {"name": "any"},
    "transform": {"cmd": ["any"]},
    "input": {"pfs": {"repo": "any", "glob": "/"}},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """The defaults of all projects, and those of single ones, as plain documents."""

    cluster: Mapping[str, object] = field(default_factory=dict)
    projects: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def under(self, spec: Node, project: str) -> Node:
        """The tree of a spec of a project, with the defaults below it."""
        below = from_value(self.cluster)
        if own := self.projects.get(project):
            below = overlaid(from_value(own), below)
        return overlaid(spec, below)


NO_DEFAULTS = Defaults()


def overlaid(top: Node, bottom: Node, wanted: Type = Message("spec")) -> Node:  # noqa: B008
    """`bottom` as `top` patches it; a null stays, to be dropped once nothing else is below."""
    if isinstance(wanted, Either):
        wanted = wanted.message
    merges = isinstance(wanted, Message | TextMap)
    if not (merges and isinstance(top, MapNode) and isinstance(bottom, MapNode)):
        return top
    below = {_meant(entry.key, wanted)[0]: entry for entry in bottom.entries}
    entries: list[Entry] = []
    for entry in top.entries:
        name, inner = _meant(entry.key, wanted)
        found = below.pop(name, None)
        value = entry.value if found is None else overlaid(entry.value, found.value, inner)
        entries.append(Entry(at=entry.at, key=entry.key, value=value))
    return MapNode(at=top.at, entries=(*entries, *below.values()))


def _meant(key: str, wanted: Type) -> tuple[str, Type]:
    """The one name of a field, whichever way it is spelled, and its type."""
    if isinstance(wanted, Message):
        known = spellings(wanted.name).get(key)
        if known is not None:
            return known.name, known.type
    return key, Text()
