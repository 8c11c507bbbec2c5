"""Templates of keys: what of a path counts when files are joined or grouped.

`$1` or `${1}` stands for what the first pair of round brackets of the glob matched (nothing, if it
took no part), `$$` for a dollar sign; everything else stands for itself.
"""

import re
from collections.abc import Iterator, Mapping

from trunkline.errors import InvalidInput
from trunkline.files.glob import Glob

_PART = re.compile(r"\$(?:([0-9]+)|\{([0-9]+)\}|(\$))|([^$]+)|(\$)", re.DOTALL | re.ASCII)

_LENGTH_MAX = 1024
_PARTS_MAX = 32  # of a key that becomes a variable, which has to be short enough for one

Template = tuple[str | int, ...]  # text, or the number of a pair of round brackets, from 0


def compile_template(text: str, glob: Glob) -> Template:
    """Read a template; raises InvalidInput for one that asks for what the glob does not have."""
    parts: list[str | int] = []
    for bare, braced, dollar, plain, stray in _PART.findall(text):
        if stray:
            raise InvalidInput(
                f"'{text}' is no key: behind a '$' comes the number of a pair of round brackets of "
                "the glob, as in '$1' or '${1}', or another '$'"
            )
        number = bare or braced
        parts.append(_group(text, number, glob) if number else dollar or plain)
    if len(text) > _LENGTH_MAX or len(parts) > _PARTS_MAX:
        raise InvalidInput(
            f"a key of more than {_LENGTH_MAX:,} characters or {_PARTS_MAX} parts is too long"
        )
    return tuple(parts)


def _group(text: str, number: str, glob: Glob) -> int:
    if len(number) <= 3 and 1 <= int(number) <= glob.captures:
        return int(number) - 1
    pairs = f"{glob.captures} pair{'' if glob.captures == 1 else 's'} of round brackets"
    has = f"has {pairs}" if glob.captures else "has no round brackets"
    raise InvalidInput(
        f"'{text}' asks for ${number[:20]}, but the glob '{glob.pattern}' {has}; '$1' stands for "
        "what the first pair matched, as in '/(*)-*.csv'"
    )


def render(template: Template, captured: tuple[str, ...]) -> str:
    """The key of a path, by what the round brackets of the glob matched in it."""
    return "".join(part if isinstance(part, str) else captured[part] for part in template)


def takings(template: Template, key: str) -> Iterator[Mapping[int, str]]:
    """What the round brackets in a template may have matched where it made this key, each way.

    There are as many ways as n letters can be cut into as many texts as there are brackets.
    """
    return _takings(template, key, {})


def _takings(template: Template, key: str, taken: dict[int, str]) -> Iterator[dict[int, str]]:
    if not template:
        if not key:
            yield taken
        return
    part, rest = template[0], template[1:]
    known = part if isinstance(part, str) else taken.get(part)
    if known is not None:
        if key.startswith(known):
            yield from _takings(rest, key[len(known) :], taken)
        return
    for end in range(0 if rest else len(key), len(key) + 1):
        yield from _takings(rest, key[end:], {**taken, int(part): key[:end]})
