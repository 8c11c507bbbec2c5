"""Runs the command line in this process, against operations that return fixed values.

The stub stands for a server: it records what it was asked and answers with model values, those of
the tutorial of Pachyderm 1.7 as it ran for real.
"""

import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trunkline.api.changes import PutFile, write_changes
from trunkline.cli.main import main
from trunkline.cli.session import Link, Session
from trunkline.errors import TrunklineError, Unavailable
from trunkline.model.admin import Damage, FsckReport, ServerStatus, ServerVersion
from trunkline.model.jobs import (
    DatumInfo,
    DatumInput,
    DatumState,
    JobInfo,
    JobState,
    LogLine,
    WorkerInfo,
)
from trunkline.model.pipelines import PipelineDraft, PipelineInfo, PipelineState
from trunkline.model.versions import (
    BranchInfo,
    BranchName,
    CommitInfo,
    CommitName,
    FileDifference,
    FileInfo,
    FileSetInfo,
    FileType,
    Origin,
    RepoInfo,
    RunInfo,
    Side,
)

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
RUN = "5c0606144d234fa09d25e682589b0a8b"
OLD_RUN = "c3212f2403b44754bb11676f3cbb4ed2"
PARENT = "9647421a4f1b4e6395cf311b2d5d0666"
SPECS = ("9c2b09501ec847f99a603e0e87ec2599", "c306fc42a3e64d23ac2501d7f03611c4")
GOLDEN = Path(__file__).parent / "golden"

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


@dataclasses.dataclass
class Answers:
    """What the stub returns; a test replaces what it needs."""

    repos: list[RepoInfo]
    branches: list[BranchInfo]
    commits: list[CommitInfo]
    jobs: list[JobInfo]
    pipelines: list[PipelineInfo]
    datums: list[DatumInfo]
    files: list[FileInfo]
    differences: list[FileDifference]
    workers: list[WorkerInfo]
    logs: list[LogLine]
    drafts: list[PipelineDraft]
    top: FileInfo | None = None  # what inspect_file finds, if not the first file
    content: bytes = b"Iris-versicolor\nIris-virginica\n"
    report: FsckReport = dataclasses.field(
        default_factory=lambda: FsckReport(commits=1, files=2, chunks=3, bytes_read=4, damages=())
    )


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


class Noun:
    """The operations of one noun: records the call, then answers or fails as it was told to."""

    def __init__(self, stub: "StubOperations", name: str) -> None:
        self._stub = stub
        self._name = name

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(*args: object, **arguments: object) -> Any:
            taken = tuple(_as_data(arg) for arg in args)
            self._stub.calls.append((operation, taken, arguments))
            failure = self._stub.failures.get(operation)
            if failure is not None:
                raise failure
            return self._stub.answer(operation, taken, arguments)

        return call


def _as_data(argument: object) -> object:
    """A stream of changes, read to its end as a server would."""
    if isinstance(argument, (str, int, dict)) or argument is None:
        return argument
    assert isinstance(argument, Iterable)
    return [
        dataclasses.replace(change, content=[b"".join(change.content)])
        if isinstance(change, PutFile)
        else change
        for change in argument
    ]


