"""A command in a container that has the terminal of this process: ^C and all else is the command's.

It is started by the engine (`exec`), which makes a terminal in the container; here what is typed
and shown is passed on as it is, and the size of the terminal when it changes.
"""

import os
import select
import socket
import termios
import time
import tty
from collections.abc import Callable, Sequence
from contextlib import suppress

from trunkline.errors import InvalidInput, TrunklineError
from trunkline.runtimes.containers.engine import ContainerEngine
from trunkline.runtimes.watch import TICK_S

_PIECE_BYTES = 64 * 1024


def run(
    engine: ContainerEngine,
    container: str,
    words: Sequence[str],
    *,
    terminal: int,
    cancelled: Callable[[], bool],
    tick: Callable[[], None],
) -> int | None:
    """The exit code of a command that had the terminal (a descriptor); None if it was cancelled.

    It may be alive then. Raises InvalidInput for no terminal, and as `ContainerEngine.calls` does.
    """
    try:
        before = termios.tcgetattr(terminal)
    except termios.error as error:
        raise InvalidInput("there is no terminal to give to the command") from error
    with engine.calls("its terminal"):
        id_ = engine.api.exec_create(container, list(words), stdin=True, tty=True)["Id"]
        line = engine.api.exec_start(id_, tty=True, socket=True)
    tty.setraw(terminal, termios.TCSADRAIN)  # what was typed before is for it
    try:
        ended = _pass_on(engine, id_, line._sock, terminal, cancelled, tick)
    finally:
        with suppress(termios.error):  # it was hung up
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        line.close()
    if not ended:
        return None
    with engine.calls("its terminal"):
        return int(engine.api.exec_inspect(id_)["ExitCode"])


def _pass_on(
    engine: ContainerEngine,
    id_: str,
    line: socket.socket,
    terminal: int,
    cancelled: Callable[[], bool],
    tick: Callable[[], None],
) -> bool:
    """Pass on what is typed and shown until the command ends; False if it is cancelled first."""
    size: os.terminal_size | None = None
    listens = [line.fileno(), terminal]
    next_tick = 0.0
    while True:
        if time.monotonic() >= next_tick:
            next_tick = time.monotonic() + TICK_S
            tick()
            if cancelled():
                return False
            if size != (size := _size_of(terminal)):
                with suppress(TrunklineError), engine.calls("the size of its terminal"):
                    engine.api.exec_resize(id_, height=size.lines, width=size.columns)
        ready, _, _ = select.select(listens, [], [], TICK_S)
        if line.fileno() in ready:
            shown = line.recv(_PIECE_BYTES)
            if not shown:
                return True
            _write(terminal, shown)
        if terminal in ready:
            typed = _read(terminal)
            if typed:
                line.sendall(typed)
            else:
                listens.remove(terminal)  # it was hung up


def _size_of(terminal: int) -> os.terminal_size:
    try:
        return os.get_terminal_size(terminal)
    except OSError:
        return os.terminal_size((80, 24))


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, _PIECE_BYTES)
    except OSError:
        return b""


def _write(terminal: int, data: bytes) -> None:
    while data:
        data = data[os.write(terminal, data) :]
