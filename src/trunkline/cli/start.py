"""The entry of `trunkline` and `pachctl`: how the process of a command begins and ends.

A command makes some ten thousand objects while it starts and lets go of none of them. Looking
through them for garbage every 700, and taking them apart one by one at the end, took a quarter of
a short command.
"""

import gc
import os
import sys
import threading

_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def run() -> None:
    """Run the command line of this process and leave it."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    from trunkline.cli import main

    _leave(main.run())


def _leave(status: int) -> None:
    """End the process at once if nothing in it is left to be ended."""
    if threading.active_count() > 1:
        sys.exit(status)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(status)
    os._exit(status)
