"""The spec of a pipeline, edited or new: what it would set off is told before it is saved."""

import difflib
import json

from trunkline.errors import InvalidInput, TrunklineError
from trunkline.model.names import DEFAULT_PROJECT, project_of
from trunkline.model.pipelines import PipelineDraft, PipelineInfo
from trunkline.model.roles import WRITER
from trunkline.server.console import urls
from trunkline.server.console.page import Answer, Redirect, Route, Show, Visit

_SOURCE = "this spec"
_NEW = """\
{
  "pipeline": { "name": "copy" },
  "transform": {
    "cmd": ["sh"],
    "stdin": ["cp -r /pfs/training/* /pfs/out/"]
  },
  "input": { "pfs": { "repo": "training", "glob": "/*" } }
}
"""


def new(visit: Visit) -> Answer:
    """A spec to begin with."""
    return _form(None, _NEW)


def edit(visit: Visit) -> Answer:
    """The spec as it was given."""
    info = _edited(visit)
    assert info is not None
    return _form(info, _text_of(info))


def plan(visit: Visit) -> Answer:
    """What saving a spec would change and set off; nothing is changed."""
    info, text = _edited(visit), visit.form.get("text", "")
    reprocess = "reprocess" in visit.form
    try:
        draft = _draft(visit, info, text)
        found = visit.operations.plans.plan_pipelines(
            [draft.spec],
            codes=[info.code if info is not None else ""],
            update=info is not None,
            reprocess=reprocess,
        )
        before = [] if info is None else _lines(_draft(visit, info, _text_of(info)).spec)
    except TrunklineError as error:
        return _form(info, text, problem=str(error), reprocess=reprocess, status=400)
    difference = list(difflib.unified_diff(before, _lines(draft.spec), n=3, lineterm=""))[2:]
    told = {"plan": found, "draft": draft, "difference": difference, "planned": text}
    return _form(info, text, reprocess=reprocess, told=told)


def save(visit: Visit) -> Answer:
    """Make the new version, or the pipeline, as it was planned."""
    info, text = _edited(visit), visit.form.get("text", "")
    reprocess = "reprocess" in visit.form
    try:
        draft = _draft(visit, info, text)
        visit.operations.pipelines.create_pipeline(
            draft.spec,
            code=(info.code or None) if info is not None else None,
            update=info is not None,
            reprocess=reprocess,
        )
    except TrunklineError as error:  # what was typed is not lost
        return _form(info, text, problem=str(error), reprocess=reprocess, status=400)
    return Redirect(to=urls.pipeline(draft.name))


def _form(
    info: PipelineInfo | None,
    text: str,
    *,
    problem: str = "",
    reprocess: bool = False,
    told: dict[str, object] | None = None,
    status: int = 200,
) -> Show:
    nothing: dict[str, object] = {"plan": None, "draft": None, "difference": [], "planned": ""}
    return Show(
        template="pipelines/edit.html",
        title="New pipeline" if info is None else f"Edit {info.name}",
        status=status,
        context={
            "pipeline": info,
            "text": text,
            "problem": problem,
            "reprocess": reprocess,
            **(told or nothing),
        },
    )


def _edited(visit: Visit) -> PipelineInfo | None:
    """The pipeline that the address names; None where a new one is made."""
    if "pipeline" not in visit.arguments:
        return None
    return visit.operations.pipelines.inspect_pipeline(visit.full_name("pipeline"))


def _draft(visit: Visit, info: PipelineInfo | None, text: str) -> PipelineDraft:
    """The one pipeline that a text describes; raises InvalidInput where it is of another one."""
    project = DEFAULT_PROJECT if info is None else project_of(info.name)
    drafts = visit.operations.pipelines.validate_specs(text, source=_SOURCE, project=project)
    if len(drafts) != 1:
        raise InvalidInput(f"this text describes {len(drafts)} pipelines; one is edited here")
    [draft] = drafts
    if info is not None and draft.name != info.name:
        raise InvalidInput(
            f"this spec is of pipeline '{draft.name}'; the name of '{info.name}' can't be changed"
        )
    if info is None and draft.code:
        raise InvalidInput(
            f"its code is the directory {draft.code}, which is on your machine: use "
            "`trunkline create pipeline -f` there, which brings it along"
        )
    return draft


def _text_of(info: PipelineInfo) -> str:
    return json.dumps(info.user_spec, indent=2, ensure_ascii=False) + "\n"


def _lines(spec: dict[str, object]) -> list[str]:
    return json.dumps(spec, indent=2, ensure_ascii=False).splitlines()


_PIPELINE = "/projects/{project}/pipelines/{pipeline}"
ROUTES = (
    Route(path="/new/pipeline", view=new, role=WRITER),
    Route(path="/new/pipeline", view=plan, method="POST"),
    Route(path="/new/pipeline/save", view=save, method="POST"),
    Route(path=f"{_PIPELINE}/edit", view=edit, role=WRITER),
    Route(path=f"{_PIPELINE}/edit", view=plan, method="POST"),
    Route(path=f"{_PIPELINE}/edit/save", view=save, method="POST"),
)
