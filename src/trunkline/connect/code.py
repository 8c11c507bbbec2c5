"""Which files of a directory are the code of a pipeline."""

import os
from pathlib import Path

from trunkline.api.changes import FileChange
from trunkline.client.local_files import put_local
from trunkline.errors import LocalFileNotFound

# Left by running or editing the code, not part of it: the digest of the code decides what runs
# anew, and must not change because somebody tried it out.
_LEFT_OUT = frozenset({"__pycache__", ".git", ".ipynb_checkpoints", ".DS_Store", ".mypy_cache"})


def code_changes(directory: Path, *, prefix: str = "") -> list[FileChange]:
    """The files of a code directory, without what running or editing them leaves behind.

    `prefix` stands before each path.
    """
    if not directory.is_dir():
        raise LocalFileNotFound(str(directory), "`code` in `transform` of the spec")
    changes: list[FileChange] = []
    for parent, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in sorted(files):
            if name not in _LEFT_OUT and not name.endswith((".pyc", ".pyo")):
                source = Path(parent, name)
                path = prefix + source.relative_to(directory).as_posix()
                changes.append(put_local(path, source))
    return changes
