"""Triggers of inputs: the branch that such an input follows, and when that moves.

As in Pachyderm 2.x: the input follows a branch that is made for it, `<pipeline>-trigger-1` and so
on, and the trigger moves that to the head of the branch it watches: its own `branch`, else that of
the input, else master. Where both name one, the input's is the branch that is moved.
"""

from collections.abc import Callable, Iterator

from trunkline.errors import InvalidInput
from trunkline.model.names import bare_name, project_of
from trunkline.model.versions import DEFAULT_BRANCH, BranchName, BranchTrigger
from trunkline.pipelines.canonical import Document, dotted
from trunkline.pipelines.nodes import Fault, Path
from trunkline.versions import schedules, triggers


def name_branches(root: Document, *, pipeline: str) -> Document:
    """An input with the branches written down that its triggers move, and that they watch.

    The numbers of made branches go by the order of the spec, but for those it names already.
    """
    taken = {str(leaf.get("branch")) for leaf in _triggered(root)}
    return _named(root, pipeline, taken)


def is_made(name: BranchName, *, pipeline: str) -> bool:
    """Whether a branch is one that was made for a trigger of an input of this pipeline."""
    start, _, number = name.branch.rpartition("-")
    return start == _prefix(pipeline, project_of(name.repo)) and number.isdecimal()


def read_trigger(leaf: Document, path: Path) -> BranchTrigger | None:
    """The trigger of an input whose branches are written down; raises Fault."""
    given = leaf.get("trigger")
    if not isinstance(given, dict):
        return None
    below = (*path, "trigger")
    cron, limit = str(given.get("cron_spec") or ""), str(given.get("rate_limit_spec") or "")
    size, commits = str(given.get("size") or ""), int(str(given.get("commits") or 0))
    if cron and (limit or size or commits):
        problem = f"{dotted(below)} has a cron_spec and other conditions: it goes alone"
        raise Fault(problem, path=below)
    if not (cron or limit or size or commits):
        raise Fault(
            f"{dotted(below)} has no condition: give it a size, a number of commits, a cron_spec "
            "or a rate_limit_spec",
            path=below,
        )
    _check(size, triggers.parse_size, (*below, "size"))
    _check(cron, schedules.check, (*below, "cron_spec"))
    _check(limit, schedules.check, (*below, "rate_limit_spec"))
    if commits >= triggers.COMMITS_MAX:
        raise Fault(f"{dotted(below)} waits for too many commits", path=(*below, "commits"))
    return BranchTrigger(
        source=str(given["branch"]),
        size=size,
        commits=commits,
        cron=cron or limit,
        all=bool(given.get("all")),
    )


def _check(text: str, parse: Callable[[str], object], path: Path) -> None:
    try:
        if text:
            parse(text)
    except InvalidInput as error:
        raise Fault(f"{dotted(path)}: {error}", path=path) from error


def _named(document: Document, pipeline: str, taken: set[str]) -> Document:
    named: Document = {}
    for kind, value in document.items():
        if isinstance(value, list):
            named[kind] = [_named(member, pipeline, taken) for member in value]
        elif isinstance(value, dict) and isinstance(value.get("trigger"), dict):
            named[kind] = _with_branches(value, pipeline, taken)
        else:
            named[kind] = value
    return named


def _with_branches(leaf: Document, pipeline: str, taken: set[str]) -> Document:
    trigger = leaf["trigger"]
    assert isinstance(trigger, dict), "asked before"
    followed, watched = str(leaf.get("branch") or ""), str(trigger.get("branch") or "")
    if watched and followed and watched != followed:
        return leaf
    prefix = _prefix(pipeline, str(leaf.get("project") or project_of(pipeline)))
    number = 1
    while f"{prefix}-{number}" in taken:
        number += 1
    taken.add(f"{prefix}-{number}")
    watched = watched or followed or DEFAULT_BRANCH
    return {**leaf, "branch": f"{prefix}-{number}", "trigger": {**trigger, "branch": watched}}


def _prefix(pipeline: str, project: str) -> str:
    """What the names of made branches begin with, in a repo of this project."""
    own = project_of(pipeline)
    name = bare_name(pipeline)
    return f"{name}-trigger" if own == project else f"{own}-{name}-trigger"


def _triggered(document: Document) -> Iterator[Document]:
    """The inputs that have a trigger."""
    for value in document.values():
        if isinstance(value, list):
            for member in value:
                yield from _triggered(member)
        elif isinstance(value, dict) and isinstance(value.get("trigger"), dict):
            yield value
