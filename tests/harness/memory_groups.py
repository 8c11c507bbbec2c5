"""Memory cgroups with little memory, where a machine lets tests make them."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path]:
    """A group that a process may join by its `cgroup.procs`; skips the test where none can be."""
    name = f"trunkline-test-{uuid.uuid4().hex}"
    listed = Path("/proc/self/cgroup").read_text().splitlines()
    groups = dict(line.split(":", 2)[1:] for line in listed)
    top = Path("/sys/fs/cgroup")
    if "memory" in groups:
        group, limit = top / "memory" / groups["memory"].strip("/") / name, "memory.limit_in_bytes"
    else:
        group, limit = top / groups.get("", "").strip("/") / name, "memory.max"
    try:
        group.mkdir()
        (group / limit).write_text(str(limit_bytes))
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no memory cgroup can be made here: {error}")
    yield group
    group.rmdir()
