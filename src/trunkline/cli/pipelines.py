"""Commands on pipelines."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

from trunkline.cli.arguments import (
    NUMBER_MAX,
    all_projects,
    full_name,
    local_files,
    of_project,
    version_of,
)
from trunkline.cli.command import command, option
from trunkline.cli.confirm import confirm
from trunkline.cli.images import (
    AS_IN_SPECS,
    ImageOptions,
    chosen,
    getting_image,
    image_options,
    tell_image,
    with_images,
)
from trunkline.cli.output import Table, note, show_all, show_one, to_json, warn, when, write
from trunkline.cli.pipeline_text import pipeline_block, state_word
from trunkline.cli.session import current, operations
from trunkline.cli.spec_sources import (
    SpecSource,
    arg_option,
    drafts_of,
    jsonnet_option,
    source_of,
    spec_options,
)
from trunkline.cli.trash import tell
from trunkline.errors import InvalidInput
from trunkline.model.names import bare_name, project_of
from trunkline.model.pipelines import PipelineInfo

_CLASSIC: Table[PipelineInfo] = Table(
    titles=("NAME", "INPUT", "OUTPUT", "CREATED", "STATE"),
    cells=lambda pipeline: (
        *(pipeline.name, pipeline.input, f"{pipeline.name}/{pipeline.output_branch}"),
        *(when(pipeline.created), _state(pipeline)),
    ),
)
_SPACED: Table[PipelineInfo] = Table(
    titles=(
        *("PROJECT", "NAME", "VERSION", "INPUT", "CREATED", "STATE / LAST JOB", "ALERTS"),
        "DESCRIPTION",
    ),
    cells=lambda pipeline: (
        *(project_of(pipeline.name), bare_name(pipeline.name), str(pipeline.version)),
        *(pipeline.input, when(pipeline.created), _states(pipeline)),
        *(str(len(pipeline.alerts)) if pipeline.alerts else "-", pipeline.description),
    ),
    width=0,
    padding=1,
)
_VERSIONS: Table[PipelineInfo] = Table(
    titles=("PROJECT", "NAME", "VERSION", "INPUT", "CREATED", "SPEC COMMIT", "DESCRIPTION"),
    cells=lambda pipeline: (
        *(project_of(pipeline.name), bare_name(pipeline.name), str(pipeline.version)),
        *(pipeline.input, when(pipeline.created), pipeline.spec_commit, pipeline.description),
    ),
    width=0,
    padding=1,
)


def _states(pipeline: PipelineInfo) -> str:
    last = next(iter(operations().jobs.list_jobs(pipeline=pipeline.name, number=1)), None)
    return f"{_state(pipeline)} / {last.state.value if last else '-'}"


def _state(pipeline: PipelineInfo) -> str:
    resident = pipeline.resident
    at = f" at {resident.address}" if resident is not None and resident.address else ""
    return f"{state_word(pipeline.state)}{at}"


_dry_run = option(
    "--dry-run", is_flag=True, help="Check all that making it would, and change nothing."
)


@command(
    examples=[
        "create pipeline -f pre-process.json",
        "create pipeline -f all.yaml",
        "create pipeline --jsonnet copies.jsonnet --arg suffix=1 --arg source=data",
    ]
)
@spec_options
@_dry_run
@image_options
def create_pipeline(
    file: str,
    jsonnet: str | None,
    arguments: tuple[str, ...],
    dry_run: bool,
    **about_images: Any,
) -> None:
    """Create the pipelines of a spec; where their inputs have data, jobs start at once."""
    wanted = chosen(**about_images)
    source = source_of(file, jsonnet, arguments)
    if dry_run:
        _check_pipelines([source], wanted, update=False)
    else:
        _put_pipelines(source, wanted, update=False)


@command(
    examples=[
        "update pipeline -f infer.json",
        "update pipeline -f infer.json --reprocess",
    ]
)
@spec_options
@option("--reprocess", is_flag=True, help="Compute everything again.")
@option("--keep-results", is_flag=True, help="Keep all results though the code changed.")
@option("--renew-packages", is_flag=True, help="Take new versions of its Python packages.")
@_dry_run
@image_options
def update_pipeline(
    file: str,
    jsonnet: str | None,
    arguments: tuple[str, ...],
    reprocess: bool,
    keep_results: bool,
    renew_packages: bool,
    dry_run: bool,
    **about_images: Any,
) -> None:
    """Make a new version of the pipelines of a spec.

    Results are reused where neither inputs nor code changed.
    """
    wanted = chosen(**about_images)
    if reprocess and keep_results:
        raise InvalidInput("--reprocess and --keep-results exclude each other; use one of them")
    options = {
        "reprocess": reprocess,
        "keep_results": keep_results,
        "renew_packages": renew_packages,
    }
    source = source_of(file, jsonnet, arguments)
    if dry_run:
        _check_pipelines([source], wanted, update=True, **options)
    else:
        _put_pipelines(source, wanted, update=True, **options)


def _put_pipelines(
    source: SpecSource, wanted: ImageOptions, *, checked: bool = False, **options: Any
) -> list[str]:
    """Create or update the pipelines of a source; returns their names.

    Where they are only `checked`, no code is stored, unless it may name their packages.
    """
    from trunkline.cli.code import code_directory
    from trunkline.connect.specs import upload_code

    drafts = drafts_of(source)
    # Every document and directory is checked before the first pipeline is made.
    directories = [code_directory(draft.code, spec=source.file) for draft in drafts]
    for draft, directory in zip(drafts, directories, strict=True):
        draft = with_images(draft, wanted, spec_file=source.file)
        for warning in draft.warnings:
            warn(f"pipeline '{draft.name}': {warning}")
        needed = not checked or _asks_for_packages(draft.spec)
        with getting_image(draft):
            info = operations().pipelines.create_pipeline(
                draft.spec,
                code=upload_code(operations(), directory) if directory and needed else None,
                **options,
            )
        tell_image(draft, info, update=bool(options["update"]))
    return [draft.name for draft in drafts]


def _asks_for_packages(spec: dict[str, object]) -> bool:
    transform = spec.get("transform")
    return isinstance(transform, dict) and bool(transform.get("requirements"))


def _check_pipelines(
    sources: Iterable[SpecSource], wanted: ImageOptions, **options: bool | None
) -> None:
    """Check all that making the pipelines of some sources would, together, and make none."""
    with current().only_planning() as planning:
        names = [
            name for one in sources for name in _put_pipelines(one, wanted, checked=True, **options)
        ]
        planning.plans(count=False)
    for name in names:
        write(f"pipeline '{name}' is valid")


@command(
    examples=["validate pipeline -f pre-process.json", "validate pipeline -f a.json -f b.yaml"]
)
@option(
    "-f",
    "--file",
    "files",
    multiple=True,
    default=("-",),
    metavar="FILE|URL|-",
    shell_complete=local_files,
    help="A spec: JSON or YAML, one or several documents; without -f, stdin is read.",
)
@jsonnet_option
@arg_option
def validate_pipeline(
    files: tuple[str, ...], jsonnet: str | None, arguments: tuple[str, ...]
) -> None:
    """Check the pipelines of some specs as making them would, and change nothing.

    Those that are there are checked as updates; what reads the output of another may stand behind
    it in the same files.
    """
    sources = [source_of(files[0], jsonnet, arguments), *(SpecSource(file=f) for f in files[1:])]
    _check_pipelines(sources, AS_IN_SPECS, update=None)


@command(
    shows=True,
    examples=[
        "inspect pipeline inference",
        "inspect pipeline inference^",
        "inspect pipeline inference --version 3",
    ],
)
@click.argument("pipeline")
@option("--version", type=int, metavar="N", help="As of this version.")
def inspect_pipeline(pipeline: str, version: int | None) -> None:
    """Show one pipeline; NAME^ is the version before the newest, NAME^3 three before it."""
    name, named = version_of(pipeline)
    if named is not None and version is not None:
        raise InvalidInput(f"{pipeline!r} says which version already; leave --version out")
    wanted = version if named is None else named
    show_one(operations().pipelines.inspect_pipeline(name, version=wanted), pipeline_block)


@command(
    shows=True,
    examples=["list pipeline", "list pipeline -A", "list pipeline inference --history all"],
)
@click.argument("pipeline", required=False)
@all_projects
@option("-s", "--spec", is_flag=True, help="Print the specs instead.")
@option(
    *("--history", "history"),
    default="none",
    metavar="N|all|none",
    help="With so many older versions of each.",
)
def list_pipeline(pipeline: str | None, everywhere: bool, spec: bool, history: str) -> None:
    """List the pipelines of the project, last changed first, or one of them with its versions."""
    older = _older(history)
    wanted: dict[str, Any] = {"history": older} if older else {}
    if pipeline is not None:
        wanted["name"] = full_name(pipeline)
    else:
        wanted["project"] = None if everywhere else current().project
    listed = operations().pipelines.list_pipelines(**wanted)
    if spec:
        _write_specs(listed)
    elif older:
        show_all(listed, _VERSIONS)
    else:
        show_all(listed, _CLASSIC if current().classic else _SPACED)


def _older(history: str) -> int:
    if history in ("all", "none"):
        return -1 if history == "all" else 0
    if not (history.isascii() and history.isdecimal()) or int(history[:10]) > NUMBER_MAX:
        raise InvalidInput(f"--history is {history!r}; it must be a number, `all` or `none`")
    return int(history)


@command(examples=["extract pipeline inference > inference.json", "extract pipeline --all"])
@click.argument("pipeline", required=False)
@option("--all", "everything", is_flag=True, help="The specs of all in the project.")
def extract_pipeline(pipeline: str | None, everything: bool) -> None:
    """Print the spec that `create pipeline` would make the pipeline from."""
    if everything == (pipeline is not None):
        raise InvalidInput("either a pipeline name or the --all flag needs to be provided")
    if pipeline is not None:
        name, version = version_of(pipeline)
        wanted = {} if version is None else {"version": version}
        _write_specs([operations().pipelines.inspect_pipeline(name, **wanted)])
    else:
        _write_specs(operations().pipelines.list_pipelines(project=current().project))


def _write_specs(pipelines: Sequence[PipelineInfo]) -> None:
    for pipeline in pipelines:
        write(to_json(pipeline.user_spec))


@command(examples=["rerun pipeline inference", "rerun pipeline inference --reprocess"])
@click.argument("pipeline")
@option("--reprocess", is_flag=True, help="Compute everything again.")
def rerun_pipeline(pipeline: str, reprocess: bool) -> None:
    """Give a pipeline one more job; it runs what failed or was stopped the last time."""
    operations().pipelines.rerun_pipeline(full_name(pipeline), reprocess=reprocess)


@command(examples=["run cron nightly"])
@click.argument("pipeline")
def run_cron(pipeline: str) -> None:
    """Make a tick now on the cron inputs of a pipeline; prints the run that it begins."""
    write(operations().pipelines.run_cron(full_name(pipeline)).id)


@command(examples=["run git build"])
@click.argument("pipeline")
def run_git(pipeline: str) -> None:
    """Look now at the git repositories that a pipeline follows; prints the run of what is new."""
    look = operations().pipelines.run_git(full_name(pipeline), wait=True)
    if look.run:
        write(look.run)
        return
    for git in look.gits:
        note(f"nothing is new: branch {git.branch} of {git.url} is at {git.commit}")


@command(examples=["start pipeline inference"])
@click.argument("pipeline")
def start_pipeline(pipeline: str) -> None:
    """Resume a stopped pipeline: one job for what its inputs are now."""
    operations().pipelines.start_pipeline(full_name(pipeline))


@command(examples=["stop pipeline inference"])
@click.argument("pipeline")
def stop_pipeline(pipeline: str) -> None:
    """Stop processing new commits; the running job is stopped too."""
    operations().pipelines.stop_pipeline(full_name(pipeline))


@command(examples=["delete pipeline inference", "delete pipeline --all --yes"])
@click.argument("pipeline", required=False)
@option("--all", "everything", is_flag=True, help="Delete all pipelines of the project.")
@option("-f", "--force", is_flag=True, help="Even if others read its output.")
@option("--keep-repo", is_flag=True, help="Keep its output repo.")
@option("-y", "--yes", is_flag=True, help="Do not ask before deleting all.")
def delete_pipeline(
    pipeline: str | None, everything: bool, force: bool, keep_repo: bool, yes: bool
) -> None:
    """Delete a pipeline with its jobs and its output repo."""
    if everything and pipeline is not None:
        raise InvalidInput("cannot use the --all flag with an argument")
    if pipeline is None and not everything:
        raise InvalidInput("either a pipeline name or the --all flag needs to be provided")
    pipelines = operations().pipelines
    if pipeline is not None:
        tell(pipelines.delete_pipeline(full_name(pipeline), force=force, keep_repo=keep_repo))
        return
    names = [info.name for info in pipelines.list_pipelines(project=current().project)]
    if not names:
        return
    what = f"all pipelines{of_project()} ({len(names)})"
    confirm(f"This deletes {what} with their jobs and output.", yes=yes)
    while names:
        refused = _delete_what_is_free(names, force=force, keep_repo=keep_repo)
        if len(refused) == len(names):
            # Says why it can't be deleted.
            tell(pipelines.delete_pipeline(names[0], force=force, keep_repo=keep_repo))
        names = refused


def _delete_what_is_free(names: list[str], *, force: bool, keep_repo: bool) -> list[str]:
    """Delete the pipelines whose output nobody reads any more; gives those that are left."""
    from trunkline.errors import InUse

    refused: list[str] = []
    for name in names:
        try:
            tell(operations().pipelines.delete_pipeline(name, force=force, keep_repo=keep_repo))
        except InUse:
            refused.append(name)
    return refused
