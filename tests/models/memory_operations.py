"""A small implementation of the operations in plain Python objects, to put behind a server.

Repos, files, commits on branches and a few streams are real; a job or log line is there once a
test adds it. What no test needs raises NotSupported.
"""

import fnmatch
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sized
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import blake3

from trunkline.api.changes import (
    CopyFile,
    DeleteFile,
    FileChange,
    PutFile,
    PutLocal,
    PutUrl,
    write_changes,
)
from trunkline.api.connection import NOUNS
from trunkline.api.waiting import check_wanted
from trunkline.errors import (
    AlreadyExists,
    BranchNotFound,
    FileNotFoundInCommit,
    InvalidInput,
    JobNotFound,
    NotFound,
    NotSupported,
    RepoNotFound,
    TimedOut,
    shown,
)
from trunkline.model.admin import ServerVersion
from trunkline.model.jobs import JobInfo, JobState, LogLine
from trunkline.model.names import check_name, check_path, project_of
from trunkline.model.pipelines import PipelineDraft, PipelineInfo, PipelineState
from trunkline.model.tokens import TokenInfo
from trunkline.model.versions import (
    CommitInfo,
    DeletedInfo,
    FileInfo,
    FileSetInfo,
    FileType,
    Origin,
    ProjectInfo,
    PutProgress,
    RepoInfo,
)

Tree = dict[str, bytes]


