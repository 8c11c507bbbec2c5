"""What a server would answer: fixed values, those of the tutorial of Pachyderm 1.7 as it ran."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from trunkline.model.admin import FsckReport
from trunkline.model.differences import ContentDifference
from trunkline.model.jobs import (
    DatumInfo,
    DatumInput,
    DatumState,
    FailureGroup,
    JobInfo,
    JobProfile,
    JobState,
    LogLine,
    WorkerInfo,
    WorkSpan,
)
from trunkline.model.lineage import (
    Cause,
    CauseCount,
    ChangedPart,
    DatumReason,
    JobReason,
    PipelineReason,
)
from trunkline.model.pipelines import (
    CodeChange,
    PipelineDifference,
    PipelineDraft,
    PipelineInfo,
    PipelineState,
)
from trunkline.model.purges import KeptContent, PurgedRepo, PurgeReport
from trunkline.model.versions import (
    BranchInfo,
    BranchName,
    Change,
    CommitInfo,
    CommitName,
    DeletedInfo,
    FileDifference,
    FileInfo,
    FileType,
    FileVersion,
    Origin,
    ProjectInfo,
    RepoInfo,
    Side,
    TagInfo,
    UndeletedInfo,
)

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
RUN = "5c0606144d234fa09d25e682589b0a8b"
OLD_RUN = "c3212f2403b44754bb11676f3cbb4ed2"
PARENT = "9647421a4f1b4e6395cf311b2d5d0666"
SPECS = ("9c2b09501ec847f99a603e0e87ec2599", "c306fc42a3e64d23ac2501d7f03611c4")

_INFER_INPUT: dict[str, object] = {
    "cross": [
        {
            "atom": {
                "name": "attributes",
                "repo": "attributes",
                "branch": "master",
                "glob": "/*",
            }
        },
        {"atom": {"name": "train", "repo": "train", "branch": "master", "glob": "/"}},
    ]
}
INFER_SPEC: dict[str, object] = {
    "pipeline": {"name": "inference"},
    "input": _INFER_INPUT,
    "transform": {
        "image": "dwhitena/nb-to-prod:infer",
        "cmd": ["/bin/bash"],
        "stdin": ["python3 /code/infer.py /pfs/train/model.pt $attributes /pfs/out/"],
    },
    "parallelism_spec": {"constant": 3},
    "resource_requests": {"cpu": 0, "memory": "64M"},
}


def before(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def repo(name: str, age_s: float, size_bytes: int, description: str = "") -> RepoInfo:
    return RepoInfo(
        name=name,
        description=description,
        created=before(age_s),
        size_bytes=size_bytes,
        branches=("master",),
    )


def commit(
    repo_name: str, run: str, *, age_s: float, took_s: float | None, **changes: Any
) -> CommitInfo:
    fields: dict[str, Any] = {
        "repo": repo_name,
        "id": run,
        "branch": "master",
        "origin": Origin.AUTO,
        "parent": None,
        "description": "",
        "started": before(age_s),
        "finished": None if took_s is None else before(age_s - took_s),
        "size_bytes": 127,
        "files": 2,
        "root": "ab" * 32,
        "error": None,
        "provenance": (),
    }
    return CommitInfo(**{**fields, **changes})


def job(
    pipeline: str, run: str, state: JobState, *, age_s: float, took_s: float | None, **changes: Any
) -> JobInfo:
    fields: dict[str, Any] = {
        "id": run,
        "pipeline": pipeline,
        "pipeline_version": 1,
        "state": state,
        "reason": "",
        "output_repo": pipeline,
        "output_branch": "master",
        "spec_commit": SPECS[0],
        "parent": None,
        "created": before(age_s),
        "started": before(age_s),
        "finished": None if took_s is None else before(age_s - took_s),
        "restarts": 0,
        "processed": 0,
        "skipped": 0,
        "failed": 0,
        "recovered": 0,
        "total": 0,
        "downloaded_bytes": 0,
        "uploaded_bytes": 0,
        "download_s": 0.01,
        "process_s": 0.5,
        "upload_s": 0.01,
        "spec": {},
    }
    return JobInfo(**{**fields, **changes})


def pipeline(name: str, shorthand: str, age_s: float, **changes: Any) -> PipelineInfo:
    fields: dict[str, Any] = {
        "name": name,
        "version": 1,
        "state": PipelineState.RUNNING,
        "reason": "",
        "description": "",
        "input": shorthand,
        "output_branch": "master",
        "spec_commit": SPECS[0],
        "created": before(age_s),
        "spec": INFER_SPEC,
        "user_spec": INFER_SPEC,
        "code": "c0de" * 16,
        "salt": "",
        "runtime": "process",
        "workers": 3,
        "job_counts": {"success": 3},
        "recent_error": "",
        "warnings": (),
    }
    return PipelineInfo(**{**fields, **changes})


def datum(number: int, state: DatumState) -> DatumInfo:
    return DatumInfo(
        job=f"inference@{RUN}",
        id=f"{number:02x}" * 32,
        state=state,
        inputs=(
            DatumInput(
                name="attributes",
                repo="attributes",
                commit=OLD_RUN,
                path=f"test{number}.csv",
                type="file",
                size_bytes=96,
                digest="d1" * 32,
            ),
        ),
        tries=1,
        worker="pipeline-inference-v2-wrtn5",
        started=before(5),
        finished=before(3),
        downloaded_bytes=96,
        uploaded_bytes=85,
        download_s=0.2,
        process_s=2.0,
        upload_s=0.1,
        reason="",
    )


def file(path: str, size_bytes: int, kind: FileType = FileType.FILE) -> FileInfo:
    return FileInfo(
        repo="training",
        commit=RUN,
        path=path,
        type=kind,
        size_bytes=size_bytes,
        digest="f1" * 32,
    )


PURGE = PurgeReport(
    id=RUN,
    state="done",
    started=NOW,
    finished=NOW,
    reason="request 17",
    targets=("data:/x",),
    forget_names=False,
    copies=False,
    repos=(PurgedRepo(repo="data", derived=False, commits=2, files=3, size_bytes=4096),),
    open_changes=0,
    datums=0,
    results_forgotten=0,
    jobs_restarted=0,
    runs=(),
    contents=2,
    contents_erased=1,
    kept=(KeptContent(repo="b", path="y", commits=2, newest=RUN, what="commit"),),
    kept_total=1,
    freed_bytes=2048,
    remarks=("say so to whoever has a copy",),
)


@dataclasses.dataclass
class Answers:
    """What the stub returns; a test replaces what it needs."""

    repos: list[RepoInfo]
    branches: list[BranchInfo]
    commits: list[CommitInfo]
    jobs: list[JobInfo]
    pipelines: list[PipelineInfo]
    pipeline_difference: PipelineDifference
    datums: list[DatumInfo]
    files: list[FileInfo]
    differences: list[FileDifference]
    workers: list[WorkerInfo]
    logs: list[LogLine]
    drafts: list[PipelineDraft]
    contents: list[ContentDifference] = dataclasses.field(default_factory=list)
    versions: list[FileVersion] = dataclasses.field(default_factory=list)
    projects: list[ProjectInfo] = dataclasses.field(
        default_factory=lambda: [
            ProjectInfo(name="vision", description="street scenes", created=before(40)),
            ProjectInfo(name="default", description="", created=None),
        ]
    )
    tags: list[TagInfo] = dataclasses.field(
        default_factory=lambda: [
            TagInfo(repo="training", name="v1", commit=RUN, created=before(40))
        ]
    )
    top: FileInfo | None = None  # what inspect_file finds, if not the first file
    content: bytes = b"Iris-versicolor\nIris-virginica\n"
    report: FsckReport = dataclasses.field(
        default_factory=lambda: FsckReport(commits=1, files=2, chunks=3, bytes_read=4, damages=())
    )
    deleted: DeletedInfo | None = None
    undeleted: UndeletedInfo | None = None
    purge: PurgeReport = PURGE


def tutorial() -> Answers:
    """The state of the tutorial after its last step, as the transcript shows it."""
    states = [
        job("inference", RUN, JobState.STARTING, age_s=0.4, took_s=None),
        job("train", RUN, JobState.STARTING, age_s=0.4, took_s=None),
        job("pre_process", RUN, JobState.RUNNING, age_s=0.4, took_s=None, skipped=1, total=1),
        job(
            *("inference", PARENT, JobState.SUCCESS),
            age_s=14,
            took_s=13,
            skipped=2,
            total=2,
            process_s=0.0,
            spec=INFER_SPEC,
        ),
        job(
            *("pre_process", OLD_RUN, JobState.SUCCESS),
            age_s=39,
            took_s=5,
            processed=1,
            total=1,
            downloaded_bytes=4411,
            uploaded_bytes=11151,
        ),
    ]
    return Answers(
        repos=[
            repo("inference", 7, 127),
            repo("attributes", 25, 144),
            repo("training", 25, 4411, "measured flowers"),
        ],
        branches=_branches(),
        commits=_commits(),
        jobs=states,
        pipeline_difference=PipelineDifference(
            pipeline="inference",
            old_version=1,
            new_version=2,
            spec=("@@ -1,2 +1,2 @@", '-  "datum_tries": 3', '+  "datum_tries": 1'),
            packages_gone=("numpy==1.26.4",),
            packages_new=("numpy==2.1.0",),
            code=(
                CodeChange(
                    change=Change.CHANGED, path="a.py", old_digest="0a" * 32, new_digest="0b" * 32
                ),
                CodeChange(change=Change.ADDED, path="b.py", old_digest="", new_digest="0c" * 32),
            ),
            keeps_results=False,
        ),
        pipelines=[
            pipeline("inference", "(attributes:/* ⨯ train:/)", 16, version=2),
            pipeline("train", "pre_process:/", 34),
        ],
        datums=[datum(1, DatumState.SUCCESS), datum(2, DatumState.SKIPPED)],
        files=[file("iris.csv", 4411), file("more", 870, FileType.DIR)],
        differences=[
            FileDifference(side=Side.NEW, file=file("iris.csv", 4411)),
            FileDifference(side=Side.OLD, file=file("iris.csv", 4300)),
        ],
        workers=[
            _worker("pipeline-pre-process-v1-9btt7", "pre_process", 1, "Running", 26, ""),
            _worker("pipeline-inference-v2-wrtn5", "inference", 2, "Init:0/1", 1, RUN),
        ],
        logs=[_line("trained", user=True), _line("datum done", user=False)],
        drafts=[
            PipelineDraft(name="inference", spec=INFER_SPEC, code="", warnings=()),
        ],
    )


def _branches() -> list[BranchInfo]:
    return [
        BranchInfo(
            repo="training",
            name="master",
            head=RUN,
            provenance=(BranchName(repo="raw", branch="master"),),
            created=before(40),
        ),
        BranchInfo(repo="training", name="staging", head=None, provenance=(), created=before(90)),
    ]


def _commits() -> list[CommitInfo]:
    return [
        commit(
            "inference",
            RUN,
            age_s=1.2,
            took_s=0.6,
            parent=PARENT,
            provenance=(
                CommitName(repo="train", id=RUN),
                CommitName(repo="training", id=RUN),
                CommitName(repo="__spec__", id=SPECS[0]),
            ),
        ),
        commit("inference", PARENT, age_s=15, took_s=13),
        commit("inference", OLD_RUN, age_s=23, took_s=None, origin=Origin.USER),
    ]


def _worker(name: str, of: str, version: int, status: str, age_s: float, run: str) -> WorkerInfo:
    return WorkerInfo(
        name=name,
        pipeline=of,
        version=version,
        ready="1/1" if status == "Running" else "0/1",
        status=status,
        restarts=0,
        started=before(age_s),
        job=f"{of}@{run}" if run else "",
        datum="",
        runtime="process",
        pid=4711,
    )


def _line(message: str, *, user: bool) -> LogLine:
    return LogLine(
        time=before(3),
        pipeline="train",
        job=RUN,
        datum="01" * 32,
        worker="pipeline-train-v1-bcvg2",
        stream="stdout" if user else "worker",
        user=user,
        message=message,
    )


PROFILE = JobProfile(
    job=f"inference@{RUN}",
    datums=60,
    quantiles_s=tuple(n / 10 for n in range(21)),
    failures=(FailureGroup(message="exit 3\nno petals", datums=2, example="b" * 64),),
    failures_read=2,
    spans=(
        WorkSpan(
            worker="pipeline-inference-v1-abcde",
            started=before(60),
            finished=before(30),
            datums=60,
            failed=2,
            busy_s=29.5,
        ),
    ),
)
_CHANGES = (
    ChangedPart(part="commit", name="training@master", before="0" * 32, after=RUN),
    ChangedPart(part="env", name="A", before="", after="1"),
    ChangedPart(part="code", name="/train.py", before="a" * 64, after=""),
    ChangedPart(part="reprocess", name="", before="", after=""),
)
# What the questions of `explain` are answered, by operation.
explanations: dict[str, object] = {
    "explain_job": JobReason(
        job=f"train@{RUN}",
        pipeline_version=2,
        state="success",
        before=f"train@{'0' * 32}",
        changes=_CHANGES,
        causes=(
            CauseCount(cause=Cause.CHANGED, parts=("code", "input"), datums=2, example="b" * 64),
            CauseCount(cause=Cause.SKIPPED, parts=(), datums=1, example="c" * 64),
        ),
        sentences=("a sentence",),
    ),
    "explain_datum": DatumReason(
        job=f"train@{RUN}",
        datum="b" * 64,
        state="success",
        inputs=(),
        cause=Cause.CHANGED,
        made_by="",
        before=f"train@{'0' * 32}",
        changes=_CHANGES[1:],
        sentence="it differs",
    ),
    "explain_pipeline": PipelineReason(
        pipeline="train", state="running", job=f"train@{RUN}", sentences=("a sentence",)
    ),
}
