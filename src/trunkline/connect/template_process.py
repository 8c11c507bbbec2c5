"""Evaluates one jsonnet template, in a process of its own: templates are programs.

Run as a file; reads what to evaluate as JSON from stdin, writes what came of it as JSON to stdout.
"""

import json
import os
import resource
import sys
from collections.abc import Callable

_IMPORT_BYTES_MAX = 16 * 1024 * 1024


def main() -> None:
    asked = json.load(sys.stdin)
    for limit, most in (
        (resource.RLIMIT_AS, asked["memory_bytes_max"]),
        (resource.RLIMIT_CPU, asked["cpu_s_max"]),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
    import _jsonnet

    answer: dict[str, str]
    try:
        text = _jsonnet.evaluate_snippet(
            asked["name"],
            asked["text"],
            tla_vars=asked["arguments"],
            import_callback=_importer(asked["root"]),
        )
        answer = {"text": text}
    except RuntimeError as error:
        answer = {"problem": str(error)}
    json.dump(answer, sys.stdout)


def _importer(root: str | None) -> Callable[[str, str], tuple[str, bytes]]:
    """Opens what a template imports, if it is in the directory of the template or below."""

    def load(directory: str, name: str) -> tuple[str, bytes]:
        if root is None:
            raise RuntimeError("only a template that is a file of this machine can import others")
        path = os.path.normpath(os.path.join(directory, name))
        top = os.path.realpath(root)
        if os.path.commonpath([top, os.path.realpath(path)]) != top:
            raise RuntimeError(f"it is not in the directory of the template, {root}, or below")
        try:
            with open(path, "rb") as file:
                content = file.read(_IMPORT_BYTES_MAX + 1)
        except OSError as error:
            raise RuntimeError(f"{path}: {error.strerror}") from error
        if len(content) > _IMPORT_BYTES_MAX:
            raise RuntimeError(f"{path} is longer than {_IMPORT_BYTES_MAX:,} bytes")
        return path, content

    return load


if __name__ == "__main__":
    main()
