"""Runs the command line in this process, against operations that return fixed values.

The stub stands for a server: it records what it was asked and answers with model values, those of
the tutorial of Pachyderm 1.7 as it ran for real.
"""

import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cli_answers import (
    NOW,
    PROFILE,
    RUN,
    Answers,
    before,
    commit,
    explanations,
    file,
    job,
    tutorial,
)

from trunkline.api.changes import PutFile, write_changes
from trunkline.api.connection import NOUNS
from trunkline.cli.main import main
from trunkline.cli.session import Link, Session
from trunkline.errors import TrunklineError, Unavailable
from trunkline.model.admin import Damage, FsckReport, ServerStatus, ServerVersion, Setting, Upkeep
from trunkline.model.audit import AuditEntry
from trunkline.model.defaults import AffectedPipeline, DefaultsChange, DefaultsInfo
from trunkline.model.images import ContainerEngineInfo
from trunkline.model.jobs import (
    JobInfo,
    JobState,
)
from trunkline.model.pipelines import GitLook
from trunkline.model.plans import Plan
from trunkline.model.retention import RetentionInfo, RetentionReport
from trunkline.model.runs import RunDetails, RunStep
from trunkline.model.secrets import SecretInfo
from trunkline.model.tokens import NewToken, TokenInfo
from trunkline.model.versions import (
    CommitInfo,
    CommitName,
    FileInfo,
    FileSetInfo,
    FileType,
    Retention,
    RunInfo,
)

GOLDEN = Path(__file__).parent / "golden"


_ENTRY = AuditEntry(
    number=1,
    time=before(60),
    token="ci",
    door="http",
    operation="create_repo",
    target="training",
    outcome="ok",
)
_SECRET = SecretInfo(name="db", type="Opaque", created=before(60), keys=("password", "user"))


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
            if self._name == "lineage":
                return self._stub.explained.get(operation, ())
            if self._name == "retention":
                return _about_retention(operation, taken, arguments)
            if self._name == "defaults":
                return _about_defaults(operation, given=arguments)
            if self._name == "secrets":
                return [_SECRET] if operation == "list_secrets" else _SECRET
            if self._name == "audit":
                return [_ENTRY]
            if self._name == "tokens":
                return _about_tokens(operation, taken, arguments)
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


