"""The orders of a worker whose datums are objects of a cluster."""

from pathlib import Path

from trunkline.config import workers_key
from trunkline.jobs.datum_run import Context, Orders
from trunkline.jobs.segments import PlannedDatum
from trunkline.jobs.signing import stored_key
from trunkline.jobs.stages import order_for, stage_of
from trunkline.model.signed import Signer


def orders_for(context: Context, home: Path) -> Orders | None:
    """What is made of each datum; None for a version with a command."""
    if context.stage is None:
        return None
    stage = stage_of(context.stage)
    signer = Signer(key=stored_key(home, workers_key()), server=context.data_url)

    def order(planned: PlannedDatum, job: str) -> bytes:
        return order_for(
            stage,
            planned,
            pipeline=context.pipeline,
            version=context.version,
            job=job,
            namespace=context.namespace,
            signer=signer,
        ).to_bytes()

    return order
