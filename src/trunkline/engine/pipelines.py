"""Operations on pipelines; see `api.pipelines`."""

import json
import os
from dataclasses import asdict, dataclass, replace

from trunkline.db.database import Transaction
from trunkline.engine.change import Change, begin_deletion, deleted_info, single
from trunkline.engine.conditions import alerts, condition
from trunkline.engine.crons import run_cron
from trunkline.engine.gits import GitLooks, check_gits, git_infos, run_git
from trunkline.engine.images import moved, outlook, placement_for
from trunkline.engine.pipeline_inputs import (
    connect,
    drop_trigger_branches,
    follow_again,
    make_input_repos,
    refuse_shared_provenance,
    set_triggers,
)
from trunkline.engine.pipeline_versions import diff_pipeline, with_older
from trunkline.engine.requirements import lock_for
from trunkline.engine.runs import run_info
from trunkline.engine.secrets import check_secrets
from trunkline.engine.services import Services
from trunkline.errors import Conflict, InUse, InvalidInput
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY, RootId
from trunkline.jobs import ledger
from trunkline.jobs import trash as jobs_trash
from trunkline.jobs.budget import Budget, machine_of
from trunkline.jobs.clusters import runs_here
from trunkline.jobs.planning import check_count
from trunkline.jobs.records import stop_jobs, stop_readers
from trunkline.model.images import Placement, Runtime
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import (
    GitInfo,
    GitLook,
    PipelineDifference,
    PipelineDraft,
    PipelineInfo,
    PipelineSpec,
    PipelineState,
)
from trunkline.model.versions import BranchName, DeletedInfo, RunInfo, spec_branch
from trunkline.pipelines import crons, gits, lifecycle
from trunkline.pipelines.datums import Head
from trunkline.pipelines.defaults import Defaults
from trunkline.pipelines.inputs import branches_of
from trunkline.pipelines.liveness import has_code
from trunkline.pipelines.remarks import warnings
from trunkline.pipelines.requirements import Lock
from trunkline.pipelines.spec import draft, read_given, spec_from_document
from trunkline.pipelines.stages import NO_CLUSTER
from trunkline.versions import branches, commits, provenance, repos, trash
from trunkline.versions.liveness import require_file_set

_CORES = os.cpu_count() or 1
_SPEC_FILE = "spec.json"
_CODE_FOLDER = "code"
_LOCK_FILE = "requirements.lock"
_IMAGE_FILE = "image.json"


