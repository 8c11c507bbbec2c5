"""`plan` and `explain` look at what changed of a large job; counted in segments that they read."""

import pytest
from tests.engine.conftest import Driver

from trunkline.api.changes import DeleteFile, FileChange, PutFile
from trunkline.engine import causes as causes_of
from trunkline.jobs import plan, replanning, search
from trunkline.model.lineage import JobReason
from trunkline.model.plans import PlannedJob

FILES = 120
DATUMS_OF_A_SEGMENT = 3
COPY = "cp $data /pfs/out/"


def put(**files: str) -> list[FileChange]:
    return [PutFile(path=path, content=[text.encode()]) for path, text in files.items()]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was decoded of plans; segments have few datums."""
    found: list[bytes] = []
    rooms = (
        (replanning, "StoredDatums"),
        (search, "segment_in_job"),
        (causes_of, "outlines_of_segment"),
    )
    for room, name in rooms:
        real = getattr(room, name)

        def noted(data: bytes, *args: object, real=real, **kwargs: object):
            found.append(data)
            return real(data, *args, **kwargs)

        monkeypatch.setattr(room, name, noted)
    monkeypatch.setattr(plan, "SEGMENT_DATUMS", DATUMS_OF_A_SEGMENT)
    monkeypatch.setattr(replanning, "SEGMENT_DATUMS", DATUMS_OF_A_SEGMENT)
    return found


@pytest.fixture
def large(engine: Driver, read: list[bytes]) -> Driver:
    """data → one → two with a good job over many segments in each."""
    engine.engine.repos.create_repo("data")
    engine.put("data", {f"f{n:03}": f"{n}\n" for n in range(FILES)})
    engine.pipeline("one", COPY)
    engine.pipeline("two", "cp $one /pfs/out/", source="one")
    assert engine.job("two").state == "success"
    read.clear()
    return engine


def counted(job: PlannedJob) -> tuple[int, ...]:
    return (job.total, job.new, job.changed, job.removed, job.skipped, job.may_change)


def causes(reason: JobReason) -> list[tuple[str, tuple[str, ...], int]]:
    return [(found.cause.value, found.parts, found.datums) for found in reason.causes]


def test_a_plan_reads_the_segments_that_change(large: Driver, read: list[bytes]) -> None:
    changes = [*put(f007="boar\n", f061x="x\n"), DeleteFile(path="f118")]

    one, two = large.engine.plans.plan_files("data", "master", changes).jobs

    assert counted(one) == (FILES, 1, 1, 1, FILES - 2, 0)
    assert counted(two) == (FILES, 0, 0, 0, 0, FILES)
    assert one.size_bytes == len("boar\n") + len("x\n")
    assert two.size_bytes == sum(len(f"{n}\n") for n in range(FILES))
    assert len(read) == 3  # those that change


def test_a_plan_of_nothing_reads_no_segment(large: Driver, read: list[bytes]) -> None:
    plan = large.engine.plans.plan_files("data", "master", put(f007="7\n"))

    assert [counted(job) for job in plan.jobs] == [(FILES, 0, 0, 0, FILES, 0)] * 2
    assert not plan.work
    assert not read


def test_a_job_is_explained_by_the_segments_that_it_does_not_share(
    large: Driver, read: list[bytes]
) -> None:
    large.put("data", {"f007": "boar\n", "f061x": "x\n"})
    job = large.job("one")
    assert job.state == "success"
    assert large.job("two").state == "success"  # its plan reads segments too
    read.clear()

    reason = large.engine.lineage.explain_job(f"one@{job.id}")

    assert causes(reason) == [
        ("skipped", (), FILES - 1),
        ("changed", ("input",), 1),
        ("new", (), 1),
    ]
    # The two of this job, what they were in the one before, and one for an example.
    assert len(read) <= 2 + 2 + 1


def test_the_first_job_is_explained_by_one_datum(large: Driver, read: list[bytes]) -> None:
    reason = large.engine.lineage.explain_job(f"one@{large.job('one').id}")

    assert causes(reason) == [("new", (), FILES)]
    assert len(read) == 1  # for an example


@pytest.mark.parametrize("at_once", [40, 1000])
def test_of_many_datums_that_were_run_a_part_is_compared_and_the_whole_by_request(
    large: Driver, read: list[bytes], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(causes_of, "COMPARED", 30)
    monkeypatch.setattr(causes_of, "AT_ONCE", at_once)  # 40: each plan is gone through again
    puts = {f"a{n:03}": f"{n}\n" for n in range(12)} | {"f001": "bear\n", "f110": "bear\n"}
    for name in ("two", "one"):
        large.engine.pipelines.stop_pipeline(name)
    large.put("data", puts)
    large.pipeline("one", f"{COPY}; true", update=True)
    large.engine.pipelines.start_pipeline("one")
    job = large.job("one")
    read.clear()

    reason = large.engine.lineage.explain_job(f"one@{job.id}")

    assert causes(reason) == [  # of the first 30 of either job 18 are in both
        ("run", (), FILES + 12 - 18),
        ("changed", ("stdin",), 17),
        ("changed", ("input", "stdin"), 1),
    ]
    assert len(read) <= 2 * 30 / DATUMS_OF_A_SEGMENT + 1

    whole = large.engine.lineage.explain_job(f"one@{job.id}", whole=True)

    assert causes(whole) == [
        ("changed", ("stdin",), FILES - 2),
        ("new", (), 12),
        ("changed", ("input", "stdin"), 2),
    ]


def test_a_new_datum_is_looked_for_in_each_segment_once(large: Driver, read: list[bytes]) -> None:
    for text in ("boar\n", "bear\n", "bee\n"):
        large.put("data", {"f007": text})
        assert large.job("one").state == "success"
    large.put("data", {"f061x": "x\n"})
    job = large.job("one")
    looked: list[str] = []
    real = search.PlanReader._bytes
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            search.PlanReader,
            "_bytes",
            lambda self, chunk: looked.append(chunk) or real(self, chunk),
        )
        [reason] = large.engine.lineage.explain_file("one", "master", "f061x")

    assert job.state == "success"
    assert reason.cause == "new"
    segments = FILES // DATUMS_OF_A_SEGMENT
    assert len(looked) <= 3 * segments  # this plan twice at most, and those before: not four times


def test_a_plan_of_a_join_and_a_group_reads_the_segments_that_have_a_key(
    engine: Driver, read: list[bytes]
) -> None:
    for repo in ("one", "two"):
        engine.engine.repos.create_repo(repo)
        engine.put(repo, {f"f{n:03}": f"{n}\n" for n in range(FILES)})
    leaf = {"glob": "/(*)", "join_on": "$1", "group_by": "$1"}
    sides = [{"pfs": {"repo": repo, **leaf}} for repo in ("one", "two")]
    sides[0]["pfs"]["outer_join"] = True
    engine.pipeline("join", "true", input={"join": sides})
    engine.pipeline("group", "true", input={"group": sides})
    assert engine.job("join").total == engine.job("group").total == FILES
    read.clear()
    changes = [*put(f007="boar\n", f061x="x\n"), DeleteFile(path="f118")]

    planned = engine.engine.plans.plan_files("two", "master", changes).jobs

    # The one of f118 alone is another datum of an outer join; in a group the key has lost a file.
    boar, alone, x = len("7\nboar\n"), len("118\n"), len("x\n")
    found = {job.pipeline: (*counted(job), job.size_bytes) for job in planned}
    assert found == {
        "join": (FILES, 1, 1, 1, FILES - 2, 0, boar + alone),
        "group": (FILES + 1, 1, 2, 0, FILES - 2, 0, boar + alone + x),
    }
    assert len(read) == 3 + 3  # of each key one, whether or not it has a datum there