def _about_tokens(operation: str, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
    lasts_s = given.get("lasts_s")
    token = TokenInfo(
        name=args[0] if args else "ci",
        role=given.get("role", "writer"),
        created=before(60),
        expires=None if lasts_s is None else NOW + timedelta(seconds=lasts_s),
        used=None,
    )
    if operation == "create_token":
        return NewToken(info=token, secret="trunkline_shown")
    return [token] if operation == "list_tokens" else token


def _rules(repo: str = "training", branch: str = "master") -> RetentionInfo:
    return RetentionInfo(repo=repo, branch=branch, rules=Retention(last=10, daily=7), created=NOW)


def _about_retention(operation: str, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
    if operation == "apply_retention":
        return RetentionReport(
            repo=args[0],
            branch=args[1],
            dry_run=given["dry_run"],
            kept=1,
            removed=0,
            commits=(),
            deletions=(),
        )
    return [_rules(*args)] if operation == "list_retention" else _rules(*args)


def _about_defaults(operation: str, given: dict[str, Any]) -> DefaultsInfo | DefaultsChange:
    if operation == "inspect_defaults":
        return DefaultsInfo(project=given["project"], spec={"datumTries": 7}, changed=NOW)
    affected = (
        AffectedPipeline(name="inference", fields=("datum_tries", "transform")),
        AffectedPipeline(name="train", fields=(), problem="contradictory strategies"),
    )
    return DefaultsChange(
        project=given["project"],
        affected=affected,
        regenerated=given.get("regenerate", False),
        dry_run=given.get("dry_run", False),
    )


class StubOperations:
    """Operations that are answered from fixed values."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.explained: dict[str, Any] = dict(explanations)
        self.failures: dict[str, TrunklineError] = {}
        self.closed = False
        self.status = STATUS
        self.containers = ContainerEngineInfo(
            runtime="auto", name="Docker 26.1.5", socket="/var/run/docker.sock", problem=""
        )
        for noun in NOUNS:
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
            case "list_projects":
                return found.projects
            case "inspect_project":
                return next(info for info in found.projects if info.name == args[0])
            case "list_repos":
                return found.repos
            case "inspect_repo":
                return next(info for info in found.repos if info.name == args[0])
            case "list_tags":
                return found.tags
            case "inspect_tag" | "create_tag":
                return found.tags[0]
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
            case "list_all_commits":
                return iter(found.commits)
            case "list_purged":
                return iter(())
            case "purge":
                return found.purge
            case "undelete":
                return found.undeleted
            case "squash_run" | "squash_commit" | "drop_run" | "drop_commit":
                return found.deleted
            case "list_runs":
                return [self._run()]
            case "create_file_set":
                return FileSetInfo(root="c0de" * 16, files=1, size_bytes=1)
            case "read_file":
                return iter([found.content[:5], found.content[5:]])
            case "read_tree":
                above = f"{found.top.path}/".lstrip("/") if found.top else ""
                names = [info.path.removeprefix(above) for info in found.files]
                return write_changes(PutFile(path=n, content=[found.content]) for n in names)
            case "read_tar":
                return iter([b"an ", b"archive"])
            case "list_paths":
                return iter([b"a\n", b"b/c\n"])
            case "inspect_file":
                return found.top or found.files[0]
            case "list_files" | "glob_files":
                return iter(found.files)
            case "diff_files":
                return iter(found.differences)
            case "diff_contents":
                return iter(found.contents)
            case "list_file_versions":
                return iter(found.versions)
            case "list_pipelines":
                return found.pipelines
            case "inspect_pipeline" | "create_pipeline":
                return found.pipelines[0]
            case "plan_pipelines":
                return Plan(jobs=(), stopped=(), deleted=(), expected_s=None, work=False)
            case "validate_specs":
                return found.drafts
            case _:
                return self._answer_work(operation, args, given)

    def _answer_work(self, operation: str, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        found = self.answers
        match operation:
            case "diff_pipeline":
                return found.pipeline_difference
            case "list_jobs":
                return iter(self._jobs(given))
            case "inspect_run":
                return self._run_details()
            case "run_cron":
                return self._run()
            case "run_git":
                return GitLook(run=self._run().id, gits=())
            case "inspect_job":
                of, _, run = args[0].partition("@")
                return next(j for j in found.jobs if (j.pipeline, j.id) == (of, run))
            case "flush_jobs":
                return iter(j for j in found.jobs if j.state.ended)
            case "list_workers":
                return found.workers
            case "profile_job":
                return PROFILE
            case "list_outputs":
                return [file("test1.csv", 19)]
            case "list_datums" | "preview_datums":
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
                return self.status
            case "settings":
                return [Setting(variable="TRUNKLINE_X", value="1", meaning="of x", by_default=True)]
            case "inspect_container_engine":
                return self.containers
            case "disk_usage":
                return []
            case "fsck":
                return found.report
            case _:
                return None

    def _jobs(self, given: dict[str, Any]) -> Iterator[JobInfo]:
        for info in self.answers.jobs:
            of, run = given.get("pipeline"), given.get("run")
            if of in (None, info.pipeline) and run in (None, info.id):
                yield info

    def _run_details(self) -> RunDetails:
        step = partial(
            RunStep,
            branch="master",
            reason="",
            created=before(60),
            skipped=2,
            failed=0,
            recovered=0,
            waits_for=(),
        )
        steps = (
            step(
                repo="training",
                pipeline=None,
                state="finished",
                ready=before(60),
                started=before(60),
                finished=before(59),
                waited_s=0,
                ran_s=1,
                total=0,
                processed=0,
                reads=(),
            ),
            step(
                repo="inference",
                pipeline="inference",
                state="success",
                ready=before(59),
                started=before(58.75),
                finished=before(2),
                waited_s=0.25,
                ran_s=56.75,
                total=5,
                processed=3,
                reads=(CommitName(repo="training", id=RUN),),
            ),
        )
        run = self._run()
        return RunDetails(
            id=run.id,
            state=run.state,
            created=run.created,
            finished=run.finished,
            duration_s=58,
            commits=run.commits,
            jobs=run.jobs,
            steps=steps,
            critical_path=("training", "inference"),
        )

    def _run(self) -> RunInfo:
        return RunInfo(
            id=RUN,
            state="success",
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
    limits="control groups (version 2) for memory and CPU time",
    catalog="the database /data/catalog.db",
    packs="/data/store",
    upkeep=Upkeep(collected=before(3600), freed_bytes=4096, backed_up=before(7200), backup="/safe"),
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
        self.local, self.terminal = True, False
        self.project = "default"  # of the environment or context
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
            find_project=lambda _: self.project,
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
