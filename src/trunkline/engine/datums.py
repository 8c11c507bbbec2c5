"""Operations on datums, and logs; see `api.datums`."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from heapq import merge
from itertools import chain, islice
from typing import TypeVar

from trunkline.api.changes import FileChange
from trunkline.engine.datum_lists import DatumList, Wanted, datum_info, wanted
from trunkline.engine.datum_outputs import outputs_of
from trunkline.engine.datum_previews import check_page, preview_datums
from trunkline.engine.handing_in import hand_in
from trunkline.engine.jobs import find_job
from trunkline.engine.services import Services
from trunkline.errors import DatumNotFound, InvalidInput, NotSupported
from trunkline.jobs import ledger
from trunkline.jobs.capture import NOTE
from trunkline.jobs.contexts import context_of
from trunkline.jobs.ledger import DatumRecord, JobRecord
from trunkline.jobs.logs import Entry, LiveLog, as_line, stored_entries
from trunkline.jobs.search import FoundDatum, PlanReader
from trunkline.jobs.segments import encode_segment
from trunkline.model.jobs import DatumInfo, DatumRecipe, DatumState, LogLine
from trunkline.model.versions import FileInfo
from trunkline.pipelines import lifecycle

T = TypeVar("T")

_SEEN_MAX = 10_000
_NONE = -1  # a position that no datum has
_KEY_SHOWN_MIN = 4  # a datum can be named by this much of its id


class EngineDatums:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._seen: dict[tuple[int, str], int] = {}  # job and key to the segment of its plan

    # --- datums -----------------------------------------------------------------------------------

    def list_datums(
        self,
        job: str,
        *,
        states: list[str] | None = None,
        text: str | None = None,
        page: int = 0,
        page_size: int = 0,
    ) -> Iterator[DatumInfo]:
        which = wanted(states, text)
        check_page(page, page_size)
        with self._services.database.read() as tx:
            record = find_job(tx, job)
        found = DatumList(self._services, record, which).datums(start=page * page_size)
        return islice(found, page_size) if page_size else found

    def preview_datums(
        self, spec: dict[str, object], *, page: int = 0, page_size: int = 0
    ) -> Iterator[DatumInfo]:
        return preview_datums(self._services, spec, page=page, page_size=page_size)

    def inspect_datum(self, job: str, datum: str) -> DatumInfo:
        with self._services.database.read() as tx:
            record = find_job(tx, job)
        found, ended = self._named(record, datum)
        return datum_info(record, found.planned, ended)

    def datum_recipe(self, job: str, datum: str) -> DatumRecipe:
        with self._services.database.read() as tx:
            record = find_job(tx, job)
            version = lifecycle.get(tx, record.pipeline, version=record.version)
        found, ended = self._named(record, datum)
        spec, config = lifecycle.spec_of(version), self._services.config
        if spec.stage is not None:
            raise NotSupported(
                f"a datum of pipeline '{record.pipeline}' is a {spec.stage.kind} of a cluster; no "
                "command of it runs here"
            )
        context = context_of(spec, version, config).as_message()
        log = ended.log if ended is not None else ()
        return DatumRecipe(
            info=datum_info(record, found.planned, ended),
            context=json.loads(json.dumps(context)),
            datums=encode_segment([found.planned]).decode("utf-8"),
            isolation=config.isolation,
            container_host=config.container_host,
            output_bytes_max=config.output_bytes_max or 0,
            stderr=_last_stderr(stored_entries(self._services.chunks, log)),
        )

    def list_outputs(self, job: str, datum: str) -> Iterator[FileInfo]:
        with self._services.database.read() as tx:
            record = find_job(tx, job)
        found, ended = self._named(record, datum)
        good = ended is None or ended.state is DatumState.SUCCESS
        return outputs_of(self._services, record, found.planned.key) if good else iter(())

    def hand_in(self, job: str, datum: str, changes: Iterable[FileChange]) -> int:
        with self._services.database.read() as tx:
            record = find_job(tx, job)
        return hand_in(self._services, record, datum, changes)

    def restart_datums(self, job: str, paths: list[str]) -> int:
        with self._services.database.read() as tx:
            record = find_job(tx, job)
        return self._services.scheduler.restart_datums(record.number, paths)

    def _named(self, job: JobRecord, datum: str) -> tuple[FoundDatum, DatumRecord | None]:
        """The datum of a job that an id names, and what came of it in this job."""
        found = self._found(job, datum)
        if found.position is None:
            return found, None
        with self._services.database.read() as tx:
            return found, ledger.datum_at(tx, job.number, found.position)

    def _found(self, job: JobRecord, datum: str) -> FoundDatum:
        """A datum in the plan of a job. Where one was found is looked at first the next time."""
        plans = PlanReader(self._services.database, self._services.chunks)
        if (number := self._seen.get((job.number, datum))) is not None:
            for segment in plans.segments(job):
                if segment.number == number:
                    for found in plans.found(job, segment):
                        if found.planned.key == datum:
                            return found
        begin = datum.encode("utf-8")
        segments = [one for one in plans.segments(job) if begin in plans.bytes_of(one)]
        everywhere = ((one, found) for one in segments for found in plans.found(job, one))
        named = named_datum(job, datum, everywhere, lambda pair: pair[1].planned.key)
        if len(self._seen) >= _SEEN_MAX:
            self._seen.clear()
        self._seen[job.number, named[1].planned.key] = named[0].number
        return named[1]

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
        asked = self._wanted(since_s, until_s, text)
        keys: set[str] | None = None
        position = None
        if datum and job:
            found, _ = self._named(jobs[0], datum)
            keys = {found.planned.key}
            position = _NONE if found.position is None else found.position
        elif datum:
            keys = {datum}
        if paths:
            keys = self._keys_of(jobs, paths)
        if spout and pipeline is not None:
            return self._spout_lines(pipeline, asked, follow=follow, tail=tail)
        readers = [_JobLog(self._services, record, keys, position) for record in jobs]
        lines: Iterator[LogLine] = (line for reader in readers for line in reader.new_lines())
        lines = filter(asked, lines)
        if tail:
            lines = iter(deque(lines, maxlen=tail))
        if not follow:
            return lines
        more = self._follow(readers, pipeline if job is None else None, keys)
        return chain(lines, filter(asked, more))

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
            for info in DatumList(self._services, job, Wanted()).datums()
            if wanted <= {value for i in info.inputs for value in (i.path, i.digest)}
        }


class _JobLog:
    """Reads the log lines of one job, each once, while they come."""

    def __init__(
        self,
        services: Services,
        job: JobRecord,
        keys: set[str] | None,
        position: int | None = None,
    ) -> None:
        """Of the datums with these keys alone; `position` is that of the only one, if it is one."""
        self.job = job
        self._position = position
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
        if self._position is not None:
            with self._services.database.read() as tx:
                ended = ledger.datum_at(tx, self.job.number, self._position)
            if ended is not None and ended.number > self._number:
                self._number = ended.number
                found.append(ended)
            return found
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
