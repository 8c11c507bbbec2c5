"""A server process on a memory model, started as `serve_memory.py --ready-fd N`."""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from memory_operations import MemoryOperations

from trunkline.config import load
from trunkline.errors import TrunklineError
from trunkline.server.serve import serve


def main(words: Sequence[str]) -> int:
    listen = [words[i + 1] for i, word in enumerate(words) if word == "--listen"]
    fds = [int(words[i + 1]) for i, word in enumerate(words) if word == "--ready-fd"]
    try:
        serve(
            load(),
            listen=listen,
            ready_fd=fds[0] if fds else None,
            open_operations=lambda _: MemoryOperations(),
        )
    except TrunklineError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
