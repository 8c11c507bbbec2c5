"""Where a command takes specs from: a file, a URL, stdin, or a jsonnet template with arguments."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.cli.arguments import is_url, local_files, read_document
from trunkline.cli.command import option
from trunkline.cli.session import current, operations
from trunkline.errors import InvalidInput
from trunkline.values import dataclass

if TYPE_CHECKING:
    from trunkline.model.pipelines import PipelineDraft

SPEC_BYTES_MAX = 64 * 1024 * 1024  # read from disk; the server has a (lower) limit of its own
STDIN = "-"

jsonnet_option = option(
    "--jsonnet",
    metavar="FILE|URL|-",
    shell_complete=local_files,
    help="A template that makes the spec, or a list of specs, instead.",
)
arg_option = option(
    *("--arg", "arguments"),
    multiple=True,
    metavar="NAME=VALUE",
    help="An argument of the template's function, a string; any number of them.",
)


def spec_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`-f`, `--jsonnet` and `--arg`; the command has `file`, `jsonnet` and `arguments`."""
    file_option = option(
        *("-f", "--file", "file"),
        default=STDIN,
        metavar="FILE|URL|-",
        shell_complete=local_files,
        help="The spec: JSON or YAML, one or several documents; without -f, stdin is read.",
    )
    return file_option(jsonnet_option(arg_option(function)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecSource:
    """A text of specs. `arguments` are those of a template; None: it is no template."""

    file: str
    arguments: dict[str, str] | None = None

    @property
    def name(self) -> str:
        """What the specs are called in sentences."""
        return self._file_name if self.arguments is None else f"{self._file_name} as evaluated"

    @property
    def _file_name(self) -> str:
        return "stdin" if self.file == STDIN else self.file

    def read(self) -> tuple[str, str]:
        """The specs as JSON or YAML, and their name."""
        text = read_document(self.file, bytes_max=SPEC_BYTES_MAX)
        if self.arguments is None:
            return text, self.name
        from trunkline.connect.templates import evaluated

        local = self.file != STDIN and not is_url(self.file)
        root = Path(self.file).parent if local else None
        return evaluated(text, self.arguments, name=self._file_name, root=root), self.name


def drafts_of(source: SpecSource) -> "list[PipelineDraft]":
    """The pipelines that a source describes, checked; none is made."""
    text, name = source.read()
    return operations().pipelines.validate_specs(text, source=name, project=current().project)


def source_of(file: str, jsonnet: str | None, arguments: Sequence[str]) -> SpecSource:
    """What the options of a command name; raises InvalidInput where they do not fit together."""
    if jsonnet is None:
        if arguments:
            raise InvalidInput("--arg is for a template; name it with --jsonnet")
        return SpecSource(file=file)
    if file != STDIN:
        raise InvalidInput("-f and --jsonnet exclude each other; use one of them")
    return template_of(jsonnet, arguments)


def template_of(jsonnet: str, arguments: Sequence[str]) -> SpecSource:
    given: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not (equals and name.isidentifier()):
            raise InvalidInput(f"--arg {argument!r} is no argument; write NAME=VALUE")
        if name in given:
            raise InvalidInput(f"--arg {name} is given twice")
        given[name] = value
    return SpecSource(file=jsonnet, arguments=given)
