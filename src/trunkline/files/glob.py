"""The glob language of Pachyderm: one reading of a pattern, for commands and for datums.

`*` a run without `/` · `**` a run of anything · `?` one character but `/` · `[abc] [a-z] [!a] [^a]
[[:alpha:]]` · `{a,b}` alternatives · `\\x` the character itself · `(p|q)` and `@(p|q)` one of, `*(…)`
any number of, `+(…)` at least one of, `?(…)` at most one of, `!(…)` a run without `/` that is none
of. Everything in round brackets is captured. A pattern matches the whole path of a file or
directory; leading and trailing slashes don't count.

Time is bounded for hostile patterns too. Patterns without round brackets become one regular
expression in which a `*` never tries again what it has passed (its first fit is as good as any).
Patterns with them are matched by following all possibilities at once, behind a regular expression
that lets through whatever could match.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from trunkline.errors import InvalidGlob
from trunkline.files import globmatch
from trunkline.files.globmatch import (
    Alternatives,
    CharacterSet,
    Group,
    Literal,
    Node,
    OneCharacter,
    Sequence,
    Star,
    StarStar,
)
from trunkline.model.names import PATH_BYTES_MAX

PATTERN_LENGTH_MAX = 1024
_NESTING_MAX = 8
_GROUPS_MAX = 16
_EXPANSIONS_MAX = 256

_POSIX = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "ascii": "\\x01-\\x7f",
    "blank": " \\t",
    "cntrl": "\\x01-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\s",
    "upper": "A-Z",
    "word": "a-zA-Z0-9_",
    "xdigit": "a-fA-F0-9",
}
