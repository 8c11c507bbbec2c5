"""Operations that erase files from all history; see `api.purges`.

A purge goes through phases, and the catalog says which one is next, so that whatever ends the
server, the next start goes on: `rewriting` (all commits lose the files in one transaction, see
`engine.purging`), `erasing` (the bytes leave the packs and the index), `cleaning` (names and
digests leave the pages of the catalog), `done`. Protocol: docs/decisions/0020-purge.md.
"""

import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from trunkline.api.waiting import check_wanted
from trunkline.db.database import Transaction
from trunkline.engine import erasure
from trunkline.engine.change import single
from trunkline.engine.pipelines import rerun_pipeline
from trunkline.engine.purge_request import (
    PurgeRequest,
    empty_report,
    report_as_json,
    report_of,
    request_of,
)
from trunkline.engine.purging import Found, Rewriting
from trunkline.engine.services import Services
from trunkline.errors import Conflict, NotFound, TrunklineError, Unavailable
from trunkline.jobs.records import open_jobs
from trunkline.model.names import check_path
from trunkline.model.pipelines import PipelineState
from trunkline.model.purges import KeptContent, PurgedFile, PurgeReport
from trunkline.pipelines import lifecycle
from trunkline.pipelines.lifecycle import PipelineRecord
from trunkline.versions import branches, commits, invariants, purges, repos
from trunkline.versions.purges import PurgeRow

_AGAIN_S = 10.0  # between tries to erase what somebody still uses
_POLL_S = 0.1

_log = logging.getLogger("trunkline.purge")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Incomplete:
    """A pipeline whose newest output lost files, with the number of that commit."""

    head: int
    pipeline: PipelineRecord


