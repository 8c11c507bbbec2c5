"""Starts a command, or says in one sentence why that is not possible.

Uses vfork through `subprocess` (about 0.7 ms for /bin/true), except when the user has to be
changed, which takes a plain fork.
"""

import errno
import grp
import os
import pwd
import signal
import subprocess
from dataclasses import dataclass

from trunkline.errors import shown
from trunkline.runtimes.base import PFS, SLOT_VARIABLE, Command

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NO_HOME = "/tmp"  # noqa: S108 (what programs expect who look for a place to write)
NOT_FOUND = 127  # as a shell reports it
NOT_STARTED = 126


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The command was not started; the code is what a shell would report."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom a command runs as. `switch` is false when that is who we are already."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    switch: bool


def find_account(user: str) -> Account | Refusal:
    """The account for `name`, `name:group`, `uid` or `uid:gid`; empty: our own."""
    me = os.geteuid()
    name, _, group = user.partition(":")
    entry = _entry(name or str(me))
    if entry is None and not name.isdigit() and name:
        return _refused(f"there is no user {shown(name)} on this machine to run the command as")
    uid = entry.pw_uid if entry is not None else int(name or me)
    gid = entry.pw_gid if entry is not None else os.getegid()
    if group:
        found = _group(group)
        if found is None:
            return _refused(f"there is no group {shown(group)} on this machine for the command")
        gid = found
    switch = uid != me or (bool(group) and gid != os.getegid())
    if switch and me != 0:
        return _refused(
            f"the command can't run as user {shown(user)}: the worker runs as user {me}, "
            "and only root can change users"
        )
    groups = tuple(os.getgrouplist(entry.pw_name, gid)) if entry is not None else (gid,)
    home = entry.pw_dir if entry is not None and os.path.isdir(entry.pw_dir) else _NO_HOME
    return Account(uid=uid, gid=gid, groups=groups, home=home, switch=switch)


def start(command: Command, account: Account, *, marker: str) -> subprocess.Popen[bytes] | Refusal:
    """Start the command in a session of its own, with pipes for its three streams.

    One that has the terminal is in a process group of its own, in the background.
    """
    if not command.argv or not command.argv[0]:
        return _refused("there is no command to run: it is empty")
    env = {"PATH": DEFAULT_PATH, "HOME": account.home, "LANG": "C.UTF-8", **command.env}
    if marker:
        env[SLOT_VARIABLE] = marker
    directory = os.path.join(PFS, command.working_dir)
    pipe = None if command.terminal else subprocess.PIPE
    nothing = None if command.terminal else subprocess.DEVNULL
    try:
        return subprocess.Popen(
            command.argv,
            bufsize=0,
            stdin=nothing if command.stdin is None else subprocess.PIPE,
            stdout=pipe,
            stderr=pipe,
            cwd=directory,
            env=env,
            start_new_session=not command.terminal,
            process_group=0 if command.terminal else None,
            user=account.uid if account.switch else None,
            group=account.gid if account.switch else None,
            extra_groups=account.groups if account.switch else None,
        )
    except ValueError as error:
        # A NUL byte in an argument, "=" in the name of a variable, text that is not encodable.
        return _refused(f"the command {shown(command.argv[0])} can't be started: {error}")
    except OSError as error:
        return _explained(error, command.argv[0], directory, env["PATH"])


def exit_reason(returncode: int) -> str:
    """The sentence for how a command ended by itself; empty for success."""
    if returncode == 0:
        return ""
    if returncode < 0:
        return f"the command was killed by signal {signal_name(-returncode)}"
    sentence = f"the command exited with code {returncode}"
    if returncode - 128 in set(signal.Signals):
        name = signal_name(returncode - 128)
        return f"{sentence} (a shell says so when signal {name} ended what it ran)"
    return sentence


def signal_name(number: int) -> str:
    """Such as `SIGKILL (9)`."""
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return str(number)


def _explained(error: OSError, program: str, directory: str, path: str) -> Refusal:
    if not os.path.isdir(directory):
        return _refused(f"there is no working directory {shown(directory)} for the command")
    why = error.strerror or str(error)
    if error.filename == directory or error.filename is None:
        return _refused(
            f"the command {shown(program)} can't be started in {shown(directory)}: {why}"
        )
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return _not_found(program, os.path.join(directory, program), path)
    if error.errno == errno.EACCES:
        return _refused(f"the command {shown(program)} is not an executable file ({why})")
    if error.errno == errno.ENOEXEC:
        return _refused(
            f"the command {shown(program)} is not a program for this machine, nor a script that "
            "begins with '#!'"
        )
    return _refused(f"the command {shown(program)} can't be started: {why}")


def _not_found(program: str, place: str, path: str) -> Refusal:
    if "/" not in program:
        reason = f"there is no command {shown(program)}; PATH is {path}"
    elif os.path.exists(place):
        reason = f"the command {shown(program)} needs an interpreter that is not on this machine"
    else:
        reason = f"there is no command {shown(program)}"
    return Refusal(code=NOT_FOUND, reason=reason)


def _refused(reason: str) -> Refusal:
    return Refusal(code=NOT_STARTED, reason=reason)


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except (KeyError, ValueError, OverflowError):
        return None


def _group(name: str) -> int | None:
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None
