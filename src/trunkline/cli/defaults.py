"""Commands on the defaults of specs."""

from collections.abc import Callable
from typing import Any

from trunkline.cli.arguments import local_files
from trunkline.cli.command import command, option
from trunkline.cli.output import counted, show_one, to_json
from trunkline.cli.session import current, operations
from trunkline.cli.spec_sources import STDIN, SpecSource
from trunkline.model.defaults import AffectedPipeline, DefaultsChange, DefaultsInfo

_cluster = option("--cluster", is_flag=True, help="Those of all projects, not of this one.")


def _setting(function: Callable[..., Any]) -> Callable[..., Any]:
    for add in (
        option("--dry-run", is_flag=True, help="Tell which pipelines change; change nothing."),
        option("--reprocess", is_flag=True, help="Update them and compute everything again."),
        option("--regenerate", is_flag=True, help="Update all pipelines that they change."),
        option(
            *("-f", "--file", "file"),
            default=STDIN,
            metavar="FILE|URL|-",
            shell_complete=local_files,
            help="Fields of a spec, as JSON or YAML; without -f, stdin is read.",
        ),
        _cluster,
    ):
        function = add(function)
    return function


@command(shows=True, examples=["create defaults --cluster -f defaults.json"])
@_setting
def create_defaults(
    cluster: bool, file: str, regenerate: bool, reprocess: bool, dry_run: bool
) -> None:
    """Set what the fields are that specs leave out, of the project or of all (--cluster)."""
    _set(cluster, file, regenerate=regenerate, reprocess=reprocess, dry_run=dry_run)


@command(
    shows=True,
    examples=[
        "update defaults --cluster -f defaults.json --regenerate --dry-run",
        "update defaults --project vision -f defaults.yaml",
    ],
)
@_setting
def update_defaults(
    cluster: bool, file: str, regenerate: bool, reprocess: bool, dry_run: bool
) -> None:
    """Replace the defaults of specs; pipelines that are there change with --regenerate only."""
    _set(cluster, file, regenerate=regenerate, reprocess=reprocess, dry_run=dry_run)


def _set(cluster: bool, file: str, **options: bool) -> None:
    text, source = SpecSource(file=file).read()
    change = operations().defaults.set_defaults(
        text, source=source, project=_project(cluster), **options
    )
    show_one(change, _change_block)


@command(shows=True, examples=["inspect defaults --cluster", "inspect defaults --project vision"])
@_cluster
def inspect_defaults(cluster: bool) -> None:
    """Print the defaults of the project, or of all (--cluster), as `update defaults` reads them."""
    show_one(operations().defaults.inspect_defaults(project=_project(cluster)), _block)


@command(shows=True, examples=["delete defaults --cluster"])
@_cluster
def delete_defaults(cluster: bool) -> None:
    """Remove the defaults of the project, or of all (--cluster); pipelines stay as they are."""
    change = operations().defaults.set_defaults("{}", project=_project(cluster))
    show_one(change, _change_block)


def _project(cluster: bool) -> str | None:
    return None if cluster else current().project


def _block(info: DefaultsInfo) -> str:
    return to_json({"createPipelineRequest": info.spec})


def _change_block(change: DefaultsChange) -> str:
    count = counted(len(change.affected), "pipeline")
    if not change.regenerated:
        done = f"another spec is for {count}, from the next update on"
    elif change.dry_run:
        done = f"{count} would be updated"
    else:
        done = f"{count} updated"
    return "\n".join([*map(_line, change.affected), done])


def _line(pipeline: AffectedPipeline) -> str:
    return f"{pipeline.name}: {pipeline.problem or ', '.join(pipeline.fields)}"
