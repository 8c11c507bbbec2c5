"""Operations on datums, and logs; see `api.datums`."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from heapq import merge
from itertools import chain, islice
from typing import TypeVar

from trunkline.api.changes import FileChange
from trunkline.engine.datum_previews import file_inputs, paged, preview_datums
from trunkline.engine.handing_in import hand_in
from trunkline.engine.jobs import find_job
from trunkline.engine.services import Services
from trunkline.errors import DatumNotFound, InvalidInput, NotSupported
from trunkline.jobs import ledger
from trunkline.jobs.capture import NOTE
from trunkline.jobs.contexts import context_of
from trunkline.jobs.ledger import DatumRecord, JobRecord
from trunkline.jobs.logs import Entry, LiveLog, as_line, stored_entries
from trunkline.jobs.planning import input_sources
from trunkline.jobs.segments import (
    PlannedDatum,
    encode_segment,
    segment_in_job,
    with_positions,
)
from trunkline.model.jobs import (
    DatumInfo,
    DatumRecipe,
    DatumState,
    JobState,
    LogLine,
)
from trunkline.pipelines import lifecycle
from trunkline.store.chunks import ChunkId

T = TypeVar("T")

_KEY_SHOWN_MIN = 4  # a datum can be named by this much of its id


class EngineDatums:
    def __init__(self, services: Services) -> None:
        self._services = services

    # --- datums -----------------------------------------------------------------------------------

    def list_datums(self, job: str, *, page: int = 0, page_size: int = 0) -> Iterator[DatumInfo]:
        with self._services.database.read() as tx:
            record = find_job(tx, job)
        return paged(self._datums(record), page=page, page_size=page_size)

    def preview_datums(
        self, spec: dict[str, object], *, page: int = 0, page_size: int = 0
    ) -> Iterator[DatumInfo]:
        return preview_datums(self._services, spec, page=page, page_size=page_size)

    def inspect_datum(self, job: str, datum: str) -> DatumInfo:
        with self._services.database.read() as tx:
            record = find_job(tx, job)
        return named_datum(record, datum, self._datums(record), lambda info: info.id)

    def datum_recipe(self, job: str, datum: str) -> DatumRecipe:
        with self._services.database.read() as tx:
            record = find_job(tx, job)
            version = lifecycle.get(tx, record.pipeline, version=record.version)
        found = self._planned(record)
        planned, ended = named_datum(record, datum, found, lambda one: one[0].key)
        spec, config = lifecycle.spec_of(version), self._services.config
        if spec.stage is not None:
            raise NotSupported(
                f"a datum of pipeline '{record.pipeline}' is a {spec.stage.kind} of a cluster; no "
                "command of it runs here"
            )
        context = context_of(spec, version, config).as_message()
        log = ended.log if ended is not None else ()
        return DatumRecipe(
            info=_info(record, planned, ended),
            context=json.loads(json.dumps(context)),
            datums=encode_segment([planned]).decode("utf-8"),
            isolation=config.isolation,
            container_host=config.container_host,
            output_bytes_max=config.output_bytes_max or 0,
            stderr=_last_stderr(stored_entries(self._services.chunks, log)),
        )

    def hand_in(self, job: str, datum: str, changes: Iterable[FileChange]) -> int:
        with self._services.database.read() as tx:
            record = find_job(tx, job)
        return hand_in(self._services, record, datum, changes)

    def restart_datums(self, job: str, paths: list[str]) -> int:
        with self._services.database.read() as tx:
            record = find_job(tx, job)
        return self._services.scheduler.restart_datums(record.number, paths)

    def _datums(self, job: JobRecord) -> Iterator[DatumInfo]:
        """The datums of a job, failed first; one segment in memory at a time."""
        with self._services.database.read() as tx:
            failed = {record.position for record in ledger.failed_datums(tx, job.number)}
        if failed:
            yield from self._in_order(job, lambda position: position in failed)
        yield from self._in_order(job, lambda position: position not in failed)

    def _in_order(
        self, job: JobRecord, wanted: Callable[[int | None], bool]
    ) -> Iterator[DatumInfo]:
        for datum, ended in self._planned(job, wanted):
            yield _info(job, datum, ended)

    def _planned(
        self, job: JobRecord, wanted: Callable[[int | None], bool] = lambda _: True
    ) -> Iterator[tuple[PlannedDatum, DatumRecord | None]]:
        """The datums of a job in their order, with what came of them in this job."""
        with self._services.database.read() as tx:
            segments = ledger.segments_of(tx, job.number)
            sources = input_sources(tx, job)
        for segment in segments:
            data = self._services.chunks.get(ChunkId(segment.chunk))
            planned = segment_in_job(data, fresh=segment.fresh, sources=sources)
            with self._services.database.read() as tx:
                until = segment.first + segment.fresh
                ended = ledger.datums_at(tx, job.number, segment.first, until)
            for datum, position in with_positions(planned, segment.first):
                if wanted(position):
                    yield datum, None if position is None else ended.get(position)

    # --- logs -------------------------------------------------------------------------------------

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
            raise InvalidInput("name a pipeline or a job to see logs of")
        if follow and until_s is not None:
            raise InvalidInput("following waits for new lines, and `until` wants none; choose one")
        spout = False
        with self._services.database.read() as tx:
            if job is not None:
                jobs = [find_job(tx, job)]
                if pipeline not in (None, jobs[0].pipeline):
                    raise InvalidInput(f"job {jobs[0].name} is not one of pipeline '{pipeline}'")
            else:
                assert pipeline is not None
                record = lifecycle.get(tx, pipeline)
                spout = lifecycle.spec_of(record).spout
                jobs = ledger.list_jobs(tx, pipeline=pipeline, run=None, before=None, number=1000)
                jobs.reverse()
        wanted = self._wanted(since_s, until_s, text)
        keys = {self.inspect_datum(jobs[0].name, datum).id} if datum and job else None
        if keys is None and datum:
            keys = {datum}
        if paths:
            keys = self._keys_of(jobs, paths)
        if spout and pipeline is not None:
            return self._spout_lines(pipeline, wanted, follow=follow, tail=tail)
        readers = [_JobLog(self._services, record, keys) for record in jobs]
        lines: Iterator[LogLine] = (line for reader in readers for line in reader.new_lines())
        lines = filter(wanted, lines)
        if tail:
            lines = iter(deque(lines, maxlen=tail))
        if not follow:
            return lines
        more = self._follow(readers, pipeline if job is None else None, keys)
        return chain(lines, filter(wanted, more))

    def _spout_lines(
        self, name: str, wanted: Callable[[LogLine], bool], *, follow: bool, tail: int
    ) -> Iterator[LogLine]:
        """What the code of a spout printed; it has no jobs, and its log is in memory alone."""
        given = 0

        def new() -> Iterator[LogLine]:
            nonlocal given
            for live in self._services.live.of_job(name):
                lines = live.lines[max(0, given - live.dropped) :]
                given = live.dropped + len(live.lines)
                for entry in lines:
                    yield as_line(entry, pipeline=name, job="", datum="", worker=live.worker)

        lines = filter(wanted, new())
        yield from deque(lines, maxlen=tail) if tail else lines
        if follow:
            for _ in self._services.waits(None, "logs"):
                yield from filter(wanted, new())

    def _wanted(
        self, since_s: float | None, until_s: float | None, text: str | None
    ) -> Callable[[LogLine], bool]:
        now = self._services.now()
        oldest = now - timedelta(seconds=since_s) if since_s else None
        newest = now - timedelta(seconds=until_s) if until_s is not None else None

        def wanted(line: LogLine) -> bool:
            if oldest is not None and line.time < oldest:
                return False
            if newest is not None and line.time > newest:
                return False
            return text is None or text in line.message

        return wanted

    def _follow(
        self,
        readers: list["_JobLog"],
        pipeline: str | None,
        keys: set[str] | None,
    ) -> Iterator[LogLine]:
        newest = max((reader.job.number for reader in readers), default=0)
        for _ in self._services.waits(None, "logs"):
            if pipeline is not None:
                readers.extend(self._jobs_since(newest, pipeline, keys))
                newest = max((newest, *(reader.job.number for reader in readers)))
            for reader in list(readers):
                ended = reader.ended()  # asked before reading, so that no last line is missed
                yield from reader.new_lines()
                if ended:
                    readers.remove(reader)
            if not readers and pipeline is None:
                return

    def _jobs_since(self, newest: int, pipeline: str, keys: set[str] | None) -> list["_JobLog"]:
        with self._services.database.read() as tx:
            jobs = ledger.list_jobs(tx, pipeline=pipeline, run=None, before=None, number=100)
        new = [job for job in reversed(jobs) if job.number > newest]
        return [_JobLog(self._services, job, keys) for job in new]

    def _keys_of(self, jobs: list[JobRecord], paths: list[str]) -> set[str]:
        wanted = {path.strip("/") for path in paths}
        return {
            info.id
            for job in jobs
            for info in self._datums(job)
            if wanted <= {value for i in info.inputs for value in (i.path, i.digest)}
        }


class _JobLog:
    """Reads the log lines of one job, each once, while they come."""

    def __init__(self, services: Services, job: JobRecord, keys: set[str] | None) -> None:
        self.job = job
        self._services = services
        self._keys = keys
        self._number = 0  # of the last outcome whose whole log was given
        # Of running datums, by position: the time of the first line, and how many were given. A
        # datum that is run again has another first line, and all of its lines are new.
        self._given: dict[int, tuple[datetime, int]] = {}

    def ended(self) -> bool:
        with self._services.database.read() as tx:
            job = ledger.job_by_number(tx, self.job.number)
        if job is None:
            return True
        return job.state.ended and not self._services.live.has(job.number)

    def new_lines(self) -> Iterator[LogLine]:
        """What was printed since the last call, in order of time within what is new."""
        yield from merge(*self._sources(), key=lambda line: line.time)

    def _sources(self) -> list[Iterator[LogLine]]:
        sources = []
        # Live lines first: a datum that ends in between is then seen in the store, not twice.
        live = self._services.live.of_job(self.job.number)
        for datum in self._ended_datums():
            if self._keys is None or datum.key in self._keys:
                entries = stored_entries(self._services.chunks, datum.log)
                rest = self._not_given(datum.position, entries)
                sources.append(self._lines(rest, datum.key, datum.worker))
                self._given.pop(datum.position, None)
            live = [found for found in live if found.position != datum.position]
        for found in live:
            if found.lines and (self._keys is None or found.key in self._keys):
                new = self._new_of(found)
                sources.append(self._lines(new, found.key, found.worker))
        return sources

    def _new_of(self, live: LiveLog) -> Iterator[Entry]:
        """The lines of a running datum, or of a process that stays, that were not given yet."""
        printed = live.dropped + len(live.lines)
        if live.dropped:
            _, given = self._given.get(live.position, (None, 0))
            self._given[live.position] = (live.lines[0][0], printed)
            return islice(live.lines, max(0, given - live.dropped), None)
        new = self._not_given(live.position, iter(live.lines))
        self._given[live.position] = (live.lines[0][0], printed)
        return new

    def _not_given(self, position: int, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The lines of a run of a datum without those that were given while it ran."""
        first = next(entries, None)
        if first is None:
            return iter(())
        began, given = self._given.get(position, (first[0], 0))
        return islice(chain([first], entries), given if began == first[0] else 0, None)

    def _ended_datums(self) -> list[DatumRecord]:
        found: list[DatumRecord] = []
        while True:
            with self._services.database.read() as tx:
                page = ledger.datums_ended_after(tx, self.job.number, self._number)
            if not page:
                return found
            found.extend(page)
            self._number = page[-1].number

    def _lines(self, entries: Iterator[Entry], datum: str, worker: str) -> Iterator[LogLine]:
        for entry in entries:
            yield as_line(
                entry, pipeline=self.job.pipeline, job=self.job.id, datum=datum, worker=worker
            )


