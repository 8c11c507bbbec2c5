"""Commands on secrets; no command shows a value."""

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Any

import click

from trunkline.cli.arguments import local_files, read_document
from trunkline.cli.command import command, option
from trunkline.cli.output import Table, show_all, show_one, warn, when
from trunkline.cli.session import operations
from trunkline.errors import InvalidInput, LocalFileNotFound, OperationFailed
from trunkline.model.secrets import MASKED_BYTES_MIN, SecretInfo

_BYTES_MAX = 4 * 1024 * 1024
_SECRETS: Table[SecretInfo] = Table(
    titles=("NAME", "TYPE", "CREATED"),
    cells=lambda secret: (secret.name, secret.type, when(secret.created)),
    width=0,
    padding=1,
)

Values = dict[str, bytes]
Found = tuple[str, str, Values]  # name, type, values


def _sources(function: click.decorators.FC) -> click.decorators.FC:
    for add in (
        click.argument("secret", required=False),
        option(
            "-f",
            "--file",
            "file",
            metavar="FILE|-",
            shell_complete=local_files,
            help="JSON or YAML: keys with values, or Secrets of Kubernetes, which have names.",
        ),
        option(
            "--from-literal",
            "literals",
            multiple=True,
            metavar="KEY=VALUE",
            help="One value; others on this machine may see it in the list of processes.",
        ),
        option(
            "--from-file",
            "files",
            multiple=True,
            metavar="[KEY=]FILE",
            help="One value: all bytes of a file, whose name is the key if none is given.",
        ),
    ):
        function = add(function)
    return function


@command(
    examples=[
        "create secret db --from-file password.txt",
        "create secret db --from-literal user=iris",
        "create secret -f kubernetes-secret.yaml",
    ]
)
@_sources
def create_secret(
    secret: str | None, file: str | None, literals: Sequence[str], files: Sequence[str]
) -> None:
    """Store values that pipelines get and logs do not show."""
    _put(secret, file, literals, files, update=False)


@command(examples=["update secret db --from-file password.txt"])
@_sources
def update_secret(
    secret: str | None, file: str | None, literals: Sequence[str], files: Sequence[str]
) -> None:
    """Replace all values of a secret; the next datums have the new ones."""
    _put(secret, file, literals, files, update=True)


def _put(
    secret: str | None,
    file: str | None,
    literals: Sequence[str],
    files: Sequence[str],
    *,
    update: bool,
) -> None:
    single: Values = {}
    for text in literals:
        key, mark, value = text.partition("=")
        if not mark:
            raise InvalidInput("--from-literal must be KEY=VALUE")
        single[key] = value.encode("utf-8", "surrogateescape")
    for text in files:
        key, mark, path = text.partition("=")
        path = path if mark else text
        single[key if mark else path.rpartition("/")[2]] = _read(path)
    found = list(_documents(file, secret)) if file is not None else []
    if single:
        if secret is None or file is not None:
            raise InvalidInput("--from-literal and --from-file need a NAME, and no -f")
        found = [(secret, "Opaque", single)]
    if not found:
        raise InvalidInput("a secret needs values: use -f, --from-file or --from-literal")
    for name, kind, values in found:
        short = sorted(key for key, value in values.items() if len(value) < MASKED_BYTES_MIN)
        if short:
            warn(f"secret '{name}': too short to be masked in logs: {', '.join(short)}")
        data = {key: base64.b64encode(value).decode() for key, value in values.items()}
        operations().secrets.create_secret(name, data=data, kind=kind, update=update)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_BYTES_MAX)
    except FileNotFoundError:
        raise LocalFileNotFound(path) from None
    except OSError as error:
        raise OperationFailed(f"{path} could not be read: {error.strerror}") from error


def _documents(file: str, name: str | None) -> Iterator[Found]:
    """The secrets of a file. No sentence of an error repeats any of its content."""
    import yaml

    text = read_document(file, bytes_max=_BYTES_MAX)
    try:
        documents = [one for one in yaml.safe_load_all(text) if one is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise InvalidInput(f"{file}{where} is neither JSON nor YAML") from None
    if name is not None and len(documents) > 1:
        raise InvalidInput(f"{file} has {len(documents)} documents; a NAME is for one")
    for document in documents:
        if not isinstance(document, dict):
            raise InvalidInput(f"{file} must have keys with values")
        if document.get("kind") == "Secret" and "apiVersion" in document:
            yield _of_kubernetes(file, document, name)
        elif name is None:
            raise InvalidInput(f"give the secret in {file} a name: create secret NAME -f {file}")
        else:
            yield name, "Opaque", {str(key): _plain(file, key, document[key]) for key in document}


def _of_kubernetes(file: str, document: dict[Any, Any], name: str | None) -> Found:
    metadata = document.get("metadata") or {}
    named = name or (metadata.get("name") if isinstance(metadata, dict) else None)
    encoded, plain = document.get("data") or {}, document.get("stringData") or {}
    if not named or not isinstance(encoded, dict) or not isinstance(plain, dict):
        raise InvalidInput(f"{file}: a Secret needs metadata.name, and keys in data or stringData")
    values = {}
    for key, value in encoded.items():
        try:
            values[str(key)] = base64.b64decode("".join(str(value).split()), validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput(f"{file}: the value of data.{key} is not base64") from None
    values |= {str(key): _plain(file, key, value) for key, value in plain.items()}
    return str(named), str(document.get("type") or "Opaque"), values


def _plain(file: str, key: object, value: object) -> bytes:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise InvalidInput(f"{file}: the value of {key} must be text; put it in quotes")
    return str(value).encode("utf-8")


@command(shows=True, examples=["inspect secret db"])
@click.argument("secret")
def inspect_secret(secret: str) -> None:
    """Show the keys of a secret."""
    show_one(operations().secrets.inspect_secret(secret), _block)


def _block(secret: SecretInfo) -> str:
    return (
        f"Name: {secret.name}\nType: {secret.type}\nCreated: {when(secret.created)}\n"
        f"Keys: {', '.join(secret.keys)}"
    )


@command(shows=True, examples=["list secret"])
def list_secret() -> None:
    """List the secrets of the server."""
    show_all(operations().secrets.list_secrets(), _SECRETS)


@command(examples=["delete secret db"])
@click.argument("secret")
@option("-f", "--force", is_flag=True, help="Even if pipelines need it.")
def delete_secret(secret: str, force: bool) -> None:
    """Delete a secret at once; it can't be brought back."""
    operations().secrets.delete_secret(secret, force=force)
