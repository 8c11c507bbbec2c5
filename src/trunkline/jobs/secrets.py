"""Where secrets are kept, and what of them a pipeline's commands get.

One file for each in a directory that nobody else can read, outside of the catalog and the store:
so no backup, listing or garbage has a value, and a secret that is deleted is gone
(docs/decisions/0028-secrets.md). Workers read it themselves when they begin with a lease, so that
a changed value counts from the next lease on.
"""

import base64
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from trunkline.errors import Corrupt, NotFound, OperationFailed, meant
from trunkline.model.pipelines import SecretUse
from trunkline.model.secrets import SecretInfo, check_secret_name
from trunkline.store.packs import sync_directory

_FORMAT, _VERSION = "trunkline-secret", 1
_SUFFIX = ".json"
_LOGINS = ".dockerconfigjson"  # key of secrets of type kubernetes.io/dockerconfigjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret with its values. Never printed: see `__repr__`."""

    info: SecretInfo
    values: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"<secret {self.info.name}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a command gets: directories of files by their path, variables, and all values."""

    files: dict[str, dict[str, bytes]]
    env: dict[str, str]
    values: frozenset[bytes]

    def __repr__(self) -> str:
        return f"<secrets in {sorted(self.files)} and {sorted(self.env)}>"


def document_of(secret: Secret) -> str:
    """A secret as it is kept."""
    data = {key: base64.b64encode(value).decode() for key, value in secret.values.items()}
    return json.dumps(
        {
            "format": _FORMAT,
            "version": _VERSION,
            "type": secret.info.type,
            "created": secret.info.created.isoformat(),
            "data": data,
        }
    )


class SecretStore:
    """The secrets of a data directory; any process may read while one writes.

    Where the directory is on another machine, each is asked for by its name; "" means none.
    """

    def __init__(self, home: Path, ask: Callable[[str], str] | None = None) -> None:
        self._directory = home / "secrets"
        self._ask = ask

    def write(self, secret: Secret) -> None:
        """Make or replace a secret, durably and at once."""
        self.put_document(secret.info.name, document_of(secret))

    def put_document(self, name: str, document: str) -> None:
        """The same, for what `document_of` gave."""
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            place = self._place(name)
            aside = place.with_name(f".{place.name}.new")
            aside.unlink(missing_ok=True)
            fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(document)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(place)
            sync_directory(self._directory)
            sync_directory(self._directory.parent)
        except OSError as error:
            raise OperationFailed(
                f"secret '{name}' could not be stored: {error.strerror}"
            ) from error

    def document(self, name: str) -> str:
        """A secret as it is kept. Raises as `read`."""
        return document_of(self.read(name))

    def read(self, name: str) -> Secret:
        """Raises NotFound, InvalidName, and Corrupt without any part of the content."""
        try:
            text = self._text(name)
        except FileNotFoundError:
            raise NotFound(f"there is no secret '{name}'{meant(name, self.names())}") from None
        except (OSError, UnicodeDecodeError):
            text = ""
        try:
            document = json.loads(text)
            if (document["format"], document["version"]) != (_FORMAT, _VERSION):
                raise ValueError
            values = {key: base64.b64decode(data) for key, data in document["data"].items()}
            created = datetime.fromisoformat(document["created"])
            kind = str(document["type"])
        except (ValueError, KeyError, TypeError, AttributeError):
            expected = f"{_FORMAT} {_VERSION}"
            raise Corrupt(f"secret '{name}'", expected, "something else") from None
        info = SecretInfo(name=name, type=kind, created=created, keys=tuple(sorted(values)))
        return Secret(info=info, values=values)

    def names(self) -> list[str]:
        """The names of all secrets, in order."""
        found = self._directory.glob(f"[!.]*{_SUFFIX}")
        return sorted(path.name.removesuffix(_SUFFIX) for path in found)

    def delete(self, name: str) -> None:
        """Raises NotFound."""
        self.read(name)
        self._place(name).unlink()
        sync_directory(self._directory)

    def check(self, uses: Iterable[SecretUse]) -> None:
        """Raises NotFound for a secret, or a key of one, that a pipeline wants and is not there."""
        for use in uses:
            secret = self.read(use.name)
            if use.key and use.key not in secret.values:
                keys = secret.info.keys
                raise NotFound(
                    f"secret '{use.name}' has no key '{use.key}'{meant(use.key, keys)}; "
                    f"it has {', '.join(keys)}"
                )

    def give(self, uses: Iterable[SecretUse]) -> Given:
        """What a command with these uses gets now. Raises as `check`, and OperationFailed."""
        uses = tuple(uses)
        self.check(uses)
        given = Given(files={}, env={}, values=frozenset())
        values: set[bytes] = set()
        for use in uses:
            secret = self.read(use.name)
            if use.mount_path:
                given.files[use.mount_path] = dict(secret.values)
                values |= set(secret.values.values())
            if use.env_var:
                value = secret.values[use.key]
                given.env[use.env_var] = _as_text(use, value)
                values.add(value)
        return Given(files=given.files, env=given.env, values=frozenset(values))

    def logins(self, names: Iterable[str]) -> list[bytes]:
        """The files of logins of image registries in some secrets.

        Raises NotFound for a secret that is not there or has none.
        """
        found = []
        for name in names:
            secret = self.read(name)
            if _LOGINS not in secret.values:
                raise NotFound(
                    f"secret '{name}' of transform.image_pull_secrets has no key {_LOGINS}; "
                    f"it has {', '.join(secret.info.keys)}"
                )
            found.append(secret.values[_LOGINS])
        return found

    def _text(self, name: str) -> str:
        """Raises FileNotFoundError."""
        place = self._place(name)
        if self._ask is None:
            return place.read_text("utf-8")
        if not (text := self._ask(name)):
            raise FileNotFoundError(name)
        return text

    def _place(self, name: str) -> Path:
        return self._directory / f"{check_secret_name(name)}{_SUFFIX}"


def _as_text(use: SecretUse, value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise OperationFailed(
            f"key '{use.key}' of secret '{use.name}' can't be in a variable, because it is not "
            "text; use a mount_path"
        )
    return text
