"""Wall time of `list-repo` (server running) beside `python3 -c pass`, as a ratio of medians.

usage: cli_latency.py [REPETITIONS]
"""

import subprocess
import sys

from measure import medians, private_home, run


def main(repetitions: int) -> None:
    with private_home():
        run("trunkline", "create-repo", "training")
        python, version, listing = medians(
            repetitions,
            lambda: subprocess.run([sys.executable, "-c", "pass"]),
            lambda: run("trunkline", "--version"),
            lambda: run("trunkline", "list-repo"),
        )
    print(f"python -c pass       {python * 1000:7.1f} ms   1.0")
    print(f"trunkline --version  {version * 1000:7.1f} ms   {version / python:.1f}")
    print(f"trunkline list-repo  {listing * 1000:7.1f} ms   {listing / python:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
