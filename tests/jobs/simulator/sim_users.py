"""Users of a simulated world: commits, pipelines and all that can be done to them meanwhile."""

from collections.abc import Callable
from typing import Any

from sim_world import World

from trunkline.api.changes import DeleteFile, FileChange, PutFile
from trunkline.engine.commits import EngineCommits
from trunkline.engine.files import EngineFiles
from trunkline.engine.gits import GitLooks
from trunkline.engine.jobs import EngineJobs
from trunkline.engine.pipelines import EnginePipelines
from trunkline.engine.repos import EngineRepos
from trunkline.engine.trash import EngineTrash
from trunkline.errors import TrunklineError
from trunkline.jobs.liveness import forget_results
from trunkline.store.live import LiveSet

SOURCES = ("left", "right")
PATHS = (*"abcefghijklm", "d/x", "d/y", "n/o/p")
CONTENTS = (*(b"1", b"2", b"3", b"4", b"5", b"6") * 2, b"bad")
FLAGS = (("strict", 0.3), ("flaky", 0.1), ("shared", 0.1), ("double", 0.3), ("quiet", 0.3))


def _pfs(repo: str, glob: str, name: str = "") -> dict[str, Any]:
    return {"pfs": {"repo": repo, "glob": glob, "name": name or repo}}


def _matched(kind: str, key: str, *repos: str) -> dict[str, Any]:
    """Top entries of some repos that have one name."""
    members = [_pfs(repo, "/(*)") for repo in repos]
    return {kind: [{"pfs": {**member["pfs"], key: "$1"}} for member in members]}


INPUTS: dict[str, tuple[dict[str, Any], ...]] = {
    "one": (_pfs("left", "/*"), _pfs("left", "/"), {"union": [_pfs("left", "/*")] * 2}),
    "two": (
        {"cross": [_pfs("left", "/*"), _pfs("right", "/")]},
        {"cross": [_pfs("right", "/*"), _pfs("one", "/*")]},
        {"union": [_pfs("left", "/*"), _pfs("right", "/*")]},
        {"union": [_pfs("one", "/*"), _pfs("right", "/")]},
        _matched("join", "join_on", "left", "right"),
        _matched("group", "group_by", "left", "right"),
        {"cross": [_matched("join", "join_on", "left", "right"), _pfs("one", "/")]},
    ),
    "three": (
        _pfs("two", "/"),
        {"cross": [_pfs("one", "/"), _pfs("two", "/*")]},
        {"union": [_pfs("two", "/*"), {"cross": [_pfs("left", "/"), _pfs("right", "/*")]}]},
    ),
}


