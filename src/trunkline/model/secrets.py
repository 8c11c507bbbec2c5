"""Secrets as users see them: their names and keys, never their values."""

import re
from datetime import datetime

from trunkline.errors import InvalidInput, InvalidName
from trunkline.values import dataclass

MASKED_BYTES_MIN = 4  # shorter values are parts of too many words to be masked in logs
_NAME_MAX = 200
_KEY_MAX = 200
_BYTES_MAX = 1024 * 1024
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")
_KEY = re.compile(r"[-._A-Za-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretInfo:
    """A secret: values by key, which nobody is shown."""

    name: str
    type: str  # as Kubernetes has them; Opaque if nothing else was said
    created: datetime  # or changed
    keys: tuple[str, ...]


def check_secret_name(name: str) -> str:
    """The name, as Kubernetes allows it; raises InvalidName."""
    if len(name) > _NAME_MAX or not _NAME.fullmatch(name):
        rule = f"use small letters, digits, '-' and '.' inside, at most {_NAME_MAX} characters"
        raise InvalidName("secret", name, rule)
    return name


def check_values(values: dict[str, bytes]) -> None:
    """Raises InvalidInput for keys that can't be file names, for no values and for very large ones.

    The sentence never repeats a value.
    """
    if not values:
        raise InvalidInput("a secret needs at least one key with a value")
    for key in values:
        if len(key) > _KEY_MAX or not _KEY.fullmatch(key) or key in (".", ".."):
            rule = f"use letters, digits, '-', '_' and '.', at most {_KEY_MAX} characters"
            raise InvalidName("key", key, rule)
    if sum(map(len, values.values())) > _BYTES_MAX:
        raise InvalidInput(f"the values of a secret may have {_BYTES_MAX:,} bytes together")
