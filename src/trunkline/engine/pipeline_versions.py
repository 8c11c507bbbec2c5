"""The versions of a pipeline, and what differs between two of them."""

import json

from trunkline.compare.compare import compare_contents
from trunkline.compare.content import Content
from trunkline.db.database import Transaction
from trunkline.engine.services import Services
from trunkline.errors import NotFound
from trunkline.files.columns import FileRow
from trunkline.files.manifest import EMPTY, RootId
from trunkline.jobs.ledger import JobRecord
from trunkline.model.differences import ContentKind
from trunkline.model.pipelines import CodeChange, PipelineDifference
from trunkline.model.versions import Change, Side
from trunkline.pipelines import lifecycle
from trunkline.pipelines.lifecycle import PipelineRecord

_LINES_MAX = 10_000  # of the difference of two specs


class VersionsOfJobs:
    """The pipeline versions of some jobs, each read once; for one question."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: dict[tuple[str, int], PipelineRecord] = {}

    def of(self, job: JobRecord) -> PipelineRecord:
        name = (job.pipeline, job.version)
        if name not in self._known:
            with self._services.database.read() as tx:
                self._known[name] = lifecycle.get(tx, job.pipeline, version=job.version)
        return self._known[name]


def with_older(tx: Transaction, newest: PipelineRecord, history: int) -> list[PipelineRecord]:
    """A pipeline with so many of its older versions, newest first; -1 means all."""
    least = 1 if history < 0 else max(1, newest.newest - history)
    return lifecycle.versions_of(tx, newest.name, least)


def diff_pipeline(
    services: Services, name: str, old_version: int | None, new_version: int | None
) -> PipelineDifference:
    with services.database.read() as tx:
        new = lifecycle.get(tx, name, new_version)
        if old_version is None and new.version == 1:
            raise NotFound(
                f"pipeline '{name}' has no version before 1, so there is nothing to compare it with"
            )
        old = lifecycle.get(tx, name, new.version - 1 if old_version is None else old_version)
    spec = compare_contents(
        "",
        _as_content(old.spec),
        _as_content(new.spec),
        kind=ContentKind.TEXT,
        key=(),
        most=_LINES_MAX,
    )
    return PipelineDifference(
        pipeline=name,
        old_version=old.version,
        new_version=new.version,
        spec=spec.lines,
        packages_gone=tuple(p for p in old.packages if p not in set(new.packages)),
        packages_new=tuple(p for p in new.packages if p not in set(old.packages)),
        code=_code_changes(services, old.code, new.code),
        keeps_results=old.salt == new.salt,
        old_image=_image(old),
        new_image=_image(new),
        truncated=spec.truncated,
    )


def _image(record: PipelineRecord) -> str:
    image = record.placement.image
    return "" if image is None else image.named


def _as_content(spec: dict[str, object]) -> Content:
    data = (json.dumps(spec, indent=2, ensure_ascii=False) + "\n").encode("utf-8")
    return Content(
        size_bytes=len(data),
        chunks=(),
        read=lambda at, size: iter((data[at:] if size is None else data[at : at + size],)),
    )


def _code_changes(services: Services, old: str, new: str) -> tuple[CodeChange, ...]:
    if old == new:
        return ()
    sides: dict[str, dict[Side, FileRow]] = {}
    roots = (RootId(new) if new else EMPTY, RootId(old) if old else EMPTY)
    for side, row in services.trees.diff(roots[0], "", roots[1], ""):
        sides.setdefault(row.path, {})[side] = row
    return tuple(_code_change(path, found) for path, found in sorted(sides.items()))


def _code_change(path: str, found: dict[Side, FileRow]) -> CodeChange:
    old, new = found.get(Side.OLD), found.get(Side.NEW)
    change = Change.ADDED if old is None else Change.DELETED if new is None else Change.CHANGED
    return CodeChange(
        change=change,
        path=path,
        old_digest="" if old is None else old.digest,
        new_digest="" if new is None else new.digest,
    )
