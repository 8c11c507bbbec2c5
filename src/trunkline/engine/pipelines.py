"""Operations on pipelines; see `api.pipelines`."""

import json
import os
from dataclasses import replace

from trunkline.db.database import Transaction
from trunkline.engine.change import Change, begin_deletion, deleted_info, single
from trunkline.engine.services import Services
from trunkline.errors import InUse
from trunkline.files.delta import DeltaWriter
from trunkline.files.manifest import EMPTY, RootId
from trunkline.jobs import ledger
from trunkline.jobs import trash as jobs_trash
from trunkline.jobs.planning import check_count
from trunkline.jobs.records import open_jobs, stop_jobs, stop_readers
from trunkline.model.names import RunId
from trunkline.model.pipelines import PipelineDraft, PipelineInfo, PipelineSpec, PipelineState
from trunkline.model.versions import BranchName, DeletedInfo, spec_branch
from trunkline.pipelines import lifecycle
from trunkline.pipelines.datums import Head
from trunkline.pipelines.inputs import branches_of
from trunkline.pipelines.liveness import has_code
from trunkline.pipelines.spec import draft, read_specs, spec_from_document
from trunkline.versions import branches, commits, provenance, repos, trash
from trunkline.versions.liveness import require_file_set

RUNTIME = "process"
_SPEC_FILE = "spec.json"
_CODE_FOLDER = "code"