class EnginePurges:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._turn = threading.Lock()  # one purge goes on at a time
        self._thread: threading.Thread | None = None
        self._pipelines: set[str] = set()  # whose workers may hold what is erased

    def purge(
        self,
        targets: list[str],
        *,
        reason: str = "",
        forget_names: bool = False,
        copies: bool = False,
        rerun: bool = True,
        dry_run: bool = False,
    ) -> PurgeReport:
        services = self._services
        with services.database.read() as tx:
            request = request_of(
                tx, targets, reason=reason, forget_names=forget_names, copies=copies, rerun=rerun
            )
        if dry_run:
            return self._rehearse(request)
        with self._my_turn():
            row = self._begun(request)
            try:
                report = self._carry_on(row)
            finally:
                self.resume()
        return report

    def list_purges(self) -> list[PurgeReport]:
        with self._services.database.read() as tx:
            return [report_of(row) for row in purges.all_purges(tx)]

    def inspect_purge(self, purge: str) -> PurgeReport:
        with self._services.database.read() as tx:
            return report_of(purges.require(tx, purge))

    def list_purged(self, repo: str, commit: str, path: str) -> Iterator[PurgedFile]:
        canonical = check_path(path, root_allowed=True)
        with self._services.database.read() as tx:
            record = commits.resolve(tx, repo, commit)
            stones = purges.tombstones(tx, record)
        return purges.purged_files(self._services.trees, stones, canonical)

    # --- what a crash or a busy store has left ----------------------------------------------------

    def resume(self) -> None:
        """Go on with a purge that is not done, if there is one, beside everything else."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._services.database.read() as tx:
            if purges.unfinished(tx) is None:
                return
        self._thread = threading.Thread(target=self._loop, name="trunkline-purge", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the end of the step that is under way; the services are closing."""
        if self._thread is not None:
            self._thread.join()

    def _loop(self) -> None:
        closing = self._services.closing
        row: PurgeRow | None = None
        while not closing.is_set():
            try:
                with self._turn, self._services.database.read() as tx:
                    row = purges.unfinished(tx)
                if row is None:
                    return
                with self._turn:
                    if self._carry_on(row).state == "done":
                        continue
            except TrunklineError as error:
                if not closing.is_set():
                    _log.error("purge %s can't go on: %s", row.id if row else "", error)
            except Exception:
                _log.exception("a purge can't go on")
                return
            closing.wait(_AGAIN_S)

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        while not self._turn.acquire(timeout=_POLL_S):
            check_wanted()
            if self._services.closing.is_set():
                raise Unavailable("the server is shutting down")
        try:
            yield
        finally:
            self._turn.release()

    # --- phases -----------------------------------------------------------------------------------

    def _begun(self, request: PurgeRequest) -> PurgeRow:
        """The record of the purge, a new one or the one that was begun before."""
        services = self._services
        while True:
            with services.database.write() as tx:
                row = purges.unfinished(tx)
                if row is None:
                    number = purges.insert(
                        tx,
                        purge_id=services.new_id(),
                        reason=request.reason,
                        request=request.as_json(),
                        salt=secrets.token_hex(16) if request.forget_names else "",
                        now=services.now(),
                    )
                    row = purges.numbered(tx, number)
                    assert row is not None
                    return row
            if row.request == request.as_json():
                return row
            if self._carry_on(row).state != "done":
                raise Conflict(
                    f"purge {row.id} is not done yet, because somebody uses what it erases; "
                    f"it goes on by itself: `inspect purge {row.id}`"
                )

    def _carry_on(self, row: PurgeRow) -> PurgeReport:
        """All phases that are left, as far as it goes now."""
        if row.phase == "rewriting":
            row = self._rewrite(row)
        report = report_of(row)
        if row.phase == "erasing":
            kept = self._erase(row)
            row = self._again(row)
            report = report_of(row)
            if kept is not None:
                report = replace(report, kept=kept)
        if row.phase == "cleaning" and self._services.database.scrub():
            with self._services.database.write() as tx:
                now = self._services.now()
                purges.finish(tx, row.number, report=row.report, now=now)
            report = replace(report, state="done", finished=now)
        return report

    def _again(self, row: PurgeRow) -> PurgeRow:
        with self._services.database.read() as tx:
            now = purges.numbered(tx, row.number)
        if now is None:
            raise NotFound(f"purge {row.id} was forgotten meanwhile, with everything else")
        return now

    def _rewrite(self, row: PurgeRow) -> PurgeRow:
        services = self._services
        request = PurgeRequest.parse(row.request)
        rewriting = Rewriting(
            services, request, salt=row.salt, secret=secrets.token_bytes(32), store=True
        )
        try:
            with services.chunks.hold():
                with services.database.read() as tx:
                    found = rewriting.run(tx, purge=None)
                if found.nothing:
                    raise nothing_matches(request)
                services.chunks.flush()
                with services.database.write() as tx:
                    self._switch(tx, row, request, rewriting)
                    services.chunks.flush()  # what came in between; before the names of it
        except TrunklineError as error:
            if not isinstance(error, Unavailable):
                with services.database.write() as tx:
                    purges.delete(tx, row.number)
            raise
        return self._again(row)

    def _switch(
        self, tx: Transaction, row: PurgeRow, request: PurgeRequest, rewriting: Rewriting
    ) -> None:
        """The one moment in which everything changes."""
        found = rewriting.run(tx, purge=row.number)
        chunks = rewriting.chunks
        purges.add_chunks(tx, row.number, chunks, content=True)
        purges.add_chunks(tx, row.number, found.names, content=False)
        incomplete = _incomplete(tx, rewriting, found) if request.rerun else []
        runs = self._begin_runs(tx, row, found) if request.rerun else []
        runs += self._rerun(tx, incomplete)
        report = _with_found(empty_report(row.id, request, started=row.started), request, found)
        report = replace(
            report,
            runs=tuple(runs),
            contents=len(chunks),
            remarks=(*found.remarks, *_stopped(incomplete), *_remarks_on(tx, request)),
        )
        purges.save(tx, row.number, phase="erasing", report=report_as_json(report))
        self._pipelines = found.pipelines

    def _begin_runs(self, tx: Transaction, row: PurgeRow, found: Found) -> list[str]:
        """A commit on each branch whose head lost files, so that what is derived is made anew."""
        services = self._services
        runs: list[str] = []
        for repo in [name for name in repos.repo_names(tx) if name in found.commits]:
            for info in branches.list_branches(tx, repo):
                head = branches.branch_head(tx, repo, info.name)
                if info.provenance or head is None or head.number not in found.changed:
                    continue
                if not branches.feeds_others(tx, repo, info.name):
                    continue
                started = commits.put_commit(
                    tx,
                    repo,
                    info.name,
                    expected_head=head.id,
                    root=head.root,
                    files=head.files,
                    size_bytes=head.size_bytes,
                    description=f"after purge {row.id}",
                    now=services.now(),
                    run_id=services.new_id(),
                )
                open_jobs(tx, started.opened, now=services.now())
                runs.append(started.commit.id)
        return runs

    def _rerun(self, tx: Transaction, incomplete: list[_Incomplete]) -> list[str]:
        """A job for each pipeline whose output lost files and that no run makes anew.

        Its inputs have nothing of what is gone any more; but results that were made with it were
        taken over until now, because it came from a `reference`.
        """
        runs: list[str] = []
        for one in incomplete:  # upstream first: the job of one may open those of the next ones
            name = one.pipeline.name
            head = branches.branch_head(tx, name, one.pipeline.output_branch)
            untouched = head is not None and head.number == one.head
            if untouched and one.pipeline.state is not PipelineState.PAUSED:
                change = single(self._services, tx)
                rerun_pipeline(change, name, reprocess=False)
                runs.append(change.run_id)
        return runs

    def _erase(self, row: PurgeRow) -> tuple[KeptContent, ...] | None:
        """The bytes; returns where the content is kept, None as long as they are not all gone."""
        services = self._services
        services.heads.forget_all()  # trees with what was purged
        with services.database.read() as tx:
            doomed = purges.chunks_of(tx, row.number)
        remarks = erasure.let_workers_go(services, self._pipelines)
        erased = erasure.erase(services, doomed)
        if not erased.whole:
            return None
        report = report_of(row)
        self._pipelines = set()
        contents = [digest for digest, content in doomed.items() if content]
        left = erasure.stored(services, contents)
        with services.database.read() as tx:
            kept, total, others = erasure.kept_content(services, tx, left)
        remarks += [*erased.report.remarks, *erasure.forget_traces(services), *others]
        report = replace(
            report,
            contents=len(contents),
            contents_erased=len(contents) - len(left),
            kept=() if report.forget_names else kept,
            kept_total=total,
            freed_bytes=erased.report.freed_bytes,
            remarks=tuple(dict.fromkeys((*report.remarks, *remarks, *erasure.elsewhere(services)))),
        )
        request = PurgeRequest.parse(row.request)
        if request.forget_names:
            request = request.forgotten()
            report = replace(report, targets=())
        with services.database.write() as tx:
            purges.forget_chunks(tx, row.number)
            purges.save(
                tx,
                row.number,
                phase="cleaning",
                report=report_as_json(report),
                request=request.as_json(),
            )
        return kept

    # --- dry run ----------------------------------------------------------------------------------

    def _rehearse(self, request: PurgeRequest) -> PurgeReport:
        services = self._services
        with services.database.read() as tx:
            begun = purges.unfinished(tx)
        if begun is not None and begun.request == request.as_json():
            return report_of(begun)
        rewriting = Rewriting(
            services, request, salt="", secret=secrets.token_bytes(32), store=False
        )
        with services.database.read() as tx:
            found = rewriting.run(tx, purge=None)
            if found.nothing:
                raise nothing_matches(request)
            chunks = rewriting.chunks
            left = erasure.stored(services, list(chunks))
            kept, total, _ = erasure.kept_content(
                services, tx, left, but=lambda commit: set(rewriting.chosen(commit).paths)
            )
            remarks = (*found.remarks, *_remarks_on(tx, request))
        report = _with_found(empty_report("", request, started=services.now()), request, found)
        return replace(
            report,
            state="dry run",
            contents=len(chunks),
            kept=kept,
            kept_total=total,
            remarks=(*remarks, *erasure.elsewhere(self._services)),
        )