class StubOperations:
    """Operations that are answered from fixed values."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.failures: dict[str, TrunklineError] = {}
        self.closed = False
        nouns = ("repos", "branches", "commits", "files", "pipelines", "jobs", "datums", "admin")
        for noun in nouns:
            setattr(self, noun, Noun(self, noun))

    def close(self) -> None:
        self.closed = True

    def called(self, operation: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of the one call of an operation."""
        found = [call for call in self.calls if call[0] == operation]
        assert len(found) == 1, f"{operation} was called {len(found)} times: {self.calls}"
        return found[0][1:]

    def all_called(self, operation: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [call[1:] for call in self.calls if call[0] == operation]

    def answer(self, operation: str, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        found = self.answers
        match operation:
            case "list_repos":
                return found.repos
            case "inspect_repo":
                return next(info for info in found.repos if info.name == args[0])
            case "list_branches":
                return found.branches
            case "inspect_branch" | "create_branch":
                return found.branches[0]
            case "list_commits" | "flush_commits" | "subscribe_commits":
                return iter(found.commits)
            case "inspect_commit":
                same = [c for c in found.commits if (c.repo, c.id) == args]
                return same[0] if same else found.commits[0]
            case "start_commit" | "finish_commit" | "modify_files":
                return found.commits[0]
            case "list_runs":
                return [self._run()]
            case "inspect_run":
                return self._run()
            case "create_file_set":
                return FileSetInfo(root="c0de" * 16, files=1, size_bytes=1)
            case "read_file":
                return iter([found.content[:5], found.content[5:]])
            case "read_tree":
                above = f"{found.top.path}/".lstrip("/") if found.top else ""
                names = [info.path.removeprefix(above) for info in found.files]
                return write_changes(PutFile(path=n, content=[found.content]) for n in names)
            case "inspect_file":
                return found.top or found.files[0]
            case "list_files" | "glob_files":
                return iter(found.files)
            case "diff_files":
                return iter(found.differences)
            case "list_pipelines":
                return found.pipelines
            case "inspect_pipeline" | "create_pipeline":
                return found.pipelines[0]
            case "validate_specs":
                return found.drafts
            case _:
                return self._answer_work(operation, args, given)

    def _answer_work(self, operation: str, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        found = self.answers
        match operation:
            case "list_jobs":
                return iter(self._jobs(given))
            case "inspect_job":
                of, _, run = args[0].partition("@")
                return next(j for j in found.jobs if (j.pipeline, j.id) == (of, run))
            case "flush_jobs":
                return iter(j for j in found.jobs if j.state.ended)
            case "list_workers":
                return found.workers
            case "list_datums":
                return iter(found.datums)
            case "inspect_datum":
                return found.datums[0]
            case "restart_datums":
                return 1
            case "get_logs":
                return iter(found.logs)
            case "version":
                return ServerVersion(version="0.1.0", format=1)
            case "status":
                return STATUS
            case "fsck":
                return found.report
            case _:
                return None

    def _jobs(self, given: dict[str, Any]) -> Iterator[JobInfo]:
        for info in self.answers.jobs:
            of, run = given.get("pipeline"), given.get("run")
            if of in (None, info.pipeline) and run in (None, info.id):
                yield info

    def _run(self) -> RunInfo:
        return RunInfo(
            id=RUN,
            created=before(60),
            finished=before(2),
            commits=(
                CommitName(repo="training", id=RUN),
                CommitName(repo="inference", id=RUN),
            ),
            jobs=("inference",),
        )


STATUS = ServerStatus(
    version="0.1.0",
    pid=4711,
    home="/data",
    address="unix:///data/server.sock",
    uptime_s=65.0,
    repos=3,
    pipelines=2,
    jobs_running=1,
    workers=2,
    stored_bytes=2048,
    free_bytes=1024**3,
    isolation="namespace",
)


@dataclasses.dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


class CommandLine:
    """One user at one machine: types commands, reads what is printed."""

    def __init__(
        self, stub: StubOperations, capture: pytest.CaptureFixture[bytes], patch: pytest.MonkeyPatch
    ) -> None:
        self.stub = stub
        self.local = True
        self.terminal = False
        self.opened: list[str | None] = []  # the contexts that connections were opened to
        self._capture = capture
        self._patch = patch

    def __call__(self, *words: str, program: str = "pachctl", stdin: bytes | None = None) -> Result:
        typed = io.TextIOWrapper(io.BytesIO(stdin or b""), encoding="utf-8")
        self._patch.setattr("sys.stdin", typed)
        session = Session(
            program=program,
            open_link=self._open,
            clock=lambda: NOW,
            terminal=self.terminal,
        )
        status = main(words, session)
        out, err = self._capture.readouterr()
        return Result(status, out.decode("utf-8"), err.decode("utf-8"))

    def _open(self, context: str | None) -> Link:
        self.opened.append(context)
        return Link(operations=self.stub, local=self.local)  # type: ignore[arg-type]


@pytest.fixture
def stub() -> StubOperations:
    return StubOperations(tutorial())


@pytest.fixture
def cli(
    stub: StubOperations,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> CommandLine:
    return CommandLine(stub, capsysbinary, monkeypatch)


@pytest.fixture
def make_file() -> Callable[..., FileInfo]:
    def make(path: str, *, directory: bool = False) -> FileInfo:
        return file(path, 31, FileType.DIR if directory else FileType.FILE)

    return make


@pytest.fixture
def make_job() -> Callable[..., JobInfo]:
    def make(of: str, state: str, **changes: Any) -> JobInfo:
        return job(of, RUN, JobState(state), age_s=14, took_s=13, **changes)

    return make


@pytest.fixture
def make_commit() -> Callable[..., CommitInfo]:
    def make(of: str, **changes: Any) -> CommitInfo:
        return commit(of, RUN, age_s=14, took_s=13, **changes)

    return make


@pytest.fixture
def make_damage() -> Callable[..., FsckReport]:
    def make(thing: str, problem: str, *hits: str) -> FsckReport:
        damage = Damage(thing=thing, problem=problem, hits=hits)
        return FsckReport(commits=1, files=2, chunks=3, bytes_read=4, damages=(damage,))

    return make


@pytest.fixture
def make_failure() -> Callable[[str], TrunklineError]:
    return Unavailable
