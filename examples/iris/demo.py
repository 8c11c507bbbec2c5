"""The whole tutorial in a temporary directory: each command, its output, and a check of both.

Run by `make demo`. Nothing of it stays: the data directory, the settings and the server are gone
at the end, whatever happens, and the home directory is neither read nor written. The exit status
is 1 when a step fails or its result is wrong.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent
TIMEOUT_S = 120.0


class StepFailed(Exception):
    """A command failed, so that the ones behind it would only fail too."""


@dataclass
class Demo:
    """Runs commands in a private home and remembers how long they took and what was wrong."""

    folder: Path  # a private copy of this example; the commands run in it
    environment: dict[str, str]
    problems: list[str] = field(default_factory=list)
    times: list[tuple[str, float]] = field(default_factory=list)  # step, when it began

    def step(self, title: str) -> None:
        print(f"\n\033[1m── {title}\033[0m" if sys.stdout.isatty() else f"\n── {title}")
        self.times.append((title, time.monotonic()))

    def run(self, line: str, *, shows: str = "") -> str:
        """Run a command line, print both, and note it when the output lacks the pattern."""
        print(f"\n$ {line}", flush=True)
        done = subprocess.run(
            ["/bin/bash", "-o", "pipefail", "-c", line],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        printed = (done.stdout + done.stderr).rstrip("\n")
        if printed:
            print(printed, flush=True)
        if done.returncode != 0:
            self.problems.append(f"`{line}` ended with exit status {done.returncode}")
            raise StepFailed
        if not re.search(shows, done.stdout, flags=re.MULTILINE):
            self.problems.append(f"`{line}` does not show /{shows}/")
        return done.stdout

    def expect(self, right: bool, problem: str) -> None:
        if not right:
            self.problems.append(problem)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="trunkline-demo-") as place:
        demo = Demo(
            folder=Path(shutil.copytree(EXAMPLE, Path(place) / "iris")),
            environment=private_environment(Path(place)),
        )
        started = time.monotonic()
        try:
            tutorial(demo)
        except StepFailed:
            pass
        finally:
            took_s = time.monotonic() - started
            subprocess.run(["trunkline", "down"], env=demo.environment, capture_output=True)
        report(demo, took_s)
    return 1 if demo.problems else 0


def private_environment(place: Path) -> dict[str, str]:
    """The environment with every place that Trunkline could write to below `place`."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRUNKLINE_") and name != "PACHD_ADDRESS"
    }
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{own.get('PATH', '')}"
    own["TRUNKLINE_HOME"] = str(place / "home")
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        own[f"XDG_{name}_HOME"] = str(place / name.lower())
    return own


def tutorial(demo: Demo) -> None:
    demo.step("versions")
    demo.run("pachctl version", shows=r"^pachctl +\S+")
    demo.step("two repos")
    demo.run("pachctl create-repo training")
    demo.run("pachctl create-repo attributes")
    demo.run("pachctl list-repo", shows=r"^training .* 0B")
    demo.step("the training data, as a commit")
    demo.run("pachctl put-file training master iris.csv -f data/iris.csv")
    demo.run("pachctl list-file training master", shows=r"^iris\.csv +file +4\.443KiB")
    demo.step("the first pipeline: pre_process")
    demo.run("pachctl create-pipeline -f pre-process.json")
    demo.run("pachctl flush-commit training/master", shows=r"^pre_process ")
    demo.run("pachctl list-job", shows=r"pre_process/.* 1 \+ 0 / 1 .*success")
    demo.run("pachctl list-file pre_process master", shows=r"^x_train\.csv(.|\n)*^y_train\.csv")
    demo.step("the second pipeline: train")
    demo.run("pachctl create-pipeline -f train.json")
    demo.run("pachctl flush-commit training/master", shows=r"^train ")
    demo.run("pachctl list-file train master", shows=r"^model +file")
    demo.run("pachctl get-logs --pipeline=train", shows=r"accuracy on the training data: 0\.9")
    first_model = demo.run("pachctl get-file train master model", shows=r"Iris-virginica")
    demo.step("flowers without a species")
    demo.run("pachctl put-file attributes master test1.csv -c -f data/test1.csv")
    demo.run("pachctl put-file attributes master test2.csv -c -f data/test2.csv")
    demo.step("the third pipeline: inference")
    demo.run("pachctl create-pipeline -f infer.json")
    demo.run("pachctl flush-commit attributes/master", shows=r"^inference ")
    demo.run("pachctl list-job", shows=r"inference/.* 2 \+ 0 / 2 .*success")
    demo.run("pachctl get-file inference master test1.csv", shows=r"^Iris-versicolor$")
    demo.step("three workers; nothing is computed again")
    wider = """sed 's/"constant": "1"/"constant": "3"/' infer.json"""
    demo.run(f"{wider} | pachctl update-pipeline -f -")
    demo.run("pachctl flush-commit attributes/master", shows=r"^inference ")
    demo.run("pachctl list-job", shows=r"inference/.* 0 \+ 2 / 2 .*success")
    demo.run("trunkline list worker", shows=r"(^pipeline-inference-v2-(.|\n)*){3}")
    correct_the_data(demo, first_model)
    demo.step("where the results come from")
    demo.run("pachctl list-commit inference", shows=r"^inference ")
    head = demo.run("pachctl list-branch inference", shows=r"^master +[0-9a-f]{32}").split()[-1]
    found = demo.run(f"pachctl inspect-commit inference {head}", shows=r"^Provenance:")
    demo.expect(len(set(re.findall(r"\S+/[0-9a-f]{32}", found))) == 8, "7 commits of provenance")
    demo.run("pachctl list-pipeline", shows=r"\(attributes:/\* ⨯ train:/\)")
    demo.run("trunkline fsck")


def correct_the_data(demo: Demo, first_model: str) -> None:
    demo.step("a correction flows through: two flowers removed")
    started = time.monotonic()
    demo.run("pachctl put-file training master iris.csv -c -o -f data/iris-changed.csv")
    demo.run("pachctl list-job", shows=r"inference/(.|\n)*train/(.|\n)*pre_process/")
    demo.run("pachctl flush-commit training/master", shows=r"^inference ")
    took_s = time.monotonic() - started
    demo.run("pachctl list-job", shows=r"(success *(.|\n)*){7}")
    print(f"\n{took_s:.2f} s from the put to the new inferences")
    second_model = demo.run("pachctl get-file train master model", shows=r"Iris-virginica")
    demo.expect(second_model != first_model, "the corrected data did not change the model")


def report(demo: Demo, took_s: float) -> None:
    print("\n── wall time")
    ends = [begin for _, begin in demo.times[1:]] + [demo.times[0][1] + took_s]
    for (title, begin), end in zip(demo.times, ends):
        print(f"{end - begin:7.2f} s  {title}")
    print(f"{took_s:7.2f} s  in all")
    for problem in demo.problems:
        print(f"WRONG: {problem}")
    if demo.problems:
        return
    program = shlex.quote(str(Path(sys.executable).parent / "trunkline"))
    data = shlex.quote(str(EXAMPLE / "data" / "iris.csv"))
    print("\nAll results are right, and nothing was left behind. Try next, with data that stays:")
    print(f"  {program} create repo training")
    print(f"  {program} put file training@master:/iris.csv -f {data}")
    print(f"  {program} list file training@master")


if __name__ == "__main__":
    sys.exit(main())
