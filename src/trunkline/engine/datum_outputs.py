"""What a datum wrote: files of the commit of a job that ran it, or took its result over.

Where that is remembered the cost is that of these files, else of a look through the whole tree.
"""

from collections.abc import Iterator

from trunkline.engine.file_history import file_info
from trunkline.engine.services import Services
from trunkline.errors import NotFound
from trunkline.files.manifest import RootId
from trunkline.jobs.ledger import JobRecord
from trunkline.jobs.remembered import unremembered
from trunkline.jobs.writers import files_of, merged_files
from trunkline.model.versions import FileInfo
from trunkline.versions import commits


def outputs_of(services: Services, job: JobRecord, key: str) -> Iterator[FileInfo]:
    """Its files in the commit of a job, by path; none where that is open, failed or deleted."""
    with services.database.read() as tx:
        try:
            record = commits.get_commit(tx, job.output_repo, job.id)
        except NotFound:
            return
    if record.finished is None or record.error is not None:
        return
    root = RootId(record.root)
    if next(unremembered(services.database, [key]), None) is None:
        paths = [path for path, _ in merged_files(services.database, services.trees, [key])]
    else:
        paths = [path for path, _, _ in files_of(services.trees, root, [key])]
    for path in paths:
        entry = services.trees.entry(root, path)
        if entry is not None:  # else it was purged since, or is of a later result
            yield file_info(record, entry)
