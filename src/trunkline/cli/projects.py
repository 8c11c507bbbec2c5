"""Commands on projects."""

import click

from trunkline.cli.command import command, option
from trunkline.cli.output import Table, note, show_all, show_one, when
from trunkline.cli.session import current, operations
from trunkline.model.versions import ProjectInfo

_PROJECTS: Table[ProjectInfo] = Table(
    titles=("ACTIVE", "PROJECT", "CREATED", "DESCRIPTION"),
    cells=lambda project: (
        *("*" if project.name == current().project else "", project.name),
        *(when(project.created), project.description or "-"),
    ),
    width=0,
    padding=1,
)
_description = option("-d", "--description", default="", metavar="TEXT", help="What it is for.")


@command(examples=["create project vision -d 'street scenes'"])
@click.argument("project")
@_description
def create_project(project: str, description: str) -> None:
    """Create a project; `config set project NAME` makes commands use it."""
    operations().projects.create_project(project, description=description)


@command(examples=["update project vision -d 'street scenes'"])
@click.argument("project")
@_description
def update_project(project: str, description: str) -> None:
    """Change the description of a project."""
    operations().projects.create_project(project, description=description, update=True)


@command(shows=True, examples=["inspect project vision"])
@click.argument("project")
def inspect_project(project: str) -> None:
    """Show one project."""
    show_one(operations().projects.inspect_project(project), _block)


def _block(project: ProjectInfo) -> str:
    lines = [f"Name: {project.name}"]
    if project.description:
        lines.append(f"Description: {project.description}")
    if project.created is not None:
        lines.append(f"Created: {when(project.created)}")
    return "\n".join(lines)


@command(shows=True, examples=["list project"])
def list_project() -> None:
    """List the projects; the one that commands use is marked."""
    show_all(operations().projects.list_projects(), _PROJECTS)


@command(examples=["delete project vision", "delete project vision --force"])
@click.argument("project")
@option("-f", "--force", is_flag=True, help="With all its pipelines and repos.")
def delete_project(project: str, force: bool) -> None:
    """Delete a project, which must be empty."""
    operations().projects.delete_project(project, force=force)
    if force:
        note(f"`list deleted` shows what can be brought back, after `create project {project}`")
