"""Schedules and services: what begins by itself and why it has not, and what runs all the time."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from trunkline.errors import NotFound
from trunkline.model.pipelines import PipelineInfo
from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Navigation, Route, Show, Visit

_ROWS = 25  # each is asked why it does not begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A pipeline that begins by a clock, a trigger or a git repository."""

    pipeline: PipelineInfo
    begins: tuple[str, ...]  # what it follows, a few words each
    why: tuple[str, ...]  # sentences: what it read last, and what it waits for


def schedules(visit: Visit) -> Answer:
    operations = visit.operations
    pipelines = operations.pipelines.list_pipelines()
    followers = [
        (one, begins) for one in pipelines if (begins := tuple(begins_by(one.spec.get("input"))))
    ]
    begin = visit.whole_number("from", 0, most=len(followers))
    end = begin + _ROWS
    found = []
    for one, begins in followers[begin:end]:
        with contextlib.suppress(NotFound):  # deleted meanwhile
            why = operations.lineage.explain_pipeline(one.name).sentences
            found.append(Waiting(pipeline=one, begins=begins, why=why))
    return Show(
        template="schedules/schedules.html",
        title="Schedules",
        live=("pipelines", "commits", "jobs") if not begin else (),
        context={
            "waiting": found,
            "total": len(followers),
            "next": f"{urls.schedules()}?from={end}" if end < len(followers) else None,
            "residents": [
                one for one in pipelines if one.spec.get("service") or one.spec.get("spout")
            ],
        },
    )


def begins_by(part: object) -> Iterator[str]:
    """What a part of a spec's input follows that is not simply a branch, in a few words each."""
    if isinstance(part, list):
        for member in part:
            yield from begins_by(member)
    elif isinstance(part, dict):
        if isinstance(clock := part.get("cron"), dict):
            yield f"clock {clock.get('spec')}"
        if isinstance(git := part.get("git"), dict):
            yield f"git {git.get('url')}@{git.get('branch') or 'master'}"
        if isinstance(trigger := part.get("trigger"), dict):
            words = (f"{name} {trigger[name]}" for name in sorted(trigger) if trigger[name])
            yield f"trigger {', '.join(words)}"
        for name, inside in part.items():
            if name != "trigger":
                yield from begins_by(inside)


ROUTES = (Route(path="/schedules", view=schedules),)
NAVIGATION = (Navigation(title="Schedules", path="/schedules", icon="event", order=60),)