class Users:
    """What is done to a world; `act` does one thing, until a number of them is done."""

    def __init__(self, world: World, *, deeds: int) -> None:
        self._world = world
        self._rng = world.rng
        self._left = deeds
        self._open: list[tuple[str, str]] = []  # commits that were started
        self._inputs = {name: self._rng.choice(choices) for name, choices in INPUTS.items()}
        self._chain = list(INPUTS)[
            : self._rng.choice((1, 2, 2, 3) if not world.luck.slow else (1, 1, 2))
        ]
        self._deeds: dict[Callable[[], str], int] = {
            self._put: 16,
            self._put_often: 40 if world.luck.slow else 2,
            self._start_commit: 1,
            self._finish_commit: 3,
            self._update: 6,
            self._rerun: 2,
            self._stop_job: 2,
            self._stop_run: 1,
            self._delete_job: 2,
            self._stop_pipeline: 1,
            self._start_pipeline: 3,
            self._delete_pipeline: 1,
            self._undelete: 3,
            self._remove_commit: 1,
            self._restart_datum: 1,
            self._forget: 3,
        }
        self._weights = {deed: weight * self._rng.random() for deed, weight in self._deeds.items()}

    def begin(self) -> None:
        """Make what the rest plays with."""
        for repo in SOURCES:
            EngineRepos(self._world.services).create_repo(repo)
        for repo in SOURCES:
            if self._rng.random() < 0.8:
                most = self._rng.choice((3, 10, len(PATHS)))
                self._try(lambda repo=repo, most=most: self._put_into(repo, most))
        for name in self._chain:
            self._try(lambda name=name: self._create(name))

    def act(self) -> bool:
        if self._left <= 0:
            return False
        self._left -= 1
        deeds = list(self._weights)
        self._try(self._rng.choices(deeds, [self._weights[deed] for deed in deeds])[0])
        return True

    def end(self) -> None:
        """Leave nothing that others wait for: open commits are finished."""
        with self._world.catalog.read() as tx:
            rows = tx.rows(
                """SELECT r.name, c.id FROM commit_record c JOIN repo r ON r.number = c.repo
                   WHERE c.finished_us IS NULL AND r.name IN ('left', 'right')"""
            )
        for repo, commit in rows:
            self._try(lambda repo=repo, commit=commit: self._finish(repo, commit))

    def _try(self, deed: Callable[[], str]) -> None:
        try:
            self._world.say(f"user: {deed()}")
        except TrunklineError as error:
            self._world.say(f"user: refused: {error}")

    # --- data -------------------------------------------------------------------------------------

    def _changes(self, most: int) -> list[FileChange]:
        changes: list[FileChange] = []
        for path in self._rng.sample(PATHS, self._rng.randint(1, most)):
            if self._rng.random() < 0.25:
                changes.append(DeleteFile(path=path))
            else:
                content = self._rng.choice(CONTENTS)
                changes.append(PutFile(path=path, content=[content]))
        return changes

    def _put(self) -> str:
        return self._put_into(self._rng.choice(SOURCES))

    def _put_often(self) -> str:
        """So that jobs of one pipeline wait for their turn."""
        repo = self._rng.choice(SOURCES)
        return "; ".join(self._put_into(repo) for _ in range(self._rng.randint(2, 5)))

    def _put_into(self, repo: str, most: int = 3) -> str:
        changes = self._changes(most)
        info = EngineFiles(self._world.services).modify_files(repo, "master", changes)
        return f"puts into {repo}@{info.id}: {[change.path for change in changes]}"

    def _start_commit(self) -> str:
        repo = self._rng.choice(SOURCES)
        info = EngineCommits(self._world.services).start_commit(repo, branch="master")
        self._open.append((repo, info.id))
        return f"starts {repo}@{info.id}"

    def _finish_commit(self) -> str:
        if not self._open:
            return "has no open commit"
        return self._finish(*self._open.pop(self._rng.randrange(len(self._open))))

    def _finish(self, repo: str, commit: str) -> str:
        EngineCommits(self._world.services).finish_commit(repo, commit)
        return f"finishes {repo}@{commit}"

    def _remove_commit(self) -> str:
        commits = EngineCommits(self._world.services)
        repo = self._rng.choice(SOURCES)
        found = list(commits.list_commits(repo, number=4))
        if not found:
            return "has no commit to remove"
        commit = self._rng.choice(found).id
        if self._rng.random() < 0.5:
            commits.squash_commit(repo, commit, recursive=True)
            return f"squashes {repo}@{commit}"
        commits.drop_commit(repo, commit, recursive=True)
        return f"drops {repo}@{commit}"

    # --- pipelines --------------------------------------------------------------------------------

    def _spec(self, name: str) -> dict[str, object]:
        rng = self._rng
        flags = [flag for flag, chance in FLAGS if rng.random() < chance]
        transform: dict[str, object] = {"cmd": ["sim", ",".join(flags), rng.choice("xyz")]}
        if rng.random() < (0.5 if {"strict", "flaky"} & {*flags} else 0.1):
            transform["err_cmd"] = ["sim-recovers"]
        spec: dict[str, object] = {
            "pipeline": {"name": name},
            "input": self._inputs[name],
            "transform": transform,
            "parallelism_spec": {
                "constant": rng.choice((1, 2, 2, 3) if not self._world.luck.slow else (2, 3))
            },
            "autoscaling": rng.random() < 0.3,
        }
        if rng.random() < (0.8 if "shared" in flags else 0.1):
            spec["output_merge"] = "concat"
        if rng.random() < 0.15:
            spec["reprocess_spec"] = "every_job"
        if rng.random() < 0.1:
            spec["job_timeout"] = "30s"
        if rng.random() < (0.6 if {"strict", "flaky"} & {*flags} else 0.1):
            spec["on_failure"] = {"quarantine": {"max": rng.randint(1, 3)}}
        if rng.random() < 0.3:
            spec["resource_requests"] = {"cpu": rng.choice((0.5, 1, 2))}  # of two that there are
        if rng.random() < 0.2:
            spec["egress"] = {"URL": f"s3://bucket/{name}"}
        return spec

    def _pipelines(self) -> EnginePipelines:
        services = self._world.services
        return EnginePipelines(services, GitLooks(services))

    def _create(self, name: str) -> str:
        spec = self._spec(name)
        info = self._pipelines().create_pipeline(spec)
        return f"creates {name}: {info.spec}"

    def _update(self) -> str:
        name = self._rng.choice(self._chain)
        pipelines = self._pipelines()
        if name not in {info.name for info in pipelines.list_pipelines()}:
            return self._create(name)
        reprocess = self._rng.random() < 0.2
        spec = self._spec(name)
        info = pipelines.create_pipeline(spec, update=True, reprocess=reprocess)
        return f"updates {name} to version {info.version} ({reprocess=}): {info.spec}"

    def _rerun(self) -> str:
        name, reprocess = self._rng.choice(self._chain), self._rng.random() < 0.5
        self._pipelines().rerun_pipeline(name, reprocess=reprocess)
        return f"reruns {name} ({reprocess=})"

    def _stop_pipeline(self) -> str:
        name = self._rng.choice(self._chain)
        self._pipelines().stop_pipeline(name)
        return f"stops pipeline {name}"

    def _start_pipeline(self) -> str:
        name = self._rng.choice(self._chain)
        self._pipelines().start_pipeline(name)
        return f"starts pipeline {name}"

    def _delete_pipeline(self) -> str:
        name, keep = self._rng.choice(self._chain), self._rng.random() < 0.5
        self._pipelines().delete_pipeline(name, force=True, keep_repo=keep)
        return f"deletes pipeline {name} ({keep=})"

    def _undelete(self) -> str:
        trash = EngineTrash(self._world.services)
        found = trash.list_deleted()
        if not found:
            return self._delete_pipeline()
        entry = self._rng.choice(found)
        trash.undelete(entry.kind, entry.name, number=entry.number)
        return f"undeletes {entry.kind} {entry.name}"

    # --- jobs -------------------------------------------------------------------------------------

    def _job(self) -> str | None:
        jobs = list(EngineJobs(self._world.services).list_jobs(number=5))
        going = [job for job in jobs if not job.state.ended] or jobs
        if not going:
            return None
        job = self._rng.choice(going)
        return f"{job.pipeline}@{job.id}"

    def _stop_job(self) -> str:
        job = self._job()
        if job is not None:
            EngineJobs(self._world.services).stop_job(job)
        return f"stops job {job}"

    def _stop_run(self) -> str:
        job = self._job()
        if job is not None:
            EngineJobs(self._world.services).stop_run(job.partition("@")[2])
        return f"stops the run of {job}"

    def _delete_job(self) -> str:
        job = self._job()
        if job is not None:
            EngineJobs(self._world.services).delete_job(job)
        return f"deletes job {job}"

    def _restart_datum(self) -> str:
        with self._world.catalog.read() as tx:
            jobs = tx.rows("SELECT number FROM job WHERE state = 'running'")
        told = [self._world.restart_datums(number, []) for (number,) in jobs]
        return f"restarts datums: {told}"

    def _forget(self) -> str:
        """What the collector does about remembered results, with no patience at all."""
        world = self._world
        needed = LiveSet(world.config.home / "needed.db")
        try:
            count = forget_results(
                world.database_alone,
                world.services.chunks,
                world.conductor.plans,
                needed,
                made_before=world.now(),
                pace=lambda: None,
            )
        finally:
            needed.close()
        return f"has {count} results forgotten"
