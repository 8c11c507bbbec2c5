"""Commands on the whole installation."""

import sys
from datetime import datetime

import click

from trunkline.cli.command import command, option
from trunkline.cli.confirm import confirm
from trunkline.cli.output import Table, note, show_all, show_one, size, span, when, write
from trunkline.cli.session import Shape, current, operations
from trunkline.errors import InvalidInput
from trunkline.model.admin import ServerStatus, Setting

_COMPONENTS: Table[tuple[str, str]] = Table(
    titles=("COMPONENT", "VERSION"), cells=lambda component: component
)
_SETTINGS: Table[Setting] = Table(
    titles=("VARIABLE", "VALUE", "MEANING"),
    cells=lambda setting: (setting.variable, setting.value or "-", setting.meaning),
)
_SERVER_NAMES = {"pachctl": "pachd"}  # as scripts written for Pachyderm look for them


@command(shows=True, examples=["version", "version --client-only"])
@option("--client-only", is_flag=True, help="Print the version of this program alone.")
def version(client_only: bool) -> None:
    """Print the versions of this program and of the server."""
    from trunkline.cli.release import program_version

    as_table = current().shape == Shape.TABLE
    if client_only and as_table:
        write(program_version())
        return
    program = current().program
    rows = [(program, program_version())]
    if not client_only:
        rows.append((_SERVER_NAMES.get(program, "server"), operations().admin.version().version))
    if not as_table:
        show_one(dict(rows), str)
        return
    show_all(rows, _COMPONENTS)


def server_block(server: ServerStatus) -> str:
    """What `status` says of the server."""
    return "\n".join(
        [
            f"Server: {server.version}, process {server.pid}, up {span(server.uptime_s).lower()}",
            f"Address: {server.address}",
            f"Data: {server.home}",
            f"Stored: {size(server.stored_bytes)} ({size(server.free_bytes)} free)",
            f"Repos: {server.repos}",
            f"Pipelines: {server.pipelines}",
            f"Running jobs: {server.jobs_running}",
            f"Workers: {server.workers}",
            f"Isolation: {server.isolation}",
            f"Collected: {_since(server.upkeep.collected)}",
            f"Checked: {_since(server.upkeep.checked)}",
            f"Backed up: {_since(server.upkeep.backed_up)}",
        ]
    )


def _since(moment: datetime | None) -> str:
    return "not since the server started" if moment is None else when(moment)


@command(shows=True, examples=["list setting", "list setting -o json"])
def list_setting() -> None:
    """List the settings of the server in force; those that are secret are left out."""
    show_all(operations().admin.settings(), _SETTINGS)


@command(examples=["delete all", "delete all --yes"])
@option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete_all(yes: bool) -> None:
    """Delete all projects, pipelines, jobs, repos and data."""
    confirm("This deletes all projects, repos, commits, files, pipelines and jobs.", yes=yes)
    operations().admin.delete_all()


@command(examples=["up"])
def up() -> None:
    """Start the local server (any other command does so too)."""
    server = operations().admin.status()
    write(f"server {server.version} is up at {server.address} (process {server.pid})")


@command(examples=["down"])
def down() -> None:
    """Stop the local server; the data stays."""
    from trunkline import config
    from trunkline.connect.local import stop_server

    stopped = stop_server(config.load())
    note("the server is stopped" if stopped else "no server was running")


@command(
    examples=[
        "serve --listen 127.0.0.1:30650 --token-file token",
        "serve --listen 0.0.0.0:30650 --tls-cert cert.pem --tls-key key.pem",
    ]
)
@option(
    "--listen",
    multiple=True,
    metavar="HOST:PORT",
    help="Listen on TCP besides the private socket; repeatable.",
)
@option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="Another name that clients call the server by, as of a proxy; repeatable.",
)
@option("--token", metavar="TOKEN", help="What clients must show (visible in `ps`).")
@option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Read the token there.",
)
@option("--tls-cert", default="", metavar="FILE", help="Speak TLS on TCP, with this certificate.")
@option("--tls-key", default="", metavar="FILE", help="The key of the certificate.")
@option(
    "--standby", is_flag=True, help="While another server has the data, pass requests on to it."
)
@option("--ready-fd", type=int, metavar="FD", hidden=True)
def serve(
    listen: tuple[str, ...],
    names: tuple[str, ...],
    token: str | None,
    token_file: str | None,
    tls_cert: str,
    tls_key: str,
    standby: bool,
    ready_fd: int | None,
) -> None:
    """Run the server in the foreground until it is interrupted.

    Clients on TCP must show a token; without --token the one in the data directory is used.
    """
    from dataclasses import replace
    from pathlib import Path

    from trunkline import config
    from trunkline.server.serve import serve as serve_until_the_end

    if token is not None and token_file is not None:
        raise InvalidInput("--token and --token-file exclude each other; use one of them")
    if token_file is not None:
        token = Path(token_file).read_text("utf-8").strip()
    settings, among = config.load(), None
    settings = replace(
        settings,
        tls_cert=tls_cert or settings.tls_cert,
        tls_key=tls_key or settings.tls_key,
    )
    if standby:
        from trunkline.connect.replica import among_others

        among = among_others(settings)
    serve_until_the_end(
        settings,
        listen=listen,
        names=names,
        token=token,
        standby=standby,
        ready_fd=ready_fd,
        among=among,
    )


@command(examples=["completion bash > /etc/bash_completion.d/trunkline"])
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), default="bash")
def completion(shell: str) -> None:
    """Print the script that makes a shell complete commands and flags."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, "the choice lists only shells that click knows"
    program = current().program
    root = click.get_current_context().find_root().command
    script = kind(root, {}, program, f"_{program.upper()}_COMPLETE").source()
    sys.stdout.write(script if script.endswith("\n") else f"{script}\n")
