"""Finding the directory that a spec names as its code, which user code then sees as /code."""

import os
from pathlib import Path

from trunkline.cli.arguments import is_url
from trunkline.errors import InvalidInput, LocalFileNotFound


def code_directory(code: str, *, spec: str) -> Path | None:
    """The directory that a spec means with `code`, seen from the spec's own place.

    None when the spec has no code. Raises LocalFileNotFound, InvalidInput.
    """
    if not code:
        return None
    if is_url(spec) and not os.path.isabs(code):
        raise InvalidInput(
            f"the spec's transform.code '{code}' is relative to {spec}, which is not on this "
            "machine; download the spec and its code first"
        )
    base = Path.cwd() if spec == "-" or is_url(spec) else Path(spec).parent
    directory = base / code
    if not directory.exists():
        raise LocalFileNotFound(str(directory), f"`code` in `transform` of {spec}")
    if not directory.is_dir():
        raise InvalidInput(f"the spec's transform.code '{directory}' is a file, not a directory")
    return directory
