"""Operations on the defaults of specs; see `api.defaults`."""

from dataclasses import replace

from trunkline.db.database import Transaction
from trunkline.engine.change import Change, rehearsed, single
from trunkline.engine.pipelines import create_pipeline, prepare
from trunkline.engine.services import Services
from trunkline.errors import InvalidSpec, TrunklineError
from trunkline.model.defaults import AffectedPipeline, DefaultsChange, DefaultsInfo
from trunkline.pipelines import lifecycle
from trunkline.pipelines.defaults import Defaults
from trunkline.pipelines.spec import read_defaults, spec_from_document


class EngineDefaults:
    def __init__(self, services: Services) -> None:
        self._services = services

    def inspect_defaults(self, *, project: str | None = None) -> DefaultsInfo:
        with self._services.database.read() as tx:
            found = lifecycle.defaults_of(tx, project)
        spec, changed = found or ({}, None)
        return DefaultsInfo(project=project, spec=spec, changed=changed)

    def set_defaults(
        self,
        text: str,
        *,
        source: str = "the defaults",
        project: str | None = None,
        regenerate: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
    ) -> DefaultsChange:
        services = self._services
        most = services.config.spec_bytes_max
        spec = read_defaults(text, source=source, bytes_max=most)
        regenerate = regenerate or reprocess
        warm: list[str] = []

        def carried_out(tx: Transaction) -> DefaultsChange:
            change = replace(single(services, tx), later=[], warm=warm, rehearsal=dry_run)
            lifecycle.set_defaults(tx, project, spec, now=change.now)
            affected = _affected(tx, project)
            if regenerate:
                _regenerate(change, affected, reprocess=reprocess)
                change.settle()
                services.chunks.flush()
            return DefaultsChange(
                project=project,
                affected=affected,
                regenerated=regenerate,
                dry_run=dry_run,
            )

        if dry_run:
            return rehearsed(services, carried_out)
        with services.chunks.hold(), services.database.write() as tx:
            done = carried_out(tx)
        for pipeline in warm:
            services.scheduler.prewarm(pipeline)
        return done


def _affected(tx: Transaction, project: str | None) -> tuple[AffectedPipeline, ...]:
    """The pipelines whose spec is another one with the defaults that are there now."""
    defaults = lifecycle.defaults(tx)
    found = (
        _effect(record, defaults) for record in reversed(lifecycle.list_pipelines(tx, project))
    )
    return tuple(one for one in found if one is not None)


def _effect(record: lifecycle.PipelineRecord, defaults: Defaults) -> AffectedPipeline | None:
    try:
        after = spec_from_document(record.user_spec, stored=True, defaults=defaults).document
    except InvalidSpec as error:
        return AffectedPipeline(name=record.name, fields=(), problem=str(error))
    fields = [name for name in {**record.spec, **after} if record.spec.get(name) != after.get(name)]
    return AffectedPipeline(name=record.name, fields=tuple(fields)) if fields else None


def _regenerate(change: Change, affected: tuple[AffectedPipeline, ...], *, reprocess: bool) -> None:
    """Give each pipeline a version with the new defaults, in the order that lists keep."""
    defaults = lifecycle.defaults(change.tx)
    for one in affected:
        record = lifecycle.get(change.tx, one.name)
        try:
            prepared = prepare(
                *(change.services, record.user_spec, record.code or None),
                alone=False,
                store=not change.rehearsal,
                defaults=defaults,
            )
            create_pipeline(change, prepared, update=True, reprocess=reprocess, keep_results=False)
        except TrunklineError as error:
            error.args = (f"pipeline '{one.name}' with these defaults: {error}",)
            raise
