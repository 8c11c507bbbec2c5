"""Starts a command, or says in one sentence why that is not possible.

Uses posix_spawn(3), which takes this process half the time of `subprocess`; that is left for what
posix_spawn can't do: change the user (for which it forks), and leave the command in our session.
"""

import errno
import grp
import os
import pwd
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from trunkline.errors import shown
from trunkline.runtimes.base import PFS, SLOT_VARIABLE, Command
from trunkline.runtimes.bounds import peak_of

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NO_HOME = "/tmp"  # noqa: S108 (what programs expect who look for a place to write)
NOT_FOUND = 127  # as a shell reports it
NOT_STARTED = 126
_STREAMS = ("stdin", "stdout", "stderr")  # by number
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)  # by Python; a command is to be ended by them
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


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


@dataclass(slots=True, kw_only=True, eq=False)
class Process:
    """A command that was started."""

    pid: int
    pipes: dict[str, int]  # our ends, which don't block, by the name of the stream
    popen: subprocess.Popen[bytes] | None = None  # kept, as `subprocess` reaps what nobody has
    returncode: int | None = None  # negative for a signal; None until it was reaped
    peak_bytes: int = 0  # the most memory that it, or something that it waited for, had at once

    def reap(self) -> bool:
        """Let go of it if it has ended: then its number may be given to another process."""
        if self.returncode is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                self.peak_bytes = peak_of(usage)
                if self.popen is not None:
                    self.popen.returncode = self.returncode
        return self.returncode is not None


def keep_files_to_ourselves() -> None:
    """Let no command have a file that is open here, except the three streams it is given.

    What Python opens it keeps from others by itself, but not what this process was born with.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) < len(_STREAMS):
        pass  # a stream was closed; what is opened later must not be taken for it
    os.close(opened)
    for name in os.listdir("/dev/fd"):
        if int(name) >= len(_STREAMS):
            with suppress(OSError):  # the list itself, which is closed
                os.set_inheritable(int(name), False)


def find_account(user: str) -> Account | Refusal:
    """The account for `name`, `name:group`, `uid` or `uid:gid`; empty: our own."""
    me = os.geteuid()
    name, _, group = user.partition(":")
    entry = _entry(name or str(me))
    if entry is None and not name.isdecimal() and name:
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


def start(command: Command, account: Account, *, marker: str) -> Process | Refusal:
    """Start the command in a session of its own, with pipes for its three streams.

    One that has the terminal is in a process group of its own, in the background. The current
    directory of this process is `/` afterwards.
    """
    if not command.argv or not command.argv[0]:
        return _refused("there is no command to run: it is empty")
    env = {"PATH": DEFAULT_PATH, "HOME": account.home, "LANG": "C.UTF-8", **command.env}
    if marker:
        env[SLOT_VARIABLE] = marker
    directory = os.path.join(PFS, command.working_dir)
    pipes = _Pipes()
    try:
        pipes.open_for(command)
        if account.switch or command.terminal:
            popen = _popen(command, account, pipes.its, env, directory)
            return Process(pid=popen.pid, pipes=pipes.ours, popen=popen)
        return Process(
            pid=_spawn(command.argv, pipes.its, env, directory),
            pipes=pipes.ours,
        )
    except ValueError as error:
        # A NUL byte in an argument, "=" in the name of a variable, text that is not encodable.
        pipes.close_ours()
        return _refused(f"the command {shown(command.argv[0])} can't be started: {error}")
    except OSError as error:
        pipes.close_ours()
        return _explained(error, command.argv[0], directory, env["PATH"])
    finally:
        pipes.close_its()


class _Pipes:
    """The pipes of a command: its ends by the number of the stream, and ours by the name."""

    def __init__(self) -> None:
        self.its: dict[int, int] = {}
        self.ours: dict[str, int] = {}

    def open_for(self, command: Command) -> None:
        for number, name in enumerate(_STREAMS):
            if command.terminal if name != "stdin" else command.stdin is None:
                continue
            reading, writing = os.pipe()
            ends = (reading, writing) if name == "stdin" else (writing, reading)
            self.its[number], self.ours[name] = ends
            os.set_blocking(self.ours[name], False)

    def close_its(self) -> None:
        for end in self.its.values():
            os.close(end)

    def close_ours(self) -> None:
        for end in self.ours.values():
            os.close(end)


def _spawn(
    argv: tuple[str, ...], ends: Mapping[int, int], env: Mapping[str, str], directory: str
) -> int:
    """Start a command in a new session, with these ends of pipes as its streams; its number.

    Raises OSError and ValueError.
    """
    actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_DUP2, end, number) for number, end in ends.items()
    ]
    if 0 not in ends:
        actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0))
    if "\0=" in "\0".join(("", *env)):  # a name that begins so; the others are refused below
        raise ValueError("illegal environment variable name")
    failed: OSError | None = None
    os.chdir(directory)  # as it can't be told where to begin, it begins where we are
    try:
        for place in _places(argv[0], env["PATH"]):
            try:
                return os.posix_spawn(
                    place, argv, env, file_actions=actions, setsid=True, setsigdef=_IGNORED
                )
            except OSError as error:
                if failed is None or failed.errno in _ABSENT:
                    failed = error
    finally:
        os.chdir("/")
    raise failed or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])


def _places(program: str, path: str) -> Iterator[str]:
    """Where a program may be, in the order in which a shell would look."""
    if "/" in program:
        yield program
        return
    for directory in path.split(os.pathsep):
        place = f"{directory}/{program}" if directory else program
        if os.access(place, os.F_OK):  # which takes far less than trying to start it
            yield place


def _popen(
    command: Command,
    account: Account,
    ends: Mapping[int, int],
    env: Mapping[str, str],
    directory: str,
) -> subprocess.Popen[bytes]:
    """The same as another user, or in a process group with the terminal. Raises the same."""
    return subprocess.Popen(
        command.argv,
        stdin=ends.get(0, None if command.terminal else subprocess.DEVNULL),
        stdout=ends.get(1),
        stderr=ends.get(2),
        cwd=directory,
        env=env,
        start_new_session=not command.terminal,
        process_group=0 if command.terminal else None,
        user=account.uid if account.switch else None,
        group=account.gid if account.switch else None,
        extra_groups=account.groups if account.switch else None,
    )


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
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, ValueError, OverflowError):
        return None


def _group(name: str) -> int | None:
    try:
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None
