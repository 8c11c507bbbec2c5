"""A stopped pipeline that is started again has exactly one job, on what its inputs are then."""

import threading

import pytest

from trunkline.model.jobs import JobState


@pytest.fixture
def data(engine):
    for repo in ("data", "more"):
        engine.engine.repos.create_repo(repo)
        engine.put(repo, {"a": f"first of {repo}\n"})
    return engine


def jobs(data, pipeline="made"):
    """The ids of all its jobs, newest first, once they have ended."""
    data.job(pipeline)
    return [job.id for job in data.engine.jobs.list_jobs(pipeline=pipeline)]


@pytest.mark.parametrize("commits", [0, 1, 5])
def test_starting_catches_up_with_one_job(data, commits) -> None:
    data.pipeline("made", "cat $data/* > /pfs/out/all", glob="/")
    before = jobs(data)
    data.engine.pipelines.stop_pipeline("made")
    for number in range(commits):
        data.put("data", {f"b{number}": f"{number}\n"})
    stopped = jobs(data)

    data.engine.pipelines.start_pipeline("made")

    assert stopped == before
    assert len(jobs(data)) == len(before) + (1 if commits else 0)
    text = "first of data\n" + "".join(f"{number}\n" for number in range(commits))
    assert data.tree("made") == {"all": text}


def test_a_job_that_stopping_killed_is_caught_up_with_too(data, tmp_path) -> None:
    gate = tmp_path / "gate"
    data.pipeline("made", f"until [ -e {gate} ]; do sleep 0.02; done; cat $data/* > /pfs/out/all",
                  glob="/")  # fmt: skip
    data.engine.pipelines.stop_pipeline("made")
    killed = data.job("made")
    gate.touch()

    data.engine.pipelines.start_pipeline("made")

    assert killed.state is JobState.KILLED
    assert killed.reason == "pipeline 'made' was stopped"
    assert len(jobs(data)) == 2
    assert data.tree("made") == {"all": "first of data\n"}


def test_commits_to_both_inputs_of_a_cross_are_caught_up_with_in_one_job(data) -> None:
    source = {"cross": [{"pfs": {"repo": repo, "glob": "/"}} for repo in ("data", "more")]}
    data.pipeline("made", "cat $data/* $more/* > /pfs/out/all", input=source)
    before = jobs(data)
    data.engine.pipelines.stop_pipeline("made")
    for number in range(3):
        data.put("data", {"a": f"data {number}\n"})
        data.put("more", {"a": f"more {number}\n"})

    data.engine.pipelines.start_pipeline("made")

    assert len(jobs(data)) == len(before) + 1
    assert data.tree("made") == {"all": "data 2\nmore 2\n"}


def test_only_branches_that_are_inputs_count(data) -> None:
    data.put("data", {"a": "staged\n"}, branch="staging")
    source = {
        "union": [
            {"pfs": {"repo": "data", "name": "one", "glob": "/a"}},
            {"pfs": {"repo": "data", "name": "two", "branch": "staging", "glob": "/a"}},
        ]
    }
    script = "if [ $one ]; then cp $one /pfs/out/one; else cp $two /pfs/out/two; fi"
    data.pipeline("made", script, input=source)
    before = jobs(data)
    data.engine.pipelines.stop_pipeline("made")
    data.put("data", {"a": "aside\n"}, branch="other")
    data.engine.pipelines.start_pipeline("made")
    aside = jobs(data)
    data.engine.pipelines.stop_pipeline("made")
    data.put("data", {"a": "again\n"})
    data.put("data", {"a": "staged again\n"}, branch="staging")

    data.engine.pipelines.start_pipeline("made")

    assert aside == before
    assert len(jobs(data)) == len(before) + 1
    assert data.tree("made") == {"one": "again\n", "two": "staged again\n"}


def test_starting_twice_makes_no_second_job(data) -> None:
    data.pipeline("made", "cat $data/* > /pfs/out/all", glob="/")
    before = jobs(data)
    data.engine.pipelines.stop_pipeline("made")
    data.engine.pipelines.stop_pipeline("made")
    data.put("data", {"a": "second\n"})

    data.engine.pipelines.start_pipeline("made")
    data.engine.pipelines.start_pipeline("made")

    assert len(jobs(data)) == len(before) + 1
    assert data.tree("made") == {"all": "second\n"}


def test_a_restart_of_the_server_in_between_changes_nothing(data, open_engine) -> None:
    data.pipeline("made", "cat $data/* > /pfs/out/all", glob="/")
    before = jobs(data)
    data.engine.pipelines.stop_pipeline("made")
    data.put("data", {"a": "second\n"})
    data.engine.close()
    again = open_engine(home=data.home)
    again.put("data", {"a": "third\n"})
    stopped = jobs(again)

    again.engine.pipelines.start_pipeline("made")

    assert stopped == before
    assert len(jobs(again)) == len(before) + 1
    assert again.tree("made") == {"all": "third\n"}


def test_what_is_committed_while_it_starts_is_processed_once(data) -> None:
    """One job to catch up, and one for each commit after it; whatever comes first."""
    data.pipeline("made", "cat $data/* > /pfs/out/all", glob="/")
    before = jobs(data)
    data.engine.pipelines.stop_pipeline("made")
    data.put("data", {"a": "missed\n"})
    both = threading.Barrier(2)

    def commit() -> None:
        both.wait()
        for number in range(5):
            data.put("data", {"a": f"{number}\n"})

    writer = threading.Thread(target=commit)
    writer.start()
    both.wait()
    data.engine.pipelines.start_pipeline("made")
    writer.join()

    made = jobs(data)[: -len(before)]
    read = [c.id for c in data.engine.commits.list_commits("data", to="master")]
    assert made[-1] not in read  # the one that caught up is of the run that starting made
    assert made[:-1] == read[: len(made) - 1]
    assert data.tree("made") == {"all": "4\n"}


def test_what_reads_its_output_has_one_job_too(data) -> None:
    data.pipeline("made", "cat $data/* > /pfs/out/all", glob="/")
    data.pipeline("below", "cat $made/* > /pfs/out/all", source="made", glob="/")
    before = jobs(data, "below")
    data.engine.pipelines.stop_pipeline("made")
    for number in range(3):
        data.put("data", {"a": f"{number}\n"})

    data.engine.pipelines.start_pipeline("made")

    assert len(jobs(data, "below")) == len(before) + 1
    assert data.tree("below") == {"all": "2\n"}
