"""What the init container of a pod does: it puts the loop there that the user's container runs.

Run as `python -m trunkline.runtimes.kubernetes.loop DIRECTORY`.
"""

import sys
from pathlib import Path

from trunkline.runtimes.containers.agent import STOPPABLE_TEXT, lay_out


def prepare(pod: Path) -> None:
    """Fill the directories that the containers of a pod share, before two of them see them."""
    lay_out(pod / "control", STOPPABLE_TEXT)
    (pod / "pfs" / "out").mkdir(
        exist_ok=True
    )  # where another one is mounted, below a read-only one


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
