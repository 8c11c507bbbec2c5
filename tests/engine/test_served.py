"""A server that runs for long: what each request takes is given back."""

from pathlib import Path

import pytest


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files can't be counted here")
def test_requests_leave_no_open_files_behind(remote) -> None:
    remote.engine.repos.create_repo("data")
    remote.put("data", {"a": "apple\n"})
    remote.read("data", "a")
    files = Path(f"/proc/{remote.engine.admin.status().pid}/fd")
    before = len(list(files.iterdir()))

    for number in range(50):
        remote.put("data", {"a": f"{number}\n"})
        remote.read("data", "a")
        list(remote.engine.commits.list_commits("data"))

    assert len(list(files.iterdir())) <= before + 8
