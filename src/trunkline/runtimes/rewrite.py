"""Where /pfs and /code can't be mounted, their names are replaced by the real directories.

What this can't do, and the documentation says: a path that the program puts together itself, or
that stands in a file, is not seen; nor is `/pfs` right behind a letter (`-I/code`), because that
is most often the end of another path.
"""

import os
import re
from dataclasses import replace

from trunkline.runtimes.base import PFS, Command

# A whole component at the start of a path: neither `data/pfs`, `~/pfs`, `${HOME}/pfs` nor `/pfsx`.
# Bytes above 0x7f are parts of letters. `file://` is the one slash that may stand before it.
_NAMES = re.compile(
    rb"(?:(?<=file://)|(?<![\w./~\-\\}\)\]*?\x80-\xff]))/(pfs|code)(?![\w.~\-\x80-\xff])"
)


def rewritten(command: Command, *, pfs: str, code: str) -> Command:
    """The command with /pfs and /code replaced in all that it is given."""
    places = {b"pfs": os.fsencode(pfs), b"code": os.fsencode(code)}

    def in_bytes(data: bytes) -> bytes:
        return _NAMES.sub(lambda found: places[found[1]], data)

    def in_text(text: str) -> str:
        return os.fsdecode(in_bytes(os.fsencode(text)))

    return replace(
        command,
        argv=tuple(map(in_text, command.argv)),
        stdin=None if command.stdin is None else in_bytes(command.stdin),
        env={name: in_text(value) for name, value in command.env.items()},
        working_dir=in_text(os.path.join(PFS, command.working_dir)),
    )