class EnginePipelines:
    def __init__(self, services: Services, looks: GitLooks) -> None:
        self._services = services
        self._looks = looks

    def validate_specs(
        self, text: str, *, source: str = "spec", project: str = "default"
    ) -> list[PipelineDraft]:
        most = self._services.config.spec_bytes_max
        with self._services.database.read() as tx:
            defaults = lifecycle.defaults(tx)
        found = read_given(text, source=source, bytes_max=most, project=project, defaults=defaults)
        in_pods = self._services.config.runtime == Runtime.KUBERNETES
        return [
            draft(spec, given, outlook(self._services, spec), in_pods=in_pods)
            for given, spec in found
        ]

    def create_pipeline(
        self,
        spec: dict[str, object],
        *,
        code: str | None = None,
        update: bool = False,
        reprocess: bool = False,
        keep_results: bool = False,
        renew_packages: bool = False,
    ) -> PipelineInfo:
        services = self._services
        with services.chunks.hold():
            prepared = prepare(services, spec, code, renew_packages=renew_packages)
            with services.database.write() as tx:
                create_pipeline(
                    single(services, tx),
                    prepared,
                    update=update,
                    reprocess=reprocess,
                    keep_results=keep_results,
                )
        services.scheduler.prewarm(prepared.pipeline.name)
        return self.inspect_pipeline(prepared.pipeline.name)

    def inspect_pipeline(self, name: str, *, version: int | None = None) -> PipelineInfo:
        with self._services.database.read() as tx:
            record = lifecycle.get(tx, name, version=version)
            info = self._info(tx, record)
        told = moved(self._services, record)
        return replace(info, alerts=(*info.alerts, told)) if told else info

    def list_pipelines(
        self, *, project: str | None = None, name: str | None = None, history: int = 0
    ) -> list[PipelineInfo]:
        if history < -1:
            raise InvalidInput(f"history is {history}; it must be 0 or more, or -1 for all")
        with self._services.database.read() as tx:
            if name is None:
                newest = lifecycle.list_pipelines(tx, project)
            else:
                newest = [lifecycle.get(tx, name)]
            told = _Told(tx) if name is None else None
            return [
                self._info(tx, record, told)
                for one in newest
                for record in (with_older(tx, one, history) if history else [one])
            ]

    def diff_pipeline(
        self, name: str, *, old_version: int | None = None, new_version: int | None = None
    ) -> PipelineDifference:
        return diff_pipeline(self._services, name, old_version, new_version)

    def delete_pipeline(
        self, name: str, *, force: bool = False, keep_repo: bool = False
    ) -> DeletedInfo:
        with self._services.database.write() as tx:
            change = single(self._services, tx)
            return delete_pipeline(change, name, force=force, keep_repo=keep_repo)

    def rerun_pipeline(self, name: str, *, reprocess: bool = False) -> PipelineInfo:
        with self._services.database.write() as tx:
            rerun_pipeline(single(self._services, tx), name, reprocess=reprocess)
        self._services.scheduler.prewarm(name)
        return self.inspect_pipeline(name)

    def run_cron(self, name: str) -> RunInfo:
        services = self._services
        with services.chunks.hold(), services.database.write() as tx:
            change = replace(single(services, tx), later=[])
            run_cron(change, name)
            change.settle(apart=True)
            services.chunks.flush()
            return run_info(tx, commits.get_run(tx, change.run_id))

    def run_git(self, name: str, *, wait: bool = False) -> GitLook:
        run = run_git(self._services, self._looks, name, wait=wait)
        with self._services.database.read() as tx:
            return GitLook(run=run or "", gits=git_infos(self._services, tx, name))

    def start_pipeline(self, name: str) -> None:
        with self._services.database.write() as tx:
            if not lifecycle.start(tx, name):
                return
            pipeline = lifecycle.spec_of(lifecycle.get(tx, name))
            # What stopping it killed is owed, though no input may have changed since.
            branches.leave_failed_head(tx, name, pipeline.output_branch)
            connect(single(self._services, tx), pipeline)
        self._services.scheduler.prewarm(name)

    def stop_pipeline(self, name: str) -> None:
        now = self._services.now()
        with self._services.database.write() as tx:
            if not lifecycle.stop(tx, name):
                return
            pipeline = lifecycle.spec_of(lifecycle.get(tx, name))
            # What is copied elsewhere is finished; who starts it again would not be owed that.
            jobs = [j for j in ledger.open_jobs(tx, name) if j.state is not JobState.EGRESSING]
            stop_jobs(tx, jobs, reason=f"pipeline '{name}' was stopped", now=now)
            branches.set_provenance(tx, name, pipeline.output_branch, [], now=now)

    def _info(
        self, tx: Transaction, record: lifecycle.PipelineRecord, told: "_Told | None" = None
    ) -> PipelineInfo:
        """As users see it. `told` is what was read of all pipelines at once."""
        if told is None:
            counts = ledger.job_counts(tx, record.name)
            failure = ledger.last_failure(tx, record.name)
        else:
            counts = told.counts.get(record.name, {})
            failure = told.failures.get(record.name, "")
        state, reason = condition(self._services, tx, record, counts)
        info = lifecycle.to_info(
            record,
            state=state,
            reason=reason,
            cores=_CORES,
            job_counts=counts,
            recent_error=failure,
            alerts=alerts(tx, lifecycle.spec_of(record), now=self._services.now()),
        )
        infos: tuple[GitInfo, ...] = ()
        if record.version == record.newest and (told is None or record.name in told.with_gits):
            infos = git_infos(self._services, tx, record.name)
        if self._services.config.runtime == Runtime.KUBERNETES:
            in_pods = warnings(lifecycle.spec_of(record), record.placement, in_pods=True)
            info = replace(info, runtime=Runtime.KUBERNETES, warnings=in_pods)
        resident = self._services.scheduler.resident(record.name)
        if resident is None and not infos:  # as of most, of which there may be hundreds
            return info
        return replace(
            info,
            resident=resident,
            gits=infos,
            alerts=(*info.alerts, *dict.fromkeys(git.problem for git in infos if git.problem)),
        )


