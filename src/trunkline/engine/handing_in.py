"""Output that is brought to the server by what works on a datum in a cluster.

It is kept beside the note of that object until the datum's worker stores it: what was acknowledged
is there after a power cut, as the object that brought it may be gone by then.
"""

import errno
from collections.abc import Iterable

from trunkline.api.changes import FileChange, PutFile
from trunkline.engine.services import Services
from trunkline.errors import Conflict, InvalidInput, OperationFailed, StorageFull
from trunkline.jobs.ledger import JobRecord
from trunkline.jobs.stages import holding_key, holdings_of
from trunkline.model.names import check_path
from trunkline.pipelines import lifecycle
from trunkline.runtimes.kubernetes.holdings import Holding
from trunkline.store.claims import is_shared


def hand_in(services: Services, job: JobRecord, datum: str, changes: Iterable[FileChange]) -> int:
    """See `api.datums`."""
    with services.database.read() as tx:
        spec = lifecycle.spec_of(lifecycle.get(tx, job.pipeline, version=job.version))
    stays = spec.stage is not None and spec.stage.stays
    key = holding_key(job.pipeline, job.id, datum, stays=stays)
    holding = holdings_of(services.config.home, shared=is_shared(services.config)).of(key)
    note = holding.note()
    if job.state.ended or note is None or note.ended or (note.job, note.datum) != (job.id, datum):
        raise Conflict(f"no object of a cluster works on datum {datum} of job {job.name} now")
    count = 0
    for change in changes:
        if not isinstance(change, PutFile) or change.append or change.unpack or change.split:
            raise InvalidInput("whole files are handed in, one by one; put archives as they are")
        _store(services, holding, check_path(change.path).strip("/"), change.content)
        count += 1
    return count


def _store(services: Services, holding: Holding, path: str, content: Iterable[bytes]) -> None:
    """Replace a file, once all of it is here."""
    try:
        holding.hand_in(path, content)
    except FileNotFoundError as error:
        raise Conflict("the datum has ended meanwhile") from error
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise InvalidInput(f"{path} is in the way of another file, or one is in its way") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageFull(str(services.config.home)) from error
        raise OperationFailed(f"{path} can't be stored: {error.strerror}") from error
