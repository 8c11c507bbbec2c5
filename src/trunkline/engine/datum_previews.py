"""The datums that a spec would have, told without a pipeline or job."""

from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

from trunkline.api.waiting import check_wanted
from trunkline.engine.pipelines import present_heads
from trunkline.engine.services import Services
from trunkline.errors import InvalidInput, RepoNotFound
from trunkline.jobs.planning import check_count
from trunkline.model.jobs import DatumInfo, DatumInput, DatumState
from trunkline.pipelines import lifecycle
from trunkline.pipelines.datums import Datum, enumerate_datums
from trunkline.pipelines.inputs import branches_of
from trunkline.pipelines.spec import spec_from_document
from trunkline.versions import repos

T = TypeVar("T")


def preview_datums(
    services: Services, spec: dict[str, object], *, page: int, page_size: int
) -> Iterator[DatumInfo]:
    """See `api.datums`. What is wrong is raised at once; datums are made as they are asked for."""
    with services.database.read() as tx:
        pipeline = spec_from_document(spec, defaults=lifecycle.defaults(tx))
        for branch in branches_of(pipeline.input):
            if not repos.repo_exists(tx, branch.repo):
                raise RepoNotFound(branch.repo, repos.repo_names(tx))
        heads = present_heads(tx, pipeline)
    check_count(pipeline, heads, services.trees, services.config.datums_max)
    found = enumerate_datums(pipeline.input, heads, services.trees)
    return paged(map(_info, found), page=page, page_size=page_size)


def paged(found: Iterator[T], *, page: int, page_size: int) -> Iterator[T]:
    """One page, the first being 0; size 0 means all. Raises InvalidInput."""
    check_page(page, page_size)
    return islice(found, page * page_size, (page + 1) * page_size) if page_size else found


def check_page(page: int, page_size: int) -> None:
    if page < 0 or page_size < 0:
        raise InvalidInput("the page and its size can't be negative")


def file_inputs(datum: Datum) -> tuple[DatumInput, ...]:
    """What a datum is given, as users see it."""
    return tuple(
        DatumInput(
            name=file.name,
            repo=file.repo,
            commit=file.commit,
            path=file.path,
            type=file.type,
            size_bytes=file.size_bytes,
            digest=file.digest,
        )
        for file in datum.files
    )


def _info(datum: Datum) -> DatumInfo:
    check_wanted()
    return DatumInfo(
        job="",
        id="",
        state=DatumState.STARTING,
        inputs=file_inputs(datum),
        tries=0,
        worker="",
        started=None,
        finished=None,
        downloaded_bytes=0,
        uploaded_bytes=0,
        download_s=0.0,
        process_s=0.0,
        upload_s=0.0,
        reason="",
    )
