"""Commands that make a version of a pipeline by hand, and compare two."""

import os
import tempfile
from collections.abc import Iterator

import click

from trunkline.cli.arguments import full_name, local_files, read_document
from trunkline.cli.command import command, option
from trunkline.cli.output import note, show_one, to_json, warn, write
from trunkline.cli.session import operations
from trunkline.cli.spec_sources import SPEC_BYTES_MAX
from trunkline.errors import InvalidInput, OperationFailed
from trunkline.model.names import bare_name, project_of
from trunkline.model.pipelines import CodeChange, PipelineDifference, PipelineInfo
from trunkline.model.versions import Change

_DIGITS = 12  # of a digest that are shown
_MARKS = {Change.ADDED: "+", Change.DELETED: "-", Change.CHANGED: "~"}


@command(
    examples=[
        "edit pipeline inference --editor nano",
        "edit pipeline inference -f /tmp/inference-k2x9.json",
    ]
)
@click.argument("pipeline")
@option("--editor", metavar="COMMAND", help="Use it instead of $VISUAL or $EDITOR.")
@option(
    *("-f", "--file", "file"),
    metavar="FILE",
    shell_complete=local_files,
    help="Begin with this text, such as one that was refused.",
)
@option("--reprocess", is_flag=True, help="Compute everything again.")
def edit_pipeline(pipeline: str, editor: str | None, file: str | None, reprocess: bool) -> None:
    """Change the spec of a pipeline in an editor; its code stays as it is.

    What can't be used is kept in a file, whose name is told.
    """
    info = operations().pipelines.inspect_pipeline(full_name(pipeline))
    before = to_json(info.user_spec)
    text = before if file is None else read_document(file, bytes_max=SPEC_BYTES_MAX)
    draft = _Draft(bare_name(info.name), text.rstrip("\n") + "\n")
    try:
        after = draft.edited(editor)
        if after.strip() == before.strip() and not reprocess:
            write("Pipeline unchanged, no update will be performed.")
        else:
            _update(info, after, source=draft.path, reprocess=reprocess)
    except BaseException:
        if draft.is_changed(before):
            note(
                f"nothing was changed; your text is kept: "
                f"`edit pipeline {pipeline} -f {draft.path}` goes on with it"
            )
        else:
            draft.remove()
        raise
    draft.remove()


class _Draft:
    """A spec in a file of its own, which is there until it is removed."""

    def __init__(self, name: str, text: str) -> None:
        try:
            handle, self.path = tempfile.mkstemp(prefix=f"{name}-", suffix=".json")
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text)
        except OSError as error:
            raise OperationFailed(f"can't write a file to edit: {error.strerror}") from error

    def edited(self, editor: str | None) -> str:
        """The text once the user has left the editor."""
        click.edit(filename=self.path, editor=editor)
        return read_document(self.path, bytes_max=SPEC_BYTES_MAX)

    def is_changed(self, text: str) -> bool:
        try:
            with open(self.path, "rb") as file:
                return file.read().strip() != text.strip().encode("utf-8")
        except OSError:  # an editor may have removed it
            return False

    def remove(self) -> None:
        if os.path.exists(self.path):
            os.unlink(self.path)


def _update(info: PipelineInfo, text: str, *, source: str, reprocess: bool) -> None:
    pipelines = operations().pipelines
    project = project_of(info.name)  # whatever is left of it in the text
    drafts = pipelines.validate_specs(text, source=source, project=project)
    if len(drafts) != 1 or drafts[0].name != info.name:
        raise InvalidInput(f"the edited spec must be of the one pipeline '{info.name}'")
    for warning in drafts[0].warnings:
        warn(f"pipeline '{info.name}': {warning}")
    pipelines.create_pipeline(
        drafts[0].spec, code=info.code or None, update=True, reprocess=reprocess
    )


@command(
    shows=True,
    examples=["diff pipeline inference", "diff pipeline inference --from 1 --to 3"],
)
@click.argument("pipeline")
@option("--from", "old", type=int, metavar="N", help="Compare with this version.")
@option("--to", "new", type=int, metavar="N", help="Instead of the newest one.")
@option("--exit-code", is_flag=True, help="Exit with 10 if there is a difference.")
def diff_pipeline(pipeline: str, old: int | None, new: int | None, exit_code: bool) -> None:
    """Show what differs between two versions of a pipeline: spec, packages, files of the code.

    Those are the last two unless others are named.
    """
    found = operations().pipelines.diff_pipeline(
        full_name(pipeline), old_version=old, new_version=new
    )
    show_one(found, lambda found: "\n".join(_difference_lines(found)))
    if exit_code and not found.empty:
        raise click.exceptions.Exit(10)


def _difference_lines(found: PipelineDifference) -> Iterator[str]:
    old, new = f"version {found.old_version}", f"version {found.new_version}"
    if found.empty:
        yield f"{old} and {new} of pipeline {found.pipeline} have the same spec and code"
    if found.spec:
        yield f"--- spec of {found.pipeline}, {old}"
        yield f"+++ spec of {found.pipeline}, {new}"
        yield from found.spec
    if found.truncated:
        yield "(more differs than is listed)"
    if found.old_image != found.new_image:
        yield "image:"
        yield from (f"- {image}" for image in (found.old_image,) if image)
        yield from (f"+ {image}" for image in (found.new_image,) if image)
    if found.packages_gone or found.packages_new:
        yield "packages:"
        yield from (f"- {package}" for package in found.packages_gone)
        yield from (f"+ {package}" for package in found.packages_new)
    if found.code:
        yield "code:"
        yield from map(_code_line, found.code)
    kept = "are used" if found.keeps_results else "are not used"
    yield f"results of {old} {kept} by {new}"


def _code_line(change: CodeChange) -> str:
    digests = [d[:_DIGITS] for d in (change.old_digest, change.new_digest) if d]
    return f"{_MARKS[change.change]} /{change.path} {' -> '.join(digests)}"
