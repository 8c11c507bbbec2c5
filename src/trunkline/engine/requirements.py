"""The lock of a pipeline's Python packages: made once for what a spec asks for, then kept."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trunkline.api.waiting import check_wanted
from trunkline.db.database import Transaction
from trunkline.engine.services import Services
from trunkline.errors import InvalidInput, NotSupported, OperationFailed, Unavailable
from trunkline.files.manifest import RootId
from trunkline.model.pipelines import PipelineSpec
from trunkline.pipelines import lifecycle, requirements
from trunkline.pipelines.requirements import Lock
from trunkline.runtimes import environments, pythons
from trunkline.store.chunks import ChunkId


def lock_of(services: Services, chunk: str) -> Lock | None:
    """A stored lock; None for no chunk."""
    return requirements.parse(services.chunks.get(ChunkId(chunk))) if chunk else None


def lock_for(
    services: Services,
    pipeline: PipelineSpec,
    code: str,
    *,
    elsewhere: bool,
    renew: bool,
    may_resolve: bool,
) -> Lock | None:
    """The lock of a version that is about to be made; None if it asks for no packages.

    That of the version before, if it asked for the same, is not to be renewed, and is not for our
    Python alone where code runs with another one, `elsewhere`; else a new one, with its versions
    where they still fit. Raises InvalidInput for what can't be asked for,
    OperationFailed with what uv says, NotSupported without uv or where nothing `may_resolve`.
    """
    asked_for = pipeline.transform.requirements
    if not asked_for:
        return None
    text = _text(services, asked_for, code)
    asked = requirements.asked(text, code=code)
    with services.database.read() as tx:
        before = _lock_before(services, tx, pipeline.name)
    fits = before is not None and (before.for_any or not elsewhere)
    if before is not None and fits and before.asked == asked and not renew:
        return before
    if not may_resolve:
        raise NotSupported(
            f"the packages of pipeline '{pipeline.name}' can't be resolved within a transaction, "
            "which nobody may have to wait for; create or update the pipeline by itself"
        )
    places = requirements.options(text)
    kept = None if renew else before
    resolved, made_for = _resolve(services, asked_for, text, code, before=kept, elsewhere=elsewhere)
    return requirements.made(resolved, made_for=made_for, asked=asked, places=places)


def _lock_before(services: Services, tx: Transaction, name: str) -> Lock | None:
    record = lifecycle.find(tx, name)
    return None if record is None else lock_of(services, record.lock)


def _text(services: Services, asked_for: str, code: str) -> str:
    path = requirements.file_in_code(asked_for)
    if path is None:
        return asked_for
    row = services.trees.find(RootId(code), path) if code else None
    if row is None:
        where = "transform.code has no such file" if code else "the spec has no transform.code"
        raise InvalidInput(f"transform.requirements names the file '{path}', but {where}")
    return b"".join(services.trees.read(row)).decode("utf-8", "replace")


def _resolve(
    services: Services,
    asked_for: str,
    text: str,
    code: str,
    *,
    before: Lock | None,
    elsewhere: bool,
) -> tuple[str, str]:
    """The lock, and what it is made for: our Python, or `elsewhere` any that images may have.

    If there are no packages for the oldest, it is made from our own version on.
    """
    uv = environments.find_uv(services.config.path)
    with tempfile.TemporaryDirectory(prefix="trunkline-requirements-") as name:
        directory = Path(name)
        file = requirements.file_in_code(asked_for)
        if file is None:
            file = "requirements.txt"
            (directory / file).write_text(text, "utf-8")
        else:  # all of the code, as the file may include others
            services.trees.export(services.trees.walk(RootId(code)), directory)

        def resolved(oldest: str) -> str:
            return environments.resolve(
                uv,
                directory,
                file,
                before="" if before is None else before.body,
                oldest=oldest,
                cancelled=_unwanted(services),
            )

        try:
            if not elsewhere:
                return resolved(""), environments.python_name()
            own = pythons.own_python().minor
            if own != pythons.OLDEST:
                with suppress(OperationFailed):
                    made_for = requirements.any_python(pythons.IMPLEMENTATION, pythons.OLDEST)
                    return resolved(pythons.OLDEST), made_for
            return resolved(own), requirements.any_python(pythons.IMPLEMENTATION, own)
        except environments.Cancelled:
            raise Unavailable("the server is shutting down") from None


def _unwanted(services: Services) -> Callable[[], bool]:
    def unwanted() -> bool:
        check_wanted()
        return services.closing.is_set()

    return unwanted