def _incomplete(tx: Transaction, rewriting: Rewriting, found: Found) -> list[_Incomplete]:
    """The pipelines whose newest output lost what was made of files that are gone."""
    due = [
        _Incomplete(head=head.number, pipeline=record)
        for record in lifecycle.list_pipelines(tx)
        if rewriting.lost_inputs(record.name)
        and (head := branches.branch_head(tx, record.name, record.output_branch)) is not None
        and head.number in found.changed
    ]
    return sorted(due, key=lambda one: one.head)


def _stopped(incomplete: list[_Incomplete]) -> list[str]:
    return [
        f"pipeline '{name}' is stopped, and its newest output lacks what was made from these "
        f"files: `start pipeline {name}`, and if that gives it no job, `rerun pipeline {name}`"
        for name in (
            one.pipeline.name for one in incomplete if one.pipeline.state is PipelineState.PAUSED
        )
    ]


def nothing_matches(request: PurgeRequest) -> NotFound:
    """The error for patterns that match nothing in all history: a slip, most likely."""
    shown = ", ".join(request.targets[:5]) + (" …" if len(request.targets) > 5 else "")
    return NotFound(f"nothing was purged: no commit has, or ever had, a file that {shown} matches")


def _with_found(report: PurgeReport, request: PurgeRequest, found: Found) -> PurgeReport:
    return replace(
        report,
        repos=found.repos(request.patterns()),
        open_changes=found.open_changes,
        datums=found.datums,
        results_forgotten=found.results,
        jobs_restarted=found.restarted,
    )


def _remarks_on(tx: Transaction, request: PurgeRequest) -> list[str]:
    return [
        f"{repo} is written by a pipeline: its next jobs make these files again, unless what they "
        "are made from is purged as well"
        for repo in request.patterns()
        if invariants.is_derived(tx, repo)
    ]
