"""Commands in a place that is reached through one directory alone: by a shell loop inside of it.

The directory holds the text of the loop, the script of one command and its standard input, and
four named pipes, which lose their names once both sides have them open: for questions, answers and
what commands print. Whoever makes the place starts `START` in it with the directory at `PLACE`.

The loop is the first process of its place: nothing that runs there can kill or stop it, it gets the
orphans, and the place ends with it. It ends when its worker is gone, however that died. It needs
nothing but a POSIX shell.
"""

import math
import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trunkline.runtimes.base import OnOutput
from trunkline.runtimes.watch import GRACE_S, GRACE_STEP_S, Quota, follow

PLACE = "/.trunkline"
SHELL = "/bin/sh"
START = (SHELL, f"{PLACE}/agent")
_PIECE_BYTES = 64 * 1024
_DRAIN_BYTES_MAX = 16 * 1024 * 1024  # far above what two pipes can hold
_LINE_BYTES_MAX = 64 * 1024  # of answers that make no sense
_ANSWER_S = 10.0  # for what takes a moment; killed processes may be stuck in the kernel
_STOP = "stop"  # a pipe of loops that can be asked to kill the command that they run
_PIPES = ("ask", "reply", "stdout", "stderr")
_LEFT = "/dev/shm/* /dev/shm/.[!.]* /dev/shm/..?*"  # noqa: S108 (inside of the place)

# What the shell says of a command that a signal ended goes to `reply` too, before the code. A dead
# process that nobody waited for counts as alive: `jobs` has a shell wait for all that are dead, and
# needs no process for that, which there may be too many of.
_BEGINNING = f"""\
exec 3< {PLACE}/ask 4> {PLACE}/reply 5> {PLACE}/stdout 6> {PLACE}/stderr 2>&4
trap : HUP INT QUIT TERM
others() {{
  kill -0 -1 2> /dev/null && jobs > /dev/null && kill -0 -1 2> /dev/null
}}
tidy() {{
  for left in {_LEFT}; do
    if [ -e "$left" ] || [ -L "$left" ]; then
      rm -rf {_LEFT} 2> /dev/null
      break
    fi
  done
}}
answer() {{
  if others; then echo "$1 others" >&4; else tidy; echo "$1 alone" >&4; fi
}}
"""
_LOOP = """\
echo ready >&4
while read -r word <&3; do
  case $word in
    run)
      run ;;
    look)
      answer found ;;
    kill)
      while kill -9 -1 2> /dev/null; do jobs > /dev/null; done
      answer found ;;
  esac
done
"""
_PLAIN = f"""\
run() {{
  ( . {PLACE}/run ) 3<&- 4>&- >&5 2>&6 5>&- 6>&-
  answer "ended $?"
}}
"""
# Beside the command somebody waits who kills it, and all the rest but himself, when he is asked;
# before that he may be asked to tell them.
_STOPPABLE = f"""\
exec 7< {PLACE}/{_STOP}
run() {{
  {{
    while read -r word <&7; do
      case $word in
        term) kill -15 -1 ;;
        *) while kill -9 -1; do :; done; break ;;
      esac
    done
  }} 3<&- 4>&- 5>&- 6>&- 2> /dev/null &
  killer=$!
  ( . {PLACE}/run ) 3<&- 4>&- >&5 2>&6 5>&- 6>&- 7<&-
  code=$?
  {{ kill -9 $killer; wait $killer; }} 2> /dev/null
  answer "ended $code"
}}
"""
# Where others start the loop, perhaps before the pipes are there, the last of which is this one.
_WAITING = f"""\
until [ -p {PLACE}/{_STOP} ]; do sleep 0.05 2> /dev/null || sleep 1; done
"""
_ABOUT = "# Runs commands for a worker of Trunkline; it ends when that is gone.\n"
TEXT = _ABOUT + _BEGINNING + _PLAIN + _LOOP
STOPPABLE_TEXT = _ABOUT + _WAITING + _BEGINNING + _STOPPABLE + _LOOP


def lay_out(directory: Path, text: str = TEXT) -> None:
    """Put a loop into a directory, to be started in the place that has it."""
    (directory / "agent").write_text(text, "utf-8")