class _Told:
    """What is known of all pipelines, by their names."""

    def __init__(self, tx: Transaction) -> None:
        self.counts = ledger.all_job_counts(tx)
        self.failures = ledger.last_failures(tx)
        self.with_gits = {row.pipeline for row in gits.all_gits(tx)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A checked pipeline, and the tree of its spec commit."""

    pipeline: PipelineSpec
    given: dict[str, object]  # its spec without defaults
    defaults: Defaults | None  # that it was checked with; None where it keeps those it had
    code: str
    packages: lifecycle.Packages
    placement: Placement
    root: RootId


def prepare(
    services: Services,
    spec: dict[str, object],
    code: str | None,
    *,
    renew_packages: bool = False,
    alone: bool = True,
    store: bool = True,
    defaults: Defaults | None = None,
) -> Prepared:
    """Check a pipeline as far as that goes without changing anything, and store its spec.

    Others wait for what is not prepared `alone`, so it may not take long. Without `store` the
    spec's tree is not made (the root is that of an empty one). `defaults` are those in force unless
    they are said.
    """
    if defaults is None:
        with services.database.read() as tx:
            defaults = lifecycle.defaults(tx)
    pipeline = spec_from_document(spec, defaults=defaults)
    if never := Budget(machine_of(services.config)).never(pipeline.requests):
        raise InvalidInput(f"pipeline '{pipeline.name}' can't run here: {never}")
    _check_size(services, pipeline)
    check_secrets(services.config, pipeline)
    check_gits(services, pipeline)
    with services.database.read() as tx:
        if code and not has_code(tx, code):
            require_file_set(tx, code)
        previous = lifecycle.find(tx, pipeline.name)
    placement = placement_for(
        services, pipeline, previous, may_pull=alone and store, planned=not store
    )
    lock = lock_for(
        services,
        pipeline,
        code or "",
        elsewhere=services.config.runtime == Runtime.KUBERNETES or placement.image is not None,
        renew=renew_packages,
        may_resolve=alone,
    )
    root = _store_spec(services, pipeline, code or "", lock, placement) if store else EMPTY
    packages = lifecycle.NO_PACKAGES
    if lock is not None:
        chunk = services.chunks.put(lock.text().encode("utf-8")) if store else ""
        packages = lifecycle.Packages(names=lock.packages, lock=chunk)
        services.chunks.flush()
    return Prepared(
        pipeline=pipeline,
        given=spec,
        defaults=defaults,
        code=code or "",
        packages=packages,
        placement=placement,
        root=root,
    )


def create_pipeline(
    change: Change, prepared: Prepared, *, update: bool, reprocess: bool, keep_results: bool
) -> None:
    """Create a pipeline or a new version of it.

    A run has one commit in a repo, and the specs of a project are in one: of several pipelines in
    one change, the first has its spec in the run of the change, the others in runs of their own.
    """
    tx, pipeline, services = change.tx, prepared.pipeline, change.services
    if prepared.defaults is not None and prepared.defaults != lifecycle.defaults(tx):
        raise Conflict(
            f"the defaults of specs changed while pipeline '{pipeline.name}' was checked; try again"
        )
    previous = lifecycle.get(tx, pipeline.name) if update else None
    salt = lifecycle.choose_salt(
        previous,
        pipeline,
        code=prepared.code,
        packages=prepared.packages.names,
        placement=prepared.placement,
        new_nonce=services.new_id(),
        reprocess=reprocess,
        keep_results=keep_results,
    )
    before = None if previous is None else lifecycle.spec_of(previous)
    made = make_input_repos(change, pipeline)
    new_repo = _prepare_branches(change, pipeline, previous=before)
    if pipeline.incremental:
        refuse_shared_provenance(change, pipeline)
    specs = spec_branch(pipeline.name)
    head = branches.branch_head(tx, specs.repo, specs.branch)
    taken = commits.has_commit(tx, specs.repo, change.run_id)
    started = change.put(
        *(specs.repo, specs.branch),
        head=head,
        root=prepared.root,
        run_id=services.new_id() if taken else None,
    )
    record = lifecycle.insert_version(
        tx,
        pipeline,
        update=update,
        code=prepared.code,
        salt=salt,
        spec_commit=started.commit.id,
        now=change.now,
        given=prepared.given,
        packages=prepared.packages,
        placement=prepared.placement,
    )
    crons.follow(tx, pipeline, owned=made, now=change.now)
    gits.follow(tx, pipeline, owned=made)
    if record.state is not PipelineState.PAUSED:
        connect(change, pipeline)
    if new_repo:
        follow_again(change, pipeline.name)
    if before is not None:
        drop_trigger_branches(change, before, pipeline)
    change.warm.append(pipeline.name)


def rerun_pipeline(change: Change, name: str, *, reprocess: bool) -> None:
    """A new version of a pipeline with the spec that it has, which gives it a job.

    Raises Conflict for a pipeline that is stopped or can't be run here.
    """
    record = lifecycle.get(change.tx, name)
    if not runs_here(change.services.config, lifecycle.spec_of(record)):
        raise Conflict(f"pipeline '{name}' gets no job: {NO_CLUSTER}")
    if record.state is PipelineState.PAUSED:
        raise Conflict(
            f"pipeline '{name}' is stopped; `start pipeline` gives it a job for what its inputs "
            "are now"
        )
    spec = commits.resolve(change.tx, spec_branch(name).repo, record.spec_commit)
    prepared = Prepared(
        pipeline=lifecycle.spec_of(record),
        given=record.user_spec,
        defaults=None,
        code=record.code,
        packages=lifecycle.Packages(names=record.packages, lock=record.lock),
        placement=record.placement,
        root=RootId(spec.root),
    )
    create_pipeline(change, prepared, update=True, reprocess=reprocess, keep_results=False)


def _check_size(services: Services, pipeline: PipelineSpec) -> None:
    """Refuse a pipeline whose first job could not be run, before anything is changed."""
    # A repo that is missing is said later, where it may have been made by then.
    with services.database.read() as tx:
        heads = present_heads(tx, pipeline)
    check_count(pipeline, heads, services.trees, services.config.datums_max)


def present_heads(tx: Transaction, pipeline: PipelineSpec) -> dict[BranchName, Head | None]:
    """What a job of a pipeline would read now of its inputs, as far as they are there."""
    heads: dict[BranchName, Head | None] = {}
    for name in branches_of(pipeline.input):
        if not repos.repo_exists(tx, name.repo):
            continue
        record = branches.branch_head(tx, name.repo, name.branch)
        if record is not None and record.finished is not None and record.error is None:
            heads[name] = Head(commit=record.id, root=RootId(record.root))
    return heads


def _store_spec(
    services: Services, pipeline: PipelineSpec, code: str, lock: Lock | None, placement: Placement
) -> RootId:
    """The tree of a spec commit: the spec, and the code, lock and image versioned with it."""
    trees = services.trees
    writer = DeltaWriter(trees)
    document = json.dumps(pipeline.document, indent=2, ensure_ascii=False) + "\n"
    writer.put(_SPEC_FILE, [document.encode("utf-8")])
    if lock is not None:
        writer.put(_LOCK_FILE, [lock.text().encode("utf-8")])
    if placement.image is not None and placement.image.known:
        image = json.dumps(asdict(placement.image), indent=2, ensure_ascii=False) + "\n"
        writer.put(_IMAGE_FILE, [image.encode("utf-8")])
    if code:
        for row in trees.walk(RootId(code)):
            writer.put_row(replace(row, path=f"{_CODE_FOLDER}/{row.path}"))
    root = trees.apply(EMPTY, writer.finish())
    services.chunks.flush()
    return root


def _prepare_branches(
    change: Change, pipeline: PipelineSpec, *, previous: PipelineSpec | None
) -> bool:
    """Make the branches that a pipeline needs; its output branch is derived from nothing yet.

    So nothing is opened before the new spec is there, and then everything at once. Returns whether
    the repo of its output was made.
    """
    tx, now = change.tx, change.now
    for name in branches_of(pipeline.input):
        branches.ensure_branch(tx, name.repo, name.branch, now=now)
    specs = spec_branch(pipeline.name)
    branches.ensure_branch(tx, specs.repo, specs.branch, now=now)
    new_repo = not repos.repo_exists(tx, pipeline.name)
    if new_repo:
        repos.create_repo(
            tx, pipeline.name, description=f"Output of pipeline {pipeline.name}.", now=now
        )
    before = pipeline if previous is None else previous
    for branch in {before.output_branch, pipeline.output_branch}:
        branches.set_provenance(tx, pipeline.name, branch, [], now=now)
    stop_jobs(
        tx,
        ledger.open_jobs(tx, pipeline.name),
        reason=f"pipeline '{pipeline.name}' was updated",
        now=now,
    )
    set_triggers(change, pipeline)
    return new_repo


def delete_pipeline(change: Change, name: str, *, force: bool, keep_repo: bool) -> DeletedInfo:
    """Delete a pipeline with its jobs and, unless `keep_repo`, its output repo.

    The repos that were made for its cron and git inputs go with that. Raises InUse when other
    branches are derived from its output or from those, unless `force`.
    """
    tx = change.tx
    pipeline = lifecycle.spec_of(lifecycle.get(tx, name))
    output = BranchName(repo=name, branch=pipeline.output_branch)
    derived = provenance.downstream_branches(tx, output)
    if derived and not force:
        raise InUse(
            f"pipeline '{name}' can't be deleted: from its output are derived "
            f"{', '.join(map(str, derived))}; delete those first, or add --force"
        )
    entry = begin_deletion(change, "pipeline", name, how=f"delete pipeline {name}")
    if keep_repo:  # what has no job any more must not stay open
        reason = f"pipeline '{name}' was deleted"
        stop_jobs(tx, ledger.open_jobs(tx, name), reason=reason, now=change.now)
    jobs_trash.keep_jobs_of_pipeline(tx, entry, name)
    made = [cron.repo for cron in crons.crons_of(tx, name) if cron.owned]
    made += [git.repo for git in gits.gits_of(tx, name) if git.owned]
    gone = [] if keep_repo else [name, *made]
    lifecycle.keep(tx, entry, name)
    lifecycle.delete(tx, name)
    if keep_repo:
        trash.keep_sources(tx, entry, output)
        branches.set_provenance(tx, name, pipeline.output_branch, [], now=change.now)
    for number, repo in enumerate(gone):
        stop_readers(tx, repo, now=change.now)
        trash.keep_repo(tx, entry, repo)
        repos.delete_repo(tx, repo, force=force or number == 0, now=change.now)
    drop_trigger_branches(change, pipeline, None, entry=entry)
    specs = spec_branch(name)
    trash.keep_branch(tx, entry, specs)
    branches.delete_branch(tx, specs.repo, specs.branch, force=True)
    return deleted_info(change, entry)
