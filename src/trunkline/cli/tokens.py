"""Commands on named tokens: who may call this server over TCP, and what for."""

import click

from trunkline.cli.arguments import seconds
from trunkline.cli.command import command, option
from trunkline.cli.output import Table, note, show_all, show_one, when, write
from trunkline.cli.session import operations
from trunkline.model.roles import ROLES
from trunkline.model.tokens import TokenInfo

_TOKENS: Table[TokenInfo] = Table(
    titles=("NAME", "ROLE", "CREATED", "LAST USED", "EXPIRES"),
    cells=lambda token: (
        token.name,
        token.role,
        when(token.created),
        "-" if token.used is None else when(token.used),
        _expires(token),
    ),
    width=0,
    padding=1,
)


@command(
    examples=[
        "create token ci --role writer --expires 90d > token",
        "create token dashboard --role reader",
    ]
)
@click.argument("token")
@option(
    "--role",
    type=click.Choice(ROLES),
    required=True,
    help="reader: changes nothing; writer: data, pipelines, jobs; admin: all.",
)
@option("--expires", metavar="TIME", help="Be good for so long: 90d; else until it is deleted.")
def create_token(token: str, role: str, expires: str | None) -> None:
    """Make a token for callers over TCP, and print its secret, once.

    Clients show the secret: `connect ADDRESS --token-file FILE`, or TRUNKLINE_TOKEN.
    """
    lasts_s = None if expires is None else seconds(expires)
    made = operations().tokens.create_token(token, role=role, lasts_s=lasts_s)
    write(made.secret)
    until = "" if made.info.expires is None else f" until {made.info.expires:%Y-%m-%d}"
    note(f"token '{token}' is good for a {role}{until}; its secret is not shown again")


@command(shows=True, examples=["inspect token ci"])
@click.argument("token")
def inspect_token(token: str) -> None:
    """Show a token, without its secret."""
    show_one(operations().tokens.inspect_token(token), _block)


def _block(token: TokenInfo) -> str:
    used = "never" if token.used is None else when(token.used)
    return (
        f"Name: {token.name}\nRole: {token.role}\nCreated: {when(token.created)}\n"
        f"Last used: {used}\nExpires: {_expires(token)}"
    )


def _expires(token: TokenInfo) -> str:
    return "never" if token.expires is None else f"{token.expires:%Y-%m-%d %H:%M} UTC"


@command(shows=True, examples=["list token"])
def list_token() -> None:
    """List the tokens of the server, without their secrets."""
    show_all(operations().tokens.list_tokens(), _TOKENS)


@command(examples=["delete token ci"])
@click.argument("token")
def delete_token(token: str) -> None:
    """Delete a token: within seconds it opens nothing any more."""
    operations().tokens.delete_token(token)