class MemoryOperations:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.trees: dict[str, dict[str, list[tuple[CommitInfo, Tree]]]] = {}
        self.descriptions: dict[str, str] = {}
        self.log: list[LogLine] = []
        self.states: dict[str, JobState] = {}
        self.created: dict[str, PipelineInfo] = {}
        self.file_sets: dict[str, Tree] = {}
        self.streams_open = 0
        self.closed = False
        self.known_tokens: dict[str, TokenInfo] = {}  # by digest
        self.noted: list[dict[str, str]] = []  # for the audit log
        self.repos = MemoryRepos(self)
        self.commits = MemoryCommits(self)
        self.files = MemoryFiles(self)
        self.pipelines = MemoryPipelines(self)
        self.jobs = MemoryJobs(self)
        self.datums = MemoryDatums(self)
        self.projects = MemoryProjects()
        self.admin = MemoryAdmin()
        for noun in NOUNS:
            if not hasattr(self, noun):
                setattr(self, noun, Refusing(noun))

    def find_token(self, digest: str) -> TokenInfo | None:
        return self.known_tokens.get(digest)

    def revision(self) -> int:
        return 0

    def note_change(self, **entry: str) -> None:
        self.noted.append(entry)

    def close(self) -> None:
        self.closed = True

    def wait_for(self, true: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Wait as an engine does: until it is true, the caller has gone, or the time is over."""
        left = timeout_s
        with self.changed:
            while not true():
                check_wanted()
                self.changed.wait(0.05)
                if left is not None:
                    left -= 0.05
                    if left <= 0:
                        raise TimedOut("it took too long")

    def wait_for_length(self, items: Callable[[], Sized], length: int) -> None:
        self.wait_for(lambda: len(items()) >= length)

    def say(self, message: str) -> None:
        """Add a line to the log."""
        line = LogLine(
            time=datetime.now(UTC),
            pipeline="p",
            job="j",
            datum="",
            worker="w",
            stream="stdout",
            user=True,
            message=message,
        )
        with self.changed:
            self.log.append(line)
            self.changed.notify_all()

    def history(self, repo: str, branch: str) -> list[tuple[CommitInfo, Tree]]:
        if repo not in self.trees:
            raise RepoNotFound(repo, list(self.trees))
        if branch in self.trees[repo]:
            return self.trees[repo][branch]
        for history in self.trees[repo].values():
            for number, (info, _) in enumerate(history):
                if info.id == branch:
                    return history[: number + 1]
        raise BranchNotFound(repo, branch, list(self.trees[repo]))

    def tree(self, repo: str, ref: str) -> tuple[CommitInfo, Tree]:
        return self.history(repo, ref)[-1]


class Refusing:
    def __init__(self, noun: str) -> None:
        self._noun = noun

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def refuse(**_: object) -> None:
            raise NotSupported(f"the model has no {self._noun}.{name}")

        return refuse


class Part(Refusing):
    def __init__(self, all_: MemoryOperations) -> None:
        super().__init__(type(self).__name__)
        self.all = all_


class MemoryRepos(Part):
    def create_repo(self, name: str, *, description: str = "", update: bool = False) -> None:
        check_name("repo", name)
        if name in self.all.trees and not update:
            raise AlreadyExists("repo", name)
        self.all.trees.setdefault(name, {})
        self.all.descriptions[name] = description

    def inspect_repo(self, name: str) -> RepoInfo:
        if name not in self.all.trees:
            raise RepoNotFound(name, list(self.all.trees))
        branches = self.all.trees[name]
        return RepoInfo(
            name=name,
            description=self.all.descriptions[name],
            created=datetime(2026, 1, 2, tzinfo=UTC),
            size_bytes=sum(len(c) for c in branches["master"][-1][1].values())
            if "master" in branches
            else 0,
            branches=tuple(branches),
        )

    def list_repos(self, *, project: str | None = None) -> list[RepoInfo]:
        names = [name for name in self.all.trees if project in (None, project_of(name))]
        return [self.inspect_repo(name) for name in names]

    def delete_repo(self, name: str, *, force: bool = False) -> DeletedInfo:
        self.inspect_repo(name)
        del self.all.trees[name]
        now = datetime(2026, 1, 2, tzinfo=UTC)
        return DeletedInfo(
            number=1,
            kind="repo",
            name=name,
            how="delete repo",
            deleted=now,
            expires=now,
            commits=0,
        )


class MemoryCommits(Part):
    def list_commits(
        self, repo: str, *, to: str | None = None, after: str | None = None, number: int = 0
    ) -> Iterator[CommitInfo]:
        for info, _ in reversed(self.all.history(repo, to or "master")):
            yield info

    def subscribe_commits(
        self,
        repo: str,
        branch: str,
        *,
        after: str | None = None,
        new: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[CommitInfo]:
        seen = len(self.all.history(repo, branch)) if new else 0
        self.all.streams_open += 1
        try:
            while True:
                self.all.wait_for_length(lambda: self.all.history(repo, branch), seen + 1)
                yield self.all.history(repo, branch)[seen][0]
                seen += 1
        finally:
            self.all.streams_open -= 1


class MemoryFiles(Part):
    def modify_files(
        self,
        repo: str,
        commit: str,
        changes: Iterable[FileChange],
        *,
        description: str = "",
        if_changed: bool = False,
        progress: str = "",
    ) -> CommitInfo:
        if repo not in self.all.trees:
            raise RepoNotFound(repo, list(self.all.trees))
        history = self.all.trees[repo].get(commit, [])
        tree = dict(history[-1][1]) if history else {}
        self._apply(tree, changes)
        now = datetime.now(UTC)
        info = CommitInfo(
            repo=repo,
            id=uuid.uuid4().hex,
            branch=commit,
            origin=Origin.USER,
            parent=history[-1][0].id if history else None,
            description=description,
            started=now,
            finished=now,
            size_bytes=sum(len(content) for content in tree.values()),
            files=len(tree),
            root="",
            error=None,
            provenance=(),
        )
        with self.all.changed:
            self.all.trees[repo].setdefault(commit, []).append((info, tree))
            self.all.changed.notify_all()
        return info

    def put_progress(self, token: str) -> PutProgress:
        raise NotFound(f"no put is going on that is called {shown(token)}")

    def create_file_set(self, changes: Iterable[FileChange]) -> FileSetInfo:
        tree: Tree = {}
        self._apply(tree, changes)
        root = uuid.uuid4().hex
        self.all.file_sets[root] = tree
        return FileSetInfo(root=root, files=len(tree), size_bytes=sum(map(len, tree.values())))

    def read_file(
        self,
        repo: str,
        commit: str,
        path: str,
        *,
        offset_bytes: int = 0,
        size_bytes: int | None = None,
    ) -> Iterator[bytes]:
        _, tree = self.all.tree(repo, commit)
        name = check_path(path)
        if name not in tree:
            raise FileNotFoundInCommit(repo, commit, path)
        end = len(tree[name]) if size_bytes is None else offset_bytes + size_bytes
        content = tree[name][offset_bytes:end]
        for start in range(0, len(content), 1 << 20):
            yield content[start : start + (1 << 20)]

    def inspect_file(self, repo: str, commit: str, path: str) -> FileInfo:
        info, tree = self.all.tree(repo, commit)
        name = check_path(path, root_allowed=True)
        if name in tree:
            return _file(info, name, tree)
        below = {p for p in tree if not name or p.startswith(f"{name}/")}
        if name and not below:
            raise FileNotFoundInCommit(repo, commit, path)
        cut = len(name) + 1 if name else 0
        return FileInfo(
            repo=repo,
            commit=info.id,
            path=name,
            type=FileType.DIR,
            size_bytes=sum(len(tree[p]) for p in below),
            digest="",
            children=tuple(sorted({p[cut:].split("/")[0] for p in below})),
        )

    def read_tree(self, repo: str, commit: str, path: str) -> Iterator[bytes]:
        found = list(self.list_files(repo, commit, path, recursive=True))
        base = f"{check_path(path, root_allowed=True)}/".lstrip("/")
        return write_changes(
            PutFile(
                path=info.path.removeprefix(base),
                content=self.read_file(repo, commit, info.path),
            )
            for info in found
        )

    def list_files(
        self, repo: str, commit: str, path: str, *, recursive: bool = False, after: str = ""
    ) -> Iterator[FileInfo]:
        found = self.inspect_file(repo, commit, path)
        info, tree = self.all.tree(repo, commit)
        inside = f"{found.path}/" if found.path else ""
        if found.type is FileType.FILE:
            listed = [found]
        elif recursive:
            names = sorted(p for p in tree if p.startswith(inside))
            listed = [_file(info, name, tree) for name in names]
        else:
            listed = [self.inspect_file(repo, commit, inside + child) for child in found.children]
        yield from (file for file in listed if file.path > check_path(after, root_allowed=True))

    def glob_files(
        self, repo: str, commit: str, pattern: str, *, after: str = ""
    ) -> Iterator[FileInfo]:
        info, tree = self.all.tree(repo, commit)
        for name in sorted(tree):
            if fnmatch.fnmatchcase(name, pattern.strip("/")) and name > after:
                yield _file(info, name, tree)

    def _apply(self, tree: Tree, changes: Iterable[FileChange]) -> None:
        for change in changes:
            name = check_path(change.path, root_allowed=not isinstance(change, PutFile))
            match change:
                case PutFile():
                    before = tree.get(name, b"") if change.append else b""
                    tree[name] = before + b"".join(change.content)
                case PutLocal():
                    source = Path(change.source)
                    for file in [source] if source.is_file() else sorted(source.rglob("*")):
                        if file.is_file():
                            tail = [] if source.is_file() else [str(file.relative_to(source))]
                            tree["/".join([*filter(None, [name]), *tail])] = file.read_bytes()
                case PutUrl():
                    tree[name] = f"content of {change.url}".encode()
                case DeleteFile():
                    for path in [p for p in tree if p == name or p.startswith(f"{name}/")]:
                        del tree[path]
                case CopyFile():
                    _, other = self.all.tree(change.source_repo, change.source_commit)
                    tree[name] = other[check_path(change.source_path)]


class MemoryPipelines(Part):
    def validate_specs(
        self, text: str, *, source: str = "spec", project: str = "default"
    ) -> list[PipelineDraft]:
        import json

        try:
            document = json.loads(text)
        except ValueError as error:
            raise InvalidInput(f"{source}: {error}") from error
        specs = document if isinstance(document, list) else [document]
        return [
            PipelineDraft(
                name=spec["pipeline"]["name"],
                spec=spec,
                code=spec.get("transform", {}).get("code", ""),
                warnings=(),
            )
            for spec in specs
        ]

    def create_pipeline(
        self,
        spec: dict[str, Any],
        *,
        code: str | None = None,
        update: bool = False,
        reprocess: bool = False,
        keep_results: bool = False,
        renew_packages: bool = False,
    ) -> PipelineInfo:
        name = spec["pipeline"]["name"]
        if name in self.all.created and not update:
            raise AlreadyExists("pipeline", name)
        self.all.created[name] = PipelineInfo(
            name=name,
            version=1,
            state=PipelineState.RUNNING,
            reason="",
            description="",
            input="",
            output_branch="master",
            spec_commit="",
            created=datetime.now(UTC),
            spec=spec,
            user_spec=spec,
            code=code or "",
            salt="",
            runtime="process",
            workers=1,
            job_counts={},
            recent_error="",
            warnings=(),
        )
        return self.all.created[name]

    def inspect_pipeline(self, name: str, *, version: int | None = None) -> PipelineInfo:
        return self.all.created[name]


class MemoryJobs(Part):
    def inspect_job(
        self, job: str, *, wait: bool = False, timeout_s: float | None = None
    ) -> JobInfo:
        if job not in self.all.states:
            raise JobNotFound(job)
        if wait:
            self.all.wait_for(lambda: self.all.states[job].ended, timeout_s)
        pipeline, _, run = job.partition("@")
        return JobInfo(
            id=run,
            pipeline=pipeline,
            pipeline_version=1,
            state=self.all.states[job],
            reason="",
            output_repo=pipeline,
            output_branch="master",
            spec_commit="",
            parent=None,
            created=datetime.now(UTC),
            started=None,
            finished=None,
            restarts=0,
            processed=0,
            skipped=0,
            failed=0,
            recovered=0,
            total=0,
            downloaded_bytes=0,
            uploaded_bytes=0,
            download_s=0.0,
            process_s=0.0,
            upload_s=0.0,
            spec={},
        )


class MemoryDatums(Part):
    def get_logs(
        self,
        *,
        pipeline: str | None = None,
        job: str | None = None,
        datum: str | None = None,
        paths: list[str] | None = None,
        follow: bool = False,
        tail: int = 0,
        since_s: float | None = None,
        until_s: float | None = None,
        text: str | None = None,
    ) -> Iterator[LogLine]:
        if pipeline is None and job is None:
            raise InvalidInput("name a pipeline or a job")
        seen = 0
        self.all.streams_open += 1
        try:
            while True:
                if follow:
                    self.all.wait_for_length(lambda: self.all.log, seen + 1)
                elif seen >= len(self.all.log):
                    return
                line = self.all.log[seen]
                seen += 1
                if line.message == "RAISE":
                    raise JobNotFound("p@gone")
                yield line
        finally:
            self.all.streams_open -= 1


class MemoryProjects(Refusing):
    def __init__(self) -> None:
        super().__init__("projects")

    def list_projects(self) -> list[ProjectInfo]:
        return []


class MemoryAdmin(Refusing):
    def __init__(self) -> None:
        super().__init__("admin")

    def version(self) -> ServerVersion:
        return ServerVersion(version="0.0-model", format=1)


def _file(info: CommitInfo, name: str, tree: Tree) -> FileInfo:
    return FileInfo(
        repo=info.repo,
        commit=info.id,
        path=name,
        type=FileType.FILE,
        size_bytes=len(tree[name]),
        digest=blake3.blake3(tree[name]).hexdigest(),
    )
