"""The files of a lazy input are pipes: what code opens is read from the store, and nothing else."""

import os
from typing import Any

import pytest

from trunkline.model.jobs import DatumState, JobState

LARGE = os.urandom(3 * 1024 * 1024)


def lazy(repo: str = "data", glob: str = "/", **more: Any) -> dict[str, Any]:
    return {"pfs": {"repo": repo, "glob": glob, "lazy": True, **more}}


@pytest.fixture(params=["namespace", "rewrite"])
def data(request, open_engine):
    driver = open_engine(TRUNKLINE_ISOLATION=request.param)
    driver.engine.repos.create_repo("data")
    driver.put("data", {"a": "ant\n", "b": "bee\n", "deep/er/large": LARGE})
    return driver


def test_what_is_never_opened_is_never_copied(data) -> None:
    data.pipeline("made", "find $data/ -type p | wc -l > /pfs/out/pipes", input=lazy())

    job = data.job("made")

    assert (job.state, job.downloaded_bytes) == (JobState.SUCCESS, 0)
    assert data.tree("made") == {"pipes": "3\n"}


def test_what_is_opened_has_its_content_and_counts_as_downloaded(data) -> None:
    script = "cat $data/a > /pfs/out/a; md5sum < $data/deep/er/large > /pfs/out/sum"
    data.pipeline("made", script, input=lazy())
    data.pipeline("same", script, input={"pfs": {"repo": "data", "glob": "/"}})

    job = data.job("made")

    assert (job.state, job.downloaded_bytes) == (JobState.SUCCESS, 4 + len(LARGE))
    assert data.job("same").state is JobState.SUCCESS
    assert data.tree("made") == data.tree("same")


def test_a_file_may_be_opened_again_and_is_there_from_its_beginning(data) -> None:
    script = "cat $data/a $data/a; head -c 3 $data/deep/er/large > /dev/null; cat $data/a"
    data.pipeline("made", f"({script}) > /pfs/out/all", input=lazy())

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {"all": "ant\n" * 3}


def test_who_closes_early_has_read_no_more_than_a_pipe_holds(data) -> None:
    data.pipeline("made", "head -c 5 $data/deep/er/large > /pfs/out/head", input=lazy())

    job = data.job("made")

    assert job.state is JobState.SUCCESS
    assert job.downloaded_bytes < 1024 * 1024
    assert data.engine.files.inspect_file("made", "master", "head").size_bytes == 5


def test_several_files_may_be_read_at_once(data) -> None:
    script = "paste $data/a $data/b > /pfs/out/both; cmp $data/deep/er/large - < $data/a || true"
    data.pipeline("made", script, input=lazy())

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {"both": "ant\tbee\n"}


def test_a_link_to_a_lazy_file_takes_it_over_without_reading_it(data) -> None:
    script = "ln -s $data/deep/er/large /pfs/out/large; ln -s $data/deep /pfs/out/all"
    data.pipeline("made", script, input=lazy())

    job = data.job("made")

    assert (job.state, job.downloaded_bytes) == (JobState.SUCCESS, 0)
    found = data.engine.files.list_files("made", "master", "/", recursive=True)
    assert {f.path: f.size_bytes for f in found} == {
        "large": len(LARGE),
        "all/er/large": len(LARGE),
    }


def test_a_datum_that_is_stopped_while_it_reads_ends(data) -> None:
    script = "exec 3< $data/deep/er/large; read x <&3; sleep 60"
    data.pipeline("made", script, input=lazy(), datum_timeout="0.5s", datum_tries=1)

    job = data.job("made")

    assert job.state is JobState.FAILURE
    assert "timed out" in job.reason


def test_a_failed_try_begins_with_new_pipes_and_err_cmd_reads_them_too(data, tmp_path) -> None:
    data.pipeline(
        "made",
        "head -c 2 $data/a; exit 1",
        input=lazy(),
        transform={"err_cmd": ["/bin/sh", "-c", f"cat $data/a >> {tmp_path}/seen"]},
        datum_tries=2,
    )

    assert data.job("made").state is JobState.SUCCESS
    assert (tmp_path / "seen").read_text() == "ant\n"


def test_being_lazy_changes_no_datum(data) -> None:
    data.pipeline("made", "cat $data/a > /pfs/out/a", input=lazy())
    assert data.job("made").processed == 1

    data.pipeline(
        "made", "cat $data/a > /pfs/out/a", input={"pfs": {"repo": "data", "glob": "/"}},
        update=True,
    )  # fmt: skip

    assert (data.job("made").processed, data.job("made").skipped) == (0, 1)