def _info(job: JobRecord, planned: PlannedDatum, record: DatumRecord | None) -> DatumInfo:
    state = DatumState.STARTING if planned.fresh else DatumState.SKIPPED
    if planned.fresh and job.state is JobState.SUCCESS:  # of a service, whose code still runs
        state = DatumState.SUCCESS
    if record is not None:
        state = record.state
        if state is DatumState.FAILED and job.quarantined:
            state = DatumState.QUARANTINED
    return DatumInfo(
        job=job.name,
        id=planned.key,
        state=state,
        inputs=file_inputs(planned.datum),
        tries=record.tries if record is not None else 0,
        worker=record.worker if record is not None else "",
        started=record.started if record is not None else None,
        finished=record.finished if record is not None else None,
        downloaded_bytes=record.downloaded_bytes if record is not None else 0,
        uploaded_bytes=record.uploaded_bytes if record is not None else 0,
        download_s=record.download_us / 1e6 if record is not None else 0.0,
        process_s=record.process_us / 1e6 if record is not None else 0.0,
        upload_s=record.upload_us / 1e6 if record is not None else 0.0,
        reason=record.reason if record is not None else "",
    )


def _last_stderr(entries: Iterable[Entry]) -> str:
    """What the last try that printed to stderr did print there; a note follows each that failed."""
    lines: list[str] = []
    over = False
    for _, stream, message in entries:
        if stream == NOTE:
            over = True
        elif stream == "stderr":
            if over:
                lines, over = [], False
            lines.append(f"{message}\n")
    return "".join(lines)


def named_datum(job: JobRecord, named: str, datums: Iterable[T], id_of: Callable[[T], str]) -> T:
    """The one of a job's datums that an id, or the beginning of it, names.

    Raises DatumNotFound, and InvalidInput for a beginning that several have.
    """
    if len(named) >= _KEY_SHOWN_MIN:
        found = [datum for datum in datums if id_of(datum).startswith(named)]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidInput(f"'{named}' begins the ids of {len(found)} datums; write more")
    raise DatumNotFound(job.name, named)
