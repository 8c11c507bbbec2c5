"""The user code of simulated pipelines: a plain function of what a datum is given.

A command is `["sim", FLAGS, CODE]`: the code goes into each output, so another code gives another
output, and the flags (joined by commas) say how it behaves:

strict   fails where a content says "bad"
flaky    fails now and then, whatever it is given
shared   writes `all` besides, so two datums clash (or their outputs are joined)
double   writes a second file
quiet    writes nothing for some datums

A datum that fails is recovered where there is an `err_cmd`.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

Given = tuple[tuple[str, str, dict[str, bytes]], ...]  # per input: name, path, files at or below it

BAD = b"bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of one datum."""

    state: str  # success, failed or recovered
    files: dict[str, bytes]


def is_flaky(cmd: Sequence[str]) -> bool:
    """Whether what comes of a datum is a matter of luck."""
    return "flaky" in cmd[1].split(",")


def run(cmd: Sequence[str], err_cmd: Sequence[str], given: Given) -> Ran:
    """What the command of a pipeline makes of a datum; bad luck is the caller's to add."""
    _, words, code = cmd
    flags = set(words.split(","))
    contents = [content for _, _, files in given for content in files.values()]
    if "strict" in flags and any(BAD in content for content in contents):
        return Ran(state="recovered" if err_cmd else "failed", files={})
    digest = hashlib.blake2b(repr((code, given)).encode(), digest_size=8).hexdigest()
    if "quiet" in flags and digest[0] in "01234":
        return Ran(state="success", files={})
    text = f"{digest}\n".encode()
    name = "-" + "+".join(path.replace("/", "_") for _, path, _ in given)
    files = {name: text}
    if "double" in flags:
        files[f"second/{name}"] = text * 2
    if "shared" in flags:
        files["all"] = text
    return Ran(state="success", files=files)
