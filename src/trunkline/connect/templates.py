"""Jsonnet templates of specs: evaluated where the user is, within limits, by `template_process`."""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from trunkline.errors import InvalidSpec, NotSupported

MEMORY_BYTES_MAX = 1024 * 1024 * 1024
CPU_S_MAX = 20
_TIMEOUT_S = 120.0  # however little of the processor it gets
_PLACE = r"(?P<file>[^\n\t]+?):\(?(?P<line>\d+):\d+\)?(?:-\(?[\d:]+\)?)?"
_STATIC = re.compile(rf"STATIC ERROR: {_PLACE}: (?P<what>.*)", re.DOTALL)
_FRAME = re.compile(rf"\n\t{_PLACE}\t")


def evaluated(
    text: str, arguments: Mapping[str, str], *, name: str, root: Path | None = None
) -> str:
    """The JSON that a template makes of some arguments, which are strings.

    `name` is what it is called in sentences. It can import files in `root` and below, nothing else.
    Raises InvalidSpec with file and line for what is wrong in it, or if it takes more than 20 s of
    processor time or 1 GiB; NotSupported where the extra `jsonnet` is not installed.
    """
    if importlib.util.find_spec("_jsonnet") is None:
        raise NotSupported("jsonnet templates need a package: pip install 'trunkline[jsonnet]'")
    asked = {
        "name": name,
        "text": text,
        "arguments": dict(arguments),
        "root": None if root is None else str(root),
        "memory_bytes_max": MEMORY_BYTES_MAX,
        "cpu_s_max": CPU_S_MAX,
    }
    program = str(Path(__file__).with_name("template_process.py"))
    try:
        done = subprocess.run(
            [sys.executable, "-P", program],
            input=json.dumps(asked),
            capture_output=True,
            encoding="utf-8",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InvalidSpec(f"{name}: the template was not done after {_TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        raise InvalidSpec(
            f"{name}: the template takes more than {CPU_S_MAX} s of processor time or "
            f"{MEMORY_BYTES_MAX // 1024**3} GiB of memory"
        )
    answer: dict[str, str] = json.loads(done.stdout)
    if "problem" in answer:
        raise InvalidSpec(_sentence(answer["problem"], name))
    return answer["text"]


def _sentence(problem: str, name: str) -> str:
    """What jsonnet says, as one sentence with the place where it is wrong."""
    static = _STATIC.match(problem)
    if static is not None:
        return f"{static['file']}, line {static['line']}: {_one_line(static['what'])}"
    what = _one_line(problem.removeprefix("RUNTIME ERROR: ").split("\n\t")[0])
    for frame in _FRAME.finditer(problem):
        if not frame["file"].startswith("<"):  # the standard library's own
            return f"{frame['file']}, line {frame['line']}: {what}"
    return f"{name}: {what}"


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
