"""A data directory that version 1 of the format wrote is opened, read and worked on."""

import zipfile
from collections.abc import Callable
from pathlib import Path

from trunkline.model.jobs import JobState

GOLDEN = Path(__file__).parents[1] / "golden" / "data-directory" / "v1.zip"


def test_a_data_directory_of_format_1_is_taken_up_where_it_was_left(
    tmp_path: Path, open_engine: Callable
) -> None:
    home = tmp_path / "old"
    with zipfile.ZipFile(GOLDEN) as archive:
        archive.extractall(home)

    driver = open_engine(home)
    before = driver.tree("data", "master^")
    driver.engine.commits.finish_commit("data", "master")
    job = driver.job("upper")

    assert before == {"a": "apple\n", "dir/b": "bear\n"}
    assert driver.tree("data") == {**before, "open": "not finished\n"}
    assert (job.state, job.processed, job.skipped) == (JobState.SUCCESS, 0, 1)
    assert driver.tree("upper") == {"a": "APPLE\n"}
    assert driver.read("__spec__", "code/run.sh", "upper").startswith("tr a-z A-Z")
    assert driver.logs("upper") == ["did /pfs/data/a"]
    assert driver.engine.repos.inspect_repo("data").description == "kept for upgrades"
    assert [info.name for info in driver.engine.projects.list_projects()] == ["default"]
    assert driver.engine.admin.fsck().damages == ()