class Gone(Exception):
    """The loop has ended, and with it all that ran in its place."""


class Agent:
    """The worker's side of one loop. Used by one thread."""

    def __init__(self, directory: Path, *, stoppable: bool = False) -> None:
        """Make the pipes for a loop that was laid out there, `stoppable` if it is one of those."""
        self._directory = directory
        self._pipe_names = (*_PIPES, _STOP) if stoppable else _PIPES
        self._pipes: dict[str, int] = {}
        self._poll = select.poll()
        self._names: dict[int, str] = {}
        self._said = bytearray()
        self._remarks: list[str] = []  # since the last command began
        self._answer = ""  # to the last question; that it is ready is the first one
        self._on_output: OnOutput = lambda *_: None
        self._ended: tuple[int, bool] | None = None
        self._gone = False
        for name in self._pipe_names:
            path = directory / name
            path.unlink(missing_ok=True)
            os.mkfifo(path)
            path.chmod(0o666)  # the other side may be any user; nobody else gets this far
            # We are the only one who writes questions. A pipe is opened for both, as otherwise it
            # can't be opened before the other side is there.
            access = os.O_RDWR if name in ("ask", _STOP) else os.O_RDONLY
            self._pipes[name] = os.open(path, access | os.O_NONBLOCK | os.O_CLOEXEC)
        for name in _PIPES[1:]:
            self._wait_for(self._pipes[name], name)

    # --- the loop itself --------------------------------------------------------------------------

    def ready(self, timeout_s: float) -> bool:
        """Whether the loop has begun, after waiting at most so long for that. Raises Gone."""
        self._await(timeout_s)
        if self._answer != "ready":
            return False
        for name in self._pipe_names:  # from now on nobody can find them
            (self._directory / name).unlink()
        return True

    @property
    def lost(self) -> bool:
        """Whether the loop has ended, as far as was seen."""
        return self._gone

    @property
    def gone(self) -> bool:
        """Whether the loop has ended, as far as can be told now."""
        with suppress(Gone):
            self.wait(0.0)
        return self._gone

    def close(self) -> None:
        """Give back what this side holds; the loop ends when it is idle."""
        for pipe in self._pipes.values():
            os.close(pipe)
        self._pipes.clear()

    # --- one command ------------------------------------------------------------------------------

    def begin(self, script: bytes, stdin: bytes | None, on_output: OnOutput) -> None:
        """Have the script run, and what it prints passed on, which `wait` does. Raises Gone.

        The script finds its input in `stdin_of`.
        """
        (self._directory / "run").write_bytes(script)
        if stdin is not None:
            (self._directory / "stdin").write_bytes(stdin)
        self._on_output = on_output
        self._ended = None
        self._remarks.clear()
        self._ask("run")

    def pass_on_to(self, on_output: OnOutput) -> None:
        """What comes from now on goes there."""
        self._on_output = on_output

    def wake_for(self, descriptor: int) -> None:
        """Let `wait` return also when this can be read; who reads it is not our business."""
        self._wait_for(descriptor, "")

    def sleep_soundly(self) -> None:
        """No longer so, whatever that was."""
        for descriptor in [one for one, name in self._names.items() if not name]:
            self._forget(descriptor)

    def ended(self) -> bool:
        """Has the command itself ended, as far as was seen?"""
        return self._ended is not None

    @property
    def code(self) -> int:
        """Its exit code, as a shell tells it."""
        assert self._ended is not None, "it has not ended"
        return self._ended[0]

    @property
    def signalled(self) -> bool:
        """Whether a signal ended it: then the shell said which before it told the code."""
        return bool(self._remarks)

    def wait(self, timeout_s: float) -> None:
        """Move what can be moved, after waiting at most so long for that. Raises Gone."""
        for descriptor, _ in self._poll.poll(math.ceil(max(0.0, timeout_s) * 1000)):
            name = self._names.get(descriptor)
            if name == "reply":
                self._listen()
            elif name:
                self._take(name)
        if self._gone:
            raise Gone

    def stop(self) -> None:
        """Have the command that runs killed, with all that it started; `wait` tells of its end."""
        os.write(self._pipes[_STOP], b"kill\n")

    def terminate(self) -> None:
        """Have the command and all that it started told to end, by SIGTERM."""
        os.write(self._pipes[_STOP], b"term\n")

    def stopped(self) -> None:
        """A command has ended: if it was by itself, nobody has heard that it was to be stopped."""
        with suppress(BlockingIOError):
            os.read(self._pipes[_STOP], _PIECE_BYTES)

    def drain(self) -> None:
        """Take what was printed and not read yet, without waiting for more."""
        for name in ("stdout", "stderr"):
            taken = 0
            while taken < _DRAIN_BYTES_MAX:
                count = self._take(name)
                if not count:
                    break
                taken += count

    def alone(self) -> bool:
        """Is nothing alive in there besides the loop? Asked after a command. Raises Gone."""
        assert self._ended is not None, "the loop waits for the command"
        return not self._ended[1] or self._ask_who_is_left("look")

    def kill_others(self) -> bool:
        """Kill all that a command left; False if that does not work. Raises Gone."""
        assert self._ended is not None, "the loop waits for the command"
        return not self._ended[1] or self._ask_who_is_left("kill")

    def clear_away(self) -> bool:
        """After a command: wait a moment for what it left, and then kill that; False if that does
        not work. Raises Gone.
        """
        patience = time.monotonic() + GRACE_S
        while not self.alone() and time.monotonic() < patience:
            self.wait(GRACE_STEP_S)
        return self.kill_others()

    def until_end(self, timeout_s: float, tick: Callable[[], None] = lambda: None) -> None:
        """Wait for the end of a command at most so long. Raises Gone."""
        deadline = time.monotonic() + timeout_s
        quota = Quota(Path(), None)
        follow(self, deadline=deadline, quota=quota, cancelled=lambda: False, tick=tick)

    def answer_to(self, text: bytes, timeout_s: float) -> bytes:
        """What a script of ours prints in that time; `ended` tells if it is all. Raises Gone."""
        said = bytearray()
        self.begin(text, None, lambda stream, data: said.extend(data))
        self.until_end(timeout_s)
        if self.ended():
            self.drain()
        return bytes(said)

    # --- talking ----------------------------------------------------------------------------------

    def _ask(self, word: str) -> None:
        if self._gone:
            raise Gone
        self._answer = ""
        os.write(self._pipes["ask"], f"{word}\n".encode())

    def _ask_who_is_left(self, word: str) -> bool:
        """Whether a command is over for good, after the loop was asked for that."""
        assert self._ended is not None, "the loop waits for the command"
        self._ask(word)
        self._await(_ANSWER_S)
        self._ended = (self._ended[0], self._answer != "found alone")
        return not self._ended[1]

    def _await(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not self._answer and (left := deadline - time.monotonic()) > 0:
            self.wait(left)

    def _listen(self) -> None:
        try:
            data = os.read(self._pipes["reply"], _PIECE_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._gone = True
            return
        self._said += data
        *lines, rest = self._said.split(b"\n")
        self._said = bytearray(rest[-_LINE_BYTES_MAX:])
        for line in lines:
            self._hear(line.decode("utf-8", "replace"))

    def _hear(self, line: str) -> None:
        match line.split(" "):
            case ["ended", code, ("alone" | "others") as found] if code.isdigit():
                self._ended = (int(code), found == "others")
            case ["ready"] | ["found", ("alone" | "others")]:
                self._answer = line
            case _:
                self._remarks.append(line)

    def _take(self, name: str) -> int:
        """Bytes read from a stream; 0 if there is nothing to read now."""
        pipe = self._pipes[name]
        try:
            data = os.read(pipe, _PIECE_BYTES)
        except BlockingIOError:
            return 0
        if not data:  # the loop is gone, which `reply` tells too
            self._forget(pipe)
            return 0
        self._on_output(name, data)
        return len(data)

    def _wait_for(self, descriptor: int, name: str) -> None:
        self._poll.register(descriptor, select.POLLIN)
        self._names[descriptor] = name

    def _forget(self, descriptor: int) -> None:
        if self._names.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)
