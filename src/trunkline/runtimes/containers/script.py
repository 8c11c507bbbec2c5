"""What the shell loop of `agent` runs: the text of one command, and of questions about one."""

import os
import shlex
from collections.abc import Mapping

from trunkline.errors import shown
from trunkline.runtimes.base import OUT, PFS, SLOT_VARIABLE, Command
from trunkline.runtimes.containers.agent import PLACE, SHELL
from trunkline.runtimes.spawn import DEFAULT_PATH, NOT_FOUND, NOT_STARTED

_STDIN = f"{PLACE}/stdin"
_STRING_BYTES_MAX = 128 * 1024 - 1  # of one argument or variable; the kernel takes no more

# Lets everybody read and remove what is in /pfs/out. Not /pfs/out itself, which is not ours, and
# no links, which `chmod` would follow.
OPENING = f"""\
cd {OUT} || exit
for one in * .[!.]* ..?*; do
  if [ -e "$one" ] && ! [ -L "$one" ]; then
    set -- "$@" "./$one"
    if [ $# -ge 200 ]; then
      chmod -R a+rwX "$@"
      set --
    fi
  fi
done
[ $# -eq 0 ] || chmod -R a+rwX "$@"
""".encode()


def environment(command: Command, marker: str) -> dict[str, str]:
    """The variables of a command; its home is what the image says, unless it is among them."""
    env = {"PATH": DEFAULT_PATH, "LANG": "C.UTF-8", **command.env}
    if marker:
        env[SLOT_VARIABLE] = marker
    return env


def refusal(command: Command) -> str:
    """Why a command can't be started anywhere, or nothing."""
    if not command.argv or not command.argv[0]:
        return "there is no command to run: it is empty"
    sentence = f"the command {shown(command.argv[0])} can't be started:"
    for name in command.env:
        if not name or "=" in name:
            return f"{sentence} illegal environment variable name"
    texts = (*command.argv, *(f"{name}={value}" for name, value in command.env.items()))
    try:
        data = [os.fsencode(text) for text in texts]
    except UnicodeEncodeError as error:
        return f"{sentence} {error}"
    if any(b"\0" in one for one in data):
        return f"{sentence} embedded null byte"
    if any(len(one) > _STRING_BYTES_MAX for one in data):
        return f"{sentence} Argument list too long"
    return ""


def of_command(command: Command, env: Mapping[str, str], *, bare: bool = False) -> bytes:
    """The script that becomes the command, with these variables and no others.

    `bare`: with those of its place besides, and in the directory that the place begins in, unless
    it names one; that is what an image says of which nothing is known.
    """
    words = [b"exec env" if bare else b"exec env -i"]
    if "HOME" not in env:
        words.append(b'"HOME=${HOME:-/tmp}"')
    words += [_quoted(f"{name}={value}") for name, value in env.items()]
    if "=" in command.argv[0]:  # which `env` would take for one more variable
        words.append(f'{SHELL} -c \'exec "$0" "$@"\''.encode())
    words += map(_quoted, command.argv)
    if not command.terminal:
        words.append(f"< {_STDIN if command.stdin is not None else '/dev/null'}".encode())
    start = b" ".join(words)
    if bare and not command.working_dir:
        return start + b"\n"
    return b"cd %s || exit %d\n%s\n" % (_quoted(directory(command)), NOT_STARTED, start)


def directory(command: Command) -> str:
    """Where it starts."""
    return os.path.join(PFS, command.working_dir)


def of_question(command: Command, env: Mapping[str, str], *, bare: bool = False) -> bytes:
    """The script that prints why the command could not be started; see `answered`."""
    place = "." if bare and not command.working_dir else directory(command)
    given = (place, command.argv[0], env.get("PATH", ""))
    return b"directory=%s program=%s path=%s\n" % tuple(map(_quoted, given)) + _QUESTION


_QUESTION = b"""\
command -v env > /dev/null || { echo env; exit; }
cd "$directory" 2> /dev/null || { echo place; exit; }
path=${path:-$PATH}
found=
set -f
case $program in
  */*) [ -e "$program" ] && found=$program ;;
  *)
    IFS=:
    for place in $path; do
      if [ -f "${place:-.}/$program" ] && ! [ -x "$found" ]; then
        found=${place:-.}/$program
      fi
    done ;;
esac
[ -n "$found" ] || { echo missing; exit; }
[ -f "$found" ] && [ -x "$found" ] || { echo closed; exit; }
IFS=' ' read -r first rest < "$found" 2> /dev/null
case $first in
  '#!') first=${rest%% *} ;;
  '#!'*) first=${first#??} ;;
  *) exit ;;
esac
[ -e "$first" ] || echo lost
"""


def answered(answer: bytes, command: Command, env: Mapping[str, str], image: str) -> str:
    """The sentence for what such a script printed; nothing if there was nothing to say."""
    program = shown(command.argv[0])
    match answer.strip():
        case b"env":
            return f"image {image} has no program `env`, which starts commands there"
        case b"place":
            return f"there is no working directory {shown(directory(command))} for the command"
        case b"missing" if "/" in command.argv[0]:
            return f"there is no command {program} in image {image}"
        case b"missing":
            path = f"PATH is {env['PATH']}, in" if "PATH" in env else "it is not in the PATH of"
            return f"there is no command {program}; {path} image {image}"
        case b"closed":
            return f"the command {program} is not an executable file"
        case b"lost":
            return f"the command {program} needs an interpreter that is not in image {image}"
        case _:
            return ""


def may_not_have_started(code: int) -> bool:
    """Whether a shell ends so if it can't start a command."""
    return code in (NOT_FOUND, NOT_STARTED)


def _quoted(text: str) -> bytes:
    return os.fsencode(shlex.quote(text))
