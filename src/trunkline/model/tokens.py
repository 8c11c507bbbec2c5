"""Named tokens: who may call a server over TCP, and what for. Their secrets are shown once."""

import re
from datetime import datetime

from trunkline.errors import InvalidInput, InvalidName
from trunkline.model.roles import ROLES
from trunkline.values import dataclass, field

PREFIX = "trunkline_"  # what a secret begins with, so that whoever looks for leaked ones finds it
_NAME_MAX = 100
_NAME = re.compile(r"[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo:
    """A token, without the secret that stands for it."""

    name: str
    role: str  # reader, writer or admin
    created: datetime
    expires: datetime | None  # None: never
    used: datetime | None  # about when it was used last; None: never


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token that was just made, with its secret, which nobody can be told again."""

    info: TokenInfo
    secret: str = field(repr=False)


def check_token_name(name: str) -> str:
    """Raises InvalidName."""
    if len(name) > _NAME_MAX or not _NAME.fullmatch(name):
        rule = f"use letters, digits, and '-', '_' and '.' inside, at most {_NAME_MAX} characters"
        raise InvalidName("token", name, rule)
    return name


def check_role(role: str) -> str:
    """Raises InvalidInput."""
    if role not in ROLES:
        raise InvalidInput(f"{role!r} is not a role; there are {', '.join(ROLES)}")
    return role