def test_each_input_of_a_cross_is_lazy_for_itself(data) -> None:
    data.engine.repos.create_repo("more")
    data.put("more", {"m": "more\n"})
    script = "stat -c %F $more $data/a > /pfs/out/kinds; cat $more $data/b > /pfs/out/text"
    source = {"cross": [lazy(), {"pfs": {"repo": "more", "glob": "/*"}}]}
    data.pipeline("made", script, input=source)

    job = data.job("made")

    assert (job.state, job.downloaded_bytes) == (JobState.SUCCESS, 9)
    assert data.tree("made") == {"kinds": "regular file\nfifo\n", "text": "more\nbee\n"}


def test_unions_joins_and_groups_may_be_lazy(data) -> None:
    data.engine.repos.create_repo("more")
    data.put("more", {"a": "aunt\n", "b": "bear\n"})
    keyed = [lazy(glob="/(?)", **{k: "$1"}) for k in ("join_on", "group_by")]
    keyed += [lazy("more", "/(?)", **{k: "$1"}) for k in ("join_on", "group_by")]
    data.pipeline("union", "cat /pfs/*/[ab] > /pfs/out/$(cat /pfs/*/[ab])",
                  input={"union": [lazy(glob="/?"), lazy("more", "/?")]})  # fmt: skip
    data.pipeline("join", "cat $data $more > /pfs/out/$(basename $data)",
                  input={"join": [keyed[0], keyed[2]]})  # fmt: skip
    data.pipeline("group", "cat /pfs/data/* /pfs/more/* > /pfs/out/$(basename $data)",
                  input={"group": [keyed[1], keyed[3]]})  # fmt: skip

    assert data.job("union").state is JobState.SUCCESS
    assert set(data.tree("union")) == {"ant", "bee", "aunt", "bear"}
    for name in ("join", "group"):
        assert data.job(name).state is JobState.SUCCESS
        assert data.tree(name) == {"a": "ant\naunt\n", "b": "bee\nbear\n"}


def test_files_that_are_empty_anyway_are_not_pipes(data) -> None:
    data.pipeline("made", "stat -c '%F %s' $data/a > /pfs/out/a", input=lazy(empty_files=True))

    assert data.job("made").state is JobState.SUCCESS
    assert data.tree("made") == {"a": "regular empty file 0\n"}


def test_one_process_for_many_datums_reads_the_lazy_files_of_each(data) -> None:
    script = (
        "while pachctl next datum; do . /pfs/.env; cat $data > /pfs/out/$(basename $data); done"
    )
    data.pipeline("made", script, input=lazy(glob="/?"), transform={"datum_batching": True})

    job = data.job("made")

    assert (job.state, job.processed, job.downloaded_bytes) == (JobState.SUCCESS, 2, 8)
    assert data.tree("made") == {"a": "ant\n", "b": "bee\n"}


def test_a_lazy_file_can_be_read_by_another_user(data) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can run commands as another user")
    for above in (
        data.home,
        *data.home.parents,
    ):  # where paths are rewritten, code goes through all of them
        if above.stat().st_mode & 0o007 == 0:
            above.chmod(above.stat().st_mode | 0o011)
    data.pipeline("made", "cat $data/a > /pfs/out/a", input=lazy(), transform={"user": "nobody"})

    job = data.job("made")

    assert job.state is JobState.SUCCESS
    assert data.tree("made") == {"a": "ant\n"}


def test_what_can_not_be_read_from_the_store_fails_the_datum_with_the_reason(data) -> None:
    packs = sorted((data.home / "store").rglob("*"))
    large = max((p for p in packs if p.is_file()), key=lambda p: p.stat().st_size)
    gate = data.home / "gate"
    data.pipeline(
        "made",
        f"until [ -e {gate} ]; do sleep 0.02; done; md5sum < $data/deep/er/large > /pfs/out/x",
        input=lazy(),
        datum_tries=1,
    )
    content = bytearray(large.read_bytes())
    for at in range(len(content) // 3, len(content) * 2 // 3, 1000):
        content[at] ^= 1
    large.write_bytes(content)
    gate.touch()

    job = data.job("made")

    assert job.state is JobState.FAILURE
    [datum] = data.engine.datums.list_datums(f"made@{job.id}")
    assert datum.state is DatumState.FAILED
    assert "is damaged" in job.reason
