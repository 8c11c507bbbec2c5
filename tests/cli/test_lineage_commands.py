"""How the answers of why, impact and explain look."""

import dataclasses

from cli_answers import NOW, RUN

from trunkline.model.jobs import DatumInput
from trunkline.model.lineage import DatumOrigin, ImpactStep, PutOrigin, WhyStep
from trunkline.model.versions import FileInfo, FileType


def file(repo: str, path: str, kind: FileType = FileType.FILE) -> FileInfo:
    return FileInfo(repo=repo, commit=RUN, path=path, type=kind, size_bytes=2048, digest="ab" * 32)


def step(number: int, parent: int, depth: int, **more: object) -> WhyStep:
    empty = {"file": None, "input": "", "datum": None, "put": None, "same_as": 0, "remark": ""}
    return WhyStep(number=number, parent=parent, depth=depth, **{**empty, **more})


ORIGIN = DatumOrigin(
    id="cd" * 32,
    job=f"train@{RUN}",
    skipped=True,
    made_by=f"train@{'0' * 32}",
    made=NOW,
    pipeline_version=3,
    spec_commit="1" * 32,
    code="ef" * 32,
    image="iris:1",
    cmd=("/bin/sh",),
    stdin=("python3 /code/train.py",),
)


def test_why_is_a_tree(cli, stub) -> None:
    put = PutOrigin(repo="training", commit=RUN, finished=NOW, description="by hand")
    stub.explained["why_file"] = [
        step(1, 0, 0, file=file("train", "model")),
        step(2, 1, 0, datum=ORIGIN),
        step(3, 2, 1, file=file("training", "", FileType.DIR), input="training", put=put),
        step(4, 2, 1, file=file("training", "x"), input="more", remark="gone"),
        step(5, 2, 1, file=file("training", "y"), input="more", same_as=3),
    ]

    result = cli("why", "train@master:/model")

    assert result.out.splitlines() == [
        f"train@{RUN}:/model (2KiB, abababababab)",
        f"  datum cdcdcdcdcdcd of train@{RUN}, skipped: train@{'0' * 32} ran it "
        "Less than a second ago",
        f"    version 3 (__spec__@{'1' * 32}), code efefefefefef, image iris:1",
        "    cmd /bin/sh <<< python3 /code/train.py",
        f"    training: training@{RUN}:/ (2KiB, abababababab)",
        f"      put in training@{RUN} Less than a second ago: by hand",
        f"    more: training@{RUN}:/x (2KiB, abababababab)",
        "      gone",
        f"    more: training@{RUN}:/y (2KiB, abababababab); told above",
    ]


def test_impact_adds_up_what_it_lists(cli, stub) -> None:
    job = {
        "job": f"train@{RUN}",
        "pipeline_version": 1,
        "state": "success",
        "depth": 1,
        "datums": 2,
        "datums_total": 3,
        "skipped": 1,
        "files": 1,
        "size_bytes": 2048,
        "datum": "",
        "file": None,
        "remark": "",
    }
    one = {**job, "datum": "cd" * 32, "file": file("train", "model")}
    stub.explained["impact_of_file"] = [ImpactStep(**job), ImpactStep(**one)]

    result = cli("impact", "training@master:/x", "--files")

    assert result.out.splitlines() == [
        f"train@{RUN} success: 2 of 3 datums (1 skipped) wrote 1 file (2KiB)",
        f"  train@{RUN}:/model (2KiB, abababababab) by datum cdcdcdcdcdcd",
        "in all: 1 job, 2 datums, 1 file (2KiB)",
    ]
    stub.explained["impact_of_file"] = []
    assert cli("impact", "training@master:/x").out == "no datum of any job read it\n"
    assert cli("impact", "training@master:/x", "-o", "json").out == "[]\n"


def test_explain_names_what_differs(cli, stub) -> None:
    assert cli("explain", "job", f"train@{RUN}").out.splitlines() == [
        f"job train@{RUN} (version 2): success",
        "  a sentence",
        f"since job train@{'0' * 32}:",
        f"  commit training@master: {'0' * 32} → {RUN}",
        "  env A: 1",
        "  code /train.py: gone",
        "  a user asked for everything to be computed anew",
        "2 datums changed: code, input, e.g. bbbbbbbbbbbb",
        "1 datum skipped, e.g. cccccccccccc",
    ]
    assert cli("explain", "datum", f"train@{RUN}", "bbbb").out.splitlines() == [
        f"datum bbbbbbbbbbbb of train@{RUN} (success): changed",
        "  it differs",
        "    env A: 1",
        "    code /train.py: gone",
        "    a user asked for everything to be computed anew",
    ]
    assert cli("explain", "pipeline", "train").out.splitlines() == [
        "pipeline train is running",
        "  a sentence",
    ]


def test_a_question_needs_a_file(cli, stub) -> None:
    result = cli("why", "train@master")

    assert result.status == 2
    assert "does not name a file; write repo@branch:/path" in result.err
    assert cli("why", "train@master:/x", "--depth", "-1").status == 2


def test_a_datum_of_very_many_files_shows_the_first(cli, stub) -> None:
    reason = stub.explained["explain_datum"]
    given = DatumInput(
        name="days", repo="days", commit=RUN, path="x", type="file", size_bytes=1, digest="ab" * 32
    )
    stub.explained["explain_datum"] = dataclasses.replace(
        reason, inputs=(given,) * 1030, changes=reason.changes * 10
    )

    lines = cli("explain", "datum", f"train@{RUN}", "bbbb").out.splitlines()

    assert lines[1] == f"  days: days@{RUN}:/x"
    assert lines[21:24] == ["  and 1,010 more", "  it differs", "    env A: 1"]
    assert lines[-1] == "    and 10 more"


def test_a_profile_says_how_long_datums_took_and_what_failed(cli):
    result = cli("profile", "job", "inference", program="trunkline")

    assert result.out.splitlines() == [
        f"60 datums of inference@{RUN} ended",
        "half took at most 1.00 s, 95 % at most 1.90 s, the longest 2.00 s",
        "",
        "WORKER                       DATUMS  FAILED  BUSY",
        "pipeline-inference-v1-abcde  60      2       29.5 s",
        "",
        "FAILED  EXAMPLE       MESSAGE",
        "2       bbbbbbbbbbbb  exit 3 no petals",
    ]


def test_datums_and_jobs_are_asked_for_by_state(cli, stub):
    cli(
        "list", "datum", f"inference@{RUN}", "--state", "failed", "--grep", "x", program="trunkline"
    )
    cli("list", "job", "--state", "failure", "--before", f"train@{RUN}", program="trunkline")

    assert stub.called("list_datums")[1] == {
        "states": ["failed"],
        "text": "x",
        "page": 0,
        "page_size": 0,
    }
    asked = stub.called("list_jobs")[1]
    assert (asked["states"], asked["before"]) == (["failure"], f"train@{RUN}")
