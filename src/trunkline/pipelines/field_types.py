"""The types that fields of specs have, and what is said of a field (`fields` has the table)."""

from dataclasses import dataclass
from enum import StrEnum

INT64_MAX = 2**63 - 1


class Use(StrEnum):
    """What a field does on this installation."""

    USED = "used"
    KEPT = "kept"  # checked, stored and given back; listed in the warnings
    REFUSED = "refused"  # known, but a pipeline that needs it could not work yet


# --- types ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    """Any string, or one of `choices`."""

    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Truth:
    """true or false."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer; a string of digits will do, as in protobuf's JSON."""

    least: int = 0
    most: int = INT64_MAX


@dataclass(frozen=True, slots=True)
class Decimal:
    """A number of at least 0; a string of digits will do."""

    most: float = 1e9


@dataclass(frozen=True, slots=True)
class Duration:
    """A time span such as "10s", "5m", "1h30m"."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount of bytes as Kubernetes writes it: "64M", "1Gi", or a plain number."""


@dataclass(frozen=True, slots=True)
class TextMap:
    """Free names with string values."""


@dataclass(frozen=True, slots=True)
class Free:
    """A document of any form, or a text that is one."""


@dataclass(frozen=True, slots=True)
class ListOf:
    item: "Type"


@dataclass(frozen=True, slots=True)
class Message:
    """An object whose fields are listed in MESSAGES under this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Either:
    """`plain`, or (where an object is given) `message`."""

    plain: "Whole | Text"
    message: Message


Type = (
    Text
    | Truth
    | Whole
    | Decimal
    | Duration
    | Quantity
    | TextMap
    | Free
    | ListOf
    | Message
    | Either
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `meaning` is the cell of the reference page; of a refused one, also the reason."""

    name: str  # snake case; accepted in lowerCamelCase too
    type: Type
    era: str  # "1.7", "2.x", "1.7 2.x" or "Trunkline"
    use: Use
    default: str
    meaning: str
