"""Named servers of one user, in a small TOML file that only the user may read (it holds tokens).

`local` always exists and needs no entry: it is the private server of the data directory.
"""

import contextlib
import fcntl
import json
import os
import string
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from trunkline.client.address import parse_server_address
from trunkline.errors import AlreadyExists, InvalidInput, NotFound, OperationFailed, meant
from trunkline.model.names import DEFAULT_PROJECT, check_name, check_project
from trunkline.values import dataclass, field

LOCAL = "local"
_BARE = frozenset(string.ascii_letters + string.digits + "-_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    address: str
    token: str | None = field(default=None, repr=False)
    ca_file: str | None = None  # who vouches for the server, if it is not who the machine trusts


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    """The contexts of a user; `active` is the one used when none is named.

    `projects` has the project of each context for which one was chosen, `local` included.
    """

    active: str = LOCAL
    named: Mapping[str, Context] = field(default_factory=lambda: MappingProxyType({}))
    projects: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def get(self, name: str) -> Context | None:
        """The context of that name, None for the local one; raises NotFound."""
        if name == LOCAL:
            return None
        if name not in self.named:
            names = [LOCAL, *self.named]
            hint = meant(name, names) or f"; there are {', '.join(names)}"
            raise NotFound(f"there is no context '{name}'{hint}")
        return self.named[name]


def list_contexts(file: Path) -> Contexts:
    """Read the file; a missing one means that there is only `local`. Raises InvalidInput."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return Contexts()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"can't read {file}: {error}") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{file} is not right: {error}") from error
    unknown = set(document) - {"active", "contexts", "projects"}
    if unknown:
        # Writing the file again would lose what we don't know.
        raise InvalidInput(f"{file} has a setting '{min(unknown)}' that is not known")
    entries = document.get("contexts", {})
    if not isinstance(entries, dict):
        raise InvalidInput(f"{file}: contexts must be tables such as [contexts.team]")
    named = {name: _context(file, name, entry) for name, entry in entries.items()}
    projects = document.get("projects", {})
    if not isinstance(projects, dict) or not all(isinstance(p, str) for p in projects.values()):
        raise InvalidInput(f'{file}: projects must be a table of lines such as team = "vision"')
    active = document.get("active", LOCAL)
    if not isinstance(active, str):
        raise InvalidInput(f'{file}: active must be the name of a context, as in active = "team"')
    contexts = Contexts(
        active=active,
        named=MappingProxyType(named),
        projects=MappingProxyType(projects),
    )
    contexts.get(contexts.active)
    return contexts


def add_context(
    file: Path,
    name: str,
    address: str,
    *,
    token: str | None = None,
    ca_file: str | None = None,
    replace: bool = False,
) -> None:
    """Name a server. Raises AlreadyExists unless `replace`, InvalidInput for a wrong address."""
    check_name("context", name)
    if name == LOCAL:
        raise InvalidInput("the context 'local' is the server of this machine; take another name")
    context = Context(address=str(parse_server_address(address)), token=token, ca_file=ca_file)
    with _turn(file) as contexts:
        if name in contexts.named and not replace:
            raise AlreadyExists("context", name, "use another name, or remove it first")
        before = contexts.named.get(name)
        projects = dict(contexts.projects)
        if before is not None and before.address != context.address:
            projects.pop(name, None)  # it was one of the other server
        named = {**contexts.named, name: context}
        _write(file, Contexts(active=contexts.active, named=named, projects=projects))


def use_context(file: Path, name: str) -> None:
    """Make a context the active one; raises NotFound."""
    with _turn(file) as contexts:
        contexts.get(name)
        _write(file, Contexts(active=name, named=contexts.named, projects=contexts.projects))


def remove_context(file: Path, name: str) -> None:
    """Forget a context; if it was the active one, `local` is. Raises NotFound."""
    with _turn(file) as contexts:
        if contexts.get(name) is None:
            raise InvalidInput("the context 'local' always exists")
        named = {other: context for other, context in contexts.named.items() if other != name}
        active = LOCAL if contexts.active == name else contexts.active
        projects = {other: p for other, p in contexts.projects.items() if other != name}
        _write(file, Contexts(active=active, named=named, projects=projects))


def set_project(file: Path, name: str, project: str) -> None:
    """Choose the project of commands in a context that name none; raises NotFound, InvalidName.

    Whether the server has such a project is for the caller to find out.
    """
    with _turn(file) as contexts:
        contexts.get(name)
        projects = {**contexts.projects, name: check_project(project)}
        if project == DEFAULT_PROJECT:
            del projects[name]
        _write(file, Contexts(active=contexts.active, named=contexts.named, projects=projects))


@contextmanager
def _turn(file: Path) -> Iterator[Contexts]:
    """The contexts, while nobody else changes them: two commands at once lose nothing."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise OperationFailed(f"can't write {file}: {error.strerror}") from error
    try:
        with contextlib.suppress(OSError):  # NFS has no locks of directories
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield list_contexts(file)
    finally:
        os.close(fd)


def _context(file: Path, name: str, entry: object) -> Context:
    if not isinstance(entry, dict) or not isinstance(entry.get("address"), str):
        raise InvalidInput(f"{file}: the context '{name}' has no address")
    token = entry.get("token")
    if not isinstance(token, str | None):
        raise InvalidInput(f"{file}: the token of the context '{name}' is not text")
    ca_file = entry.get("ca_file")
    if not isinstance(ca_file, str | None):
        raise InvalidInput(f"{file}: the ca_file of the context '{name}' is not text")
    return Context(address=entry["address"], token=token, ca_file=ca_file)


def _write(file: Path, contexts: Contexts) -> None:
    lines = [f"active = {_quoted(contexts.active)}"]
    if contexts.projects:
        lines += ["", "[projects]"]
        lines += [f"{_key(name)} = {_quoted(p)}" for name, p in sorted(contexts.projects.items())]
    for name, context in sorted(contexts.named.items()):
        lines += ["", f"[contexts.{_key(name)}]", f"address = {_quoted(context.address)}"]
        if context.token is not None:
            lines.append(f"token = {_quoted(context.token)}")
        if context.ca_file is not None:
            lines.append(f"ca_file = {_quoted(context.ca_file)}")
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")
            out.flush()
            os.fsync(fd)
        os.replace(aside, file)
    except OSError as error:
        raise OperationFailed(f"can't write {file}: {error.strerror}") from error


def _key(name: str) -> str:
    """A name as a key of TOML, without quotes where it needs none."""
    return name if name and set(name) <= _BARE else _quoted(name)


def _quoted(text: str) -> str:
    # A JSON string is a TOML basic string, but for DEL, and as long as it has no surrogate escapes.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
