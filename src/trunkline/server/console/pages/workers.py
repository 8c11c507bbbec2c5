"""Workers: who they are, what they do now, and what the machine lets them have."""

from collections import Counter

from trunkline.server.console import urls
from trunkline.server.console.page import PAGE_ROWS, Answer, Navigation, Route, Show, Visit

_LABELS = {
    "TRUNKLINE_CPUS": "Cores",
    "TRUNKLINE_MEMORY_BYTES": "Memory",
    "TRUNKLINE_GPUS": "GPUs",
    "TRUNKLINE_WORKERS_MAX": "For one pipeline",
    "TRUNKLINE_WORKER_IDLE_S": "Idle ones stay",
    "TRUNKLINE_LEASE_S": "Given up after",
}


def workers(visit: Visit) -> Answer:
    """All workers, those first that have something to do."""
    operations = visit.operations
    found = sorted(operations.jobs.list_workers(), key=lambda worker: not worker.job)
    begin = visit.whole_number("from", 0, most=len(found))
    end = begin + PAGE_ROWS
    return Show(
        template="workers/workers.html",
        title="Workers",
        live=("workers",) if not begin else (),
        context={
            "workers": found[begin:end],
            "total": len(found),
            "working": sum(1 for worker in found if worker.job),
            "by_pipeline": Counter(worker.pipeline for worker in found).most_common(12),
            "status": operations.admin.status(),
            "labels": _LABELS,
            "settings": [one for one in operations.admin.settings() if one.variable in _LABELS],
            "next": f"{urls.workers()}?from={end}" if end < len(found) else None,
        },
    )


ROUTES = (Route(path="/workers", view=workers),)
NAVIGATION = (Navigation(title="Workers", path="/workers", icon="worker", order=70),)
