"""Copies the output of a job elsewhere, after its commit is finished.

At least once: what was interrupted is done again from the beginning, and each file or transaction
replaces what is there. After the last try the job fails, and its commit stays. A job that has been
stopped replaces nothing any more; should it be just about to, the next one of its pipeline waits
for that (`conductor`).
"""

import logging
import threading
from collections.abc import Callable

from trunkline.config import Config
from trunkline.db.database import Database, Transaction
from trunkline.db.foreign import fill_tables
from trunkline.errors import InvalidInput, NotFound, OperationFailed, TrunklineError
from trunkline.fetch.storing import Interrupted, parse_target, put_files
from trunkline.fetch.urls import StoreUrl, without_secrets
from trunkline.files.manifest import EMPTY, RootId
from trunkline.files.tree import Trees
from trunkline.jobs import tables
from trunkline.jobs.egress_tables import tables_of
from trunkline.jobs.secrets import SecretStore
from trunkline.jobs.tables import JobRecord
from trunkline.model.jobs import JobState
from trunkline.model.pipelines import Egress as Wanted
from trunkline.model.pipelines import SecretUse
from trunkline.pipelines import lifecycle
from trunkline.store.claims import bucket_of
from trunkline.versions import commits

TRIES = 3

_log = logging.getLogger("trunkline.egress")


def has_egress(tx: Transaction, job: JobRecord) -> bool:
    """Whether the output of a job is to be copied elsewhere."""
    record = lifecycle.get(tx, job.pipeline, version=job.version)
    return lifecycle.spec_of(record).egress is not None


def _copied_before(tx: Transaction, job: JobRecord, egress: Wanted | None) -> RootId:
    """What the last good job of the pipeline copied to the same place; empty if that is unknown."""
    before = tables.good_job_before(tx, job.pipeline, job.number)
    if before is None:
        return EMPTY
    spec = lifecycle.spec_of(lifecycle.get(tx, before.pipeline, version=before.version))
    if egress is None or spec.egress is None or spec.egress.url != egress.url:
        return EMPTY
    try:
        return RootId(commits.get_commit(tx, before.output_repo, before.id).root)
    except NotFound:  # deleted since
        return EMPTY


class Egress:
    """What the threads of egress share."""

    def __init__(
        self, config: Config, database: Database, trees: Trees, stopping: threading.Event
    ) -> None:
        self._config = config
        self._database = database
        self._trees = trees
        self._stopping = stopping
        self._failed: dict[int, str] = {}  # by number of the job: the last attempt's problem

    def trouble(self, job: JobRecord) -> str:
        """What the last attempt failed with, while a job waits for its next one, or nothing."""
        return self._failed.get(job.number, "") if job.state is JobState.EGRESSING else ""

    def run(self, job: JobRecord) -> bool:
        """Copy the output of a job; False if nobody wants it any more, or not now.

        Raises OperationFailed after the last try.
        """
        try:
            return self._tried(job)
        finally:
            self._failed.pop(job.number, None)

    def _tried(self, job: JobRecord) -> bool:
        with self._database.read() as tx:
            spec = lifecycle.spec_of(lifecycle.get(tx, job.pipeline, version=job.version))
            root = RootId(commits.get_commit(tx, job.output_repo, job.id).root)
            before = _copied_before(tx, job, spec.egress)
        assert spec.egress is not None
        unwanted = self._unwanted(job.number)
        where = without_secrets(spec.egress.url)
        pause_s, problem = self._config.egress_retry_s, ""
        for attempt in range(TRIES):
            try:
                if attempt and self._stopping.wait(pause_s * 4 ** (attempt - 1)):
                    return False
                self._copy(spec.egress, root, before, unwanted)
                return True
            except Interrupted:
                return False
            except TrunklineError as error:
                if unwanted():  # what is gone with its job is no failure
                    return False
                problem = str(error)
                self._failed[job.number] = (
                    f"attempt {attempt + 1} of {TRIES} of egress to {where} failed: {problem}"
                )
                _log.warning("job %s: egress to %s failed: %s", job.name, where, problem)
        raise OperationFailed(f"egress to {where} failed {TRIES} times: {problem}")

    def _copy(
        self, egress: Wanted, root: RootId, before: RootId, unwanted: Callable[[], bool]
    ) -> None:
        files = self._trees.contents(root)
        if not egress.format:
            target = parse_target(egress.url)
            if isinstance(target, StoreUrl) and self._holds_packs(target):
                raise InvalidInput(
                    f"{egress.url} is where the packs of this server are; copy to another prefix"
                )
            plain_http = self._config.object_store_http
            put_files(target, files, plain_http=plain_http, cancelled=unwanted)
            return

        def check() -> None:
            if unwanted():
                raise Interrupted

        fill_tables(
            egress.url,
            password=self._password(egress),
            tables=tables_of(files, egress.format, egress.columns),
            emptied=[entry.path for entry in self._trees.list(before, "")],
            check=check,
        )

    def _holds_packs(self, target: StoreUrl) -> bool:
        """Whether what is written there would lie among the server's own packs."""
        url = bucket_of(self._config.home / "store")
        if url is None:
            return False
        own = parse_target(url)
        assert isinstance(own, StoreUrl)
        mine, theirs = (f"{one.key.strip('/')}/".lstrip("/") for one in (own, target))
        same = (own.store, own.bucket) == (target.store, target.bucket)
        return same and (theirs.startswith(mine) or mine.startswith(theirs))

    def _password(self, egress: Wanted) -> str:
        if not egress.secret:
            return self._config.sql_password
        use = SecretUse(name=egress.secret, key=egress.secret_key)
        secrets = SecretStore(self._config.home)
        secrets.check([use])
        return secrets.read(use.name).values[use.key].decode("utf-8", "replace").strip()

    def _unwanted(self, number: int) -> Callable[[], bool]:
        """Whether the server stops, or the job has been stopped; cheap enough for each file."""
        seen, ended = -1, False
        lock = threading.Lock()

        def unwanted() -> bool:
            nonlocal seen, ended
            if self._stopping.is_set():
                return True
            with lock:
                if (revision := self._database.revision) != seen:
                    with self._database.read() as tx:
                        job = tables.job_by_number(tx, number)
                    seen, ended = revision, job is None or job.state.ended
                return ended

        return unwanted