class EnginePipelines:
    def __init__(self, services: Services) -> None:
        self._services = services

    def validate_specs(
        self, text: str, *, source: str = "spec", project: str = "default"
    ) -> list[PipelineDraft]:
        most = self._services.config.spec_bytes_max
        specs = read_specs(text, source=source, bytes_max=most, project=project)
        return [draft(spec) for spec in specs]

    def create_pipeline(
        self,
        spec: dict[str, object],
        *,
        code: str | None = None,
        update: bool = False,
        reprocess: bool = False,
        keep_results: bool = False,
    ) -> PipelineInfo:
        pipeline = spec_from_document(spec)
        self._check_size(pipeline)
        with self._services.chunks.hold():
            self._create(
                pipeline,
                code or "",
                update=update,
                reprocess=reprocess,
                keep_results=keep_results,
            )
        self._services.scheduler.prewarm(pipeline.name)
        return self.inspect_pipeline(pipeline.name)

    def _create(
        self,
        pipeline: PipelineSpec,
        code: str,
        *,
        update: bool,
        reprocess: bool,
        keep_results: bool,
    ) -> None:
        services = self._services
        with services.database.read() as tx:
            if code and not has_code(tx, code):
                require_file_set(tx, code)
        spec_root = self._store_spec(pipeline, code)
        files, size = services.trees.totals(spec_root)
        now, run_id = services.now(), services.new_id()
        with services.database.write() as tx:
            previous = lifecycle.get(tx, pipeline.name) if update else None
            salt = lifecycle.choose_salt(
                previous,
                pipeline,
                code=code,
                new_nonce=run_id,
                reprocess=reprocess,
                keep_results=keep_results,
            )
            self._prepare_branches(
                tx,
                pipeline,
                previous_branch=lifecycle.spec_of(previous).output_branch
                if previous is not None
                else None,
            )
            specs = spec_branch(pipeline.name)
            head = branches.branch_head(tx, specs.repo, specs.branch)
            started = commits.put_commit(
                tx,
                specs.repo,
                specs.branch,
                expected_head=head.id if head is not None else None,
                root=spec_root,
                files=files,
                size_bytes=size,
                description="",
                now=now,
                run_id=run_id,
            )
            record = lifecycle.insert_version(
                tx,
                pipeline,
                update=update,
                code=code,
                salt=salt,
                spec_commit=started.commit.id,
                now=now,
            )
            if record.state is not PipelineState.PAUSED:
                self._connect(tx, pipeline, run_id)

    def _check_size(self, pipeline: PipelineSpec) -> None:
        """Refuse a pipeline whose first job could not be run, before anything is changed."""
        services = self._services
        heads: dict[BranchName, Head | None] = {}
        with services.database.read() as tx:
            for name in branches_of(pipeline.input):
                record = branches.branch_head(tx, name.repo, name.branch)
                if record is not None and record.finished is not None and record.error is None:
                    heads[name] = Head(commit=record.id, root=RootId(record.root))
        check_count(pipeline, heads, services.trees, services.config.datums_max)

    def _store_spec(self, pipeline: PipelineSpec, code: str) -> RootId:
        """The tree of a spec commit: the spec, and the code that was versioned with it."""
        trees = self._services.trees
        writer = DeltaWriter(trees)
        document = json.dumps(pipeline.document, indent=2, ensure_ascii=False) + "\n"
        writer.put(_SPEC_FILE, [document.encode("utf-8")])
        if code:
            for row in trees.walk(RootId(code)):
                writer.put_row(replace(row, path=f"{_CODE_FOLDER}/{row.path}"))
        root = trees.apply(EMPTY, writer.finish())
        self._services.chunks.flush()
        return root

    def _prepare_branches(
        self, tx: Transaction, pipeline: PipelineSpec, *, previous_branch: str | None
    ) -> None:
        """Make the branches that a pipeline needs; its output branch is derived from nothing yet.

        So nothing is opened before the new spec is there, and then everything at once.
        """
        now = self._services.now()
        for name in branches_of(pipeline.input):
            branches.ensure_branch(tx, name.repo, name.branch, now=now)
        specs = spec_branch(pipeline.name)
        branches.ensure_branch(tx, specs.repo, specs.branch, now=now)
        if pipeline.name not in repos.repo_names(tx):
            repos.create_repo(
                tx, pipeline.name, description=f"Output of pipeline {pipeline.name}.", now=now
            )
        for branch in {previous_branch, pipeline.output_branch} - {None}:
            assert branch is not None
            branches.set_provenance(tx, pipeline.name, branch, [], now=now)
        stop_jobs(
            tx,
            ledger.open_jobs(tx, pipeline.name),
            reason=f"pipeline '{pipeline.name}' was updated",
            now=now,
        )

    def _connect(self, tx: Transaction, pipeline: PipelineSpec, run_id: RunId) -> None:
        """Derive the output branch from the inputs and the spec, which opens the first job."""
        now = self._services.now()
        opened = branches.create_branch(
            tx,
            pipeline.name,
            pipeline.output_branch,
            head=None,
            provenance=[
                *branches_of(pipeline.input),
                spec_branch(pipeline.name),
            ],
            now=now,
            run_id=run_id,
        )
        open_jobs(tx, opened, now=now)

    def inspect_pipeline(self, name: str, *, version: int | None = None) -> PipelineInfo:
        with self._services.database.read() as tx:
            record = lifecycle.get(tx, name, version=version)
            return self._info(tx, record)

    def list_pipelines(self, *, project: str | None = None) -> list[PipelineInfo]:
        with self._services.database.read() as tx:
            return [self._info(tx, record) for record in lifecycle.list_pipelines(tx, project)]

    def delete_pipeline(
        self, name: str, *, force: bool = False, keep_repo: bool = False
    ) -> DeletedInfo:
        with self._services.database.write() as tx:
            change = single(self._services, tx)
            return delete_pipeline(change, name, force=force, keep_repo=keep_repo)

    def start_pipeline(self, name: str) -> None:
        with self._services.database.write() as tx:
            if not lifecycle.start(tx, name):
                return
            pipeline = lifecycle.spec_of(lifecycle.get(tx, name))
            # What stopping it killed is owed, though no input may have changed since.
            branches.leave_failed_head(tx, name, pipeline.output_branch)
            self._connect(tx, pipeline, self._services.new_id())
        self._services.scheduler.prewarm(name)

    def stop_pipeline(self, name: str) -> None:
        now = self._services.now()
        with self._services.database.write() as tx:
            if not lifecycle.stop(tx, name):
                return
            pipeline = lifecycle.spec_of(lifecycle.get(tx, name))
            stop_jobs(
                tx, ledger.open_jobs(tx, name), reason=f"pipeline '{name}' was stopped", now=now
            )
            branches.set_provenance(tx, name, pipeline.output_branch, [], now=now)

    def _info(self, tx: Transaction, record: lifecycle.PipelineRecord) -> PipelineInfo:
        return lifecycle.to_info(
            record,
            cores=os.cpu_count() or 1,
            runtime=RUNTIME,
            job_counts=ledger.job_counts(tx, record.name),
            recent_error=ledger.last_failure(tx, record.name),
        )


def delete_pipeline(change: Change, name: str, *, force: bool, keep_repo: bool) -> DeletedInfo:
    """Delete a pipeline with its jobs and, unless `keep_repo`, its output repo.

    Raises InUse when other branches are derived from its output, unless `force`.
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
    lifecycle.keep(tx, entry, name)
    lifecycle.delete(tx, name)
    if keep_repo:
        trash.keep_sources(tx, entry, output)
        branches.set_provenance(tx, name, pipeline.output_branch, [], now=change.now)
    else:
        stop_readers(tx, name, now=change.now)
        trash.keep_repo(tx, entry, name)
        repos.delete_repo(tx, name, force=True, now=change.now)
    specs = spec_branch(name)
    trash.keep_branch(tx, entry, specs)
    branches.delete_branch(tx, specs.repo, specs.branch, force=True)
    return deleted_info(change, entry)
