"""Commands on contexts: the named addresses of servers."""

import os

import click

from trunkline import config as settings
from trunkline.cli.arguments import read_document
from trunkline.cli.command import command, option
from trunkline.cli.output import Table, note, show_all, show_one, write
from trunkline.cli.session import current, operations
from trunkline.connect.contexts import (
    LOCAL,
    add_context,
    list_contexts,
    remove_context,
    set_project,
    use_context,
)
from trunkline.connect.opening import check_ca_file
from trunkline.errors import InvalidInput
from trunkline.model.names import DEFAULT_PROJECT
from trunkline.values import dataclass

_TOKEN_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedContext:
    """A context as it is shown: its token stays where it is."""

    name: str
    active: bool
    address: str
    has_token: bool
    ca_file: str  # empty: whom the machine trusts
    project: str


_CONTEXTS: Table[NamedContext] = Table(
    titles=("ACTIVE", "NAME", "ADDRESS"),
    cells=lambda context: ("*" if context.active else "", context.name, context.address),
    width=0,
    padding=1,
)


def _named_contexts() -> list[NamedContext]:
    loaded = settings.load()
    contexts = list_contexts(loaded.config_file)
    local = NamedContext(
        name=LOCAL,
        active=contexts.active == LOCAL,
        address=f"unix://{loaded.socket}",
        has_token=False,
        ca_file="",
        project=contexts.projects.get(LOCAL, DEFAULT_PROJECT),
    )
    return [
        local,
        *(
            NamedContext(
                name=name,
                active=contexts.active == name,
                address=context.address,
                has_token=context.token is not None,
                ca_file=context.ca_file or "",
                project=contexts.projects.get(name, DEFAULT_PROJECT),
            )
            for name, context in sorted(contexts.named.items())
        ),
    ]


def active_address(loaded: settings.Config) -> str:
    """Where commands go now, and what says so."""
    if loaded.address is not None:
        return f"{loaded.address} (from the environment)"
    context = _find(None)
    return f"{context.address} (context '{context.name}')"


@command(shows=True, examples=["list context"])
def list_context() -> None:
    """List the contexts; the active one is marked."""
    show_all(_named_contexts(), _CONTEXTS)


@command(shows=True, examples=["inspect context", "inspect context team"])
@click.argument("context", required=False)
def inspect_context(context: str | None) -> None:
    """Show a context, or the active one."""
    show_one(_find(context), _block)


def _find(name: str | None) -> NamedContext:
    if name is not None:
        list_contexts(settings.load().config_file).get(name)
    return next(
        found
        for found in _named_contexts()
        if (found.active if name is None else found.name == name)
    )


def _block(context: NamedContext) -> str:
    return "\n".join(
        [
            f"Name: {context.name}",
            f"Active: {'yes' if context.active else 'no'}",
            f"Address: {context.address}",
            f"Token: {'set' if context.has_token else 'none'}",
            *([f"CA file: {context.ca_file}"] if context.ca_file else []),
            f"Project: {context.project}",
        ]
    )


@command(examples=["set context team", "set context local"])
@click.argument("context")
def set_context(context: str) -> None:
    """Make a context the active one."""
    use_context(settings.load().config_file, context)


@command(examples=["delete context team"])
@click.argument("context")
def delete_context(context: str) -> None:
    """Forget a context."""
    remove_context(settings.load().config_file, context)


@command(
    examples=[
        "connect https://data.example.org --name team --token-file token",
        "connect https://data.example.org:30650 --ca-file ca.pem --token-file token",
        "connect local",
    ]
)
@click.argument("address")
@option("--name", metavar="NAME", help="Name of the context; the host if not given.")
@option("--token", metavar="TOKEN", help="What the server asks for (visible in `ps`).")
@option("--token-file", metavar="FILE|-", help="Read the token there.")
@option("--ca-file", metavar="FILE", help="Who vouches for the server, instead of public ones.")
def connect(
    address: str,
    name: str | None,
    token: str | None,
    token_file: str | None,
    ca_file: str | None,
) -> None:
    """Use the server at ADDRESS from now on; `connect local` goes back to this machine's."""
    file = settings.load().config_file
    if address == LOCAL:
        use_context(file, LOCAL)
        return
    if token is not None and token_file is not None:
        raise InvalidInput("--token and --token-file exclude each other; use one of them")
    if token_file is not None:
        token = read_document(token_file, bytes_max=_TOKEN_BYTES_MAX).strip()
    chosen = name or _name_for(address)
    if ca_file is not None:
        ca_file = os.path.abspath(ca_file)  # commands run elsewhere too
        check_ca_file(ca_file)
    add_context(file, chosen, address, token=token, ca_file=ca_file, replace=True)
    use_context(file, chosen)
    note(f"context '{chosen}' is active; `connect local` goes back")


def _name_for(address: str) -> str:
    """A context name made of the host: letters, digits, `_` and `-` as in every name."""
    rest = address.rpartition("://")[2].partition("/")[0]
    name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in rest)
    return name.strip("-") or "server"


@command(
    examples=[
        "config list context",
        "config get active-context",
        "config set active-context team",
        "config set project vision",
        "config update context team --project vision",
        "config delete context team",
    ]
)
@click.argument("action", type=click.Choice(["list", "get", "set", "update", "delete"]))
@click.argument("what", type=click.Choice(["context", "contexts", "active-context", "project"]))
@click.argument("name", required=False)
def config(action: str, what: str, name: str | None) -> None:
    """Contexts in the words of pachctl, and the project that commands use.

    `list context` and so on do the same.
    """
    file = settings.load().config_file
    if what == "project":
        _config_project(action, name)
    elif action == "list":
        show_all(_named_contexts(), _CONTEXTS)
    elif (action, what) == ("get", "active-context"):
        write(_find(None).name)
    elif action == "update":
        if current().chosen_project is None:
            raise InvalidInput("config update context changes its project; add --project NAME")
        _use_project(str(current().chosen_project), context=name)
    elif name is None:
        raise InvalidInput(f"config {action} {what} needs the name of a context")
    elif action == "get":
        show_one(_find(name), _block)
    elif action == "set":
        use_context(file, name)
    else:
        remove_context(file, name)


def _config_project(action: str, name: str | None) -> None:
    if action == "get":
        write(current().project)
    elif action != "set":
        raise InvalidInput(
            f"config {action} project is no command; there are config get project, config set "
            f"project NAME and `{action} project`"
        )
    elif name is None:
        raise InvalidInput("config set project needs the name of a project")
    else:
        _use_project(name, context=current().context)


def _use_project(project: str, *, context: str | None) -> None:
    """Let the commands of a context (None: of the active one) use a project that its server has."""
    loaded = settings.load()
    if context is None and loaded.address is not None:
        raise InvalidInput(
            "the address of the server is from the environment, where no context keeps a project; "
            "set TRUNKLINE_PROJECT too, or use --project"
        )
    chosen = _find(context).name
    current().context = chosen
    operations().projects.inspect_project(project)
    set_project(loaded.config_file, chosen, project)
    if loaded.project not in (None, project):
        note(f"TRUNKLINE_PROJECT is '{loaded.project}' now, and counts more")
